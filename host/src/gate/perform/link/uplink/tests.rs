//! With real links, in network namespaces of their own. None carries a default route, so that no guard is wanted.

use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::error::Kind;
use crate::gate::perform::{act, missing as missing_of, undo};
use crate::gate::{Mode, Operation};
use crate::layout::Layout;
use crate::sys::netns::{Guest, ip, within};

struct Host {
    root: TempDir,
    gate: Gate,
    enslave: Operation,
}

impl Host {
    /// `eth0` is wired and up, and the network's bridge is there.
    fn new() -> (Host, Guest) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("networks/lab")).unwrap();
        let gate = Gate::new(Layout::new(root.path()), Arc::default(), Mode::Perform);
        let there = Guest::new("eth0", None, Some("192.0.2.1/24"));
        let (network, bridge) = ("lab".parse().unwrap(), "fief-lab".parse().unwrap());
        let create = Operation::BridgeCreate { network, bridge, stp: false, mtu: Some(1500), mac: None };
        act(&gate, &create, Vec::new()).unwrap();
        let enslave = Operation::LinkEnslave {
            network: "lab".parse().unwrap(),
            bridge: "fief-lab".parse().unwrap(),
            link: "eth0".parse().unwrap(),
            vlan: None,
        };
        (Host { root, gate, enslave }, there)
    }
    fn enslave(&self) -> Result<Outcome> {
        act(&self.gate, &self.enslave, Vec::new()).map(|done| done.outcome)
    }
    fn release(&self) {
        undo(&self.gate, &self.enslave, Some(&Outcome::Set)).unwrap();
    }
}

/// What `ip` says of a link, without what counts down.
fn told(link: &str) -> String {
    let mut all = String::new();
    for words in [format!("address show dev {link}"), format!("-4 route show dev {link}")] {
        let output = Command::new("ip").args(words.split(' ')).output().unwrap();
        all.push_str(&String::from_utf8(output.stdout).unwrap().replace(" tentative", ""));
    }
    let lines = all.lines().filter(|line| !line.contains("_lft") || line.contains("forever"));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn labels_flags_metrics_and_tables_come_back_word_for_word() {
    within(|| {
        let (host, _there) = Host::new();
        for words in [
            "address add 192.0.2.9/24 dev eth0",
            "address add 192.0.2.10/24 dev eth0 label eth0:1",
            "address add 198.51.100.1/24 dev eth0 noprefixroute",
            "address add 203.0.113.1/24 dev eth0 valid_lft 3600 preferred_lft 1800",
            "route add 10.1.0.0/16 via 192.0.2.1 metric 7 src 192.0.2.10",
            "route add 10.2.0.0/16 via 192.0.2.1 table 1000",
            "route add 10.3.0.0/16 via 172.16.0.1 dev eth0 onlink",
        ] {
            ip(words);
        }
        let table =
            || String::from_utf8(Command::new("ip").args(["route", "show", "table", "1000"]).output().unwrap().stdout);
        let before = (told("eth0"), table());
        assert_eq!(host.enslave().unwrap(), Outcome::Set);
        assert_eq!(host.enslave().unwrap(), Outcome::Unchanged);
        let kept = std::fs::read_to_string(host.root.path().join("networks/lab/uplink.json")).unwrap();
        for part in ["\"says\": \"192.0.2.9/24\"", "10.1.0.0/16 via 192.0.2.1"] {
            assert!(kept.contains(part), "{part} is not in\n{kept}");
        }
        let bridge = told("fief-lab");
        for part in ["192.0.2.10/24", "198.51.100.1/24", "noprefixroute", "metric 7", "onlink", "203.0.113.1/24"] {
            assert!(bridge.contains(part), "{part} is not in\n{bridge}");
        }
        assert!(!bridge.contains("198.51.100.0/24"), "a route that was not wanted:\n{bridge}");
        assert!(table().unwrap().contains("dev fief-lab"));
        host.release();
        assert_eq!((told("eth0"), table()), before);
        host.release();
        assert_eq!((told("eth0"), table()), before, "given back once");
    });
}

#[test]
fn a_card_that_was_down_is_down_again_with_its_own_mtu() {
    within(|| {
        let (host, _there) = Host::new();
        ip("link set eth0 down mtu 1300");
        let before = told("eth0");
        host.enslave().unwrap();
        let now = told("eth0");
        assert!(now.contains("mtu 1500") && now.contains("master fief-lab"), "{now}");
        host.release();
        assert_eq!(told("eth0"), before);
    });
}

#[test]
fn what_cannot_be_moved_is_refused_before_anything_is_touched() {
    within(|| {
        let (host, _there) = Host::new();
        let _other = Guest::new("eth1", None, Some("203.0.113.1/24"));
        ip("address add 192.0.2.9/24 dev eth0");
        ip("address add 203.0.113.9/24 dev eth1");
        let refused = |words: &str| {
            let before = told("eth0");
            let failure = host.enslave().unwrap_err();
            assert_eq!(failure.kind, Kind::Conflict, "{failure}");
            assert!(failure.to_string().contains(words) && failure.hint.is_some(), "{failure}");
            assert_eq!(told("eth0"), before);
        };
        ip("route add 10.1.0.0/16 nexthop via 192.0.2.1 nexthop via 203.0.113.1");
        refused("several ways");
        ip("route del 10.1.0.0/16");
        ip("link add br7 type bridge");
        ip("link set eth0 master br7");
        refused("it is in br7 already");
        ip("link set eth0 nomaster");
        host.enslave().unwrap();
        host.release();
        assert!(told("eth0").contains("192.0.2.9/24"));
    });
}

#[test]
fn what_was_written_down_outlives_a_repair() {
    within(|| {
        let (host, _there) = Host::new();
        ip("address add 192.0.2.9/24 dev eth0");
        ip("route add 10.1.0.0/16 via 192.0.2.1");
        let before = told("eth0");
        host.enslave().unwrap();
        // Another tool tears it apart, and the bridge with it.
        ip("link delete fief-lab");
        ip("address add 192.0.2.11/24 dev eth0");
        assert!(missing_of(&host.gate, &host.enslave).unwrap().is_some());
        let (network, bridge) = ("lab".parse().unwrap(), "fief-lab".parse().unwrap());
        let create = Operation::BridgeCreate { network, bridge, stp: false, mtu: Some(1500), mac: None };
        act(&host.gate, &create, Vec::new()).unwrap();
        host.enslave().unwrap();
        assert_eq!(missing_of(&host.gate, &host.enslave).unwrap(), None);
        let bridge = told("fief-lab");
        for part in ["192.0.2.9/24", "192.0.2.11/24", "10.1.0.0/16"] {
            assert!(bridge.contains(part), "{part} is not in\n{bridge}");
        }
        host.release();
        ip("address del 192.0.2.11/24 dev eth0");
        assert_eq!(told("eth0"), before);
    });
}
