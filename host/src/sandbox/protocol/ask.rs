//! What a plugin asks of the host, in the raw words of the WIT packages, and what the host answers.

use serde::{Deserialize, Serialize};

use super::moving::{Step, StepReply};
use crate::gate::operation::{ImageFacts, ImageFormat, LinkFacts, Preallocation, SnapshotFacts};

/// A function of a host interface that the plugin called (storage.wit `images`, network.wit `bridges`, migration.wit
/// `session`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Ask {
    ImageCreate {
        directory: String,
        path: String,
        format: ImageFormat,
        size: u64,
        preallocation: Preallocation,
        backing: Option<String>,
    },
    ImageInspect {
        directory: String,
        path: String,
    },
    ImageResize {
        directory: String,
        path: String,
        size: u64,
    },
    ImageDelete {
        directory: String,
        path: String,
    },
    ImageRename {
        directory: String,
        path: String,
        to: String,
    },
    ImageCopy {
        directory: String,
        source: String,
        snapshot: Option<String>,
        target: String,
        format: ImageFormat,
    },
    SnapshotCreate {
        directory: String,
        path: String,
        name: String,
    },
    SnapshotDelete {
        directory: String,
        path: String,
        name: String,
    },
    SnapshotRevert {
        directory: String,
        path: String,
        name: String,
    },
    Snapshots {
        directory: String,
        path: String,
    },
    Space {
        directory: String,
    },
    Links,
    Ensure {
        name: String,
        stp: bool,
        mtu: Option<u32>,
        mac: Option<String>,
    },
    Join {
        bridge: String,
    },
    Enslave {
        bridge: String,
        link: String,
        vlan: Option<u16>,
    },
    Address {
        bridge: String,
        cidr: String,
    },
    Limit {
        bridge: String,
        reach: RawReach,
    },
    ServeDhcp {
        bridge: String,
        dhcp: RawDhcp,
    },
    /// A stream, by the name of its grant.
    Connect {
        grant: String,
    },
    /// The bytes of a secret, by its name.
    Reveal {
        secret: String,
    },
    /// Of the move that the call is about.
    Step(Step),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RawReach {
    Isolated,
    HostOnly,
    Routed,
    Nat(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RawDhcp {
    pub range_start: String,
    pub range_end: String,
    pub netmask: String,
    pub router: Option<String>,
    pub dns: Vec<String>,
    pub domain: Option<String>,
    pub lease_seconds: u32,
    pub reservations: Vec<(String, String)>,
}

/// What the host answers an [`Ask`] with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Reply {
    Nothing,
    Image(ImageFacts),
    Snapshot(SnapshotFacts),
    Snapshots(Vec<SnapshotFacts>),
    Space {
        capacity: u64,
        available: u64,
    },
    Link(LinkFacts),
    Links(Vec<LinkFacts>),
    /// The connected stream is the descriptor beside this frame.
    Connection,
    /// The secret's bytes, from the first to the last, are in the file whose descriptor is beside this frame: no frame
    /// ever holds them.
    Secret,
    Step(StepReply),
}
