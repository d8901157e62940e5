//! Disks that plugins serve, as the loop has them: their keepers (domain/keeper.rs), and what is heard of them.

use tokio::sync::mpsc::UnboundedReceiver;

use super::connect::Connected;
use super::watch::Loop;
use crate::domain::hold;
use crate::domain::keeper::{self, Keeper, News, Renewal, Tell, Told};
use crate::domain::state::Happening;
use crate::error::Result;
use crate::hypervisor::qemu::qmp::Monitor;
use crate::storage;
use crate::types::{ByteSize, VolumeRef};

#[derive(Debug)]
pub struct Served {
    pub keepers: Vec<Keeper>,
    /// For those that are still to come.
    pub tell: Tell,
    pub told: UnboundedReceiver<Told>,
}

impl Served {
    /// All of them: the hypervisor is gone, or about to be.
    pub fn close(&mut self) {
        keeper::close(std::mem::take(&mut self.keepers));
    }

    /// That of one volume, whose disk is gone.
    pub fn take(&mut self, volume: &VolumeRef) -> Option<Keeper> {
        let at = self.keepers.iter().position(|keeper| keeper.volume == *volume)?;
        Some(self.keepers.swap_remove(at))
    }

    /// For whoever makes the volume larger.
    pub fn renewal(&self, volume: &VolumeRef) -> Option<Renewal> {
        self.keepers.iter().find(|keeper| keeper.volume == *volume).map(Keeper::renewal)
    }

    pub fn is_at(&self, place: usize) -> bool {
        self.keepers.iter().any(|keeper| keeper.place == place)
    }
}

impl Loop<'_> {
    pub(super) fn served_told(&mut self, Told { volume, news }: Told, connected: &Connected) -> Option<Happening> {
        match news {
            News::Resized(size) => {
                self.grow(&volume, size, &connected.monitor);
                None
            }
            News::Degraded(why) => {
                self.storage_degraded(volume, why);
                None
            }
            News::Restored => {
                self.storage_restored(&volume);
                None
            }
            News::Fenced(by) => {
                tracing::error!(%volume, by, "another host took it over: the guest is stopped");
                self.storage_degraded(volume, format!("{by} took it over"));
                Some(Happening::Fenced)
            }
        }
    }

    /// Shows the guest a disk's new size. Beside the loop: the hypervisor connects to the disk anew for it.
    fn grow(&self, volume: &VolumeRef, size: ByteSize, monitor: &Monitor) {
        let asked = || -> Result<(usize, storage::Served)> {
            let generation =
                hold::current(self.layout, volume, &self.definition.name)?.map_or(0, |held| held.generation);
            Ok((self.places().disk(volume)?, storage::Served { volume: volume.volume.clone(), generation }))
        };
        let (volume, monitor) = (volume.clone(), monitor.clone());
        match asked() {
            Ok((place, disk)) => drop(tokio::spawn(async move {
                match monitor.grow_served(place, &disk, size).await {
                    Ok(()) => tracing::info!(%volume, %size, "the guest sees its new size"),
                    Err(failure) => tracing::error!(%volume, %size, %failure, "the guest does not see its new size"),
                }
            })),
            Err(failure) => tracing::error!(%volume, %failure, "it has another size, and nobody to tell"),
        }
    }
}
