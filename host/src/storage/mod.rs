//! Pools and their volumes: what a storage plugin says, checked, and what a hypervisor gets from it.

use std::os::fd::OwnedFd;

use crate::config::pool::PoolDefinition;
use crate::error::{Failure, Result};
use crate::gate::Gate;
use crate::gate::operation::{ImageFormat, Preallocation, SnapshotFacts};
use crate::sandbox::protocol::{AttachAccess, CloneStyle, VolumeFacts};
use crate::types::{ByteSize, PoolName, SnapshotName, VolumeName};

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

/// A pool that is being worked on: its definition, and its plugin's sandbox once it is needed. One sandbox serves
/// all calls made through one value. Each change takes the pool's lock, finishes what an earlier, killed change left,
/// and is undone as a whole where it fails.
pub struct Pool {}

impl Pool {
    /// All pools of this host, by name.
    pub fn all(gate: &Gate) -> Result<Vec<PoolDefinition>> {
        let _ = gate;
        Err(Failure::other("no pools yet"))
    }
    /// Checks the definition against policy and the plugin's schema, asks the plugin for `info`, and writes it.
    pub fn define(gate: &Gate, definition: PoolDefinition) -> Result<Pool> {
        let _ = (gate, definition);
        Err(Failure::other("no pools yet"))
    }
    pub fn open(gate: &Gate, name: &PoolName) -> Result<Pool> {
        let _ = (gate, name);
        Err(Failure::other("no pools yet"))
    }
    pub fn definition(&self) -> &PoolDefinition {
        unreachable!("a pool is never made yet")
    }
    /// Forgets the pool; its volumes stay where they are. Works without its plugin.
    pub fn delete(gate: &Gate, name: &PoolName) -> Result<()> {
        let _ = (gate, name);
        Err(Failure::other("no pools yet"))
    }
    pub fn info(&mut self) -> Result<PoolInfo> {
        Err(Failure::other("no pools yet"))
    }
    pub fn volumes(&mut self) -> Result<Vec<VolumeFacts>> {
        Err(Failure::other("no pools yet"))
    }
    pub fn volume(&mut self, name: &VolumeName) -> Result<VolumeFacts> {
        let _ = name;
        Err(Failure::other("no pools yet"))
    }
    pub fn create_volume(&mut self, spec: &VolumeSpec) -> Result<VolumeFacts> {
        let _ = spec;
        Err(Failure::other("no pools yet"))
    }
    pub fn delete_volume(&mut self, name: &VolumeName) -> Result<()> {
        let _ = name;
        Err(Failure::other("no pools yet"))
    }
    pub fn resize_volume(&mut self, name: &VolumeName, size: ByteSize) -> Result<VolumeFacts> {
        let _ = (name, size);
        Err(Failure::other("no pools yet"))
    }
    pub fn clone_volume(
        &mut self,
        source: &VolumeName,
        snapshot: Option<&SnapshotName>,
        target: &VolumeName,
        style: CloneStyle,
    ) -> Result<VolumeFacts> {
        let _ = (source, snapshot, target, style);
        Err(Failure::other("no pools yet"))
    }
    pub fn create_snapshot(&mut self, volume: &VolumeName, name: &SnapshotName) -> Result<SnapshotFacts> {
        let _ = (volume, name);
        Err(Failure::other("no pools yet"))
    }
    pub fn delete_snapshot(&mut self, volume: &VolumeName, name: &SnapshotName) -> Result<()> {
        let _ = (volume, name);
        Err(Failure::other("no pools yet"))
    }
    pub fn revert_snapshot(&mut self, volume: &VolumeName, name: &SnapshotName) -> Result<()> {
        let _ = (volume, name);
        Err(Failure::other("no pools yet"))
    }
    pub fn snapshots(&mut self, volume: &VolumeName) -> Result<Vec<SnapshotFacts>> {
        let _ = volume;
        Err(Failure::other("no pools yet"))
    }
    /// Asks the plugin how the volume is reached, checks the answer against policy, and opens it.
    pub fn attach(&mut self, volume: &VolumeName, access: AttachAccess) -> Result<BlockSource> {
        let _ = (volume, access);
        Err(Failure::other("no pools yet"))
    }
    /// Tells the plugin that the volume is let go.
    pub fn detach(&mut self, volume: &VolumeName) -> Result<()> {
        let _ = volume;
        Err(Failure::other("no pools yet"))
    }
}
