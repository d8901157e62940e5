//! What a guest may do with its card, tried from inside the guest; and what stays so when other programs change the
//! host's packet filters.

use std::time::Duration;

use fief_tests::{Host, Terminal, eventually};

const USAGE: i32 = 2;
const CONFLICT: i32 = 4;
const ANSWER: Duration = Duration::from_secs(60);

/// Types a command into the guest's shell and waits for how it went.
#[track_caller]
fn shell(terminal: &mut Terminal, number: u32, command: &str, expected: &str) {
    // Put together by the shell, so that the echo of the keys is not taken for the answer.
    terminal.types(&format!(
        "({command}) >/dev/null 2>&1 && echo way-{number}-$((0))-open || echo way-{number}-$((0))-shut\r"
    ));
    terminal.shows(&format!("way-{number}-0-{expected}"), ANSWER);
}

#[test]
fn a_guest_has_its_reserved_address_and_no_other_and_that_outlives_a_flush_of_the_hosts_rules() {
    let host = Host::new();
    host.host_only("lab", "10.77.0.1/24");
    // Another root in the same network namespace has used the first numbers.
    host.namespace().ip("link add vif1.0 type bridge");
    let card = ["--network", "lab,mac=52:54:00:00:00:01,address=10.77.0.5,bandwidth=80Mbit"];
    let guest = host.run_guest("node1", &card, "");
    assert_eq!(guest.says("fief-guest: address "), "fief-guest: address 10.77.0.5 from 10.77.0.1");
    guest.says("fief-guest: host 10.77.0.1 answers");
    guest.says("fief-guest: ready");
    let queue = host.namespace().run("tc qdisc show dev vif2.0").expect_code(0).stdout;
    assert!(queue.contains("tbf") && queue.contains("rate 80Mbit"), "{queue}");
    let twin = ["create", "node2", "--memory", "32MiB", "--network", "lab,address=10.77.0.5"];
    host.fief(&twin);
    let failure = host.fief_ends(&["start", "node2"], CONFLICT);
    assert!(failure.stderr.contains("domain node1 runs with the address 10.77.0.5"), "{}", failure.stderr);

    let mut terminal = Terminal::start(host.command(&["console", "node1"]));
    terminal.shows("Ctrl-]", ANSWER);
    terminal.types("\r");
    let mut number = 0;
    let mut goes = |command: &str, expected: &str| {
        number += 1;
        shell(&mut terminal, number, command, expected);
    };
    // An answer ends it at once.
    let ping = "ping -c 1 -w 20 10.77.0.1";
    goes(ping, "open");
    goes("ip address add 10.77.0.9/32 dev eth0; ping -I 10.77.0.9 -c 1 -w 2 10.77.0.1", "shut");

    let tables = || {
        let listed = host.namespace().run("nft list tables").expect_code(0).stdout;
        let mut lines: Vec<String> = listed.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let before = tables();
    assert_eq!(before, ["table inet fief-fief-lab", "table netdev fief-vif2.0"]);
    let back = |what: &str| {
        eventually(what, ANSWER, || (tables() == before).then_some(()));
    };
    let log = host.root().join("domains/node1/supervisor.log");
    let told =
        || std::fs::read_to_string(&log).expect("a log").matches("another program took packet filters away").count();
    host.namespace().run("nft flush ruleset").expect_code(0);
    back("the filters after a flush");
    eventually("a line in the log", ANSWER, || (told() == 1).then_some(()));
    goes("ping -I 10.77.0.9 -c 1 -w 2 10.77.0.1", "shut");
    goes(ping, "open");

    // A flush that no supervisor sees is mended by the next one.
    let supervisor = host.supervisor("node1");
    let pid = i32::try_from(supervisor).ok().and_then(rustix::process::Pid::from_raw).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("our supervisor");
    host.namespace().run("nft flush ruleset").expect_code(0);
    host.fief(&["start", "node1"]);
    back("the filters after a flush without a supervisor");
    let mut terminal = Terminal::start(host.command(&["console", "node1"]));
    terminal.shows("Ctrl-]", ANSWER);
    shell(
        &mut terminal,
        90,
        "ip link set eth0 down; ip link set eth0 address 52:54:00:00:00:99; ip link set eth0 up",
        "open",
    );
    shell(&mut terminal, 91, "ping -c 1 -w 2 10.77.0.1", "shut");
    drop((terminal, guest));

    host.fief(&["stop", "node1"]);
    assert_eq!(tables(), ["table inet fief-fief-lab"]);
    host.fief(&["delete", "node1", "node2", "--yes"]);
    host.fief(&["network", "delete", "lab"]);
    host.namespace().ip("link delete vif1.0");
    host.finish();
}

#[test]
fn the_doctor_names_the_chain_that_drops_what_guests_send_and_what_to_do() {
    let host = Host::bare();
    let health = || {
        let said = fief_tests::command::run(&mut host.command(&["host", "doctor", "-o", "json"]), ANSWER);
        let checks = said.json()["items"].as_array().cloned().unwrap_or_default();
        checks.into_iter().find(|check| check["name"] == "forward-policy").expect("a check of the forward chain")
    };
    assert_eq!(health()["health"], "ok");
    let nft = |words: &str| {
        let mut command = host.namespace().command("nft");
        fief_tests::command::run(command.arg(words), ANSWER).expect_code(0);
    };
    nft("add table ip filter; add chain ip filter DOCKER-USER; \
         add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }");
    let check = health();
    assert_eq!(check["health"], "warn", "{check}");
    assert!(check["found"].as_str().is_some_and(|found| found.starts_with("Docker")), "{check}");
    assert!(check["remedy"].as_str().is_some_and(|remedy| remedy.contains("-I DOCKER-USER -i fief-+")), "{check}");
    nft("delete table ip filter; add table inet fw; \
         add chain inet fw through { type filter hook forward priority 0; policy drop; }");
    // The remedy is a command that works, and then there is nothing more to say.
    let remedy = health()["remedy"].as_str().unwrap_or_default().split(" (").next().unwrap_or_default().to_owned();
    let mut shell = host.namespace().command("sh");
    fief_tests::command::run(shell.args(["-c", &remedy]), ANSWER).expect_code(0);
    let check = health();
    assert_eq!(check["health"], "ok", "{check}");
}

#[test]
fn a_limit_or_an_address_that_cannot_be_held_is_refused() {
    let host = Host::new();
    host.fief(&["network", "create", "own", "--kind", "user"]);
    for (option, word) in [("own,bandwidth=fast", "100Mbit"), ("own,spoofing=no", "spoofing=allowed")] {
        let failure = host.fief_ends(&["create", "node1", "--network", option], USAGE);
        assert!(failure.stderr.contains(word), "{}", failure.stderr);
    }
    host.fief(&["create", "node1", "--memory", "32MiB", "--network", "own,bandwidth=1Mbit"]);
    let failure = host.fief_ends(&["start", "node1"], CONFLICT);
    assert!(failure.stderr.contains("cannot limit the bandwidth of card 0"), "{}", failure.stderr);
    host.fief(&["delete", "node1", "--yes"]);
    host.fief(&["network", "delete", "own"]);
    host.finish();
}
