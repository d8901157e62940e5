//! Save and restore: a guest goes on in the middle of what it did, and never twice.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use fief_tests::{Guest, Host};

const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;
const CONFLICT: i32 = 4;
const NO_ROOM: i32 = 12;
const NEEDS_YES: i32 = 13;

/// The number of the last whole line `fief-guest: beat N` on a console.
fn beats(host: &Host, name: &str) -> u64 {
    let log = host.fief(&["logs", name]).stdout;
    let numbers = log.lines().filter_map(|line| line.trim().strip_prefix("fief-guest: beat ")?.parse().ok());
    numbers.max().unwrap_or(0)
}

fn counting<'a>(host: &'a Host, options: &[&str]) -> Guest<'a> {
    let guest = host.run_guest("node1", options, "fief.mode=count");
    guest.says("fief-guest: beat 3");
    guest
}

fn state_file(host: &Host) -> PathBuf {
    host.root().join("node1.state")
}

#[test]
fn a_saved_guest_goes_on_where_it_was_with_its_disk_and_its_card() {
    let host = Host::new();
    host.host_only("lab", "10.77.0.1/24");
    host.volume("default/node1", "64MiB");
    let guest = counting(&host, &["--disk", "default/node1", "--network", "lab"]);
    let (file, address) = (state_file(&host), guest.address());
    let path = file.to_string_lossy().into_owned();
    host.fief(&["save", "node1", &path]);
    assert_eq!(host.state("node1"), "off");
    assert_eq!(host.shown("node1")["last-end"]["reason"], "saved");
    let before = beats(&host, "node1");
    drop(guest);

    // Its memory is somewhere: to start it afresh is to lose that.
    let said = host.fief_ends(&["start", "node1"], NEEDS_YES);
    assert!(said.stderr.contains(&path), "{}", said.stderr);

    host.fief(&["restore", &path]);
    assert_eq!(host.state("node1"), "running");
    let guest = Guest::of(&host, "node1");
    guest.says(&format!("fief-guest: beat {}", before + 2));
    let log = host.fief(&["logs", "node1"]).stdout;
    assert_eq!(log.matches("fief-guest: ready").count(), 1, "it began anew");
    let ping = ["-c", "1", "-W", "5", &address];
    let mut ping_command = host.namespace().command("ping");
    fief_tests::command::run(ping_command.args(ping), Duration::from_secs(20)).expect_code(0);

    // It has run on: the file is of the past.
    host.fief_ends(&["restore", &path], CONFLICT);
    host.fief(&["stop", "node1"]);
    let said = host.fief_ends(&["restore", &path], NEEDS_YES);
    assert!(said.stderr.contains("has run since"), "{}", said.stderr);
    drop(guest);
    std::fs::remove_file(file).expect("the state");
    host.fief(&["delete", "node1", "--volumes", "--yes"]);
    host.fief(&["network", "delete", "lab"]);
    host.finish();
}

#[test]
fn a_state_is_never_written_over_and_a_damaged_one_never_runs() {
    let host = Host::new();
    let guest = counting(&host, &[]);
    let file = state_file(&host);
    let path = file.to_string_lossy().into_owned();
    std::fs::write(&file, "mine").expect("a file");
    host.fief_ends(&["save", "node1", &path], CONFLICT);
    assert_eq!(std::fs::read(&file).expect("the file"), b"mine");
    host.fief_ends(&["restore", &path], USAGE);
    std::fs::remove_file(&file).expect("the file");
    host.fief_ends(&["save", "node1", "/nonexistent/node1.state"], NOT_FOUND);
    assert_eq!(host.state("node1"), "running");
    host.fief(&["save", "node1", &path]);
    drop(guest);

    let whole = std::fs::read(&file).expect("the state");
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&file, &damaged).expect("room");
    let said = host.fief_ends(&["restore", &path], USAGE);
    assert!(said.stderr.contains("its sum does not fit"), "{}", said.stderr);
    assert_eq!(host.state("node1"), "off");
    // The damage was the file's alone: a good copy of it still fits the domain.
    std::fs::write(&file, &whole).expect("room");
    host.fief(&["restore", &path]);
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--yes"]);
    // Nor does it define a domain.
    std::fs::write(&file, &damaged).expect("room");
    host.fief_ends(&["restore", &path, "--yes"], USAGE);
    host.fief_ends(&["show", "node1"], NOT_FOUND);
    std::fs::write(&file, &whole[..middle]).expect("room");
    let said = host.fief_ends(&["restore", &path, "--yes"], USAGE);
    assert!(said.stderr.contains("its end is missing, at byte"), "{}", said.stderr);
    std::fs::remove_file(file).expect("the state");
    host.finish();
}

#[test]
fn a_paused_guest_is_restored_paused() {
    let host = Host::new();
    let guest = counting(&host, &[]);
    let file = state_file(&host);
    let path = file.to_string_lossy().into_owned();
    host.fief(&["pause", "node1"]);
    host.fief(&["save", "node1", &path]);
    drop(guest);
    let before = beats(&host, "node1");
    host.fief(&["restore", &path]);
    let guest = Guest::of(&host, "node1");
    assert_eq!((host.state("node1").as_str(), beats(&host, "node1")), ("paused", before));
    host.fief(&["resume", "node1"]);
    guest.says(&format!("fief-guest: beat {}", before + 1));
    drop(guest);
    host.fief(&["stop", "node1"]);
    std::fs::remove_file(file).expect("the state");
    host.fief(&["delete", "node1", "--yes"]);
    host.finish();
}

#[test]
fn where_there_is_no_room_the_guest_goes_on() {
    let host = Host::new();
    let small = host.root().join("small");
    std::fs::create_dir(&small).expect("a folder");
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=1m", "fief-test"]).arg(&small);
    fief_tests::command::run(&mut mount, Duration::from_secs(10)).expect_code(0);
    // Each process of fief has the mounts of when it was started.
    let guest = counting(&host, &[]);
    let said = host.fief_ends(&["save", "node1", &small.join("node1.state").to_string_lossy()], NO_ROOM);
    let left: Vec<_> = std::fs::read_dir(&small).expect("the folder").flatten().collect();
    assert!(left.is_empty() && said.stderr.contains("hint:"), "{left:?} {}", said.stderr);
    assert_eq!(host.state("node1"), "running");
    guest.says(&format!("fief-guest: beat {}", beats(&host, "node1") + 2));
    drop(guest);
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--yes"]);
    let mut umount = Command::new("umount");
    fief_tests::command::run(umount.arg(&small), Duration::from_secs(10)).expect_code(0);
    std::fs::remove_dir(small).expect("the folder");
    host.finish();
}

#[test]
fn a_state_goes_on_under_another_name_on_another_network_and_disk() {
    let host = Host::new();
    host.host_only("lab", "10.77.0.1/24");
    host.host_only("other", "10.78.0.1/24");
    host.volume("default/node1", "64MiB");
    let guest = counting(&host, &["--disk", "default/node1", "--network", "lab"]);
    let file = state_file(&host);
    let path = file.to_string_lossy().into_owned();
    host.fief(&["save", "node1", &path]);
    drop(guest);
    let before = beats(&host, "node1");
    host.fief(&["volume", "clone", "default/node1", "default/moved"]);
    host.fief_ends(&["restore", &path, "--name", "node2", "--yes"], CONFLICT);
    host.fief(&["delete", "node1", "--volumes", "--yes"]);

    // All that does not fit is named at once.
    let said = host.fief_ends(&["restore", &path, "--name", "node2", "--card", "0=nowhere", "--yes"], CONFLICT);
    assert!(said.stderr.contains("disk 0:") && said.stderr.contains("card 0:"), "{}", said.stderr);
    host.fief_ends(&["restore", &path, "--disk", "3=default/moved", "--yes"], USAGE);
    host.fief_ends(&["restore", &path, "--disk", "default/moved", "--yes"], USAGE);
    let maps = ["--name", "node2", "--disk", "0=default/moved", "--card", "0=other"];
    host.fief_ends(&[&["restore", &path], &maps[..]].concat(), NEEDS_YES);
    host.fief(&[&["restore", &path, "--yes"], &maps[..]].concat());
    let guest = Guest::of(&host, "node2");
    guest.says(&format!("fief-guest: beat {}", before + 2));
    assert_eq!(host.shown("node2")["definition"]["card"][0]["network"], "other");
    drop(guest);
    host.fief(&["stop", "node2"]);
    std::fs::remove_file(file).expect("the state");
    host.fief(&["delete", "node2", "--volumes", "--yes"]);
    host.fief(&["network", "delete", "lab", "other"]);
    host.finish();
}
