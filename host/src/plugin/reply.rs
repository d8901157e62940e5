//! From what an operation brought forth to what the plugin is answered. In a dry run nothing was brought forth, and
//! the answer is what the operation would most likely have given.

use crate::gate::operation::{ImageFacts, ImageSnapshot, LinkFacts, SnapshotFacts};
use crate::gate::{Operation, Outcome};
use crate::sandbox::protocol::Reply;
use crate::types::ByteSize;

/// What to do with an outcome.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Next {
    Answer(Reply),
    /// The outcome says that all was so already; this reads how it is. Then [`read`] gives the answer.
    Read(Operation),
    /// A dry run does not do it, and what would have followed cannot be guessed.
    Withheld,
    /// The outcome is not one that the operation has: a fault of the host's.
    Mismatch,
}

/// What a plugin is told of a snapshot.
fn told(ImageSnapshot { name, created, .. }: ImageSnapshot) -> SnapshotFacts {
    SnapshotFacts { name, created }
}

/// `Mismatch` where the outcome is not one that the operation has.
pub(super) fn reply(operation: &Operation, outcome: Outcome) -> Next {
    match outcome {
        Outcome::Image { facts } | Outcome::ImageMade { facts, .. } | Outcome::ImageResized { facts, .. } => {
            Next::Answer(Reply::Image(facts))
        }
        Outcome::Snapshot { facts, .. } => Next::Answer(Reply::Snapshot(facts)),
        Outcome::Snapshots { all } => Next::Answer(Reply::Snapshots(all.into_iter().map(told).collect())),
        Outcome::Space { capacity, available } => {
            Next::Answer(Reply::Space { capacity: capacity.bytes(), available: available.bytes() })
        }
        Outcome::Links { all } => Next::Answer(Reply::Links(all)),
        Outcome::Link { facts } => Next::Answer(Reply::Link(facts)),
        Outcome::ImageRenamed { .. }
        | Outcome::ImageSetAside { .. }
        | Outcome::SnapshotGone { .. }
        | Outcome::Set
        | Outcome::Served { .. } => Next::Answer(Reply::Nothing),
        Outcome::Connected { .. } => Next::Answer(Reply::Connection),
        Outcome::Revealed => Next::Answer(Reply::Secret),
        Outcome::Unchanged => unchanged(operation),
        Outcome::Assumed if matches!(operation, Operation::ConnectionOpen { .. }) => Next::Withheld,
        Outcome::Assumed => Next::Answer(assumed(operation)),
        Outcome::Directory
        | Outcome::Format { .. }
        | Outcome::DiskCopied { .. }
        | Outcome::DiskFile { .. }
        | Outcome::Chain { .. }
        | Outcome::Tap { .. }
        | Outcome::Process { .. }
        | Outcome::Probed { .. } => Next::Mismatch,
    }
}

fn unchanged(operation: &Operation) -> Next {
    match operation {
        Operation::ImageCreate { image, .. } | Operation::ImageResize { image, .. } => {
            Next::Read(Operation::ImageInspect { image: image.clone() })
        }
        Operation::ImageCopy { image, target, .. } => {
            let mut image = image.clone();
            image.path = target.clone();
            Next::Read(Operation::ImageInspect { image })
        }
        Operation::SnapshotCreate { image, .. } => Next::Read(Operation::SnapshotList { image: image.clone() }),
        Operation::BridgeCreate { network, .. } | Operation::BridgeJoin { network, .. } => {
            Next::Read(Operation::LinkList { network: network.clone() })
        }
        Operation::ImageDelete { .. }
        | Operation::ImageRename { .. }
        | Operation::SnapshotDelete { .. }
        | Operation::SnapshotRevert { .. }
        | Operation::SnapshotDate { .. }
        | Operation::IdentityInspect { .. }
        | Operation::IdentityReset { .. }
        | Operation::BridgeAddress { .. }
        | Operation::LinkEnslave { .. }
        | Operation::BridgeReach { .. }
        | Operation::DhcpServe { .. } => Next::Answer(Reply::Nothing),
        Operation::DirectoryOpen { .. }
        | Operation::DirectorySpace { .. }
        | Operation::ImageInspect { .. }
        | Operation::SnapshotList { .. }
        | Operation::ForeignInspect { .. }
        | Operation::ForeignDetect { .. }
        | Operation::DiskCopy { .. }
        | Operation::ImageServe { .. }
        | Operation::ImageOpen { .. }
        | Operation::FenceBreak { .. }
        | Operation::LinkList { .. }
        | Operation::TapCreate { .. }
        | Operation::HypervisorProbe { .. }
        | Operation::ServedFolder { .. }
        | Operation::ServedListen { .. }
        | Operation::MemoryListen { .. }
        | Operation::MemoryFolder { .. }
        | Operation::ServingStart { .. }
        | Operation::HypervisorStart { .. }
        | Operation::ConnectionOpen { .. }
        | Operation::ConnectionResolve { .. }
        | Operation::SecretReveal { .. }
        | Operation::SecretSet { .. }
        | Operation::SecretDelete { .. }
        | Operation::PeerInvite { .. }
        | Operation::PeerPin { .. }
        | Operation::PeerForget { .. }
        | Operation::PolicyEdit { .. } => Next::Mismatch,
    }
}

/// The answer to `operation` from what [`Next::Read`] read; none where it is not there after all.
pub(super) fn read(operation: &Operation, outcome: Outcome) -> Option<Reply> {
    match (operation, outcome) {
        (Operation::SnapshotCreate { snapshot, .. }, Outcome::Snapshots { all }) => {
            all.into_iter().find(|facts| facts.name == snapshot.as_str()).map(|found| Reply::Snapshot(told(found)))
        }
        (Operation::BridgeCreate { bridge, .. } | Operation::BridgeJoin { bridge, .. }, Outcome::Links { all }) => {
            all.into_iter().find(|facts| facts.name == bridge.as_str()).map(Reply::Link)
        }
        (_, Outcome::Image { facts }) => Some(Reply::Image(facts)),
        (_, _) => None,
    }
}

fn assumed(operation: &Operation) -> Reply {
    match operation {
        Operation::ImageCreate { format, size, backing, .. } => Reply::Image(ImageFacts {
            format: *format,
            virtual_size: *size,
            allocated: ByteSize::from_bytes(0),
            backing: backing.clone(),
        }),
        Operation::ImageResize { image, size } => Reply::Image(ImageFacts {
            format: guessed(image.path.as_str()),
            virtual_size: *size,
            allocated: ByteSize::from_bytes(0),
            backing: None,
        }),
        Operation::ImageCopy { format, .. } => Reply::Image(ImageFacts {
            format: *format,
            virtual_size: ByteSize::from_bytes(0),
            allocated: ByteSize::from_bytes(0),
            backing: None,
        }),
        Operation::SnapshotCreate { snapshot, .. } => {
            Reply::Snapshot(SnapshotFacts { name: snapshot.to_string(), created: 0 })
        }
        Operation::BridgeCreate { bridge, mtu, mac, .. } => Reply::Link(LinkFacts {
            name: bridge.to_string(),
            kind: "bridge".into(),
            mac: mac.map(|mac| mac.to_string()).unwrap_or_default(),
            mtu: mtu.unwrap_or(1500),
            up: true,
            addresses: Vec::new(),
            bridge: None,
            owned: true,
            bridge_id: None,
            stp: false,
        }),
        Operation::BridgeJoin { bridge, .. } => Reply::Link(LinkFacts {
            name: bridge.to_string(),
            kind: "bridge".into(),
            mac: String::new(),
            mtu: 1500,
            up: true,
            addresses: Vec::new(),
            bridge: None,
            owned: false,
            bridge_id: None,
            stp: false,
        }),
        Operation::DirectoryOpen { .. }
        | Operation::DirectorySpace { .. }
        | Operation::ImageInspect { .. }
        | Operation::ImageDelete { .. }
        | Operation::ImageRename { .. }
        | Operation::SnapshotDelete { .. }
        | Operation::SnapshotRevert { .. }
        | Operation::SnapshotDate { .. }
        | Operation::IdentityInspect { .. }
        | Operation::IdentityReset { .. }
        | Operation::SnapshotList { .. }
        | Operation::ForeignInspect { .. }
        | Operation::ForeignDetect { .. }
        | Operation::DiskCopy { .. }
        | Operation::ImageServe { .. }
        | Operation::ImageOpen { .. }
        | Operation::FenceBreak { .. }
        | Operation::LinkList { .. }
        | Operation::BridgeAddress { .. }
        | Operation::LinkEnslave { .. }
        | Operation::BridgeReach { .. }
        | Operation::DhcpServe { .. }
        | Operation::TapCreate { .. }
        | Operation::HypervisorProbe { .. }
        | Operation::ServedFolder { .. }
        | Operation::ServedListen { .. }
        | Operation::MemoryListen { .. }
        | Operation::MemoryFolder { .. }
        | Operation::ServingStart { .. }
        | Operation::HypervisorStart { .. }
        | Operation::ConnectionOpen { .. }
        | Operation::ConnectionResolve { .. }
        | Operation::SecretReveal { .. }
        | Operation::SecretSet { .. }
        | Operation::SecretDelete { .. }
        | Operation::PeerInvite { .. }
        | Operation::PeerPin { .. }
        | Operation::PeerForget { .. }
        | Operation::PolicyEdit { .. } => Reply::Nothing,
    }
}

/// An image that a dry run did not make has its name only.
fn guessed(path: &str) -> crate::gate::operation::ImageFormat {
    use crate::gate::operation::ImageFormat;
    if path.ends_with(".qcow2") { ImageFormat::Qcow2 } else { ImageFormat::Raw }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge() -> Operation {
        Operation::BridgeCreate {
            network: "lab".parse().unwrap(),
            bridge: "fief-lab".parse().unwrap(),
            stp: false,
            mtu: None,
            mac: None,
        }
    }

    #[test]
    fn a_bridge_that_was_there_is_read_and_found_by_name() {
        let Next::Read(list) = reply(&bridge(), Outcome::Unchanged) else { panic!("nothing is read") };
        assert_eq!(list, Operation::LinkList { network: "lab".parse().unwrap() });
        let Reply::Link(facts) = assumed(&bridge()) else { panic!("no link") };
        assert_eq!(read(&bridge(), Outcome::Links { all: vec![facts.clone()] }), Some(Reply::Link(facts)));
        assert_eq!(read(&bridge(), Outcome::Links { all: Vec::new() }), None);
    }

    #[test]
    fn an_outcome_that_no_plugin_may_see_is_not_answered() {
        assert_eq!(reply(&bridge(), Outcome::Tap { index: 1 }), Next::Mismatch);
    }
}
