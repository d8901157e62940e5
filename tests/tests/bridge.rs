//! Networks on the host's own card: guests reach beyond, the card gets everything back, and nobody is locked out.
//!
//! ```text
//!   host ── eth0 ═══ port ── switch ── port ═══ eth0 ── beyond (the gateway)
//! ```

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use fief_tests::{Host, Namespace, eventually, fief_with_faults};
use serde_json::Value;

const MAC: &str = "52:54:00:aa:00:01";
const GATEWAY: &str = "192.0.2.1";
const CONFLICT: i32 = 4;
const FINDINGS: i32 = 6;
const UNREACHABLE: i32 = 8;
/// For what a guard does by itself: it looks a few times a second, here between compilers.
const SOON: Duration = Duration::from_secs(60);

/// What stands around a host.
struct World {
    switch: Namespace,
    beyond: Namespace,
}

impl World {
    /// `eth0` is wired and has no address yet.
    fn around(host: &Host) -> World {
        let world = World { switch: Namespace::new(), beyond: Namespace::new() };
        world.switch.ip("link add sw type bridge forward_delay 0");
        world.switch.ip("link set sw up");
        for (port, namespace) in [("host", host.namespace()), ("beyond", &world.beyond)] {
            world.switch.ip(&format!("link add {port} type veth peer name eth0 netns {}", namespace.name()));
            world.switch.ip(&format!("link set {port} master sw up"));
        }
        host.namespace().ip(&format!("link set eth0 address {MAC} up"));
        world.beyond.ip("link set eth0 up");
        world.beyond.ip(&format!("address add {GATEWAY}/24 dev eth0"));
        world.beyond.ip("-6 address add 2001:db8::1/64 dev eth0 nodad");
        world
    }

    /// As an administrator sets a card up by hand: two addresses, both defaults, one more route.
    fn with_static_addresses(host: &Host) -> World {
        let world = World::around(host);
        for words in [
            "address add 192.0.2.10/24 dev eth0",
            "address add 192.0.2.11/24 dev eth0",
            "-6 address add 2001:db8::10/64 dev eth0 nodad",
            "route add default via 192.0.2.1 metric 100",
            "route add 198.51.100.0/24 via 192.0.2.7",
            "-6 route add default via 2001:db8::1",
        ] {
            host.namespace().ip(words);
        }
        host.namespace().run(&format!("ping -c 1 -w 10 {GATEWAY}")).expect_code(0);
        world
    }

    /// The switch lets nothing of the host's through any more.
    fn shut_port(&self) {
        for words in [
            "add table bridge port",
            "add chain bridge port forward { type filter hook forward priority 0 ; }",
            "add rule bridge port forward iifname host drop",
        ] {
            self.switch.run(&format!("nft {words}")).expect_code(0);
        }
    }

    fn open_port(&self) {
        self.switch.run("nft delete table bridge port").expect_code(0);
    }
}

/// Links, addresses and routes of a host, as the kernel tells them.
fn state(host: &Host) -> String {
    let mut told = String::new();
    for words in ["-j address show", "-j route show", "-j -6 route show"] {
        let mut all: Value = serde_json::from_str(&host.namespace().ip(words)).expect("JSON of ip");
        for one in all.as_array_mut().into_iter().flatten() {
            // A bridge without a port is up or not as the kernel's own queue of work has it.
            if one["ifname"] == "fief-lab" || one["dev"] == "fief-lab" {
                continue;
            }
            // Counts down, or ends in a second, by itself.
            for address in one["addr_info"].as_array_mut().into_iter().flatten() {
                for key in ["valid_life_time", "preferred_life_time", "tentative"] {
                    address.as_object_mut().expect("an address").remove(key);
                }
            }
            told.push_str(&format!("{one}\n"));
        }
    }
    told
}

/// A host is as it was, perhaps in a moment (IPv6 looks for duplicates first).
#[track_caller]
fn comes_back_to(host: &Host, before: &str) {
    let until = Instant::now() + SOON;
    loop {
        let now = state(host);
        if now == before {
            return;
        }
        assert!(Instant::now() < until, "before:\n{before}\nnow:\n{now}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[track_caller]
fn reaches_gateway(host: &Host) {
    host.namespace().run(&format!("ping -c 1 -w 10 {GATEWAY}")).expect_code(0);
}

fn lan(host: &Host, settings: &[&str]) {
    let mut words = vec!["network", "create", "lan", "--kind", "bridge"];
    for setting in settings {
        words.extend(["--set", setting]);
    }
    host.fief(&words);
}

/// The rollback that is armed, as its file says.
fn armed(host: &Host) -> Option<Value> {
    let text = std::fs::read(host.root().join("networks/lan/rollback.json")).ok()?;
    serde_json::from_slice(&text).ok()
}

#[track_caller]
fn kill(pid: u64) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a number");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("a process");
}

#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn an_uplink_moves_into_the_bridge_with_all_it_has_and_gets_everything_back() {
    let host = Host::new();
    let _world = World::with_static_addresses(&host);
    let before = state(&host);
    // By its address, with a name and an MTU of its own.
    lan(&host, &[&format!("uplink={MAC}"), "bridge=fief-lan", "mtu=1400"]);
    holds(&host.fief(&["network", "start", "lan"]).stdout, &["network lan started\n"]);
    let inside = host.namespace();
    let addresses = inside.ip("-oneline address show dev fief-lan");
    holds(&addresses, &["192.0.2.10/24", "192.0.2.11/24", "2001:db8::10/64"]);
    let routes = inside.ip("route show") + &inside.ip("-6 route show");
    let by_bridge = |route: &str| format!("{route} dev fief-lan");
    holds(&routes, &[&by_bridge("default via 192.0.2.1"), &by_bridge("198.51.100.0/24 via 192.0.2.7")]);
    holds(&routes, &[&by_bridge("default via 2001:db8::1")]);
    assert!(!inside.ip("-4 -oneline address show dev eth0").contains("inet"));
    for link in ["eth0", "fief-lan"] {
        holds(&inside.ip(&format!("link show {link}")), &[MAC, "mtu 1400"]);
    }
    reaches_gateway(&host);
    inside.run("ping -6 -c 1 -w 10 2001:db8::1").expect_code(0);

    // Nothing is armed any more, and a second start has nothing to do.
    assert_eq!(armed(&host), None);
    assert_eq!(host.processes("guard-network"), Vec::<u32>::new());
    holds(&host.fief(&["network", "start", "lan"]).stdout, &["already up"]);
    holds(&host.fief(&["network", "confirm", "lan"]).stdout, &["is not on trial"]);
    holds(&host.fief(&["network", "check", "lan"]).stdout, &["nothing amiss"]);
    let shown = host.fief(&["network", "show", "lan"]).stdout;
    holds(&shown, &["BRIDGE NAME", "STP ENABLED", "fief-lan", "8000.525400aa0001", "no", "eth0", "mtu = \"1400\""]);

    // What another has put on the bridge is in use; the uplink itself is not.
    inside.ip("link add other type veth peer name there");
    inside.ip("link set other master fief-lan");
    holds(&host.fief_ends(&["network", "stop", "lan"], CONFLICT).stderr, &["in use by other"]);
    inside.ip("link delete other");
    holds(&host.fief(&["network", "stop", "lan"]).stdout, &["stopped"]);
    comes_back_to(&host, &before);
    holds(&host.fief(&["network", "stop", "lan"]).stdout, &["already down"]);
    comes_back_to(&host, &before);
    host.fief(&["network", "delete", "lan"]);
    reaches_gateway(&host);
    inside.ip("link delete eth0");
    host.finish();
}

#[test]
fn what_other_tools_undid_is_found_and_mended() {
    let host = Host::new();
    let _world = World::with_static_addresses(&host);
    let before = state(&host);
    lan(&host, &["uplink=eth0", "bridge=fief-lan"]);
    host.host_only("lab", "10.77.0.1/24");
    host.fief(&["network", "start", "lan", "lab"]);
    let steady = state(&host);
    let inside = host.namespace();
    let watcher = || host.processes("watch-dhcp");
    let damages: [(&str, &str, &dyn Fn()); 6] = [
        ("lan", "eth0 is no longer in bridge", &|| drop(inside.ip("link set eth0 nomaster"))),
        ("lan", "has lost 192.0.2.11/24", &|| drop(inside.ip("address del 192.0.2.11/24 dev fief-lan"))),
        ("lan", "198.51.100.0/24", &|| drop(inside.ip("route del 198.51.100.0/24"))),
        ("lab", "10.77.0.1/24", &|| drop(inside.ip("address flush dev fief-lab"))),
        ("lab", "packet filter", &|| drop(inside.run("nft flush ruleset").expect_code(0))),
        ("lab", "DHCP", &|| {
            watcher().into_iter().chain(host.processes("dnsmasq.conf")).for_each(|pid| kill(pid.into()))
        }),
    ];
    for (network, said, damage) in damages {
        damage();
        let found = host.fief_ends(&["network", "check", network], FINDINGS);
        holds(&found.stdout, &["blocker", said, "--repair"]);
        holds(&host.fief(&["network", "check", network, "--repair"]).stdout, &["nothing amiss"]);
        holds(&host.fief(&["network", "check", network]).stdout, &["nothing amiss"]);
        comes_back_to(&host, &steady);
    }
    host.fief(&["network", "stop", "lan", "lab"]);
    comes_back_to(&host, &before);
    // A check mends what was cut off, and starts nothing.
    holds(&host.fief(&["network", "check", "lan", "--repair"]).stdout, &["there is no bridge fief-lan"]);
    comes_back_to(&host, &before);
}

/// A client of the card, and what serves it and the guests beyond.
struct Dhcp {
    _folder: tempfile::TempDir,
    server: Child,
    client: Child,
}

impl Dhcp {
    fn on(host: &Host, world: &World) -> Dhcp {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let lease = path("leases");
        std::fs::write(&lease, "").expect("a file of leases");
        let serve = format!(
            "start 192.0.2.100\nend 192.0.2.150\ninterface eth0\nlease_file {}\npidfile {}\noption subnet 255.255.255.0\n\
             option router {GATEWAY}\noption lease 3600\n",
            lease.display(),
            path("pid").display()
        );
        std::fs::write(path("udhcpd.conf"), serve).expect("a configuration");
        let script = "#!/bin/sh\ncase \"$1\" in\n\
            deconfig) ip address flush dev $interface; ip link set $interface up ;;\n\
            bound|renew) ip address replace $ip/$mask dev $interface; ip route replace default via $router ;;\nesac\n";
        std::fs::write(path("client.sh"), script).expect("a script");
        let mode: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path("client.sh"), mode).expect("a script that runs");
        let run = |namespace: &Namespace, words: &[&str], file: &Path| {
            let mut command = namespace.command("busybox");
            command.args(words).arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().expect("busybox")
        };
        let server = run(&world.beyond, &["udhcpd", "-f"], &path("udhcpd.conf"));
        // With -R it would give its address back when it is told to end.
        let client = run(host.namespace(), &["udhcpc", "-f", "-R", "-i", "eth0", "-s"], &path("client.sh"));
        Dhcp { _folder: folder, server, client }
    }
}

impl Drop for Dhcp {
    fn drop(&mut self) {
        for child in [&mut self.server, &mut self.client] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn a_dhcp_client_moves_along_and_a_guest_reaches_beyond() {
    let host = Host::new();
    let world = World::around(&host);
    let _dhcp = Dhcp::on(&host, &world);
    let inside = host.namespace();
    let leased = |link: &str| {
        let told = inside.ip(&format!("-4 -oneline address show dev {link}"));
        told.split_whitespace().nth(3).filter(|address| address.starts_with("192.0.2.1")).map(str::to_owned)
    };
    let address = eventually("a lease on eth0", SOON, || leased("eth0"));
    eventually("a way out", SOON, || inside.ip("route show").contains("default").then_some(()));
    let before = state(&host);

    lan(&host, &["uplink=eth0", "bridge=fief-lan"]);
    host.fief(&["network", "start", "lan"]);
    // The client asks again, for the bridge; with the card's hardware address it gets the card's lease.
    let words = |link: &str| format!("udhcpc -f -R -i {link} ");
    eventually("a client of the bridge", SOON, || (host.processes(&words("fief-lan")).len() == 1).then_some(()));
    assert_eq!(host.processes(&words("eth0")), Vec::<u32>::new());
    assert_eq!(eventually("the lease on the bridge", SOON, || leased("fief-lan")), address);
    reaches_gateway(&host);

    // Beyond serves the guest as it serves the host.
    let guest = host.run_guest("node1", &["--network", "lan"], "fief.mode=idle");
    let guest_address = guest.address();
    assert!(guest_address.starts_with("192.0.2.1"), "{guest_address} is not from beyond");
    guest.says("fief-guest: ready");
    world.beyond.run(&format!("ping -c 1 -w 20 {guest_address}")).expect_code(0);
    inside.run(&format!("ping -c 1 -w 20 {guest_address}")).expect_code(0);
    host.fief_ends(&["network", "stop", "lan"], CONFLICT);
    drop(guest);
    host.fief(&["stop", "node1"]);

    host.fief(&["network", "stop", "lan"]);
    eventually("a client of the card", SOON, || (host.processes(&words("eth0")).len() == 1).then_some(()));
    comes_back_to(&host, &before);
    reaches_gateway(&host);

    // A domain's start takes the same care of the uplink as the operator's.
    host.fief(&["start", "node1"]);
    assert_eq!((armed(&host), host.processes("guard-network")), (None, vec![]));
    eventually("a client of the bridge", SOON, || (host.processes(&words("fief-lan")).len() == 1).then_some(()));
    reaches_gateway(&host);
    host.fief(&["stop", "node1"]);
    host.fief(&["network", "stop", "lan"]);
    comes_back_to(&host, &before);
}

#[test]
fn a_bridge_that_the_operator_made_is_used_as_it_is_and_only_where_it_is_granted() {
    const DENIED: i32 = 5;
    let host = Host::new();
    let world = World::with_static_addresses(&host);
    let inside = host.namespace();
    inside.ip("link add br0 type bridge stp_state 1 priority 4096 forward_delay 0");
    inside.ip("link set br0 up");
    inside.ip("link add eth9 type veth peer name there");
    let before = state(&host);
    lan(&host, &["bridge=br0"]);
    host.fief(&["network", "start", "lan"]);
    assert_eq!(state(&host), before);
    holds(&host.fief(&["network", "show", "lan"]).stdout, &["br0", "1000.", "yes"]);
    holds(&host.fief(&["network", "check", "lan"]).stdout, &["nothing amiss"]);
    host.fief(&["network", "delete", "lan"]);
    assert_eq!(state(&host), before);
    // Neither with an uplink, which would change it, nor by a name that policy does not grant.
    for (settings, code) in [
        (&["bridge=br0", "uplink=eth0"][..], CONFLICT),
        (&["bridge=there"][..], DENIED),
        (&["uplink=eth9"][..], DENIED),
        (&["uplink=eth7"][..], DENIED),
        (&["bridge=fief-none"][..], 3),
    ] {
        lan(&host, settings);
        host.fief_ends(&["network", "start", "lan"], code);
        assert_eq!(state(&host), before, "{settings:?}");
        host.fief(&["network", "delete", "lan"]);
    }
    drop(world);
}

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
    holds(&said.stderr, &["192.0.2.1 did not answer any more", "--confirm-within"]);
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
    host.fief(&["network", "start", "lan"]);
    reaches_gateway(&host);
    host.fief(&["network", "delete", "lan"]);
    comes_back_to(&host, &before);
    host.namespace().ip("link delete eth0");
    host.finish();
}
