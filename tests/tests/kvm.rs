//! KVM, proven by a boot sector that prints; the same sector under emulation tells its exit code.

use std::path::Path;

use fief_tests::boot_sector::{self, Then};
use fief_tests::{Guest, Host};

/// Set where the machine has no KVM: then nothing of it is proven.
const NO_KVM: &str = "FIEF_NO_KVM";

fn start_sector<'a>(host: &'a Host, options: &[&str], text: &str, then: Then) -> Guest<'a> {
    let sector = host.root().join("sector.img");
    boot_sector::write(&sector, text, then);
    host.volume_with("default/sector", "1MiB", &sector);
    std::fs::remove_file(&sector).expect("the sector's file");
    host.fief(&[&["create", "sector", "--memory", "32MiB", "--disk", "default/sector"], options].concat());
    host.fief(&["start", "sector"]);
    Guest::of(host, "sector")
}

#[test]
fn a_boot_sector_prints_under_kvm() {
    if !Path::new("/dev/kvm").exists() {
        assert!(
            std::env::var_os(NO_KVM).is_some(),
            "there is no /dev/kvm, so nothing shows that fief runs guests under KVM; \
             set {NO_KVM}=1 to let the other tests decide"
        );
        eprintln!("no /dev/kvm: KVM is not proven");
        return;
    }
    let host = Host::new();
    // What an emulated KVM can do differs; this model asks for little.
    let options = ["--accelerator", "kvm", "--cpu", "qemu64,+pni"];
    let guest = start_sector(&host, &options, "a sector speaks under kvm", Then::Halt);
    assert_eq!(guest.says("speaks"), "a sector speaks under kvm");
    assert_eq!(host.listed("sector")["accelerator"], "kvm");
    drop(guest);
    host.fief(&["stop", "sector"]);
    host.fief(&["delete", "sector", "--volumes", "--yes"]);
    host.finish();
}

#[test]
fn the_same_sector_prints_under_emulation() {
    let host = Host::new();
    let guest = start_sector(&host, &["--accelerator", "tcg"], "a sector speaks under tcg", Then::Halt);
    assert_eq!(guest.says("speaks"), "a sector speaks under tcg");
    assert_eq!(host.listed("sector")["accelerator"], "tcg");
    drop(guest);
    host.fief(&["stop", "sector"]);
    host.fief(&["delete", "sector", "--volumes", "--yes"]);
    host.finish();
}

#[test]
fn a_guests_exit_code_is_told() {
    let host = Host::new();
    let sector = host.root().join("sector.img");
    boot_sector::write(&sector, "a sector ends", Then::Exit(3));
    host.volume_with("default/sector", "1MiB", &sector);
    let definition = host.root().join("sector.toml");
    let text = "name = \"sector\"\nmemory = \"32MiB\"\naccelerator = \"tcg\"\ndebug-exit = true\n\n\
                [[disk]]\nvolume = \"default/sector\"\n";
    std::fs::write(&definition, text).expect("a definition");
    host.fief(&["create", "-f", &definition.to_string_lossy()]);
    host.fief(&["start", "sector"]);
    host.fief(&["wait", "sector", "--state", "off", "--timeout", "60s"]);
    let end = host.shown("sector")["last-end"].take();
    // QEMU ends with 2N + 1.
    assert_eq!(end["exit-code"], 7, "{end}");
    assert_eq!(end["reason"], "powered-off", "{end}");
    std::fs::remove_file(sector).expect("the sector's file");
    std::fs::remove_file(definition).expect("the definition's file");
    host.fief(&["delete", "sector", "--volumes", "--yes"]);
    host.finish();
}
