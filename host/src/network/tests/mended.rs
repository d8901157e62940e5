//! What is made again or anew while a network is up.

use super::*;

#[test]
fn flushed_filters_of_a_card_and_its_network_are_made_again_without_the_plugin() {
    within(|| {
        let host = Host::new();
        let mut network = host.network("lab");
        network.up().unwrap();
        let mut ledger = Ledger::volatile();
        let tap = card_on("fief-lab".parse().unwrap());
        let made = host.gate.perform(&Actor::Operator, &mut ledger, tap, Vec::new()).unwrap();
        let tables: Vec<String> = crate::gate::filter_tables(&ledger).into_iter().collect();
        assert_eq!(tables, ["fief-fief-lab", "fief-t1"]);
        let before = rules();
        let again = || {
            let mut lines = host.gate.refilter(&ledger).unwrap();
            lines.extend(refilter(&host.gate, &ledger).unwrap());
            lines
        };
        assert_eq!(again(), Vec::<String>::new(), "nothing is gone");
        assert!(std::process::Command::new("nft").args(["flush", "ruleset"]).status().unwrap().success());
        let gone = [
            "the packet filter of tap t1 is gone or was changed",
            "the packet filter of bridge fief-lab is gone or was changed",
        ];
        assert_eq!(again(), gone);
        assert_eq!(sorted(&rules()), sorted(&before));
        assert_eq!(host.script.lock().unwrap().calls, ["up"]);

        // What was said last of a bridge counts.
        let isolated =
            Operation::BridgeReach { network: lab(), bridge: "fief-lab".parse().unwrap(), reach: Reach::Isolated };
        let mut of_network = Ledger::open(&network.store.ledger_file()).unwrap();
        host.gate.perform(&Actor::Operator, &mut of_network, isolated, Vec::new()).unwrap();
        let isolated = rules();
        assert_ne!(isolated, before);
        assert!(std::process::Command::new("nft").args(["flush", "ruleset"]).status().unwrap().success());
        again();
        assert_eq!(sorted(&rules()), sorted(&isolated));

        // One whose tap is gone is not: a detached card's ledger line goes last.
        ip("link del t1");
        assert_eq!(again(), Vec::<String>::new());
        host.gate.undo(&mut ledger).unwrap();
        drop(made);
        Network::down(&host.gate, &lab(), false).unwrap();
        assert_eq!(rules(), "");
    });
}

fn sorted(rules: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = rules.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_card_gets_the_address_that_is_reserved_for_it_before_and_while_the_network_is_up() {
    within(|| {
        let host = Host::new();
        let mut network = host.network("lab");
        let guest_mac: MacAddress = "52:54:00:00:00:07".parse().unwrap();
        network.reserve(&[(guest_mac, "10.77.0.7".parse().unwrap())]).unwrap();
        network.up().unwrap();
        let given = |mac: MacAddress, link: &str| {
            let guest = Guest::new(link, Some("fief-lab"), None);
            guest.ip(&format!("link set eth0 address {mac}"));
            let asks = "busybox udhcpc -n -q -f -t 5 -T 1 -i eth0 -s /bin/true";
            assert!(guest.run(&asks.split(' ').collect::<Vec<_>>()).status.success());
            let leases = Network::leases(&host.gate, &lab()).unwrap();
            leases.into_iter().find(|lease| lease.mac == mac.to_string()).unwrap().address
        };
        assert_eq!(given(guest_mac, "v1"), "10.77.0.7");
        // While it serves, and as if an earlier start was killed before it was served: the next one, outside of the range, and one of another network, which is nobody's.
        let next: MacAddress = "52:54:00:00:00:08".parse().unwrap();
        let all = [(next, "10.77.0.8".parse().unwrap()), (guest_mac, "10.99.0.1".parse().unwrap())];
        Reserved::of(host.gate.layout(), &lab()).write(&all).unwrap();
        network.reserve(&all).unwrap();
        network.reserve(&all).unwrap();
        assert_eq!(given(next, "v2"), "10.77.0.8");
        assert_eq!(host.servers(), 2);
        assert_eq!(network.check().unwrap(), vec![]);
        network.reserve(&[]).unwrap();
        Network::down(&host.gate, &lab(), true).unwrap();
        assert_eq!(host.lab_files(), ["lock", "network.toml"]);
        assert_eq!(host.servers(), 0);
    });
}
