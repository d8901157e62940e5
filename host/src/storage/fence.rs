//! Who may write to a volume, as the storage itself keeps it: other hosts that reach the same storage see it too.

use super::pool::Pool;
use crate::error::Result;
use crate::sandbox::protocol::{Ability, Fence, FenceKind, Holder, StorageCall};
use crate::types::VolumeName;

impl Pool {
    /// None where the plugin keeps no fences.
    pub fn fence(&mut self, volume: &VolumeName) -> Result<Option<Fence>> {
        if !self.can(Ability::Fences)? {
            return Ok(None);
        }
        let show = StorageCall::FenceShow { volume: volume.to_string() };
        self.query(show, |from, answer| from.fence(answer))
            .map(|fence| (fence.kind != FenceKind::None).then_some(fence))
            .map_err(|failure| self.about("look at the fence of", volume, failure))
    }

    /// Takes the fence, or moves it on to a newer generation of the same host and domain. `force` breaks another's hold.
    ///
    /// # Errors
    /// `Conflict` where another holds it.
    pub fn take_fence(&mut self, volume: &VolumeName, holder: &Holder, force: bool) -> Result<()> {
        let take = StorageCall::FenceTake { volume: volume.to_string(), holder: holder.clone(), force };
        self.query(take, |from, answer| {
            let fence = from.fence(answer)?;
            match fence.holder {
                Some(got) if got == *holder => Ok(()),
                Some(_) | None => Err(from.fault("it was to take a fence, and says that another holds it")),
            }
        })
        .map_err(|failure| self.about("take the fence of", volume, failure))
    }

    /// Nothing happens where it is another's.
    pub fn release_fence(&mut self, volume: &VolumeName, holder: &Holder) -> Result<()> {
        let release = StorageCall::FenceRelease { volume: volume.to_string(), holder: holder.clone() };
        self.query(release, |from, answer| from.nothing(&answer))
            .map_err(|failure| self.about("release the fence of", volume, failure))
    }
}
