//! Starts that would lock the operator out, and starts and guards that are killed.

use std::process::Stdio;
use std::time::Duration;

use fief_tests::{Host, eventually, fief_with_faults};

use crate::world::{
    CONFLICT, GATEWAY, SOON, UNREACHABLE, World, armed, comes_back_to, holds, kill, lan, reaches_gateway, state,
};

#[test]
fn a_start_that_locks_the_operator_out_is_undone_by_itself() {
    let host = Host::new();
    let world = World::with_static_addresses(&host);
    let before = state(&host);
    lan(&host, &["uplink=eth0"]);
    // The switch shuts the port in the middle of the move: it has seen something that it does not like.
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            eventually("an armed rollback", SOON, || armed(&host));
            world.shut_port();
        });
        host.fief_ends(&["network", "start", "lan"], UNREACHABLE)
    });
    // Perhaps others as well, whoever was heard before.
    holds(&said.stderr, &["192.0.2.1", "did not answer any more", "--confirm-within"]);
    comes_back_to(&host, &before);
    assert_eq!(host.processes("guard-network"), Vec::<u32>::new());
    holds(&host.fief(&["network", "show", "lan"]).stdout, &["# down", "taken down again at", "did not answer"]);

    // Where nothing answers beforehand, nothing could tell afterwards: that is refused before anything is touched.
    let refused = host.fief_ends(&["network", "start", "lan"], CONFLICT);
    holds(&refused.stderr, &["nothing behind it answers", "--confirm-within"]);
    comes_back_to(&host, &before);
    world.open_port();
    host.fief(&["network", "start", "lan", "--peer", GATEWAY]);
    reaches_gateway(&host);
    assert!(!host.fief(&["network", "show", "lan"]).stdout.contains("taken down again"));
    host.fief(&["network", "stop", "lan"]);
    comes_back_to(&host, &before);
}

#[test]
fn what_nobody_confirms_is_undone_even_where_the_guard_is_killed() {
    let host = Host::new();
    let _world = World::with_static_addresses(&host);
    let before = state(&host);
    lan(&host, &["uplink=eth0", "bridge=fief-lan"]);
    let on_trial = |within: &str| {
        let said = host.fief(&["network", "start", "lan", "--confirm-within", within]).stdout;
        holds(&said, &["started on trial", "fief network confirm lan"]);
        reaches_gateway(&host);
    };
    on_trial("2s");
    comes_back_to(&host, &before);
    let late = host.fief_ends(&["network", "confirm", "lan"], CONFLICT);
    holds(&late.stderr, &["nobody confirmed it in time"]);
    holds(&host.fief(&["network", "list"]).stdout, &["down"]);

    on_trial("600s");
    holds(&host.fief(&["network", "list"]).stdout, &["trial"]);
    holds(&host.fief(&["network", "show", "lan"]).stdout, &["# trial", "unless you say: fief network confirm lan"]);
    holds(&host.fief(&["network", "check", "lan"]).stdout, &["it goes down again in"]);
    holds(&host.fief(&["network", "confirm", "lan"]).stdout, &["confirmed"]);
    assert_eq!((armed(&host), host.processes("guard-network")), (None, vec![]));
    reaches_gateway(&host);
    host.fief(&["network", "stop", "lan"]);
    comes_back_to(&host, &before);

    // Stopped while it is on trial: the guard has nothing left to do.
    on_trial("600s");
    host.fief(&["network", "stop", "lan"]);
    assert_eq!((armed(&host), host.processes("guard-network")), (None, vec![]));
    comes_back_to(&host, &before);

    // Without its guard nobody would put things back in time: the next command does.
    on_trial("600s");
    kill(armed(&host).expect("a rollback")["guard"]["pid"].as_u64().expect("a guard"));
    holds(&host.fief(&["network", "show", "lan"]).stdout, &["# down", "its guard was ended"]);
    comes_back_to(&host, &before);
    host.fief(&["network", "start", "lan"]);
    host.fief(&["network", "delete", "lan"]);
    comes_back_to(&host, &before);
    host.namespace().ip("link delete eth0");
    host.finish();
}

#[test]
fn a_start_that_is_killed_at_any_point_leaves_the_host_as_it_was() {
    let host = Host::new();
    let _world = World::with_static_addresses(&host);
    let before = state(&host);
    lan(&host, &["uplink=eth0", "bridge=fief-lan"]);
    for point in [
        "uplink.noted",
        "uplink.armed",
        "uplink.clients-stopped",
        "uplink.port",
        "uplink.addresses",
        "uplink.routes",
        "network-start.recorded",
    ] {
        for how in ["kill", "fail"] {
            let mut start = host.namespace().command(fief_with_faults());
            start.args(["network", "start", "lan"]).env("FIEF_ROOT", host.root());
            start.env("FIEF_FAULT", format!("{point}:{how}"));
            let said = fief_tests::command::run(&mut start, Duration::from_secs(90));
            match how {
                "kill" => assert_eq!(said.code, None, "{point} was not reached: {}", said.stderr),
                _ => drop(said.expect_code(1)),
            }
            // Before the guard nothing was moved, and the bridge that waits for the card is cleared by the next command.
            if (point, how) == ("uplink.noted", "kill") {
                holds(&host.fief(&["network", "list"]).stdout, &["partial"]);
                host.fief(&["network", "stop", "lan"]);
            }
            comes_back_to(&host, &before);
            eventually("no guard", SOON, || host.processes("guard-network").is_empty().then_some(()));
            assert_eq!(armed(&host), None, "{point} {how}");
            reaches_gateway(&host);
        }
    }
    // A stop is not left half way either.
    for point in ["uplink.freed", "uplink.given"] {
        host.fief(&["network", "start", "lan"]);
        let mut stop = host.namespace().command(fief_with_faults());
        stop.args(["network", "stop", "lan"]).env("FIEF_ROOT", host.root()).env("FIEF_FAULT", format!("{point}:kill"));
        assert_eq!(fief_tests::command::run(&mut stop, Duration::from_secs(90)).code, None, "{point} was not reached");
        comes_back_to(&host, &before);
        eventually("no guard", SOON, || host.processes("guard-network").is_empty().then_some(()));
        holds(&host.fief(&["network", "stop", "lan"]).stdout, &["already down"]);
    }

    // Start and guard both killed in the middle: the next command that looks at the network puts all back.
    let mut start = host.namespace().command(fief_with_faults());
    start.args(["network", "start", "lan"]).env("FIEF_ROOT", host.root());
    let mut start = start.env("FIEF_FAULT", "uplink.routes:hang").stdin(Stdio::null()).spawn().expect("fief");
    let by_bridge = || host.namespace().ip("route show default").contains("fief-lan").then_some(());
    eventually("the route by the bridge", SOON, by_bridge);
    kill(armed(&host).expect("a rollback")["guard"]["pid"].as_u64().expect("a guard"));
    start.kill().expect("a child that we started");
    start.wait().expect("a child that we started");
    assert_ne!(state(&host), before);
    holds(&host.fief(&["network", "show", "lan"]).stdout, &["# down", "its guard was ended"]);
    comes_back_to(&host, &before);

    host.fief(&["network", "start", "lan"]);
    reaches_gateway(&host);
    host.fief(&["network", "delete", "lan"]);
    comes_back_to(&host, &before);
    host.namespace().ip("link delete eth0");
    host.finish();
}
