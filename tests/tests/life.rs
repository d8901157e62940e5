//! The life of a domain: verbs that are said twice, processes that are killed, guests that end by themselves.

use std::path::Path;
use std::time::Duration;

use fief_tests::{Guest, Host, eventually};
use rustix::process::{Pid, Signal, kill_process};

const NOT_FOUND: i32 = 3;
const CONFLICT: i32 = 4;
const NEEDS_YES: i32 = 13;
const TIMED_OUT: i32 = 9;
const NOTICED: Duration = Duration::from_secs(30);

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::KILL).expect("a process of this test");
}

/// A guest that is up and says no more.
fn idle<'a>(host: &'a Host, name: &str) -> Guest<'a> {
    let guest = host.run_guest(name, &[], "fief.mode=idle");
    guest.says("fief-guest: ready");
    guest
}

#[test]
fn a_second_start_is_a_no_op() {
    let host = Host::new();
    let guest = idle(&host, "node1");
    let before = host.hypervisor("node1");
    host.fief(&["start", "node1"]);
    assert_eq!(host.hypervisor("node1"), before);
    drop(guest);
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--yes"]);
    host.finish();
}

#[test]
fn a_second_stop_is_a_no_op_and_a_second_delete_may_be() {
    let host = Host::new();
    let guest = idle(&host, "node1");
    drop(guest);
    host.fief(&["stop", "node1"]);
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--yes"]);
    host.fief_ends(&["delete", "node1", "--yes"], NOT_FOUND);
    host.fief(&["delete", "node1", "--yes", "--if-exists"]);
    host.fief_ends(&["stop", "node1"], NOT_FOUND);
    host.finish();
}

#[test]
fn two_starts_at_once_start_one_guest() {
    let host = Host::new();
    host.create_guest("node1", &[], "fief.mode=idle");
    let starts: Vec<_> = (0..2).map(|_| host.command(&["start", "node1"]).spawn().expect("fief starts")).collect();
    for mut start in starts {
        assert!(start.wait().expect("our child").success());
    }
    assert_eq!(host.processes("qemu-system"), [host.hypervisor("node1")]);
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--yes"]);
    host.finish();
}

#[test]
fn a_dry_run_changes_nothing() {
    let host = Host::new();
    host.volume("default/node1", "64MiB");
    host.host_only("lab", "10.77.0.1/24");
    host.create_guest("node1", &["--disk", "default/node1", "--network", "lab"], "");
    let before = host.census();
    let said = host.fief(&["start", "node1", "--dry-run"]).stdout;
    for operation in ["bridge-create", "tap-create", "hypervisor-start"] {
        assert!(said.contains(operation), "{operation} is not in\n{said}");
    }
    host.settles_to(&before);
    host.fief(&["delete", "node1", "--volumes", "--yes", "--dry-run"]);
    host.settles_to(&before);
    assert_eq!(host.state("node1"), "off");
    host.fief(&["delete", "node1", "--volumes", "--yes"]);
    host.fief(&["network", "delete", "lab"]);
    host.finish();
}

#[test]
fn nothing_of_a_stopped_guest_remains() {
    let host = Host::new();
    host.volume("default/node1", "64MiB");
    host.host_only("lab", "10.77.0.1/24");
    host.fief(&["network", "start", "lab"]);
    host.create_guest("node1", &["--disk", "default/node1", "--network", "lab"], "fief.mode=idle");
    host.fief(&["start", "node1"]);
    host.fief(&["stop", "node1"]);
    // The first run leaves its logs; the second nothing more.
    let before = host.census();
    host.fief(&["start", "node1"]);
    Guest::of(&host, "node1").says("fief-guest: ready");
    host.fief(&["stop", "node1"]);
    host.settles_to(&before);
    host.fief(&["delete", "node1", "--volumes", "--yes"]);
    host.fief(&["network", "delete", "lab"]);
    host.finish();
}

#[test]
fn a_running_domain_is_not_deleted_and_an_unsure_hand_is_asked() {
    let host = Host::new();
    let guest = idle(&host, "node1");
    host.fief_ends(&["delete", "node1", "--yes"], CONFLICT);
    assert_eq!(host.state("node1"), "running");
    drop(guest);
    host.fief(&["stop", "node1"]);
    host.fief_ends(&["delete", "node1"], NEEDS_YES);
    host.fief(&["delete", "node1", "--yes"]);
    host.finish();
}

#[test]
fn a_killed_hypervisor_is_noticed_and_cleared_away() {
    let host = Host::new();
    host.host_only("lab", "10.77.0.1/24");
    let guest = host.run_guest("node1", &["--network", "lab", "--on-crash", "destroy"], "fief.mode=idle");
    guest.says("fief-guest: ready");
    kill(host.hypervisor("node1"));
    host.fief(&["wait", "node1", "--state", "off", "--timeout", "30s"]);
    assert_eq!(host.shown("node1")["last-end"]["reason"], "hypervisor-gone");
    drop(guest);
    // It can be started again.
    host.fief(&["start", "node1"]);
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--yes"]);
    host.fief(&["network", "delete", "lab"]);
    host.finish();
}

#[test]
fn a_killed_hypervisor_is_started_again_where_that_is_asked_for() {
    let host = Host::new();
    let guest = host.run_guest("node1", &["--on-crash", "restart"], "fief.mode=idle");
    guest.says("fief-guest: ready");
    let killed = host.hypervisor("node1");
    kill(killed);
    eventually("the end is noticed", NOTICED, || (!host.shown("node1")["last-end"].is_null()).then_some(()));
    // This one comes while the supervisor waits to start it again, or after that.
    host.fief(&["start", "node1"]);
    assert_ne!(host.hypervisor("node1"), killed);
    assert_eq!(host.processes("qemu-system"), [host.hypervisor("node1")]);
    drop(guest);
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--yes"]);
    host.finish();
}

#[test]
fn a_dry_run_leaves_a_running_guest_its_sockets() {
    let host = Host::new();
    let guest = idle(&host, "node1");
    host.fief(&["start", "node1", "--dry-run"]);
    kill(host.supervisor("node1"));
    // Its successor speaks with the hypervisor through them.
    let again = || (host.command(&["start", "node1"]).status().expect("fief starts").success()).then_some(());
    eventually("the guest has a supervisor again", NOTICED, again);
    drop(guest);
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--yes"]);
    host.finish();
}

#[test]
fn a_killed_supervisor_is_replaced_and_the_guest_goes_on() {
    let host = Host::new();
    let guest = host.run_guest("node1", &[], "fief.mode=count");
    guest.says("fief-guest: beat 3");
    drop(guest);
    let hypervisor = host.hypervisor("node1");
    let killed = host.supervisor("node1");
    kill(killed);
    // The next command that needs one gives it a new one.
    host.fief(&["start", "node1"]);
    assert_eq!(host.hypervisor("node1"), hypervisor, "it is the same guest");
    let supervisor = eventually("a new supervisor", NOTICED, || {
        Some(host.supervisor("node1")).filter(|&pid| pid != killed && Path::new("/proc").join(pid.to_string()).exists())
    });
    assert_eq!(host.state("node1"), "running");
    // The guest counts on, and is heard again.
    let log = || std::fs::read_to_string(host.root().join("domains/node1/console.log")).unwrap_or_default();
    let beats = |text: &str| text.matches("fief-guest: beat").count();
    let heard = beats(&log());
    eventually("the guest is heard", NOTICED, || (beats(&log()) > heard + 3).then_some(()));
    assert_eq!(host.supervisor("node1"), supervisor);
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--yes"]);
    host.finish();
}

#[test]
fn what_both_left_when_killed_is_cleared_away_by_the_next_command() {
    let host = Host::new();
    host.host_only("lab", "10.77.0.1/24");
    let guest = host.run_guest("node1", &["--network", "lab"], "fief.mode=idle");
    guest.says("fief-guest: ready");
    drop(guest);
    let (supervisor, hypervisor) = (host.supervisor("node1"), host.hypervisor("node1"));
    kill(supervisor);
    kill(hypervisor);
    eventually("both are seen to be gone", NOTICED, || (host.state("node1") == "off").then_some(()));
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--yes"]);
    host.fief(&["network", "delete", "lab"]);
    host.finish();
}

#[test]
fn a_panic_is_told_from_a_power_off() {
    let host = Host::new();
    host.create_guest("node1", &["--on-crash", "destroy"], "fief.mode=panic");
    host.fief(&["start", "node1"]);
    host.fief(&["wait", "node1", "--state", "off", "--timeout", "80s"]);
    assert_eq!(host.shown("node1")["last-end"]["reason"], "crashed");
    host.fief(&["delete", "node1", "--yes"]);
    host.finish();
}

#[test]
fn a_reboot_starts_the_guest_anew() {
    let host = Host::new();
    host.volume("default/node1", "64MiB");
    let guest = host.run_guest("node1", &["--disk", "default/node1"], "fief.mode=reboot");
    guest.says("mounted, boot 1");
    guest.says("mounted, boot 2");
    drop(guest);
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--volumes", "--yes"]);
    host.finish();
}

#[test]
fn a_start_that_fails_leaves_nothing() {
    let host = Host::new();
    host.volume("default/node1", "64MiB");
    host.host_only("lab", "10.77.0.1/24");
    host.fief(&["network", "start", "lab"]);
    let kernel = host.root().join("images/no-kernel");
    std::fs::write(&kernel, "no kernel at all").expect("a file");
    let options = ["--disk", "default/node1", "--network", "lab", "--kernel", &kernel.to_string_lossy()];
    host.fief(&[&["create", "node1"], &options[..]].concat());
    let before = host.census();
    let said = fief_tests::command::run(&mut host.command(&["start", "node1"]), Duration::from_secs(60));
    assert_ne!(said.code, Some(0), "a file of words was booted");
    assert!(said.stderr.contains("error:"), "{}", said.stderr);
    let logs = ["supervisor.log", "hypervisor.log", "console.log", "ledger.jsonl"];
    logs.iter().for_each(|log| drop(std::fs::remove_file(host.root().join("domains/node1").join(log))));
    host.settles_to(&before);
    std::fs::remove_file(kernel).expect("the file");
    host.fief(&["delete", "node1", "--volumes", "--yes"]);
    host.fief(&["network", "delete", "lab"]);
    host.finish();
}

#[test]
fn a_stop_in_the_pause_before_a_restart_holds() {
    let host = Host::new();
    host.create_guest("node1", &["--on-poweroff", "restart"], "fief.mode=poweroff");
    host.fief(&["start", "node1"]);
    // Each pause is longer than the one before; any of them will do.
    fief_tests::eventually("a pause", fief_tests::guest::SPEAKS, || (host.state("node1") == "starting").then_some(()));
    host.fief(&["stop", "node1"]);
    assert_eq!(host.state("node1"), "off");
    host.fief_ends(&["wait", "node1", "--state", "running", "--timeout", "3s"], TIMED_OUT);
    host.fief(&["delete", "node1", "--yes"]);
    host.finish();
}
