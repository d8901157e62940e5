//! Whether the domain's cards find the networks that they are on.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Facts, Findings};
use crate::types::{MacAddress, NetworkName, PluginId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CardFacts {
    pub network: NetworkName,
    pub mac: MacAddress,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NetworkFacts {
    pub name: NetworkName,
    /// What serves it.
    pub plugin: Option<PluginId>,
    /// None where its host cannot say.
    pub up: Option<bool>,
    /// Whether its guests are on a wire with machines outside of its host; where not, no connection of theirs lives on.
    /// None where it is down, or its host cannot say.
    pub reaches_out: Option<bool>,
    pub mtu: Option<u32>,
    /// That are reached through it.
    pub subnets: BTreeSet<String>,
}

pub(super) fn check(facts: &Facts, found: &mut Findings) {
    let (source, target) = (&facts.source, &facts.target);
    let names: BTreeSet<&NetworkName> = facts.domain.cards.iter().map(|card| &card.network).collect();
    for name in names {
        let of = |networks: &'_ [NetworkFacts]| networks.iter().position(|network| network.name == *name);
        let Some(there) = of(&target.networks).map(|at| &target.networks[at]) else {
            let message = format!("{} has no network of this name", target.name);
            found.blocker("network-missing", name, message, format!("`fief network create` it on {}", target.name));
            continue;
        };
        match there.up {
            Some(true) => {}
            Some(false) => {
                let message = format!("it is down on {}, and goes up as the domain comes", target.name);
                found.warning("network-down", name, message, format!("`fief network start {name}` on {}", target.name));
            }
            None => {
                let message = format!("{} cannot say whether it is up", target.name);
                found.blocker(
                    "network-unknown",
                    name,
                    message,
                    format!("`fief network check {name}` on {}", target.name),
                );
            }
        }
        let Some(here) = of(&source.networks).map(|at| &source.networks[at]) else { continue };
        if facts.with_memory() {
            reach(facts, here, there, found);
        }
    }
}

/// What a guest that goes on notices.
fn reach(facts: &Facts, here: &NetworkFacts, there: &NetworkFacts, found: &mut Findings) {
    let (name, target) = (&here.name, &facts.target.name);
    if here.reaches_out == Some(false) || there.reaches_out == Some(false) {
        let message =
            format!("it does not reach beyond its host: what the guest speaks with here it loses on {target}");
        found.warning("network-inward", name, message, "give it a card on a network with an uplink");
    }
    if !here.subnets.is_empty() && !there.subnets.is_empty() && here.subnets.is_disjoint(&there.subnets) {
        let list = |subnets: &BTreeSet<String>| subnets.iter().cloned().collect::<Vec<_>>().join(" ");
        let message = format!("it is {} here, and {} on {target}", list(&here.subnets), list(&there.subnets));
        found.blocker(
            "network-subnet",
            name,
            message,
            "both have to be one network, or its addresses lead nowhere there",
        );
    }
    if let (Some(mtu), Some(other)) = (here.mtu, there.mtu)
        && other < mtu
    {
        let message = format!("frames of {mtu} bytes pass here, and of {other} on {target}");
        found.warning("network-mtu", name, message, "give both the same MTU");
    }
}
