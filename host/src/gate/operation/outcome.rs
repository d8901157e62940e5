//! What an operation brought forth: its answer to the asker, and what undoing it needs.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ImageFormat, ProcessId};
use crate::types::{ByteSize, DiskFormat, RelativePath};

/// An image as its header and the file system tell (storage.wit, `images.image`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageFacts {
    pub format: ImageFormat,
    pub virtual_size: ByteSize,
    pub allocated: ByteSize,
    pub backing: Option<RelativePath>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SnapshotFacts {
    pub name: String,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub created: u64,
}

/// A snapshot as the table of the image has it that it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ImageSnapshot {
    pub name: String,
    /// Seconds since 1970-01-01T00:00:00Z, and nanoseconds past them: of two with one name that follow each other, this differs.
    pub created: u64,
    pub nanos: u32,
    /// What a guest saw of the disk then.
    pub size: ByteSize,
}

/// A network link (network.wit, `link`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LinkFacts {
    pub name: String,
    pub kind: String,
    pub mac: String,
    pub mtu: u32,
    pub up: bool,
    pub addresses: Vec<String>,
    pub bridge: Option<String>,
    pub owned: bool,
    /// Of a bridge: IEEE 802.1D priority and address as `brctl` writes them, `8000.0242ac110002`, and whether it runs STP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge_id: Option<String>,
    #[serde(default)]
    pub stp: bool,
}

/// What an operation brought forth: its answer to the asker, and what undoing it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Outcome {
    /// It already was so; there is nothing to undo.
    Unchanged,
    Directory,
    Space {
        capacity: ByteSize,
        available: ByteSize,
    },
    /// An image that was looked at; of another host's disk, what it would be here.
    Image {
        facts: ImageFacts,
    },
    /// An image that was made: `path` is absolute, (`device`, `inode`) tell it from a later one of that name.
    ImageMade {
        facts: ImageFacts,
        path: PathBuf,
        device: u64,
        inode: u64,
    },
    ImageResized {
        facts: ImageFacts,
        path: PathBuf,
        before: ByteSize,
    },
    /// What a file looks like.
    Format {
        format: DiskFormat,
    },
    /// A disk that was copied, and is on disk; `size` is what a guest sees of it.
    DiskCopied {
        size: ByteSize,
        allocated: ByteSize,
    },
    /// The same in a file that was made for it, told from a later one of that name as an image is.
    DiskFile {
        path: PathBuf,
        device: u64,
        inode: u64,
        size: ByteSize,
        allocated: ByteSize,
    },
    /// Moved aside to `aside`; removed for good when the ledger is sealed, moved back when it is undone.
    ImageSetAside {
        path: PathBuf,
        aside: PathBuf,
    },
    /// From `path` to `to`, both absolute; (`device`, `inode`) tell it from a later one of that name.
    ImageRenamed {
        path: PathBuf,
        to: PathBuf,
        device: u64,
        inode: u64,
    },
    Snapshot {
        facts: SnapshotFacts,
        path: PathBuf,
    },
    SnapshotGone {
        path: PathBuf,
    },
    Snapshots {
        all: Vec<ImageSnapshot>,
    },
    /// The chain of an image, top first; descriptors come beside it in the same order.
    Chain {
        formats: Vec<ImageFormat>,
    },
    Links {
        all: Vec<LinkFacts>,
    },
    Link {
        facts: LinkFacts,
    },
    /// An address or rule that was set.
    Set,
    Served {
        watcher: ProcessId,
        directory: PathBuf,
    },
    Tap {
        index: u32,
    },
    Process {
        process: ProcessId,
    },
    /// A connection was opened, or would go, to `address`. `before`: where it went the last time, if that was another.
    Connected {
        address: SocketAddr,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<IpAddr>,
    },
    /// A secret's bytes are in the descriptor that came beside.
    Revealed,
    /// A probe is over: its exit code (none: a signal ended it, or its time did), and the lines that it said, as they
    /// came.
    Probed {
        code: Option<i32>,
        timed_out: bool,
        said: Vec<String>,
    },
    /// What a dry run answers in place of a change.
    Assumed,
}
