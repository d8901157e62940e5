//! Every verb ends within its stated time, or says what it waits for: with a hypervisor, or a supervisor, that stands
//! still. A process that was stopped by SIGSTOP is what a hung one looks like from outside.

use std::path::Path;
use std::time::Duration;

use fief_tests::boot_sector::{self, Then};
use fief_tests::{Guest, Host, Witness, eventually};
use rustix::process::{Pid, Signal, kill_process};

const CONFLICT: i32 = 4;
const TIMED_OUT: i32 = 9;
/// What reads files alone does not wait for anyone.
const AT_ONCE: Duration = Duration::from_secs(5);
/// The monitor's deadline is 5 s; what is undone after it may take as long again on a busy machine.
const MONITOR: Duration = Duration::from_secs(25);
/// A supervisor is waited for for a minute.
const SUPERVISOR: Duration = Duration::from_secs(80);
const SETTLED: Duration = Duration::from_secs(30);

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, signal).expect("a process of this test");
}

fn running<'a>(host: &'a Host, name: &str) -> Guest<'a> {
    let file = host.root().join("images/sector");
    boot_sector::write(&file, "hello", Then::Halt);
    host.volume_with(&format!("default/{name}"), "1MiB", &file);
    std::fs::remove_file(file).expect("the sector");
    host.fief(&["create", name, "--memory", "32MiB", "--graphics", "vnc", "--disk", &format!("default/{name}")]);
    host.fief(&["start", name]);
    let guest = Guest::of(host, name);
    guest.says("hello");
    guest
}

/// Runs the verb, which must end with this code, within this time, and say what to do where it fails.
#[track_caller]
fn ends(host: &Host, words: &[&str], code: i32, within: Duration) {
    let said = host.fief_ends(words, code);
    assert!(said.took < within, "{} took {:?}", said.line, said.took);
    assert!(code == 0 || said.stderr.contains("hint: "), "{}:\n{}", said.line, said.stderr);
}

#[test]
fn no_verb_waits_for_ever_for_a_hypervisor_that_stands_still() {
    let host = Host::new();
    let guest = running(&host, "node1");
    let hypervisor = host.hypervisor("node1");
    let saved = host.root().join("node1.saved");
    let saved = saved.to_string_lossy();

    signal(hypervisor, Signal::STOP);
    ends(&host, &["list"], 0, AT_ONCE);
    ends(&host, &["list", "-o", "wide"], 0, AT_ONCE);
    ends(&host, &["show", "node1"], 0, AT_ONCE);
    ends(&host, &["start", "node1"], 0, AT_ONCE);
    let picture = host.root().join("node1.png");
    ends(&host, &["screenshot", "node1", &picture.to_string_lossy()], TIMED_OUT, MONITOR);
    ends(&host, &["save", "node1", &saved], TIMED_OUT, MONITOR);
    assert!(!Path::new(&*saved).exists(), "a file that holds no state");
    ends(&host, &["shutdown", "node1", "--timeout", "1s"], TIMED_OUT, MONITOR);
    ends(&host, &["pause", "node1"], TIMED_OUT, MONITOR);
    assert_eq!(host.hypervisor("node1"), hypervisor, "it is not given up for being slow");

    // It does late what it was told, and the state says what is true.
    signal(hypervisor, Signal::CONT);
    eventually("a guest that can be resumed and reset", SETTLED, || {
        let said = fief_tests::command::run(&mut host.command(&["resume", "node1"]), MONITOR);
        (said.code == Some(0)).then_some(())
    });
    let (place, _) = guest.says_after(0, "hello");
    host.fief(&["reset", "node1"]);
    guest.says_after(place, "hello");
    assert_eq!((host.state("node1").as_str(), host.hypervisor("node1")), ("running", hypervisor));

    signal(hypervisor, Signal::STOP);
    drop(guest);
    ends(&host, &["stop", "node1"], 0, MONITOR);
    ends(&host, &["pause", "node1"], CONFLICT, AT_ONCE);
    host.fief(&["delete", "node1", "--volumes", "--yes"]);
    host.finish();
}

#[test]
fn no_verb_waits_for_ever_for_a_supervisor_that_stands_still() {
    let host = Host::new();
    let guest = running(&host, "node1");
    let supervisor = host.supervisor("node1");
    signal(supervisor, Signal::STOP);
    ends(&host, &["list"], 0, AT_ONCE);
    ends(&host, &["show", "node1"], 0, AT_ONCE);
    ends(&host, &["logs", "node1"], 0, AT_ONCE);
    std::thread::scope(|scope| {
        // Side by side: each waits for its minute.
        for words in [["pause", "node1"], ["stop", "node1"], ["reset", "node1"]] {
            let host = &host;
            scope.spawn(move || ends(host, &words, TIMED_OUT, SUPERVISOR));
        }
    });
    // Those who gave up are not served any more: nothing happens to the guest behind their backs.
    signal(supervisor, Signal::CONT);
    host.fief(&["resume", "node1"]);
    let hypervisor = host.hypervisor("node1");

    // One that never comes back is replaced, as one that was killed is.
    signal(supervisor, Signal::STOP);
    signal(supervisor, Signal::KILL);
    host.fief(&["reset", "node1"]);
    assert_eq!(host.hypervisor("node1"), hypervisor);
    drop(guest);
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--volumes", "--yes"]);
    host.finish();
}

#[test]
fn no_verb_waits_for_ever_for_a_sandbox_that_stands_still() {
    let host = Host::new();
    let pool = host.root().join("pools/default/pool.toml");
    let text = std::fs::read_to_string(&pool).expect("a pool");
    std::fs::write(&pool, text + "transport = \"served\"\n").expect("a pool that is served");
    let mut witness = Witness::create(&host, "node1", &[]);
    host.fief(&["start", "node1"]);
    witness.goes_on(2);
    let sandbox = host.sandbox("node1", 0).expect("a sandbox that serves its disk");
    signal(sandbox, Signal::STOP);
    for words in [&["list"][..], &["list", "-o", "wide"], &["show", "node1"], &["start", "node1"], &["pool", "list"]] {
        ends(&host, words, 0, AT_ONCE);
    }
    // What the plugin is asked, another sandbox answers.
    ends(&host, &["pool", "show", "default"], 0, MONITOR);
    ends(&host, &["volume", "show", "default/node1"], 0, MONITOR);
    ends(&host, &["volume", "create", "default/beside", "--size", "1MiB"], 0, MONITOR);
    ends(&host, &["volume", "delete", "default/beside", "--yes"], 0, MONITOR);
    // The hypervisor waits for the disk before a machine stands still.
    ends(&host, &["pause", "node1"], TIMED_OUT, MONITOR);
    signal(sandbox, Signal::CONT);
    eventually("a guest that can be resumed", SETTLED, || {
        let said = fief_tests::command::run(&mut host.command(&["resume", "node1"]), MONITOR);
        (said.code == Some(0)).then_some(())
    });
    witness.goes_on(2);
    witness.is_sound();

    signal(sandbox, Signal::STOP);
    ends(&host, &["stop", "node1"], 0, MONITOR);
    eventually("the sandbox is gone with its domain", SETTLED, || host.sandbox("node1", 0).is_none().then_some(()));
    ends(&host, &["delete", "node1", "--volumes", "--yes"], 0, MONITOR);
    host.finish();
}
