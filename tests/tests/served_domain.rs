//! A guest whose disk a plugin serves: the sandbox that does is killed while the guest writes, again and again; its
//! supervisor is killed, and both; it stands still; the disk grows. The guest sees a pause at the most, and loses nothing.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::{Duration, Instant};

use fief_tests::{Host, Witness, eventually, kill};
use rustix::process::{Pid, Signal, kill_process};

/// The machine may be busy with other things.
const PATIENCE: Duration = Duration::from_secs(90);
/// Kills of one sandbox after the other.
const KILLS: usize = 50;

/// A host whose pool `default` is served, and a witness on it that runs.
fn host() -> (Host, Witness) {
    let host = Host::new();
    let pool = host.root().join("pools/default/pool.toml");
    let text = fs::read_to_string(&pool).unwrap();
    fs::write(&pool, text + "transport = \"served\"\n").unwrap();
    let witness = Witness::create(&host, "node1", &[]);
    host.fief(&["start", "node1"]);
    witness.goes_on(2);
    (host, witness)
}

fn signal(process: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(process).unwrap()).unwrap(), signal).unwrap();
}

fn sandbox(host: &Host) -> Option<u32> {
    host.sandbox("node1", 0)
}

fn another_sandbox(host: &Host, than: u32) -> u32 {
    eventually("another sandbox", PATIENCE, || sandbox(host).filter(|pid| *pid != than))
}

fn sees(host: &Host, size: &str) {
    let said = format!("the guest sees its new size volume=default/node1 size={size}");
    eventually(&said, PATIENCE, || {
        let log = fs::read_to_string(host.root().join("domains/node1/supervisor.log")).unwrap();
        log.contains(&said).then_some(())
    });
}

#[test]
fn sandboxes_that_are_killed_one_after_the_other_cost_the_guest_no_write() {
    let (host, mut witness) = host();
    let mut serves = sandbox(&host).unwrap();
    let mut longest = Duration::ZERO;
    for _ in 0..KILLS {
        signal(serves, Signal::KILL);
        let begun = Instant::now();
        serves = another_sandbox(&host, serves);
        witness.goes_on(2);
        longest = longest.max(begun.elapsed());
    }
    assert!(longest < PATIENCE, "a stall of {longest:?}");
    assert_eq!(host.state("node1"), "running");
    witness.is_sound();
    host.fief(&["stop", "node1"]);
    witness.is_sound();
    host.fief(&["delete", "node1", "--yes"]);
    host.fief(&["volume", "delete", "default/node1", "--yes"]);
    host.finish();
}

#[test]
fn whoever_is_killed_the_guest_goes_on_and_its_disk_grows() {
    let (host, mut witness) = host();
    // The supervisor: the sandbox serves on, and the next supervisor replaces it.
    let first = sandbox(&host).unwrap();
    kill(host.supervisor("node1"));
    witness.goes_on(2);
    assert_eq!(sandbox(&host), Some(first), "it outlives its supervisor");
    host.fief(&["start", "node1"]);
    let second = another_sandbox(&host, first);
    witness.goes_on(2);
    // Both: the guest waits, until a command comes.
    kill(host.supervisor("node1"));
    kill(second);
    host.fief(&["start", "node1"]);
    let third = another_sandbox(&host, second);
    witness.goes_on(2);
    // One that stands still, and goes on.
    signal(third, Signal::STOP);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(host.state("node1"), "running");
    signal(third, Signal::CONT);
    witness.goes_on(2);
    // A supervisor that is told to go leaves it.
    signal(host.supervisor("node1"), Signal::TERM);
    witness.goes_on(2);
    host.fief(&["volume", "resize", "default/node1", "4MiB"]);
    sees(&host, "4MiB");
    witness.goes_on(2);
    // It grows while nobody looks.
    kill(host.supervisor("node1"));
    kill(sandbox(&host).unwrap());
    fs::OpenOptions::new().write(true).open(witness.image()).unwrap().set_len(8 << 20).unwrap();
    host.fief(&["start", "node1"]);
    sees(&host, "8MiB");
    witness.goes_on(2);
    witness.is_sound();
    host.fief(&["stop", "node1"]);
    witness.is_sound();
    assert_eq!(sandbox(&host), None);
    host.fief(&["delete", "node1", "--yes"]);
    host.fief(&["volume", "delete", "default/node1", "--yes"]);
    host.finish();
}

#[test]
fn a_served_disk_is_attached_to_a_running_domain_and_saved_with_it() {
    let (host, mut witness) = host();
    let said = host.fief_ends(&["volume", "create", "default/extra", "--size", "1MiB", "--format", "qcow2"], 2);
    assert!(said.stderr.contains("qcow2"), "{}", said.stderr);
    host.fief(&["volume", "create", "default/more", "--size", "1MiB", "--format", "raw"]);
    host.fief(&["attach", "disk", "node1", "default/more"]);
    assert_eq!(fs::read_dir(host.root().join("domains/node1/served")).unwrap().count(), 2);
    witness.goes_on(2);
    let state = host.root().join("node1.state");
    host.fief(&["save", "node1", &state.to_string_lossy()]);
    assert!(!host.root().join("domains/node1/served-0.jsonl").exists());
    host.fief(&["restore", &state.to_string_lossy()]);
    witness.goes_on(2);
    witness.is_sound();
    host.fief(&["stop", "node1"]);
    assert!(!host.root().join("domains/node1/served").exists());
    // A disk that nobody can serve is no start, and leaves nothing.
    let pool = host.root().join("pools/default/pool.toml");
    let before = host.census();
    fs::write(&pool, fs::read_to_string(&pool).unwrap().replace("\"served\"", "\"native\"")).unwrap();
    host.fief(&["start", "node1"]);
    witness.goes_on(2);
    host.fief(&["stop", "node1"]);
    host.settles_to(&before);
}
