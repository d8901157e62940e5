//! Changes to a domain, running or not: disks, cards, discs, memory and settings; each at once where it can be, shown as
//! pending where not, done once however often it is asked for, and known to whoever watches over the guest next.

use std::fs;
use std::path::PathBuf;

use fief_tests::boot_sector::{self, Then};
use fief_tests::guest::SPEAKS;
use fief_tests::{Guest, Host, eventually};
use rustix::process::{Pid, Signal, kill_process};

const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;
const CONFLICT: i32 = 4;
const TIMED_OUT: i32 = 9;
const MIB: u64 = 1 << 20;

fn kill_supervisor(host: &Host, name: &str) {
    let pid = i32::try_from(host.supervisor(name)).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::KILL).expect("a process of this test");
}

/// Runs a change twice: it says `done`, then `already`.
#[track_caller]
fn twice(host: &Host, words: &[&str], done: &str, already: &str) {
    for said in [done, already] {
        let stdout = host.fief(words).stdout;
        assert!(stdout.contains(said), "{words:?} said {stdout:?}, not {said:?}");
    }
}

/// The image of a raw volume.
fn image(host: &Host, volume: &str) -> PathBuf {
    let all = fs::read_dir(host.root().join("images")).expect("images").flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem == volume);
    all.into_iter().find(named).unwrap_or_else(|| panic!("no image of {volume}"))
}

/// Whether the hypervisor of a domain has the image of a volume open.
fn holds(host: &Host, domain: &str, volume: &str) -> bool {
    let image = image(host, volume);
    let descriptors = fs::read_dir(format!("/proc/{}/fd", host.hypervisor(domain))).expect("its descriptors");
    descriptors.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|path| path == image))
}

#[test]
fn a_running_guest_gets_and_loses_disks_cards_discs_and_memory() {
    let host = Host::new();
    host.host_only("lab", "10.77.0.1/24");
    host.volume("default/node1", "64MiB");
    for volume in ["data", "iso1", "iso2"] {
        host.fief(&["volume", "create", &format!("default/{volume}"), "--size", "4MiB", "--format", "raw"]);
    }
    let options = ["--disk", "default/node1", "--network", "lab", "--max-memory", "256MiB"];
    host.create_guest("node1", &options, "fief.mode=watch");
    // Off: the definition changes, and what is not there is told before.
    host.fief_ends(&["attach", "disk", "node1", "default/none"], NOT_FOUND);
    host.fief_ends(&["attach", "nic", "node1", "--network", "none"], NOT_FOUND);
    twice(&host, &["attach", "cdrom", "node1", "default/iso1"], "has disc default/iso1 in its drive now", "already");
    host.fief(&["start", "node1"]);
    let guest = Guest::of(&host, "node1");
    guest.says("fief-guest: ready");
    guest.says("fief-guest: memory ");

    let attach = ["attach", "disk", "node1", "default/data"];
    let operations = host.fief(&[&["--dry-run"], &attach[..]].concat()).stdout;
    assert!(!operations.contains("now"), "{operations}");
    host.fief(&attach);
    // Whoever comes next knows of it, however its supervisor ended.
    kill_supervisor(&host, "node1");
    assert!(host.fief(&attach).stdout.contains("already"));
    // Told by the disk: what the guest says while there is no supervisor is in no log.
    eventually("what the guest writes to a disk that came", SPEAKS, || {
        fs::read(image(&host, "data")).expect("the image").starts_with(b"a guest wrote this").then_some(())
    });
    host.fief_ends(&["attach", "disk", "node1", "default/data", "--read-only"], CONFLICT);
    host.fief_ends(&["volume", "delete", "default/data", "--yes"], CONFLICT);

    twice(&host, &["attach", "nic", "node1", "--network", "lab", "--mac", "52:54:00:00:00:77"], "now", "already");
    guest.says("fief-guest: eth1 came, address 10.77.0.");
    let run = host.shown("node1")["run"].clone();
    let taps: Vec<_> = run["cards"].as_array().expect("cards").iter().map(|card| card["tap"].clone()).collect();
    assert_eq!(taps, [format!("vif{}.0", run["id"]), format!("vif{}.1", run["id"])]);

    // Memory moves between nothing and the machine's size.
    for mib in [128, 256] {
        twice(&host, &["set", "node1", "--memory", &format!("{mib}MiB")], "is set so now", "already");
        eventually("the balloon", SPEAKS, || (host.listed("node1")["actual-memory"] == mib * MIB).then_some(()));
        assert_eq!(host.listed("node1")["memory"], mib * MIB);
    }
    host.fief_ends(&["set", "node1", "--memory", "512MiB", "--on-crash", "preserve"], USAGE);
    assert_eq!(host.shown("node1")["definition"]["on-crash"], "restart", "all is checked before any is applied");
    let said = host.fief(&["set", "node1", "--vcpus", "2", "--on-crash", "preserve", "--protected"]).stdout;
    assert!(said.contains("from its next start: vcpus cannot be changed"), "{said}");
    let shown = host.fief(&["show", "node1"]).stdout;
    assert!(shown.contains("# pending until the next start: vcpus 1 -> 2\n"), "{shown}");
    assert_eq!(shown.matches("# pending").count(), 1, "{shown}");
    assert_eq!(host.shown("node1")["pending"][0]["key"], "vcpus");

    // The disc in the drive: changed, taken out, put in again.
    assert!(holds(&host, "node1", "iso1"));
    twice(&host, &["attach", "cdrom", "node1", "default/iso2"], "default/iso2 in its drive now", "already");
    assert_eq!((holds(&host, "node1", "iso1"), holds(&host, "node1", "iso2")), (false, true));
    twice(&host, &["detach", "cdrom", "node1"], "has an empty drive now", "no such disc");
    assert!(!holds(&host, "node1", "iso2"));
    host.fief(&["attach", "cdrom", "node1", "default/iso1"]);

    // Saved and restored, all is where it was: nothing comes and nothing goes for the guest.
    let file = host.root().join("node1.state");
    let path = file.to_string_lossy().into_owned();
    host.fief(&["save", "node1", &path]);
    drop(guest);
    host.fief(&["restore", &path]);
    let guest = Guest::of(&host, "node1");
    let place = host.fief(&["logs", "node1"]).stdout.len();
    twice(
        &host,
        &["detach", "disk", "node1", "default/data", "--force"],
        "does not have disk default/data any more",
        "does not have",
    );
    guest.says("fief-guest: vdb went");
    twice(&host, &["detach", "nic", "node1", "52:54:00:00:00:77"], "any more", "does not have card");
    guest.says("fief-guest: eth1 went");
    let since = host.fief(&["logs", "node1"]).stdout[place..].to_owned();
    assert!(!since.contains("came"), "{since}");
    assert!(!holds(&host, "node1", "data"));
    assert!(!host.namespace().ip("link").contains(&format!("vif{}.1", host.listed("node1")["id"])));
    // Free for others.
    host.fief(&["volume", "delete", "default/data", "--yes"]);
    let definition = host.shown("node1")["definition"].clone();
    assert_eq!(
        (definition["disk"].as_array().map(Vec::len), definition["card"].as_array().map(Vec::len)),
        (Some(2), Some(1))
    );

    host.fief_ends(&["delete", "node1", "--yes"], CONFLICT);
    host.fief(&["stop", "node1"]);
    host.fief_ends(&["delete", "node1", "--yes"], CONFLICT);
    twice(&host, &["set", "node1", "--no-protected", "--autostart=7"], "is set so now", "already");
    assert_eq!(host.shown("node1")["definition"]["autostart"]["order"], 7);
    drop(guest);
    fs::remove_file(file).expect("the state");
    host.fief(&["delete", "node1", "--volumes", "--yes"]);
    host.fief(&["volume", "delete", "default/iso1", "--yes"]);
    host.fief(&["volume", "delete", "default/iso2", "--yes"]);
    host.fief(&["network", "delete", "lab"]);
    host.finish();
}

/// A guest that knows nothing of ports: a boot sector that said its line.
fn halted<'a>(host: &'a Host, name: &str) -> Guest<'a> {
    let file = host.root().join(format!("images/{name}-sector"));
    boot_sector::write(&file, "hello", Then::Halt);
    host.volume_with(&format!("default/{name}"), "1MiB", &file);
    fs::remove_file(file).expect("the sector");
    host.fief(&["create", name, "--memory", "32MiB", "--disk", &format!("default/{name}")]);
    host.fief(&["start", name]);
    let guest = Guest::of(host, name);
    guest.says("hello");
    guest
}

#[test]
fn a_guest_that_does_not_let_go_keeps_what_it_has_and_a_stop_takes_it() {
    let host = Host::new();
    let guest = halted(&host, "node1");
    let other = halted(&host, "node2");
    host.volume("default/data", "4MiB");
    host.fief(&["attach", "disk", "node1", "default/data"]);
    let said = host.fief_ends(&["attach", "disk", "node2", "default/data"], CONFLICT);
    assert!(said.stderr.contains("in use by domain node1"), "{}", said.stderr);
    assert!(host.shown("node2")["definition"]["disk"].as_array().is_some_and(|disks| disks.len() == 1));

    for _ in 0..2 {
        let said = host.fief_ends(&["detach", "disk", "node1", "default/data", "--timeout", "1s"], TIMED_OUT);
        assert!(said.stderr.contains("the same command waits again"), "{}", said.stderr);
    }
    // Nothing is half done, and whoever comes next knows.
    kill_supervisor(&host, "node1");
    assert_eq!(host.shown("node1")["definition"]["disk"][1]["volume"], "default/data");
    host.fief_ends(&["attach", "disk", "node2", "default/data"], CONFLICT);
    // By force it has an empty disk in its place, and the volume is free.
    assert!(holds(&host, "node1", "data"));
    for _ in 0..2 {
        let force = ["detach", "disk", "node1", "default/data", "--force", "--timeout", "1s"];
        let said = host.fief_ends(&force, TIMED_OUT);
        assert!(said.stderr.contains("cut off from its volume, which is free"), "{}", said.stderr);
        assert!(!holds(&host, "node1", "data"));
    }
    // What cannot be plugged waits.
    let sata = ["attach", "disk", "node2", "default/data", "--bus", "sata"];
    host.fief(&["stop", "node1"]);
    assert!(host.fief(&sata).stdout.contains("from its next start: a SATA disk"));
    let shown = host.fief(&["show", "node2"]).stdout;
    assert!(shown.contains("# pending until the next start: disk default/data none -> disk on sata"), "{shown}");
    host.fief(&["stop", "node2"]);
    host.fief(&["start", "node2"]);
    assert!(!host.fief(&["show", "node2"]).stdout.contains("# pending"));
    host.fief(&["stop", "node2"]);
    drop((guest, other));
    host.fief(&["delete", "node1", "--yes"]);
    host.fief(&["delete", "node2", "--volumes", "--yes"]);
    host.fief(&["volume", "delete", "default/node1", "--yes"]);
    host.finish();
}
