//! What guests may reach: one nftables table a bridge (`inet fief-BRIDGE`), one a tap (`netdev fief-TAP`), each put
//! in place, replaced and removed in one transaction. No other table is touched.

mod admission;
mod nft;
pub(super) mod port;
mod rules;

pub(super) use admission::Admission;
pub use rules::PREFIX;

use super::{Done, Gate, Operation, Outcome};
use crate::error::{Failure, Result};
use crate::gate::operation::Reach;
use crate::types::InterfaceName;

pub(super) fn act(gate: &Gate, operation: &Operation) -> Result<Done> {
    let Operation::BridgeReach { network, bridge, reach } = operation else {
        return Err(Failure::other(format!("{operation:?} is no act on the packet filter")));
    };
    super::link::owned_bridge(network, bridge)?;
    nft::apply(gate, &rules::reach(bridge, reach))
        .map_err(|failure| failure.while_doing(format!("cannot limit what guests reach through bridge {bridge}")))?;
    match reach {
        Reach::Isolated | Reach::HostOnly => {}
        Reach::Routed | Reach::Nat(_) => note_forwarding(),
    }
    Ok(Done { outcome: Outcome::Set, descriptors: Vec::new() })
}

pub(super) fn undo(gate: &Gate, operation: &Operation, outcome: Option<&Outcome>) -> Result<()> {
    match (operation, outcome) {
        (_, Some(Outcome::Unchanged | Outcome::Assumed)) => Ok(()),
        (Operation::BridgeReach { bridge, .. }, _) => nft::apply(gate, &rules::nothing("inet", bridge))
            .map_err(|failure| failure.while_doing(format!("cannot remove the packet filter of bridge {bridge}"))),
        _ => Ok(()),
    }
}

/// What is missing of what the operation set; none where it stands.
pub(super) fn missing(gate: &Gate, operation: &Operation) -> Result<Option<String>> {
    match operation {
        Operation::BridgeReach { bridge, reach, .. } => {
            Ok((!nft::stands(gate, "inet", &rules::table(bridge), rules::chains(reach))?)
                .then(|| format!("the packet filter of bridge {bridge} is gone or was changed")))
        }
        Operation::TapCreate { tap, .. } => {
            Ok((!port::stands(gate, tap)?).then(|| format!("the packet filter of tap {tap} is gone or was changed")))
        }
        _ => Ok(None),
    }
}

/// Does what the operation did to the packet filter once more; none where its link is gone.
pub(super) fn again(gate: &Gate, operation: &Operation) -> Result<Option<Outcome>> {
    let done = match operation {
        Operation::BridgeReach { .. } => act(gate, operation).map(|done| done.outcome),
        Operation::TapCreate { tap, mac, admit_address, spoofing, bandwidth, .. } => {
            let (address, spoofing, bandwidth) = (*admit_address, *spoofing, *bandwidth);
            let admission = Admission { mac: *mac, address, spoofing, bandwidth };
            port::admit(gate, tap, &admission).map(|()| Outcome::Set)
        }
        _ => return Ok(None),
    };
    match done {
        Ok(outcome) => Ok(Some(outcome)),
        // A table of a link cannot be made without the link.
        Err(_) if !standing(operation) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Where it cannot be looked up, it is taken to be there, and what failed is told.
fn standing(operation: &Operation) -> bool {
    link(operation).is_none_or(|link| crate::sys::link::exists(link).unwrap_or(true))
}

/// The link that a table stands before.
pub(super) fn link(operation: &Operation) -> Option<&InterfaceName> {
    match operation {
        Operation::BridgeReach { bridge: link, .. } | Operation::TapCreate { tap: link, .. } => Some(link),
        _ => None,
    }
}

/// The tables that a card stands behind: its own, and that of its bridge.
pub(super) fn tables(operation: &Operation) -> Vec<String> {
    match operation {
        Operation::TapCreate { tap, bridge, .. } => vec![rules::table(tap), rules::table(bridge)],
        _ => Vec::new(),
    }
}

/// Forwarding is a setting of the whole host, so that it stays the operator's to turn on.
fn note_forwarding() {
    if std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|value| value.trim() == "0") {
        tracing::warn!(
            "this host does not forward packets, guests stay inside; `sysctl net.ipv4.ip_forward=1` lets them out"
        );
    }
}

#[cfg(test)]
mod tests;
