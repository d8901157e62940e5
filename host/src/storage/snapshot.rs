//! Snapshots of volumes, where the pool's plugin has them.

use super::pool::Pool;
use crate::error::Result;
use crate::gate::operation::SnapshotFacts;
use crate::sandbox::protocol::{Ability, StorageCall};
use crate::types::{SnapshotName, VolumeName};

impl Pool {
    pub fn has_snapshots(&mut self) -> Result<bool> {
        self.can(Ability::Snapshots)
    }

    /// Whether a volume that is made here can have any: inside of the image that it is.
    pub fn makes_with_snapshots(&mut self) -> Result<bool> {
        Ok(self.keeps_formats() && self.can(Ability::Snapshots)?)
    }

    /// `note` as for [`Pool::create_new_volume`].
    pub fn create_snapshot(
        &mut self,
        volume: &VolumeName,
        name: &SnapshotName,
        note: impl FnOnce() -> Result<()>,
    ) -> Result<SnapshotFacts> {
        let function = StorageCall::SnapshotCreate { volume: volume.to_string(), name: name.to_string() };
        let noted = |facts| note().map(|()| facts);
        self.change(function, |from, answer| from.snapshot(answer, name).and_then(noted))
            .map_err(|failure| self.about(&format!("make the snapshot {name} of"), volume, failure))
    }

    /// What the snapshot held is lost: this cannot be undone.
    pub fn delete_snapshot(&mut self, volume: &VolumeName, name: &SnapshotName) -> Result<()> {
        let function = StorageCall::SnapshotDelete { volume: volume.to_string(), name: name.to_string() };
        self.change(function, |from, answer| from.nothing(&answer))
            .map_err(|failure| self.about(&format!("delete the snapshot {name} of"), volume, failure))
    }

    /// What was written to the volume since is lost: this cannot be undone.
    pub fn revert_snapshot(&mut self, volume: &VolumeName, name: &SnapshotName) -> Result<()> {
        let function = StorageCall::SnapshotRevert { volume: volume.to_string(), name: name.to_string() };
        self.change(function, |from, answer| from.nothing(&answer))
            .map_err(|failure| self.about(&format!("go back to the snapshot {name} of"), volume, failure))
    }

    pub fn snapshots(&mut self, volume: &VolumeName) -> Result<Vec<SnapshotFacts>> {
        self.query(StorageCall::Snapshots { volume: volume.to_string() }, |from, answer| from.snapshots(answer))
            .map_err(|failure| self.about("list the snapshots of", volume, failure))
    }
}
