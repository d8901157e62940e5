//! What is amiss with the network, from the links that the host shows. Pure.
//!
//! | code | severity | means |
//! | --- | --- | --- |
//! | `settings` | blocker | the settings contradict each other |
//! | `uplink-missing` | blocker | no granted link is the uplink |
//! | `uplink-elsewhere` | blocker | the uplink is in another bridge |
//! | `uplink-down` | blocker | the uplink is switched off |
//! | `bridge-missing` | warning, blocker without an uplink | the network is not up, or the operator's bridge is gone |
//! | `not-a-bridge` | blocker | a link of another kind has the bridge's name |
//! | `bridge-foreign` | blocker | the bridge is not one that fief made |
//! | `bridge-down` | blocker | it is there, and switched off |
//! | `mtu-differs` | warning | its largest packet is another than was asked for |

use fief_sdk::Error;
use fief_sdk::bridges::Link;
use fief_sdk::network::{Finding, Severity};

use crate::plan::{Card, Plan, Way};

pub(crate) fn settings(network: &str, error: &Error) -> Finding {
    finding(Severity::Blocker, "settings", network, error.message.clone(), "correct them and define it again")
}

pub(crate) fn findings(network: &str, plan: &Plan, links: &[Link]) -> Vec<Finding> {
    let mut all = Vec::new();
    let bridge = links.iter().find(|link| link.name == plan.bridge);
    let own = match &plan.way {
        Way::Uplink { card, vlan, .. } => {
            uplink(plan, card, vlan.is_some(), bridge.is_some_and(|bridge| bridge.owned), links, &mut all);
            true
        }
        Way::Joined => false,
    };
    let Some(bridge) = bridge else {
        let (severity, remedy) = if own {
            (Severity::Warning, format!("fief network start {network}"))
        } else {
            (Severity::Blocker, "make the bridge, or grant it to network-bridge by name in policy.toml".to_owned())
        };
        let message = format!("there is no bridge {} that policy grants", plan.bridge);
        all.push(finding(severity, "bridge-missing", &plan.bridge, message, &remedy));
        return all;
    };
    let again = if own {
        format!("fief network stop {network}, then fief network start {network}")
    } else {
        "it is the operator's own".to_owned()
    };
    let mut add = |severity, code, message| all.push(finding(severity, code, &bridge.name, message, &again));
    if bridge.kind != "bridge" {
        add(Severity::Blocker, "not-a-bridge", format!("{} is there, and is no bridge", bridge.name));
        return all;
    }
    if own && !bridge.owned {
        add(Severity::Blocker, "bridge-foreign", format!("the bridge {} is not one that fief made", bridge.name));
    }
    if !bridge.up {
        add(Severity::Blocker, "bridge-down", format!("the bridge {} is switched off", bridge.name));
    }
    if let Some(mtu) = plan.mtu.filter(|mtu| *mtu != bridge.mtu) {
        let message = format!("the bridge {} takes packets of {} bytes, not of {mtu}", bridge.name, bridge.mtu);
        add(Severity::Warning, "mtu-differs", message);
    }
    all
}

fn uplink(plan: &Plan, card: &Card, tagged: bool, up: bool, links: &[Link], all: &mut Vec<Finding>) {
    let found = match card.among(links) {
        Ok((name, _)) => links.iter().find(|link| link.name == name).ok_or(name),
        Err(error) => Err(error.message),
    };
    let link = match found {
        Ok(link) => link,
        Err(what) => {
            let remedy = "plug it in, or grant it to network-bridge by name in policy.toml";
            let message = format!("the uplink is not there: {what}");
            all.push(finding(Severity::Blocker, "uplink-missing", &plan.bridge, message, remedy));
            return;
        }
    };
    if !tagged && let Some(other) = link.bridge.as_deref().filter(|other| *other != plan.bridge) {
        let message = format!("{} is in the bridge {other}", link.name);
        let remedy = format!("ip link set {} nomaster, or use {other} itself: bridge = \"{other}\" alone", link.name);
        all.push(finding(Severity::Blocker, "uplink-elsewhere", &link.name, message, &remedy));
    }
    if up && !link.up {
        let remedy = format!("ip link set {} up", link.name);
        all.push(finding(
            Severity::Blocker,
            "uplink-down",
            &link.name,
            format!("{} is switched off", link.name),
            &remedy,
        ));
    }
}

fn finding(severity: Severity, code: &str, object: &str, message: String, remedy: &str) -> Finding {
    Finding { severity, code: code.into(), object: object.into(), message, remedy: Some(remedy.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{link, plan};

    fn codes(pairs: &[(&str, &str)], links: &[Link]) -> Vec<String> {
        findings("lan", &plan(pairs).unwrap(), links).into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn each_fault_has_its_code_and_a_network_as_it_should_be_none() {
        let mac = "52:54:00:00:00:01";
        let bridge = || Link { owned: true, ..link("fief-lan", "bridge", mac) };
        let card = || Link { bridge: Some("fief-lan".into()), ..link("eth0", "ether", mac) };
        let lan = &[("uplink", "eth0")][..];
        assert!(codes(lan, &[bridge(), card()]).is_empty());
        assert!(codes(&[("uplink", mac)], &[bridge(), card()]).is_empty());
        assert_eq!(codes(lan, &[link("eth0", "ether", mac)]), ["bridge-missing"]);
        assert_eq!(codes(lan, &[bridge()]), ["uplink-missing"]);
        assert_eq!(codes(lan, &[bridge(), Link { up: false, ..card() }]), ["uplink-down"]);
        let elsewhere = Link { bridge: Some("br7".into()), ..card() };
        assert_eq!(codes(lan, &[bridge(), elsewhere]), ["uplink-elsewhere"]);
        assert_eq!(codes(lan, &[Link { owned: false, ..bridge() }, card()]), ["bridge-foreign"]);
        assert_eq!(codes(lan, &[Link { kind: "veth".into(), ..bridge() }, card()]), ["not-a-bridge"]);
        let larger = &[("uplink", "eth0"), ("mtu", "9000")][..];
        assert_eq!(codes(larger, &[Link { up: false, ..bridge() }, card()]), ["bridge-down", "mtu-differs"]);
        let joined = &[("bridge", "br0")][..];
        assert!(codes(joined, &[link("br0", "bridge", mac)]).is_empty());
        assert_eq!(codes(joined, &[]), ["bridge-missing"]);
    }
}
