//! A whole Debian boots from its disk to a login on `fief console`, from BIOS and from UEFI.

use std::time::Duration;

use fief_tests::{Host, Terminal, guest};

/// 15 s on an idle machine, all of it emulated.
const BOOT: Duration = Duration::from_secs(300);
const SHELL: Duration = Duration::from_secs(60);

#[test]
fn debian_boots_from_bios_to_a_login() {
    boots_to_a_login("bios");
}

#[test]
fn debian_boots_from_uefi_to_a_login() {
    boots_to_a_login("uefi");
}

fn boots_to_a_login(firmware: &str) {
    let host = Host::new();
    host.volume_with("default/debian", guest::DEBIAN_SIZE, &guest::debian());
    host.fief(&["create", "debian", "--memory", "512MiB", "--disk", "default/debian", "--firmware", firmware]);
    host.fief(&["start", "debian"]);

    let mut terminal = Terminal::start(host.command(&["console", "debian"]));
    terminal.shows("fief-debian login:", BOOT);
    terminal.types("root\r");
    terminal.shows("root@fief-debian:~#", SHELL);
    // Split, so that the echo of the keys is not taken for the answer.
    terminal.types("test -d /sys/firmware/efi && echo firm''ware-uefi || echo firm''ware-bios\r");
    terminal.shows(&format!("firmware-{firmware}"), SHELL);
    terminal.types("systemctl poweroff --force\r");
    host.fief(&["wait", "debian", "--state", "off", "--timeout", "80s"]);
    assert!(terminal.ends(SHELL).success());
    assert_eq!(host.shown("debian")["last-end"]["reason"], "powered-off");

    host.fief(&["delete", "debian", "--volumes", "--yes"]);
    host.finish();
}
