//! Disks that plugins serve, as the loop has them: their keepers (domain/keeper.rs), and what is heard of them.

use tokio::sync::mpsc::UnboundedReceiver;

use super::connect::Connected;
use super::watch::Loop;
use crate::config::domain::Disk;
use crate::domain::keeper::{self, Keeper, News, Renewal, Tell, Told};
use crate::domain::state::Happening;
use crate::error::{Failure, Result};
use crate::gate::Gate;
use crate::hypervisor::qemu::qmp::Monitor;
use crate::storage::{self, BlockSource, Way};
use crate::sys::process;
use crate::types::{ByteSize, DomainName, VolumeRef};

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

    /// Which attachment of it the hypervisor has.
    fn export(&self, volume: &VolumeRef) -> Result<u64> {
        let keeper = self.keepers.iter().find(|keeper| keeper.volume == *volume);
        keeper.map(|keeper| keeper.export).ok_or_else(|| Failure::other(format!("volume {volume} is not served")))
    }

    pub fn is_at(&self, place: usize) -> bool {
        self.keepers.iter().any(|keeper| keeper.place == place)
    }
}

/// What a disk that comes to a running machine needs where a plugin serves it.
pub(super) struct Serves {
    id: u32,
    place: usize,
    /// It takes the place of one that is there.
    moved: bool,
    /// The machine has a way to disks that are served.
    has_way: bool,
    /// One is served in that place already.
    taken: bool,
    tell: Tell,
}

impl Serves {
    pub(super) fn serve(
        self,
        gate: &Gate,
        source: &BlockSource,
        disk: &Disk,
        domain: &DomainName,
    ) -> Result<Option<Keeper>> {
        let export = match &source.way {
            Way::Files(_) | Way::Nfs(_) | Way::Iscsi(_) | Way::Nbd(_) => return Ok(None),
            Way::Served(served) => served.generation,
        };
        if !self.has_way {
            return Err(Failure::conflict(
                "it was started by an earlier fief, and has no way to a disk that is served",
            )
            .hint("stop the domain, attach the disk and start it"));
        }
        if self.taken {
            return Err(Failure::conflict("the disc in that drive is served, and so is this one")
                .hint(format!("`fief detach cdrom {domain}` first")));
        }
        let (domain, volume) = (domain.clone(), disk.volume.clone());
        let (id, place, moved, writes) = (self.id, self.place, self.moved, !source.read_only);
        Keeper::start(
            gate,
            keeper::Disk { domain, id, place, moved, volume, writes, export, whose: keeper::Whose::Ours },
            &self.tell,
        )
        .map(Some)
    }
}

impl Loop<'_> {
    /// `moves`: as the other one of the two that a disk may be while it moves; none where it comes new.
    pub(super) fn serves(&self, place: usize, moves: Option<bool>) -> Serves {
        Serves {
            id: self.record.run.as_ref().map_or(0, |run| run.id),
            place,
            moved: moves.unwrap_or_default(),
            has_way: self.record.run.as_ref().is_some_and(|run| run.serves),
            taken: moves.is_none() && self.served.is_at(place),
            tell: self.served.tell.clone(),
        }
    }

    /// Whether QEMU has the network of the host, as this process has it.
    pub(super) fn has_host_network(&self) -> bool {
        let of = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        self.hypervisor.is_some_and(|hypervisor| of(hypervisor.pid) == of(process::this().pid))
    }

    pub(super) fn served_told(&mut self, Told { volume, news }: Told, connected: &Connected) -> Option<Happening> {
        match news {
            News::Sized(size) => {
                self.sized(&volume, size, &connected.monitor);
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

    /// Shows the guest a disk's size, where it sees another. Beside the loop: the hypervisor connects to the disk anew for it.
    fn sized(&self, volume: &VolumeRef, size: ByteSize, monitor: &Monitor) {
        // A volume that a disk is still copied to is no guest's yet.
        let (Ok(place), Ok(generation)) = (self.places().disk(volume), self.served.export(volume)) else { return };
        let disk = storage::Served { volume: volume.volume.clone(), generation };
        let (volume, monitor) = (volume.clone(), monitor.clone());
        drop(tokio::spawn(async move {
            match monitor.sees_served(place, &disk, size).await {
                Ok(false) => {}
                Ok(true) => tracing::info!(%volume, %size, "the guest sees its new size"),
                Err(failure) => tracing::error!(%volume, %size, %failure, "the guest does not see its new size"),
            }
        }));
    }
}
