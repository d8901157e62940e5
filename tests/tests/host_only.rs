//! A host-only network: its guests reach each other and the host, and nothing else; nothing else reaches them.

use fief_tests::{Host, Namespace};

const CARD: &[&str] = &["--network", "lab"];
/// An address that a host which forwards does reach.
const OUTSIDE: &str = "192.0.2.2";

/// A world outside the host, and a neighbour that the host forwards for: it shows that the way out is open.
struct World {
    outside: Namespace,
    neighbour: Namespace,
}

impl World {
    fn around(host: &Host) -> World {
        let world = World { outside: Namespace::new(), neighbour: Namespace::new() };
        let inside = host.namespace();
        inside.wire(("up0", "192.0.2.1/30"), &world.outside, ("eth0", "192.0.2.2/30"));
        inside.wire(("in0", "10.78.0.1/24"), &world.neighbour, ("eth0", "10.78.0.2/24"));
        world.outside.ip("route add default via 192.0.2.1");
        world.neighbour.ip("route add default via 10.78.0.1");
        let mut forward = inside.command("sh");
        forward.args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
        fief_tests::command::run(&mut forward, std::time::Duration::from_secs(10)).expect_code(0);
        world
    }
}

#[test]
fn two_guests_reach_each_other_and_the_host_and_not_the_outside() {
    let host = Host::new();
    host.host_only("lab", "10.77.0.1/24");
    let world = World::around(&host);
    let first = host.run_guest("node1", CARD, "fief.mode=idle");
    let first_address = first.address();
    first.says("fief-guest: ready");

    let words = format!("fief.mode=idle fief.peer={first_address} fief.lookup=node1 fief.outside={OUTSIDE}");
    let second = host.run_guest("node2", CARD, &words);
    let second_address = second.address();
    second.says("fief-guest: host 10.77.0.1 answers");
    assert_eq!(second.says("fief-guest: peer"), format!("fief-guest: peer {first_address} answers"));
    assert_eq!(second.says("fief-guest: name"), format!("fief-guest: name node1 is {first_address}"));
    // The way that it is denied is open to others: what stops it is the network's own rules.
    world.neighbour.run(&format!("ping -c 1 -w 5 {OUTSIDE}")).expect_code(0);
    assert_eq!(second.says("fief-guest: outside"), format!("fief-guest: outside {OUTSIDE} unreachable"));
    // Nor is there a way in.
    for address in [&first_address, &second_address] {
        host.namespace().run(&format!("ping -c 1 -w 5 {address}")).expect_code(0);
        world.outside.run(&format!("ping -c 1 -w 2 {address}")).expect_code(1);
        world.neighbour.run(&format!("ping -c 1 -w 2 {address}")).expect_code(1);
    }

    drop((first, second));
    host.fief(&["stop", "node1", "node2"]);
    host.fief(&["delete", "node1", "node2", "--yes"]);
    host.fief(&["network", "delete", "lab"]);
    host.namespace().ip("link delete up0");
    host.namespace().ip("link delete in0");
    host.finish();
}

#[test]
fn a_network_in_use_is_not_deleted() {
    const CONFLICT: i32 = 4;
    let host = Host::new();
    host.host_only("lab", "10.77.0.1/24");
    let guest = host.run_guest("node1", CARD, "fief.mode=idle");
    guest.says("fief-guest: ready");
    host.fief_ends(&["network", "delete", "lab"], CONFLICT);
    host.namespace().run(&format!("ping -c 1 -w 5 {}", guest.address())).expect_code(0);
    drop(guest);
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--yes"]);
    host.fief(&["network", "delete", "lab"]);
    host.finish();
}

#[test]
fn a_card_on_the_user_network_gets_an_address_without_a_bridge() {
    let host = Host::new();
    host.fief(&["network", "create", "own", "--kind", "user"]);
    let guest = host.run_guest("node1", &["--network", "own"], "fief.mode=idle");
    guest.says("fief-guest: address ");
    guest.says("fief-guest: host ");
    let links = host.namespace().ip("-oneline link show");
    assert_eq!(links.lines().count(), 1, "more than the loopback:\n{links}");
    drop(guest);
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--yes"]);
    host.fief(&["network", "delete", "own"]);
    host.finish();
}
