//! The main job: a guest boots from a disk and a card that sandboxed plugins serve.

use std::time::Duration;

use fief_tests::terminal::LEAVE;
use fief_tests::{Host, Terminal};

const SHELL: Duration = Duration::from_secs(30);

#[test]
fn a_guest_finds_its_disk_its_address_and_its_host() {
    let host = Host::new();
    host.volume("default/node1", "1GiB");
    host.host_only("lab", "10.77.0.1/24");
    let guest = host.run_guest("node1", &["--disk", "default/node1", "--network", "lab"], "");

    assert_eq!(guest.says("fief-guest: disk"), "fief-guest: disk /dev/vda 1 GiB mounted, boot 1");
    let address = guest.address();
    assert!(address.starts_with("10.77.0."), "{address} is not on the network");
    assert_eq!(guest.says("fief-guest: host"), "fief-guest: host 10.77.0.1 answers");
    guest.says("fief-guest: ready");

    host.namespace().run(&format!("ping -c 1 -w 5 {address}")).expect_code(0);
    let leases = host.fief(&["network", "leases", "lab"]).stdout;
    assert!(leases.contains(&address) && leases.contains("node1"), "{leases}");
    assert_eq!(host.state("node1"), "running");
    let table = host.fief(&["list"]).stdout;
    assert!(table.contains("NAME") && table.contains("node1") && table.contains("running"), "{table}");

    drop(guest);
    host.fief(&["stop", "node1"]);
    assert_eq!(host.state("node1"), "off");
    host.fief(&["delete", "node1", "--volumes", "--yes"]);
    host.fief(&["network", "delete", "lab"]);
    host.finish();
}

#[test]
fn what_a_guest_wrote_is_there_at_its_next_start() {
    let host = Host::new();
    host.volume("default/node1", "64MiB");
    let guest = host.run_guest("node1", &["--disk", "default/node1"], "fief.mode=poweroff");
    guest.says("fief-guest: disk /dev/vda 64 MiB mounted, boot 1");
    host.fief(&["wait", "node1", "--state", "off", "--timeout", "60s"]);
    assert_eq!(host.shown("node1")["last-end"]["reason"], "powered-off");
    drop(guest);

    host.fief(&["start", "node1"]);
    let again = fief_tests::Guest::of(&host, "node1");
    again.says("fief-guest: disk /dev/vda 64 MiB mounted, boot 2");
    host.fief(&["wait", "node1", "--state", "off", "--timeout", "60s"]);
    drop(again);
    host.fief(&["delete", "node1", "--volumes", "--yes"]);
    host.finish();
}

#[test]
fn a_person_types_on_the_console_and_leaves_it_and_the_guest_goes_on() {
    let host = Host::new();
    let guest = host.run_guest("node1", &[], "");
    guest.says("fief-guest: ready");

    let mut terminal = Terminal::start(host.command(&["console", "node1"]));
    terminal.shows("Ctrl-]", SHELL);
    terminal.types("\recho typed-$((40 + 2))\r");
    terminal.shows("typed-42", SHELL);
    terminal.types(LEAVE);
    assert!(terminal.ends(SHELL).success());

    guest.says("typed-42");
    assert_eq!(host.state("node1"), "running");
    drop(guest);
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--yes"]);
    host.finish();
}

#[test]
fn what_show_prints_makes_the_same_domain_again() {
    let host = Host::new();
    host.create_guest("node1", &[], "");
    let shown = host.fief(&["show", "node1"]).stdout;
    host.fief(&["delete", "node1", "--yes"]);
    let file = host.root().join("images/node1.toml");
    std::fs::write(&file, &shown).expect("a definition");
    host.fief(&["create", "-f", &file.to_string_lossy()]);
    assert_eq!(host.fief(&["show", "node1"]).stdout, shown);
    std::fs::remove_file(file).expect("a definition");
    host.fief(&["delete", "node1", "--yes"]);
    host.finish();
}

#[test]
fn the_hypervisor_holds_no_privilege() {
    let host = Host::new();
    let guest = host.run_guest("node1", &[], "fief.mode=idle");
    guest.says("fief-guest: ready");
    let pid = host.hypervisor("node1");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the status of a process");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(field("Uid:").iter().all(|uid| uid != "0"), "{status}");
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    assert_eq!(field("CapEff:"), ["0000000000000000"]);
    assert_eq!(field("CapBnd:"), ["0000000000000000"]);
    assert_eq!(field("Seccomp:"), ["2"]);
    drop(guest);
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--yes"]);
    host.finish();
}
