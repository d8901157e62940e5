//! Pools and their volumes: what a storage plugin says, checked, and what a hypervisor gets from it.
//!
//! ```text
//!   pool.rs      the pool of a name: defined, opened, forgotten
//!   call.rs      a question to its plugin, or a change: lock ▸ finish what was cut off ▸ call ▸ check ▸ seal or undo
//!   volume.rs    volumes            snapshot.rs   their snapshots         attach.rs   the way to a volume
//!   import.rs    volumes out of disks of other hosts                    fence.rs    who may write to a volume
//!   note.rs      whether two hosts reach one and the same volume
//!   transport.rs which way a guest goes, where the pool leaves that open
//!   native.rs    servers that the hypervisor's own clients speak with     secret.rs   secrets, as pools name them
//!   look.rs      what pools are like now, all asked side by side
//!   away.rs      storage that did not answer a moment ago           trial.rs   single calls of a plugin that is tried out
//!   answer.rs    what of a plugin's answer is believed (pure)            recover.rs   after a change that was killed
//!   compare.rs   a pool, as two versions of its plugin see it
//! ```

mod answer;
mod attach;
mod away;
mod call;
mod compare;
mod fence;
mod identity;
mod import;
pub mod look;
mod native;
mod note;
mod pool;
mod recover;
mod secret;
mod serve;
mod snapshot;
mod transport;
mod trial;
mod volume;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use crate::gate::operation::{ImageFormat, ImageRef, Preallocation};
use crate::types::{ByteSize, PluginId, Secret, VolumeName};

pub use compare::compare;
pub use import::{Import, detect_foreign, inspect_foreign};
pub use pool::Pool;
pub use secret::pools_naming;
pub use serve::Service;
pub use transport::{Client, Said, Transport};
pub use trial::Refusal;

/// What the hypervisor opens for one disk.
#[derive(Debug)]
pub struct BlockSource {
    pub way: Way,
    pub read_only: bool,
}

/// How a copy comes to the bytes of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    Image {
        image: ImageRef,
        format: ImageFormat,
    },
    /// This plugin serves them, as a raw disk.
    Served {
        plugin: PluginId,
    },
}

/// How a hypervisor comes to the bytes of a disk.
#[derive(Debug)]
pub enum Way {
    /// An image and those it stands on, top first, as open descriptors.
    Files(Vec<(ImageFormat, OwnedFd)>),
    /// Its own client of an NFS server.
    Nfs(NfsDisk),
    /// Its own initiator.
    Iscsi(IscsiDisk),
    /// Its own client of an NBD server.
    Nbd(NbdDisk),
    /// A plugin serves them, in a sandbox that the domain's supervisor starts.
    Served(Served),
}

impl Way {
    /// Whether the hypervisor itself speaks with a server, and so needs the network of the host.
    pub const fn needs_host_network(&self) -> bool {
        match self {
            Way::Files(_) | Way::Served(_) => false,
            Way::Nfs(_) | Way::Iscsi(_) | Way::Nbd(_) => true,
        }
    }
}

/// Checked against policy: what stands here may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NfsDisk {
    pub server: String,
    /// What the server exports, and the image's path below it.
    pub share: String,
    pub path: String,
    /// Who the client says that it is (AUTH_SYS, RFC 5531); the hypervisor's own user where absent.
    pub user: Option<u32>,
    pub group: Option<u32>,
    pub format: ImageFormat,
}

/// Checked against policy: what stands here may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IscsiDisk {
    /// `ADDRESS:PORT`.
    pub portal: String,
    pub target: String,
    pub lun: u32,
    /// The initiator's name, where the target is to know it.
    pub initiator: Option<String>,
    /// CHAP, one way.
    pub login: Option<Login>,
    pub header_digest: bool,
}

/// Checked against policy: what stands here may be reached. A raw disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NbdDisk {
    pub server: SocketAddr,
    pub export: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub user: String,
    pub password: Secret,
}

/// A raw disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    pub volume: VolumeName,
    /// Which attachment it is; an older one is refused once a newer was served.
    pub generation: u64,
}

impl Served {
    /// The name of the export.
    pub fn export(&self) -> String {
        format!("{}@{}", self.volume, self.generation)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeSpec {
    pub name: VolumeName,
    pub size: ByteSize,
    pub format: ImageFormat,
    pub preallocation: Preallocation,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolInfo {
    pub identity: String,
    pub capacity: Option<ByteSize>,
    pub available: Option<ByteSize>,
    pub reachable_from_peers: bool,
}

#[cfg(test)]
mod tests;
