//! A card goes into a bridge and comes back.

use fief_tests::Host;

use crate::world::{CONFLICT, FINDINGS, MAC, World, armed, comes_back_to, holds, kill, lan, reaches_gateway, state};

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

#[test]
fn a_bridge_that_the_operator_made_is_used_as_it_is_and_only_where_it_is_granted() {
    const DENIED: i32 = 5;
    let host = Host::new();
    let _world = World::with_static_addresses(&host);
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

    // A card that no way out leads by needs no guard, and is not waited for while STP learns.
    inside.ip("route del default");
    inside.ip("-6 route del default");
    let before = state(&host);
    lan(&host, &["uplink=eth0", "bridge=fief-lan", "stp=true", "address=203.0.113.1/24"]);
    holds(&host.fief(&["network", "start", "lan"]).stdout, &["network lan started\n"]);
    assert_eq!(armed(&host), None);
    holds(&host.fief(&["network", "show", "lan"]).stdout, &["fief-lan", "yes", "eth0"]);
    holds(&inside.ip("-oneline address show dev fief-lan"), &["203.0.113.1/24", "192.0.2.11/24"]);
    host.fief(&["network", "delete", "lan"]);
    comes_back_to(&host, &before);
}
