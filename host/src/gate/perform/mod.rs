//! The acts themselves. Each file holds one family, with do and undo side by side.

mod connection;
mod dhcp;
mod directory;
mod firewall;
mod image;
pub(super) mod link;
mod listen;
mod peer;
mod process;
mod secret;
mod serving;

pub use firewall::PREFIX as FILTER_PREFIX;

use std::os::fd::OwnedFd;

use super::{Done, Gate, Operation, Outcome};
use crate::error::{Failure, Result};
use crate::gate::policy;
use crate::types::{DomainName, InterfaceName, ProcessId};

/// Does one operation that was judged and recorded. On failure it leaves nothing of itself behind.
pub(super) fn act(gate: &Gate, operation: &Operation, descriptors: Vec<OwnedFd>) -> Result<Done> {
    match operation {
        Operation::DirectoryOpen { .. } | Operation::DirectorySpace { .. } => directory::act(gate, operation),
        Operation::ImageInspect { .. }
        | Operation::ImageCreate { .. }
        | Operation::ImageResize { .. }
        | Operation::ImageDelete { .. }
        | Operation::ImageRename { .. }
        | Operation::ImageCopy { .. }
        | Operation::SnapshotCreate { .. }
        | Operation::SnapshotDelete { .. }
        | Operation::SnapshotRevert { .. }
        | Operation::SnapshotDate { .. }
        | Operation::IdentityReset { .. }
        | Operation::SnapshotList { .. }
        | Operation::IdentityInspect { .. }
        | Operation::ForeignInspect { .. }
        | Operation::ForeignDetect { .. }
        | Operation::ImageOpen { .. } => image::act(gate, operation),
        Operation::DiskCopy { from, to } => image::copy_disk(gate, from, to, descriptors),
        Operation::ImageServe { image, format, access, snapshot } => {
            image::serve(gate, image, *format, *access, snapshot.as_ref(), descriptors)
        }
        // The plugin does it; see `Gate::through`.
        Operation::FenceBreak { .. } => Err(Failure::other("a fence is no act of the gate's own")),
        Operation::LinkList { .. }
        | Operation::BridgeCreate { .. }
        | Operation::BridgeJoin { .. }
        | Operation::BridgeAddress { .. }
        | Operation::LinkEnslave { .. }
        | Operation::TapCreate { .. } => link::act(gate, operation),
        Operation::BridgeReach { .. } => firewall::act(gate, operation),
        Operation::DhcpServe { .. } => dhcp::act(gate, operation),
        Operation::ServedFolder { .. }
        | Operation::ServedListen { .. }
        | Operation::MemoryListen { .. }
        | Operation::MemoryFolder { .. } => listen::act(gate, operation),
        Operation::ServingStart { .. } => serving::act(gate, operation),
        Operation::HypervisorStart { .. } | Operation::HypervisorProbe { .. } => {
            process::act(gate, operation, descriptors)
        }
        Operation::ConnectionOpen { .. } | Operation::ConnectionResolve { .. } => connection::act(gate, operation),
        Operation::SecretReveal { .. } | Operation::SecretSet { .. } | Operation::SecretDelete { .. } => {
            secret::act(gate, operation, descriptors)
        }
        Operation::PeerInvite { .. } | Operation::PeerPin { .. } | Operation::PeerForget { .. } => {
            peer::act(gate, operation, descriptors)
        }
        Operation::PolicyEdit { plugin, edits } => {
            let outcome = if policy::edit(gate.layout(), plugin, edits)? { Outcome::Set } else { Outcome::Unchanged };
            Ok(Done { outcome, descriptors: Vec::new() })
        }
    }
}

pub(super) fn hypervisors(gate: &Gate, domain: &DomainName) -> Vec<ProcessId> {
    process::marked(&gate.layout().domain(domain))
}

/// Undoes one operation; what is already gone counts as undone. `outcome` is none where fief died in the act.
pub(super) fn undo(gate: &Gate, operation: &Operation, outcome: Option<&Outcome>) -> Result<()> {
    match operation {
        Operation::DirectoryOpen { .. }
        | Operation::DirectorySpace { .. }
        | Operation::ImageInspect { .. }
        | Operation::SnapshotList { .. }
        | Operation::IdentityInspect { .. }
        | Operation::ForeignInspect { .. }
        | Operation::ForeignDetect { .. }
        | Operation::ImageOpen { .. }
        | Operation::FenceBreak { .. }
        | Operation::LinkList { .. }
        | Operation::HypervisorProbe { .. } => Ok(()),
        // Never in a ledger.
        Operation::ConnectionOpen { .. }
        | Operation::ConnectionResolve { .. }
        | Operation::SecretReveal { .. }
        | Operation::SecretSet { .. }
        | Operation::SecretDelete { .. }
        | Operation::PeerInvite { .. }
        | Operation::PeerPin { .. }
        | Operation::PeerForget { .. }
        | Operation::PolicyEdit { .. } => Ok(()),
        Operation::ImageCreate { .. }
        | Operation::ImageResize { .. }
        | Operation::ImageDelete { .. }
        | Operation::ImageRename { .. }
        | Operation::ImageCopy { .. }
        | Operation::DiskCopy { .. }
        | Operation::SnapshotCreate { .. }
        | Operation::SnapshotDelete { .. }
        | Operation::SnapshotRevert { .. }
        | Operation::SnapshotDate { .. }
        | Operation::ImageServe { .. }
        | Operation::IdentityReset { .. } => image::undo(gate, operation, outcome),
        Operation::BridgeCreate { .. }
        | Operation::BridgeJoin { .. }
        | Operation::BridgeAddress { .. }
        | Operation::LinkEnslave { .. }
        | Operation::TapCreate { .. } => link::undo(gate, operation, outcome),
        Operation::BridgeReach { .. } => firewall::undo(gate, operation, outcome),
        Operation::DhcpServe { .. } => dhcp::undo(gate, operation, outcome),
        Operation::ServedFolder { .. }
        | Operation::ServedListen { .. }
        | Operation::MemoryListen { .. }
        | Operation::MemoryFolder { .. } => listen::undo(gate, operation),
        Operation::ServingStart { .. } => serving::undo(operation, outcome),
        Operation::HypervisorStart { .. } => process::undo(gate, operation, outcome),
    }
}

/// Makes one change final.
pub(super) fn seal(gate: &Gate, operation: &Operation, outcome: Option<&Outcome>) -> Result<()> {
    match operation {
        Operation::ImageCreate { .. }
        | Operation::ImageResize { .. }
        | Operation::ImageDelete { .. }
        | Operation::ImageRename { .. }
        | Operation::ImageCopy { .. }
        | Operation::DiskCopy { .. }
        | Operation::SnapshotCreate { .. } => image::seal(gate, operation, outcome),
        Operation::DirectoryOpen { .. }
        | Operation::DirectorySpace { .. }
        | Operation::ImageInspect { .. }
        | Operation::SnapshotList { .. }
        | Operation::IdentityInspect { .. }
        | Operation::ForeignInspect { .. }
        | Operation::ForeignDetect { .. }
        | Operation::ImageServe { .. }
        | Operation::ImageOpen { .. }
        | Operation::FenceBreak { .. }
        | Operation::LinkList { .. }
        | Operation::SnapshotDelete { .. }
        | Operation::SnapshotRevert { .. }
        | Operation::SnapshotDate { .. }
        | Operation::IdentityReset { .. }
        | Operation::BridgeCreate { .. }
        | Operation::BridgeJoin { .. }
        | Operation::BridgeAddress { .. }
        | Operation::LinkEnslave { .. }
        | Operation::TapCreate { .. }
        | Operation::BridgeReach { .. }
        | Operation::DhcpServe { .. }
        | Operation::ServedFolder { .. }
        | Operation::ServedListen { .. }
        | Operation::MemoryListen { .. }
        | Operation::MemoryFolder { .. }
        | Operation::ServingStart { .. }
        | Operation::HypervisorStart { .. }
        | Operation::HypervisorProbe { .. }
        | Operation::ConnectionOpen { .. }
        | Operation::ConnectionResolve { .. }
        | Operation::SecretReveal { .. }
        | Operation::SecretSet { .. }
        | Operation::SecretDelete { .. }
        | Operation::PeerInvite { .. }
        | Operation::PeerPin { .. }
        | Operation::PeerForget { .. }
        | Operation::PolicyEdit { .. } => Ok(()),
    }
}

/// The link that the operation put a packet filter before.
pub(super) fn filtered(operation: &Operation) -> Option<&InterfaceName> {
    firewall::link(operation)
}

/// Makes the packet filter of an operation that was done again; none where what it stood before is gone too.
pub(super) fn refilter(gate: &Gate, operation: &Operation) -> Result<Option<Outcome>> {
    firewall::again(gate, operation)
}

/// The names of the packet filter's tables that a card of a domain stands behind.
pub(super) fn filter_tables(operation: &Operation) -> Vec<String> {
    firewall::tables(operation)
}

/// What is missing of what an operation did, looked up now; none where it stands. Only links, packet filters and DHCP
/// are looked at: other tools of the host change these.
pub(super) fn missing(gate: &Gate, operation: &Operation) -> Result<Option<String>> {
    match operation {
        Operation::BridgeCreate { .. }
        | Operation::BridgeJoin { .. }
        | Operation::BridgeAddress { .. }
        | Operation::LinkEnslave { .. } => link::missing(gate, operation),
        Operation::BridgeReach { .. } | Operation::TapCreate { .. } => firewall::missing(gate, operation),
        Operation::DhcpServe { .. } => dhcp::missing(gate, operation),
        Operation::DirectoryOpen { .. }
        | Operation::DirectorySpace { .. }
        | Operation::ImageInspect { .. }
        | Operation::ImageCreate { .. }
        | Operation::ImageResize { .. }
        | Operation::ImageDelete { .. }
        | Operation::ImageRename { .. }
        | Operation::ImageCopy { .. }
        | Operation::SnapshotCreate { .. }
        | Operation::SnapshotDelete { .. }
        | Operation::SnapshotRevert { .. }
        | Operation::SnapshotDate { .. }
        | Operation::IdentityReset { .. }
        | Operation::SnapshotList { .. }
        | Operation::IdentityInspect { .. }
        | Operation::ForeignInspect { .. }
        | Operation::ForeignDetect { .. }
        | Operation::DiskCopy { .. }
        | Operation::ImageServe { .. }
        | Operation::ImageOpen { .. }
        | Operation::FenceBreak { .. }
        | Operation::LinkList { .. }
        | Operation::ServedFolder { .. }
        | Operation::ServedListen { .. }
        | Operation::MemoryListen { .. }
        | Operation::MemoryFolder { .. }
        | Operation::ServingStart { .. }
        | Operation::HypervisorStart { .. }
        | Operation::HypervisorProbe { .. }
        | Operation::ConnectionOpen { .. }
        | Operation::ConnectionResolve { .. }
        | Operation::SecretReveal { .. }
        | Operation::SecretSet { .. }
        | Operation::SecretDelete { .. }
        | Operation::PeerInvite { .. }
        | Operation::PeerPin { .. }
        | Operation::PeerForget { .. }
        | Operation::PolicyEdit { .. } => Ok(None),
    }
}
