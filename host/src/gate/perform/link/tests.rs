//! With real links, in network namespaces of their own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::error::Kind;
use crate::gate::Mode;
use crate::gate::operation::LinkFacts;
use crate::gate::perform::{act, missing, undo};
use crate::layout::Layout;
use crate::sys::netns::{ip, within};
use crate::types::Spoofing;

mod frames;

fn gate() -> Gate {
    Gate::new(Layout::new("/nowhere"), Arc::default(), Mode::Perform)
}

fn create(network: &str, bridge: &str) -> Operation {
    Operation::BridgeCreate {
        network: network.parse().unwrap(),
        bridge: bridge.parse().unwrap(),
        stp: false,
        mtu: Some(1400),
        mac: None,
    }
}

fn address(bridge: &str, cidr: &str) -> Operation {
    Operation::BridgeAddress {
        network: "lab".parse().unwrap(),
        bridge: bridge.parse().unwrap(),
        address: cidr.parse().unwrap(),
    }
}

fn tap(name: &str, mac: &str, admit: Option<&str>) -> Operation {
    card(name, mac, admit, Spoofing::Denied, None)
}

fn card(name: &str, mac: &str, admit: Option<&str>, spoofing: Spoofing, bandwidth: Option<&str>) -> Operation {
    Operation::TapCreate {
        domain: "node1".parse().unwrap(),
        tap: name.parse().unwrap(),
        bridge: "fief-lab".parse().unwrap(),
        mac: mac.parse().unwrap(),
        mtu: None,
        admit_address: admit.map(|a| a.parse().unwrap()),
        spoofing,
        bandwidth: bandwidth.map(|b| b.parse().unwrap()),
    }
}

fn done(operation: &Operation) -> Result<Done> {
    act(&gate(), operation, Vec::new())
}

fn links() -> Vec<LinkFacts> {
    match done(&Operation::LinkList { network: "lab".parse().unwrap() }).unwrap().outcome {
        Outcome::Links { all } => all,
        other => panic!("{other:?}"),
    }
}

fn link(name: &str) -> Option<LinkFacts> {
    links().into_iter().find(|l| l.name == name)
}

#[test]
fn a_bridge_is_made_once_listed_and_removed() {
    within(|| {
        let operation = create("lab", "fief-lab");
        let Outcome::Link { facts } = done(&operation).unwrap().outcome else { panic!("no link") };
        assert_eq!((facts.kind.as_str(), facts.mtu, facts.up, facts.owned), ("bridge", 1400, true, true));
        assert_eq!(link("fief-lab"), Some(facts.clone()));
        assert_eq!(facts.addresses, Vec::<String>::new(), "no address of its own making");
        let again = done(&operation).unwrap().outcome;
        assert_eq!(again, Outcome::Link { facts }, "what is there stays as it is");
        assert_eq!(missing(&gate(), &operation).unwrap(), None);

        undo(&gate(), &operation, Some(&again)).unwrap();
        assert_eq!(link("fief-lab"), None);
        undo(&gate(), &operation, Some(&again)).unwrap();
        undo(&gate(), &operation, None).unwrap();
        assert!(missing(&gate(), &operation).unwrap().is_some());
    });
}

#[test]
fn an_act_may_be_asked_for_inside_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(runtime.block_on(async { links() }).iter().any(|l| l.kind == "loopback"));
}

#[test]
fn what_fief_did_not_make_is_neither_taken_nor_removed() {
    within(|| {
        ip("link add br0 type bridge");
        let foreign = create("lab", "br0");
        assert_eq!(done(&foreign).unwrap_err().kind, Kind::Conflict);
        undo(&gate(), &foreign, None).unwrap();
        assert!(link("br0").is_some_and(|l| !l.owned));
        assert_eq!(done(&address("br0", "10.77.0.1/24")).unwrap_err().kind, Kind::Conflict);
        assert_eq!(done(&address("absent", "10.77.0.1/24")).unwrap_err().kind, Kind::NotFound);

        done(&create("other", "fief-other")).unwrap();
        let failure = done(&create("lab", "fief-other")).unwrap_err();
        assert!(failure.message.contains("belongs to other"), "{failure}");
        undo(&gate(), &create("lab", "fief-other"), None).unwrap();
        assert!(link("fief-other").is_some_and(|l| !l.owned));
    });
}

#[test]
fn a_bridge_that_was_being_made_when_fief_died_is_removed_by_its_address() {
    within(|| {
        let operation = create("lab", "fief-lab");
        let Outcome::Link { facts } = done(&operation).unwrap().outcome else { panic!("no link") };
        undo(&gate(), &operation, None).unwrap();
        ip(&format!("link add fief-lab address {} type bridge", facts.mac));
        undo(&gate(), &operation, None).unwrap();
        assert_eq!(link("fief-lab"), None);
    });
}

#[test]
fn an_address_is_set_once_and_may_not_shadow_another_links_network() {
    within(|| {
        done(&create("lab", "fief-lab")).unwrap();
        let operation = address("fief-lab", "10.77.0.1/24");
        assert_eq!(done(&operation).unwrap().outcome, Outcome::Set);
        assert_eq!(done(&operation).unwrap().outcome, Outcome::Unchanged);
        assert_eq!(link("fief-lab").unwrap().addresses, ["10.77.0.1/24"]);
        assert_eq!(missing(&gate(), &operation).unwrap(), None);

        ip("link add out type bridge");
        ip("address add 10.88.0.1/16 dev out");
        let failure = done(&address("fief-lab", "10.88.3.1/24")).unwrap_err();
        assert_eq!(failure.kind, Kind::Conflict);
        assert!(failure.message.contains("10.88.0.1/16 of the link out"), "{failure}");
        assert!(failure.hint.is_some());

        undo(&gate(), &operation, Some(&Outcome::Unchanged)).unwrap();
        assert_eq!(missing(&gate(), &operation).unwrap(), None);
        undo(&gate(), &operation, Some(&Outcome::Set)).unwrap();
        undo(&gate(), &operation, None).unwrap();
        assert!(missing(&gate(), &operation).unwrap().is_some());
        assert_eq!(link("fief-lab").unwrap().addresses, Vec::<String>::new());
    });
}

#[test]
fn a_tap_takes_the_bridges_mtu_and_goes_with_its_descriptor() {
    within(|| {
        let missing_bridge = done(&tap("t1", "52:54:00:00:00:01", None)).unwrap_err();
        assert_eq!(missing_bridge.kind, Kind::NotFound);
        assert_eq!(link("t1"), None);
        assert_eq!(tables(), "");

        let Outcome::Link { facts } = done(&create("lab", "fief-lab")).unwrap().outcome else { panic!("no link") };
        let operation = tap("t1", "52:54:00:00:00:01", None);
        let made = done(&operation).unwrap();
        let tap = link("t1").unwrap();
        assert_eq!(tap.bridge.as_deref(), Some("fief-lab"));
        assert_eq!((tap.mtu, tap.mac.as_str(), tap.up), (1400, "fe:54:00:00:00:01", true));
        assert_eq!(link("fief-lab").unwrap().mac, facts.mac, "a bridge keeps its address");
        assert_eq!(done(&operation).unwrap_err().kind, Kind::Conflict, "a tap belongs to one card");

        drop(made.descriptors);
        let deadline = Instant::now() + Duration::from_secs(5);
        while link("t1").is_some() {
            assert!(Instant::now() < deadline, "the tap outlives its descriptor");
            std::thread::yield_now();
        }
        undo(&gate(), &operation, Some(&made.outcome)).unwrap();
        assert_eq!(tables(), "");
    });
}

#[test]
fn undoing_a_tap_removes_it_from_under_its_holder_but_not_anothers() {
    within(|| {
        done(&create("lab", "fief-lab")).unwrap();
        let operation = tap("t1", "52:54:00:00:00:01", None);
        let made = done(&operation).unwrap();
        let mut of_other = operation.clone();
        if let Operation::TapCreate { domain, .. } = &mut of_other {
            *domain = "node2".parse().unwrap();
        }
        undo(&gate(), &of_other, None).unwrap();
        assert!(link("t1").is_some());
        assert!(tables().contains("fief-t1"));
        undo(&gate(), &operation, None).unwrap();
        assert_eq!(link("t1"), None);
        assert_eq!(tables(), "");
        drop(made);
    });
}

fn tables() -> String {
    let output = std::process::Command::new("nft").args(["list", "tables"]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_vlan_of_a_card_joins_the_bridge_and_the_card_stays_as_it_is() {
    within(|| {
        ip("link add eth0 type veth peer name there");
        ip("link set there up");
        // Not every kernel has VLANs; there is nothing to try on one without.
        let words = "link add link eth0 name probe type vlan id 9";
        let probe = std::process::Command::new("ip").args(words.split(' ')).output().unwrap();
        if !probe.status.success() {
            eprintln!("this kernel has no VLANs (8021q)");
            return;
        }
        ip("link delete probe");
        ip("address add 192.0.2.9/24 dev eth0");
        let bridge = Operation::BridgeCreate {
            network: "lab".parse().unwrap(),
            bridge: "fief-lab".parse().unwrap(),
            stp: true,
            mtu: Some(1400),
            mac: None,
        };
        done(&bridge).unwrap();
        assert!(link("fief-lab").is_some_and(|bridge| bridge.stp));
        let enslave = |vlan| Operation::LinkEnslave {
            network: "lab".parse().unwrap(),
            bridge: "fief-lab".parse().unwrap(),
            link: "eth0".parse().unwrap(),
            vlan: Some(vlan),
        };
        let keeps = |card: &LinkFacts| card.addresses.iter().any(|address| address == "192.0.2.9/24");
        let operation = enslave(20);
        for _ in 0..2 {
            assert_eq!(done(&operation).unwrap().outcome, Outcome::Set);
            let (card, tagged) = (link("eth0").unwrap(), link("eth0.20").unwrap());
            assert_eq!((card.bridge.clone(), card.up, keeps(&card)), (None, true, true));
            assert_eq!((tagged.bridge.as_deref(), tagged.up, tagged.mtu), (Some("fief-lab"), true, 1400));
            assert_eq!(missing(&gate(), &operation).unwrap(), None);
            // What another tool undid is found, and put back by the same operation.
            ip("link set eth0.20 nomaster");
            assert!(missing(&gate(), &operation).unwrap().is_some());
        }
        ip("link add link eth0 name eth0.30 type vlan id 30");
        assert_eq!(done(&enslave(30)).unwrap_err().kind, Kind::Conflict, "the operator's own");
        undo(&gate(), &enslave(30), None).unwrap();
        assert!(link("eth0.30").is_some());
        undo(&gate(), &operation, Some(&Outcome::Set)).unwrap();
        undo(&gate(), &operation, None).unwrap();
        assert_eq!(link("eth0.20"), None);
        assert!(link("eth0").is_some_and(|card| card.up && keeps(&card)));
    });
}
