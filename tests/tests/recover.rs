//! What was killed, lost or damaged, and how it comes to a true state again: supervisors, hypervisors, records, the host.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fief_tests::{Guest, Host, Witness, command, eventually, kill};
use rustix::process::{Pid, Signal, kill_process};

const NEEDS_RECOVER: i32 = 11;
/// How often a supervisor is killed under its guest.
const KILLS: usize = 50;
const SOON: Duration = Duration::from_secs(60);

fn signal(process: u32, signal: Signal) {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, signal).expect("a process of this test");
}

fn gone(process: u32) {
    let stat = PathBuf::from(format!("/proc/{process}/stat"));
    let over = || std::fs::read_to_string(&stat).map_or(true, |text| text.contains(") Z "));
    eventually("a killed process is gone", SOON, || over().then_some(()));
}

fn domain_file(host: &Host, name: &str, file: &str) -> PathBuf {
    host.root().join("domains").join(name).join(file)
}

fn clear_away(host: Host, names: &[&str], network: bool) {
    host.fief(&[&["stop"], names].concat());
    host.fief(&[&["delete", "--volumes", "--yes"], names].concat());
    if network {
        host.fief(&["network", "delete", "lab"]);
    }
    host.finish();
}

/// Asks the guest twenty times a second until it is told to stop.
fn ping(host: &Host, address: &str, log: &Path) -> Child {
    let out = std::fs::File::create(log).expect("a log");
    let mut ping = host.namespace().command("ping");
    ping.args(["-n", "-q", "-i", "0.05", address]).stdin(Stdio::null()).stdout(out).stderr(Stdio::null());
    ping.spawn().expect("ping")
}

/// How often it was asked, and how often it did not answer.
fn answers(mut ping: Child, host: &Host, log: &Path) -> (u32, u32) {
    for process in host.processes("ping: ping") {
        signal(process, Signal::INT);
    }
    ping.wait().expect("ping");
    let said = std::fs::read_to_string(log).expect("the log");
    // "512 packets transmitted, 512 received, 0% packet loss, time 25700ms"
    let line = said.lines().find(|line| line.contains("transmitted")).unwrap_or_else(|| panic!("{said}"));
    let number = |part: usize| line.split(", ").nth(part)?.split(' ').next()?.parse::<u32>().ok();
    let (asked, heard) = (number(0).expect("a number"), number(1).expect("a number"));
    (asked, asked - heard)
}

#[test]
fn fifty_supervisors_are_killed_and_no_guest_misses_a_write_or_an_answer() {
    let host = Host::new();
    host.host_only("lab", "10.77.0.1/24");
    host.volume("default/linux", "64MiB");
    let mut witness = Witness::create(&host, "witness", &[]);
    host.fief(&["start", "witness"]);
    let guest = host.run_guest("linux", &["--disk", "default/linux", "--network", "lab"], "fief.mode=count");
    let address = guest.address();
    guest.says("fief-guest: beat 2");
    drop(guest);
    let names = ["witness", "linux"];
    let hypervisors = names.map(|name| host.hypervisor(name));
    let log = host.root().with_extension("ping");
    let asking = ping(&host, &address, &log);
    for round in 0..KILLS {
        let killed = names.map(|name| host.supervisor(name));
        killed.into_iter().for_each(kill);
        killed.into_iter().for_each(gone);
        if round % 10 == 0 {
            // Nobody watches over it, and it goes on.
            witness.goes_on(2);
        }
        host.fief(&["start", "witness", "linux"]);
        assert_eq!(names.map(|name| host.hypervisor(name)), hypervisors, "round {round}: other guests");
        let now = names.map(|name| host.supervisor(name));
        assert!(now.iter().all(|supervisor| !killed.contains(supervisor)), "round {round}: {killed:?}, then {now:?}");
    }
    let (asked, lost) = answers(asking, &host, &log);
    std::fs::remove_file(log).expect("the log");
    witness.is_heard(2);
    witness.is_sound();
    assert_eq!(witness.on_disk().run, 1, "it began anew");
    // At least once for each kill, however quick the machine; the one under way when the asking ended may be missing.
    assert!(asked as usize >= KILLS && lost <= 1, "{lost} of {asked} answers were lost");
    let said = host.fief(&["logs", "linux"]).stdout;
    assert_eq!(said.matches("fief-guest: ready").count(), 1, "it began anew:\n{said}");
    Guest::of(&host, "linux").says_after(said.len(), "fief-guest: beat");
    eprintln!("{KILLS} kills each of 2 supervisors; {asked} times asked, {lost} answers lost");
    clear_away(host, &names, true);
}

#[test]
fn another_copy_of_fief_takes_up_what_runs() {
    let host = Host::new();
    let mut witness = Witness::create(&host, "node1", &[]);
    host.fief(&["start", "node1"]);
    witness.goes_on(2);
    let hypervisor = host.hypervisor("node1");
    let newer = host.root().join("fief-newer");
    std::fs::copy(fief_tests::host::fief(), &newer).expect("room for a copy");
    for how in [Signal::TERM, Signal::KILL] {
        let supervisor = host.supervisor("node1");
        signal(supervisor, how);
        gone(supervisor);
        witness.goes_on(2);
        let mut start = host.namespace().command(&newer);
        start.args(["start", "node1"]).env("FIEF_ROOT", host.root());
        command::run(&mut start, SOON).expect_code(0);
        let exe = std::fs::read_link(format!("/proc/{}/exe", host.supervisor("node1"))).expect("a supervisor");
        assert_eq!(exe, newer);
    }
    assert_eq!(host.hypervisor("node1"), hypervisor);
    witness.is_heard(2);
    witness.is_sound();
    assert_eq!(witness.on_disk().run, 1);
    std::fs::remove_file(newer).expect("the copy");
    clear_away(host, &["node1"], false);
}

#[test]
fn a_killed_hypervisor_takes_no_write_along() {
    let host = Host::new();
    let mut witness = Witness::create(&host, "node1", &["--on-crash", "destroy"]);
    for run in 1..=3 {
        host.fief(&["start", "node1"]);
        witness.is_heard(5);
        kill(host.hypervisor("node1"));
        host.fief(&["wait", "node1", "--state", "off", "--timeout", "60s"]);
        witness.is_sound();
        assert_eq!(witness.on_disk().run, run);
    }
    clear_away(host, &["node1"], false);
}

#[test]
fn a_saved_guest_counts_on_from_where_it_was() {
    let host = Host::new();
    let mut witness = Witness::create(&host, "node1", &[]);
    let state = host.root().join("node1.state");
    let file = state.to_string_lossy().into_owned();
    host.fief(&["start", "node1"]);
    for _ in 0..3 {
        witness.is_heard(3);
        host.fief(&["save", "node1", &file]);
        let before = witness.on_disk();
        host.fief(&["restore", &file]);
        std::fs::remove_file(&state).expect("the state");
        witness.goes_on(2);
        // The next that was heard is the next that there was.
        let next = witness.look().iter().find(|seen| seen.counter > before.counter);
        assert_eq!(next.map(|seen| (seen.run, seen.counter)), Some((1, before.counter + 1)));
    }
    witness.is_sound();
    clear_away(host, &["node1"], false);
}

#[test]
fn a_reboot_of_the_host_is_told_from_a_crash_and_nothing_of_the_boot_before_is_touched() {
    let host = Host::new();
    host.host_only("lab", "10.77.0.1/24");
    let mut witness = Witness::create(&host, "node1", &["--network", "lab"]);
    host.fief(&["start", "node1"]);
    witness.is_heard(2);
    let run = host.shown("node1")["run"].take();
    // What a reboot does to it all.
    kill(host.supervisor("node1"));
    kill(host.hypervisor("node1"));
    for process in host.processes("watch-dhcp").into_iter().chain(host.processes("dnsmasq:")) {
        signal(process, Signal::KILL);
    }
    eventually("the network's processes are gone", SOON, || host.processes("dnsmasq:").is_empty().then_some(()));
    let links = host.namespace().ip("-oneline link show type bridge");
    let bridge = links.split(": ").nth(1).expect("a bridge").to_owned();
    host.namespace().ip(&format!("link delete {bridge}"));
    host.namespace().run("nft flush ruleset").expect_code(0);
    // Another process has by now the very number and start time that the hypervisor had.
    let mut stranger = Command::new("sleep").arg("600").spawn().expect("sleep");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", stranger.id())).expect("a process");
    let began = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)).expect("field 22");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot id");
    let process = &run["hypervisor"];
    let earlier = |text: String| {
        text.replace(boot.trim(), "5f1e9b7c-0000-4000-8000-000000000000")
            .replace(&format!("\"pid\":{}", process["pid"]), &format!("\"pid\":{}", stranger.id()))
            .replace(&format!("\"start-time\":{}", process["start-time"]), &format!("\"start-time\":{began}"))
    };
    for file in ["domains/node1/record.json", "domains/node1/ledger.jsonl", "networks/lab/record.json"] {
        let path = host.root().join(file);
        let text = std::fs::read_to_string(&path).expect("a file");
        let changed = earlier(text.clone());
        assert_ne!(text, changed, "{file} names no boot");
        std::fs::write(path, changed).expect("room");
    }
    let path = host.root().join("networks/lab/ledger.jsonl");
    std::fs::write(&path, earlier(std::fs::read_to_string(&path).expect("a ledger"))).expect("room");

    assert_eq!(host.state("node1"), "off");
    let said = host.fief(&["recover"]).stdout;
    assert!(said.contains("host-rebooted"), "{said}");
    assert_eq!(host.shown("node1")["last-end"]["reason"], "host-rebooted");
    assert!(stranger.try_wait().expect("our child").is_none(), "the process of that number was ended");
    stranger.kill().expect("our child");
    stranger.wait().expect("our child");
    assert_eq!(host.fief(&["recover"]).stdout.trim(), "all is as its records say");
    // The lease was let go, the network comes up again with its domain.
    host.fief(&["start", "node1"]);
    witness.is_heard(2);
    witness.is_sound();
    assert_eq!(witness.on_disk().run, 2);
    clear_away(host, &["node1"], true);
}

#[test]
fn damaged_records_and_ledgers_are_made_anew_and_the_guest_goes_on() {
    let host = Host::new();
    host.host_only("lab", "10.77.0.1/24");
    let mut witness = Witness::create(&host, "node1", &["--network", "lab"]);
    host.fief(&["start", "node1"]);
    witness.goes_on(1);
    let hypervisor = host.hypervisor("node1");
    let record = domain_file(&host, "node1", "record.json");
    let ledger = domain_file(&host, "node1", "ledger.jsonl");

    let supervisor = host.supervisor("node1");
    kill(supervisor);
    gone(supervisor);
    std::fs::write(&record, &std::fs::read(&record).expect("a record")[..40]).expect("room");
    let said = host.fief_ends(&["stop", "node1"], NEEDS_RECOVER);
    assert!(said.stderr.contains("`fief recover node1`"), "{}", said.stderr);
    host.fief(&["recover", "node1", "--dry-run"]);
    host.fief_ends(&["stop", "node1"], NEEDS_RECOVER);
    let said = host.fief(&["recover", "node1"]).stdout;
    assert!(said.contains("a new one was made") && said.contains("took it up"), "{said}");
    assert_eq!((host.state("node1").as_str(), host.hypervisor("node1")), ("running", hypervisor));
    witness.is_heard(2);

    // A line in the middle, and one that was torn.
    let supervisor = host.supervisor("node1");
    kill(supervisor);
    gone(supervisor);
    let mut text = std::fs::read_to_string(&ledger).expect("a ledger");
    let middle = text.find('\n').expect("lines") + 1;
    text.insert_str(middle, "{\"line\":\"int\n");
    text.push_str("{\"line\":\"outcome\",\"id\":");
    std::fs::write(&ledger, text).expect("room");
    let said = host.fief_ends(&["stop", "node1"], NEEDS_RECOVER);
    assert!(said.stderr.contains("`fief recover`"), "{}", said.stderr);
    let said = host.fief(&["recover"]).stdout;
    assert!(said.contains("1 lines of its ledger"), "{said}");
    assert_eq!((host.state("node1").as_str(), host.hypervisor("node1")), ("running", hypervisor));
    witness.is_heard(2);
    witness.is_sound();

    for kept in ["record.json.damaged", "ledger.jsonl.damaged"] {
        std::fs::remove_file(domain_file(&host, "node1", kept)).expect("what was kept");
    }
    clear_away(host, &["node1"], true);
}

#[test]
fn a_supervisor_that_stands_still_is_replaced_and_a_guest_that_nobody_knows_is_ended() {
    let host = Host::new();
    let mut witness = Witness::create(&host, "node1", &[]);
    host.fief(&["start", "node1"]);
    witness.goes_on(1);
    let (supervisor, hypervisor) = (host.supervisor("node1"), host.hypervisor("node1"));
    signal(supervisor, Signal::STOP);
    let said = host.fief(&["recover", "node1"]).stdout;
    assert!(said.contains("does not answer") && said.contains("took it up"), "{said}");
    assert_eq!(host.hypervisor("node1"), hypervisor);
    witness.is_heard(2);
    witness.is_sound();
    assert_eq!(host.fief(&["recover", "node1"]).stdout.trim(), "all is as its records say");

    // Record and ledger gone, the guest still there: nobody knows how it was started, so it is ended.
    let supervisor = host.supervisor("node1");
    kill(supervisor);
    gone(supervisor);
    for file in ["record.json", "ledger.jsonl"] {
        std::fs::remove_file(domain_file(&host, "node1", file)).expect("a file");
    }
    let said = host.fief(&["recover", "node1"]).stdout;
    assert!(said.contains("that no record knows of"), "{said}");
    gone(hypervisor);
    assert_eq!(host.state("node1"), "off");
    host.fief(&["start", "node1"]);
    witness.is_heard(2);
    witness.is_sound();
    clear_away(host, &["node1"], false);
}
