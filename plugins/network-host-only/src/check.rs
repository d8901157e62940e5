//! What is amiss with the network, from the links that the host shows. Pure.
//!
//! | code | severity | means |
//! | --- | --- | --- |
//! | `settings` | blocker | the settings contradict each other |
//! | `bridge-missing` | warning | the network is not up |
//! | `not-a-bridge` | blocker | a link of another kind has the bridge's name |
//! | `bridge-foreign` | blocker | the bridge is not one that fief made |
//! | `bridge-down` | blocker | it is there, and switched off |
//! | `address-missing` | blocker | it lacks the network's address |
//! | `mtu-differs` | warning | its largest packet is another than was asked for |
//! | `address-taken` | blocker | another link has an address in the same network |

use fief_sdk::bridges::Link;
use fief_sdk::network::{Finding, Severity};
use fief_sdk::{Cidr, Error};

use crate::plan::Plan;

pub(crate) fn settings(network: &str, error: &Error) -> Finding {
    finding(Severity::Blocker, "settings", network, error.message.clone(), "correct them and define it again")
}

pub(crate) fn findings(network: &str, plan: &Plan, links: &[Link]) -> Vec<Finding> {
    let again = format!("fief network stop {network}, then fief network start {network}");
    let mut all = Vec::new();
    for other in links.iter().filter(|link| link.name != plan.bridge) {
        if let Some(address) = other.addresses.iter().find(|text| overlaps(text, plan.address)) {
            let message = format!("{} has the address {address}, in the same network as {}", other.name, plan.address);
            all.push(finding(
                Severity::Blocker,
                "address-taken",
                &other.name,
                message,
                "give one of them another network",
            ));
        }
    }
    let Some(bridge) = links.iter().find(|link| link.name == plan.bridge) else {
        let message = format!("there is no bridge {}", plan.bridge);
        let remedy = format!("fief network start {network}");
        all.push(finding(Severity::Warning, "bridge-missing", &plan.bridge, message, &remedy));
        return all;
    };
    let mut add = |severity, code, message| all.push(finding(severity, code, &bridge.name, message, &again));
    if bridge.kind != "bridge" {
        add(Severity::Blocker, "not-a-bridge", format!("{} is there, and is no bridge", bridge.name));
        return all;
    }
    if !bridge.owned {
        add(Severity::Blocker, "bridge-foreign", format!("the bridge {} is not one that fief made", bridge.name));
    }
    if !bridge.up {
        add(Severity::Blocker, "bridge-down", format!("the bridge {} is switched off", bridge.name));
    }
    if !bridge.addresses.contains(&plan.address.to_string()) {
        add(Severity::Blocker, "address-missing", format!("the bridge {} lacks {}", bridge.name, plan.address));
    }
    if let Some(mtu) = plan.mtu.filter(|mtu| *mtu != bridge.mtu) {
        let message = format!("the bridge {} takes packets of {} bytes, not of {mtu}", bridge.name, bridge.mtu);
        add(Severity::Warning, "mtu-differs", message);
    }
    all
}

fn overlaps(text: &str, cidr: Cidr) -> bool {
    text.parse::<Cidr>().is_ok_and(|other| cidr.contains(other.network()) || other.contains(cidr.network()))
}

fn finding(severity: Severity, code: &str, object: &str, message: String, remedy: &str) -> Finding {
    Finding { severity, code: code.into(), object: object.into(), message, remedy: Some(remedy.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let address = "10.77.0.1/24".parse().unwrap();
        Plan { bridge: "fief-lab".into(), address, mtu: Some(1400), dhcp: None }
    }

    fn link() -> Link {
        Link {
            name: "fief-lab".into(),
            kind: "bridge".into(),
            mac: "52:54:00:00:00:01".into(),
            mtu: 1400,
            up: true,
            addresses: vec!["10.77.0.1/24".into(), "fe80::1/64".into()],
            bridge: None,
            owned: true,
        }
    }

    fn codes(links: &[Link]) -> Vec<String> {
        findings("lab", &plan(), links).into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn a_network_that_is_as_it_should_be_has_no_findings() {
        assert!(codes(&[link()]).is_empty());
    }

    #[test]
    fn each_fault_has_its_code() {
        assert_eq!(codes(&[]), ["bridge-missing"]);
        assert_eq!(codes(&[Link { kind: "dummy".into(), ..link() }]), ["not-a-bridge"]);
        assert_eq!(codes(&[Link { owned: false, ..link() }]), ["bridge-foreign"]);
        assert_eq!(codes(&[Link { up: false, addresses: vec![], ..link() }]), ["bridge-down", "address-missing"]);
        assert_eq!(codes(&[Link { mtu: 1500, ..link() }]), ["mtu-differs"]);
        let other = Link { name: "eth0".into(), addresses: vec!["10.77.3.4/16".into()], ..link() };
        assert_eq!(codes(&[link(), other]), ["address-taken"]);
    }
}
