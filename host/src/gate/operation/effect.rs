//! Whether an operation changes anything, and how long the change lasts.

use super::{Operation, Purpose};

/// Whether an operation changes anything, and whether the change outlives a reboot of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Reads only: not written to the ledger, done in a dry run too.
    None,
    /// One act as a whole, with nothing on this host to undo: not in the ledger, shown in a dry run.
    Final,
    /// Gone with the kernel that runs now (a link, a process): its ledger line need not be synced to disk.
    UntilReboot,
    /// On disk: its ledger line is synced before the act.
    Lasting,
}

impl Operation {
    pub const fn effect(&self) -> Effect {
        match self {
            Operation::DirectoryOpen { .. }
            | Operation::DirectorySpace { .. }
            | Operation::ImageInspect { .. }
            | Operation::SnapshotList { .. }
            | Operation::IdentityInspect { .. }
            | Operation::ForeignInspect { .. }
            | Operation::ForeignDetect { .. }
            | Operation::ImageOpen { .. }
            | Operation::LinkList { .. }
            | Operation::HypervisorProbe { .. }
            | Operation::ConnectionOpen { purpose: Purpose::Ask | Purpose::Look, .. }
            | Operation::ConnectionResolve { .. }
            | Operation::SecretReveal { .. } => Effect::None,
            Operation::ConnectionOpen { purpose: Purpose::Change, .. }
            | Operation::SecretSet { .. }
            | Operation::SecretDelete { .. }
            | Operation::PeerInvite { .. }
            | Operation::PeerPin { .. }
            | Operation::PeerForget { .. }
            | Operation::PolicyEdit { .. } => Effect::Final,
            Operation::BridgeCreate { .. }
            | Operation::BridgeJoin { .. }
            | Operation::BridgeAddress { .. }
            | Operation::BridgeReach { .. }
            | Operation::LinkEnslave { .. }
            | Operation::DhcpServe { .. }
            | Operation::TapCreate { .. }
            | Operation::ServedFolder { .. }
            | Operation::ServedListen { .. }
            | Operation::MemoryListen { .. }
            | Operation::MemoryFolder { .. }
            | Operation::ServingStart { .. }
            | Operation::ImageServe { .. }
            | Operation::HypervisorStart { .. } => Effect::UntilReboot,
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
            | Operation::IdentityReset { .. }
            | Operation::FenceBreak { .. } => Effect::Lasting,
        }
    }

    /// Whether it has a line in the audit file though it changes nothing: it reaches out of the host, or hands over what
    /// is to stay with it.
    pub const fn is_told(&self) -> bool {
        matches!(
            self,
            Operation::ConnectionOpen { .. } | Operation::ConnectionResolve { .. } | Operation::SecretReveal { .. }
        )
    }
}
