//! Copies and moves of disks whose domain runs: its guest goes on.

use super::*;

#[test]
fn a_running_domain_is_copied_to_another_pool_and_goes_on() {
    let host = Host::new();
    more_pools(&host);
    let mut witness = Witness::create(&host, "web1", &[]);
    host.fief(&["start", "web1"]);
    witness.goes_on(3);
    host.fief(&["volume", "copy", "default/web1", "more/copy", "--format", "qcow2"]);
    witness.goes_on(3);
    witness.is_heard(1);
    host.fief(&["stop", "web1"]);
    host.fief(&["volume", "copy", "more/copy", "more/raw", "--format", "raw"]);
    let copy = std::fs::read(image_in(&host, "more/raw").0).expect("the copy");
    assert_eq!(copy[512..516], *b"fwit");
    assert!(u32::from_le_bytes([copy[520], copy[521], copy[522], copy[523]]) > 0);
    witness.is_sound();
    host.fief(&["delete", "web1", "--volumes", "--yes"]);
    host.fief(&["volume", "delete", "more/copy", "more/raw", "--yes"]);
    no_more_pools(&host);
    host.finish();
}

#[test]
fn the_disk_of_a_running_domain_moves_while_its_guest_goes_on() {
    let host = Host::new();
    more_pools(&host);
    let mut witness = Witness::create(&host, "web1", &[]);
    host.fief(&["start", "web1"]);
    witness.goes_on(3);
    let hypervisor = host.hypervisor("web1");
    let boots_from = |volume: &str| {
        let shown = host.shown("web1");
        assert_eq!(shown["definition"]["disk"][0]["volume"], volume, "{shown}");
    };
    // There, back, and there again under another name: the machine's nodes are exchanged each time.
    // From a file to a plugin, from one plugin's sandbox to another's, and to a file again.
    let ways = ["default/web1", "more/web1", "default/back", "served/x", "served/y", "more/again"];
    for (from, to) in ways.iter().zip(&ways[1..]) {
        host.fief(&["volume", "move", from, to]);
        host.fief_ends(&["volume", "show", from], NOT_FOUND);
        witness.lies_at(&image_in(&host, to).0);
        witness.goes_on(3);
        witness.is_heard(2);
        witness.is_sound();
        boots_from(to);
        assert_eq!(host.hypervisor("web1"), hypervisor);
    }
    // What else is done to that disk finds it.
    host.fief(&["clone", "web1", "web2"]);
    let said = host.fief_ends(&["volume", "delete", "more/again", "--yes"], CONFLICT);
    assert!(said.stderr.contains("web1, which runs"), "{}", said.stderr);
    // One that is served grows under whatever name it has there.
    host.fief(&["volume", "move", "more/again", "served/last"]);
    host.fief(&["volume", "resize", "served/last", "4MiB"]);
    eventually("the guest sees the new size", Duration::from_secs(90), || {
        let log = std::fs::read_to_string(host.root().join("domains/web1/supervisor.log")).expect("a log");
        log.contains("the guest sees its new size").then_some(())
    });
    witness.lies_at(&image_in(&host, "served/last").0);
    witness.goes_on(2);
    host.fief(&["volume", "move", "served/last", "more/again"]);
    witness.lies_at(&image_in(&host, "more/again").0);
    // It starts from there.
    host.fief(&["stop", "web1"]);
    host.fief(&["start", "web1"]);
    witness.goes_on(2);
    witness.is_sound();
    host.fief(&["stop", "web1"]);
    host.fief(&["delete", "web1", "web2", "--volumes", "--yes"]);
    no_more_pools(&host);
    host.finish();
}

#[test]
fn a_running_move_that_is_broken_off_or_killed_loses_nothing() {
    let host = Host::new();
    more_pools(&host);
    let mut witness = Witness::create(&host, "web1", &[]);
    host.fief(&["start", "web1"]);
    witness.goes_on(2);
    let hypervisor = host.hypervisor("web1");
    let record = host.root().join("domains/web1/record.json");
    let is_moving = || std::fs::read_to_string(&record).is_ok_and(|text| text.contains("\"moving\""));
    let cases =
        [("^C", "more/web1"), ("command", "served/web1"), ("supervisor", "more/web1"), ("supervisor", "served/web1")];
    for (who, to) in cases {
        let before = host.census();
        // So slow that it is under way for a while.
        let mut moving = host.command(&["volume", "move", "default/web1", to, "--bandwidth", "64KiB"]);
        let mut child = moving.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("fief");
        eventually("the disk is on its way", Duration::from_secs(60), || is_moving().then_some(()));
        let signal = if who == "^C" { Signal::INT } else { Signal::KILL };
        let target = match who {
            "supervisor" => {
                Pid::from_raw(i32::try_from(host.supervisor("web1")).expect("a number")).expect("a process")
            }
            _ => Pid::from_child(&child),
        };
        kill_process(target, signal).expect("a process of this test");
        let code = child.wait().expect("a child of this test").code();
        host.fief(&["volume", "list", "default"]);
        assert_eq!(host.hypervisor("web1"), hypervisor, "{who}");
        if who == "supervisor" && code == Some(0) {
            // The next supervisor was asked again, and did it.
            witness.lies_at(&image_in(&host, to).0);
            host.fief(&["volume", "move", to, "default/web1"]);
            witness.lies_at(&image_in(&host, "default/web1").0);
        }
        witness.goes_on(3);
        witness.is_sound();
        if who == "supervisor" {
            assert_eq!(std::fs::read_dir(host.root().join("more")).expect("the folder").count(), 0);
        } else {
            host.settles_to(&before);
        }
    }
    host.fief(&["stop", "web1"]);
    host.fief(&["delete", "web1", "--volumes", "--yes"]);
    no_more_pools(&host);
    host.finish();
}
