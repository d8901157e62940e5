//! Pools and their volumes: what a storage plugin says, checked, and what a hypervisor gets from it.
//!
//! ```text
//!   pool.rs      the pool of a name: defined, opened, forgotten
//!   call.rs      a question to its plugin, or a change: lock ▸ finish what was cut off ▸ call ▸ check ▸ seal or undo
//!   volume.rs    volumes            snapshot.rs   their snapshots         attach.rs   the way to a volume
//!   import.rs    volumes out of disks of other hosts                    fence.rs    who may write to a volume
//!   answer.rs    what of a plugin's answer is believed (pure)            recover.rs   after a change that was killed
//! ```

mod answer;
mod attach;
mod call;
mod fence;
mod import;
mod pool;
mod recover;
mod snapshot;
mod volume;

use std::os::fd::OwnedFd;

use crate::gate::operation::{ImageFormat, Preallocation};
use crate::types::{ByteSize, VolumeName};

pub use import::{Import, detect_foreign, inspect_foreign};
pub use pool::Pool;

/// What the hypervisor opens for one disk: an image and those it stands on, top first, as open descriptors.
#[derive(Debug)]
pub struct BlockSource {
    pub chain: Vec<(ImageFormat, OwnedFd)>,
    pub read_only: bool,
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
