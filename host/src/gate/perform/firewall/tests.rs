//! With real packets between network namespaces.

use std::sync::Arc;

use super::*;
use crate::error::Kind;
use crate::gate::Mode;
use crate::gate::perform::{act as perform, missing as lost, undo as undone};
use crate::layout::Layout;
use crate::sys::netns::{Guest, ip, within};

fn gate() -> Gate {
    Gate::new(Layout::new("/nowhere"), Arc::default(), Mode::Perform)
}

fn limit(reach: Reach) -> Operation {
    Operation::BridgeReach { network: "lab".parse().unwrap(), bridge: "fief-lab".parse().unwrap(), reach }
}

fn limited(reach: Reach) -> Outcome {
    perform(&gate(), &limit(reach), Vec::new()).unwrap().outcome
}

fn rules() -> String {
    let output = std::process::Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// A host that forwards, with a bridge and two guests, another address of its own, and something outside.
struct World {
    one: Guest,
    _two: Guest,
    outside: Guest,
}

impl World {
    fn new() -> World {
        let network: crate::types::NetworkName = "lab".parse().unwrap();
        let bridge: crate::types::InterfaceName = "fief-lab".parse().unwrap();
        let create = Operation::BridgeCreate {
            network: network.clone(),
            bridge: bridge.clone(),
            stp: false,
            mtu: None,
            mac: None,
        };
        perform(&gate(), &create, Vec::new()).unwrap();
        let address = Operation::BridgeAddress { network, bridge, address: "10.77.0.1/24".parse().unwrap() };
        perform(&gate(), &address, Vec::new()).unwrap();
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        ip("link add own type bridge");
        ip("link set own up");
        ip("address add 10.88.0.1/24 dev own");
        let one = Guest::new("v1", Some("fief-lab"), Some("10.77.0.5/24"));
        let two = Guest::new("v2", Some("fief-lab"), Some("10.77.0.6/24"));
        one.ip("route add default via 10.77.0.1");
        two.ip("route add default via 10.77.0.1");
        let outside = Guest::new("out", None, Some("10.99.0.2/24"));
        ip("address add 10.99.0.1/24 dev out");
        outside.ip("route add 10.77.0.0/24 via 10.99.0.1");
        World { one, _two: two, outside }
    }

    /// What guest one reaches, and whether something outside reaches it: (guest two, the host on the bridge, the host
    /// elsewhere, outside, from outside).
    fn reached(&self) -> (bool, bool, bool, bool, bool) {
        (
            self.one.reaches("10.77.0.6"),
            self.one.reaches("10.77.0.1"),
            self.one.reaches("10.88.0.1"),
            self.one.reaches("10.99.0.2"),
            self.outside.reaches("10.77.0.5"),
        )
    }
}

#[test]
fn guests_reach_what_their_network_says_and_nothing_else() {
    within(|| {
        let world = World::new();
        assert_eq!(world.reached(), (true, true, true, true, true), "without rules all is open");
        assert_eq!(limited(Reach::HostOnly), Outcome::Set);
        assert_eq!(world.reached(), (true, true, false, false, false), "host-only");
        limited(Reach::Isolated);
        assert_eq!(world.reached(), (true, false, false, false, false), "isolated");
        limited(Reach::Routed);
        assert_eq!(world.reached(), (true, true, true, true, true), "routed");
        world.outside.ip("route del 10.77.0.0/24");
        limited(Reach::Nat("out".parse().unwrap()));
        assert!(world.one.reaches("10.99.0.2"), "behind the host's address it needs no way back");
        world.outside.ip("route add 10.77.0.0/24 via 10.99.0.1");
        assert_eq!(world.reached(), (true, true, true, true, false), "nat");
    });
}

#[test]
fn the_table_is_replaced_not_added_to_and_goes_as_a_whole() {
    within(|| {
        let _world = World::new();
        let empty = rules();
        limited(Reach::HostOnly);
        let once = rules();
        assert!(once.contains("table inet fief-fief-lab"), "{once}");
        limited(Reach::HostOnly);
        assert_eq!(rules(), once);
        assert_eq!(lost(&gate(), &limit(Reach::HostOnly)).unwrap(), None);
        assert!(lost(&gate(), &limit(Reach::Nat("out".parse().unwrap()))).unwrap().is_some());

        undone(&gate(), &limit(Reach::HostOnly), Some(&Outcome::Set)).unwrap();
        assert_eq!(rules(), empty);
        undone(&gate(), &limit(Reach::HostOnly), None).unwrap();
        assert!(lost(&gate(), &limit(Reach::HostOnly)).unwrap().is_some());
    });
}

#[test]
fn only_the_networks_own_bridge_is_limited() {
    within(|| {
        ip("link add fief-lab type bridge");
        let failure = perform(&gate(), &limit(Reach::HostOnly), Vec::new()).unwrap_err();
        assert_eq!(failure.kind, Kind::Conflict);
        assert_eq!(rules(), "");
    });
}

#[test]
fn a_missing_program_is_named() {
    within(|| {
        let mut policy = crate::config::policy::Policy::default();
        policy.host.nft = "/nowhere/nft".into();
        let gate = Gate::new(Layout::new("/nowhere"), Arc::new(policy), Mode::Perform);
        let failure = undone(&gate, &limit(Reach::HostOnly), None).unwrap_err();
        assert!(failure.to_string().contains("/nowhere/nft"), "{failure}");
        assert!(failure.hint.unwrap().contains("nftables"));
    });
}
