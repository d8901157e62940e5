//! What a tap lets in, as rules. Pure.
//!
//! | of a guest's frames | without address | with an address | `spoofing = "allowed"` |
//! | --- | --- | --- | --- |
//! | what bridges say to each other (STP, LACP, …) | dropped | dropped | dropped |
//! | more than the card's bandwidth | dropped | dropped | dropped |
//! | from another MAC address; ARP that names another one | dropped | dropped | let in |
//! | with a VLAN tag | dropped | dropped | let in |
//! | a DHCP server's answers, a router's advertisements | dropped | dropped | let in |
//! | IPv4 and ARP from another address | let in | dropped | let in |
//! | IPv6 and all other protocols | let in | dropped | let in |

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::rules::{Table, drop, field, is, is_not};
use crate::types::{Bandwidth, InterfaceName, MacAddress, Spoofing};

/// What a card is held to.
#[derive(Debug, Clone, Copy)]
pub(in crate::gate::perform) struct Admission {
    pub(in crate::gate::perform) mac: MacAddress,
    pub(in crate::gate::perform) address: Option<Ipv4Addr>,
    pub(in crate::gate::perform) spoofing: Spoofing,
    pub(in crate::gate::perform) bandwidth: Option<Bandwidth>,
}

pub(super) const FAMILY: &str = "netdev";
/// The name of the chain, and of its hook: before the bridge sees the frame, even one that no bridge passes on.
pub(super) const CHAIN: &str = "ingress";
/// Before any other program's (linux/netfilter_bridge.h has -300 for the bridge's own first).
const PRIORITY: i32 = -300;
/// What may come at once past the limit, in bytes: two of the largest packets that a guest hands over for the host to
/// cut (64 KiB). The kernel adds what the limit lets through in a second (net/netfilter/nft_limit.c).
const BURST: u32 = 128 << 10;
/// Addresses that stay between two bridges (IEEE 802.1Q, table 8-1).
const BETWEEN_BRIDGES: [&str; 2] = ["01:80:c2:00:00:00", "01:80:c2:00:00:0f"];
/// Spanning trees of single VLANs (Cisco PVST+), which bridges pass on.
const PVST: &str = "01:00:0c:cc:cc:cd";
/// DHCP (RFC 2131) and DHCPv6 (RFC 8415) servers send from these ports.
const DHCP_SERVERS: [u16; 2] = [67, 547];

/// The table of a tap that has none.
pub(super) fn first(tap: &InterfaceName, admission: &Admission) -> Value {
    filled(Table::fresh(FAMILY, tap), tap, admission)
}

/// The table of a tap, in place of one that it may have.
pub(super) fn port(tap: &InterfaceName, admission: &Admission) -> Value {
    filled(Table::new(FAMILY, tap), tap, admission)
}

fn filled(mut table: Table, tap: &InterfaceName, admission: &Admission) -> Value {
    table.ingress(tap, PRIORITY);
    let mut refuse = |expressions: &[Value]| table.rule(CHAIN, &[expressions, &[drop()]].concat());
    refuse(&[is(field("ether", "daddr"), json!({ "range": BETWEEN_BRIDGES }))]);
    refuse(&[is(field("ether", "daddr"), json!(PVST))]);
    if let Some(bandwidth) = admission.bandwidth {
        refuse(&[json!({ "limit": {
            "rate": bandwidth.bytes_per_second(), "rate_unit": "bytes", "per": "second",
            "burst": BURST, "burst_unit": "bytes", "inv": true,
        } })]);
    }
    match admission.spoofing {
        Spoofing::Allowed => {}
        Spoofing::Denied => {
            own_card(&mut refuse, admission.mac);
            if let Some(address) = admission.address {
                own_address(&mut refuse, address);
            }
        }
    }
    table.done()
}

fn own_card(refuse: &mut impl FnMut(&[Value]), mac: MacAddress) {
    let mac = json!(mac.to_string());
    refuse(&[is_not(field("ether", "saddr"), mac.clone())]);
    // Else a guest speaks on another VLAN where the bridge has a trunk, and in another's name inside the tag.
    refuse(&[is(field("ether", "type"), json!({ "set": ["8021q", "8021ad"] }))]);
    refuse(&[is_not(field("arp", "saddr ether"), mac)]);
    refuse(&[is(field("udp", "sport"), json!({ "set": DHCP_SERVERS }))]);
    // RFC 6105: guests take routes from whoever says that it is a router.
    refuse(&[is(field("icmpv6", "type"), json!({ "set": ["nd-router-advert", "nd-redirect"] }))]);
}

/// Only ARP and IPv4 from this address, and what a client says before it has one: a probe (RFC 5227), a DHCP request.
fn own_address(refuse: &mut impl FnMut(&[Value]), address: Ipv4Addr) {
    let unset = json!("0.0.0.0");
    let none_or_own = json!({ "set": [unset, address.to_string()] });
    refuse(&[is_not(field("ether", "type"), json!({ "set": ["ip", "arp"] }))]);
    refuse(&[is_not(field("arp", "saddr ip"), none_or_own.clone())]);
    refuse(&[is_not(field("ip", "saddr"), none_or_own)]);
    let from_none = is(field("ip", "saddr"), unset);
    refuse(&[from_none.clone(), is_not(json!({ "meta": { "key": "l4proto" } }), json!("udp"))]);
    refuse(&[from_none, is_not(field("udp", "dport"), json!(DHCP_SERVERS[0]))]);
}

#[cfg(test)]
mod tests {
    use super::super::rules::lines;
    use super::*;

    #[test]
    fn a_first_table_differs_in_how_it_begins() {
        let mac = "52:54:00:12:34:56".parse().unwrap();
        let card = Admission { mac, address: None, spoofing: Spoofing::Denied, bandwidth: None };
        let tap = "vif1.0".parse().unwrap();
        let [first, again] = [first(&tap, &card), port(&tap, &card)].map(|ruleset| lines(&ruleset));
        assert_eq!(
            first.split_once('\n').unwrap().0,
            r#"{"create":{"table":{"family":"netdev","name":"fief-vif1.0"}}}"#
        );
        assert_eq!(first.lines().skip(1).collect::<Vec<_>>(), again.lines().skip(3).collect::<Vec<_>>());
    }

    #[test]
    fn a_port_admits_its_card_alone() {
        let card = Admission {
            mac: "52:54:00:12:34:56".parse().unwrap(),
            address: None,
            spoofing: Spoofing::Denied,
            bandwidth: None,
        };
        let address = Some(Ipv4Addr::new(10, 77, 0, 5));
        let bandwidth = Some("100Mbit".parse().unwrap());
        for (label, admission) in [
            ("port_mac", card),
            ("port_address", Admission { address, ..card }),
            ("port_limited", Admission { bandwidth, ..card }),
            ("port_spoofing", Admission { spoofing: Spoofing::Allowed, address, ..card }),
        ] {
            insta::assert_snapshot!(label, lines(&port(&"vif1.0".parse().unwrap(), &admission)));
        }
    }
}
