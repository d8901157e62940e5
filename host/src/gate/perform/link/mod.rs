//! Links: bridges, their addresses, and taps. What fief makes carries the interface alias `fief:OWNER`, where the
//! owner is the network of a bridge or the domain of a tap; nothing without it is changed or removed.

mod address;
mod bridge;
mod netlink;
mod owner;
mod sysctl;
mod tap;
mod uplink;

pub(super) use owner::owned_bridge;

use std::net::IpAddr;

use super::{Done, Gate, Operation, Outcome};
use crate::error::{Failure, Result};

pub(super) fn act(gate: &Gate, operation: &Operation) -> Result<Done> {
    let outcome = match operation {
        Operation::LinkList { network } => Outcome::Links { all: owner::list(network)? },
        Operation::BridgeCreate { network, bridge, stp, mtu, mac } => {
            bridge::create(network, bridge, *stp, *mtu, *mac)?
        }
        Operation::BridgeAddress { network, bridge, address } => address::set(network, bridge, *address)?,
        Operation::LinkEnslave { network, bridge, link } => {
            uplink::enslave(&uplink::folder(gate, network), network, bridge, link)?
        }
        Operation::TapCreate { domain, tap, bridge, mac, mtu, admit_address } => {
            let tap = tap::Tap { domain, tap, bridge, mac: *mac, mtu: *mtu, admit_address: *admit_address };
            return tap.create(gate);
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
        Operation::LinkEnslave { network, bridge, .. } => uplink::release(&uplink::folder(gate, network), bridge),
        Operation::TapCreate { domain, tap, .. } => tap::remove(gate, domain, tap),
        _ => Ok(()),
    }
}

/// Whether what the operation made is still there; else what is missing.
pub(super) fn missing(gate: &Gate, operation: &Operation) -> Result<Option<String>> {
    match operation {
        Operation::BridgeCreate { network, bridge, .. } => owner::missing_bridge(network, bridge),
        Operation::BridgeAddress { network, bridge, address } => address::missing(network, bridge, *address),
        Operation::LinkEnslave { network, bridge, link } => {
            uplink::missing(&uplink::folder(gate, network), bridge, link)
        }
        _ => Ok(None),
    }
}

/// The links that carry a default route or the route to `peer`, each with what should answer behind it.
pub(in crate::gate) fn operator_links(peer: Option<IpAddr>) -> Result<Vec<(String, Option<IpAddr>)>> {
    netlink::run(async |handle| {
        let links = netlink::Links::read(handle).await?;
        let carrying = uplink::operator_links(handle, peer).await?;
        let named = |index: u32| links.0.iter().find(|link| link.index == index).map(|link| link.name.clone());
        Ok(carrying.into_iter().filter_map(|(index, next)| Some((named(index)?, next))).collect())
    })
}

#[cfg(test)]
mod tests;
