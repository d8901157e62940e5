//! Links: bridges, their addresses, and taps. What fief makes carries the interface alias `fief:OWNER`, where the
//! owner is the network of a bridge or the domain of a tap; nothing without it is changed or removed.

mod address;
mod bridge;
mod netlink;
mod owner;
mod shape;
mod sysctl;
mod tap;
mod uplink;
mod vlan;

pub(super) use owner::owned_bridge;
pub(in crate::gate) use uplink::{cover, silent};

use super::firewall::Admission;
use super::{Done, Gate, Operation, Outcome};
use crate::error::{Failure, Result};

pub(super) fn act(gate: &Gate, operation: &Operation) -> Result<Done> {
    let outcome = match operation {
        Operation::LinkList { network } => Outcome::Links { all: owner::list(network)? },
        Operation::BridgeCreate { network, bridge, stp, mtu, mac } => {
            bridge::create(network, bridge, *stp, *mtu, *mac)?
        }
        Operation::BridgeAddress { network, bridge, address } => address::set(network, bridge, *address)?,
        Operation::BridgeJoin { network, bridge } => bridge::join(network, bridge)?,
        Operation::LinkEnslave { network, bridge, link, vlan: None } => uplink::enslave(gate, network, bridge, link)?,
        Operation::LinkEnslave { network, bridge, link, vlan: Some(id) } => vlan::enslave(network, bridge, link, *id)?,
        Operation::TapCreate { domain, tap, bridge, mac, mtu, admit_address, spoofing, bandwidth } => {
            let admission =
                Admission { mac: *mac, address: *admit_address, spoofing: *spoofing, bandwidth: *bandwidth };
            return tap::Tap { domain, tap, bridge, mtu: *mtu, admission }.create(gate);
        }
        other => return Err(Failure::other(format!("{other:?} is no act on a link"))),
    };
    Ok(Done { outcome, descriptors: Vec::new() })
}

pub(super) fn undo(gate: &Gate, operation: &Operation, outcome: Option<&Outcome>) -> Result<()> {
    if let Some(Outcome::Unchanged | Outcome::Assumed) = outcome {
        return Ok(());
    }
    match operation {
        Operation::BridgeCreate { network, bridge, mac, .. } => bridge::remove(network, bridge, *mac),
        Operation::BridgeAddress { network, bridge, address } => address::unset(network, bridge, *address),
        Operation::LinkEnslave { network, bridge, vlan: None, .. } => {
            uplink::release(&uplink::folder(gate, network), bridge)
        }
        Operation::LinkEnslave { network, link, vlan: Some(id), .. } => vlan::remove(network, link, *id),
        Operation::TapCreate { domain, tap, .. } => tap::remove(gate, domain, tap),
        _ => Ok(()),
    }
}

/// Whether what the operation made is still there; else what is missing.
pub(super) fn missing(gate: &Gate, operation: &Operation) -> Result<Option<String>> {
    match operation {
        Operation::BridgeCreate { network, bridge, .. } => owner::missing_bridge(network, bridge),
        Operation::BridgeAddress { network, bridge, address } => address::missing(network, bridge, *address),
        Operation::BridgeJoin { bridge, .. } => owner::missing_joined(bridge),
        Operation::LinkEnslave { network, bridge, link, vlan: Some(id) } => vlan::missing(network, bridge, link, *id),
        Operation::LinkEnslave { network, bridge, link, vlan: None } => {
            uplink::missing(&uplink::folder(gate, network), bridge, link)
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests;
