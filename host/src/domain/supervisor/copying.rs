//! `fief clone` of a running domain: its disks into empty volumes, as a job beside the loop.
//!
//! ```text
//!   record: copying ─▸ disks mirrored ─▸ guest stands still ─▸ copies cut loose ─▸ guest goes on ─▸ record
//!         └────────── any failure, or the asker gone: QEMU lets go of the volumes, the guest goes on
//! ```
//!
//! Whoever asked made the volumes, and removes them where this does not come about. A supervisor that is killed
//! meanwhile leaves the rest to the next one, by the record.

use std::fs::File;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::connect::Connected;
use super::control::{Answer, Asker, DiskTo};
use super::job::{Job, JobEnd};
use super::saving::in_thread;
use super::watch::Loop;
use crate::domain::state::State;
use crate::error::{Context, Failure, Result};
use crate::fault;
use crate::gate::Gate;
use crate::hypervisor::qemu::qmp::Monitor;
use crate::hypervisor::qemu::qmp::copy::{Target, write_out};
use crate::sandbox::protocol::AttachAccess;
use crate::storage::{Pool, Way};
use crate::types::{SnapshotName, VolumeRef};

/// A copy that is under way, in the domain's record before anything is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Copying {
    /// By place in the machine.
    pub disks: Vec<usize>,
    /// The guest goes on, where it stands still for the copy's sake.
    pub ran: bool,
}

impl Loop<'_> {
    /// Begins the copy; its end comes as that of the job.
    pub(super) fn copy(&mut self, disks: Vec<DiskTo>, asker: Asker, monitor: &Monitor) {
        let from: Vec<VolumeRef> = disks.iter().map(|disk| disk.from.clone()).collect();
        let Some((places, asker)) = self.places_of(&from, asker) else { return };
        let copying = Copying { disks: places.clone(), ran: self.record.state == State::Running };
        self.record.copying = Some(copying.clone());
        let recorded = self.record.save(self.layout).and_then(|()| fault::point("clone.recorded"));
        if let Err(failure) = recorded {
            self.answer(asker, Err(failure));
            return self.copied();
        }
        let to = places.into_iter().zip(disks.into_iter().map(|disk| disk.to)).collect();
        let (give_up, given_up) = oneshot::channel();
        let work = all(self.gate.clone(), monitor.clone(), copying, to, given_up);
        self.job = Some(Job::of_asker("copied", asker, give_up, work));
    }

    /// There is no copy any more. A record that still says so makes the next supervisor look for one, which does no harm.
    pub(super) fn copied(&mut self) {
        if self.record.copying.take().is_some()
            && let Err(failure) = self.record.save(self.layout)
        {
            tracing::warn!(%failure, "the record still says that the domain is being copied");
        }
    }

    /// Snapshots inside its disks, beside the loop too: a large image takes a while.
    pub(super) fn snapshot(&mut self, name: SnapshotName, volumes: &[VolumeRef], asker: Asker, monitor: &Monitor) {
        let Some((disks, asker)) = self.places_of(volumes, asker) else { return };
        let monitor = monitor.clone();
        let work =
            async move { monitor.snapshot_disks(&disks, name.as_str()).await.map(|()| JobEnd::GoOn(Answer::Done)) };
        self.job = Some(Job::new("kept in a snapshot", asker, work));
    }

    pub(super) fn delete_snapshot(
        &mut self,
        name: SnapshotName,
        volumes: &[VolumeRef],
        asker: Asker,
        monitor: &Monitor,
    ) {
        let Some((disks, asker)) = self.places_of(volumes, asker) else { return };
        let monitor = monitor.clone();
        let work = async move {
            for disk in disks {
                monitor.delete_snapshot(disk, name.as_str()).await?;
            }
            Ok(JobEnd::GoOn(Answer::Done))
        };
        self.job = Some(Job::new("rid of a snapshot", asker, work));
    }

    /// Where the machine has these disks; the asker hears of it where it has one of them no longer.
    fn places_of(&self, volumes: &[VolumeRef], asker: Asker) -> Option<(Vec<usize>, Asker)> {
        let places = self.places();
        match volumes.iter().map(|volume| places.disk(volume)).collect() {
            Ok(found) => Some((found, asker)),
            Err(failure) => {
                let message = format!("domain {} has other disks now", self.definition.name);
                let failure: Failure = failure;
                self.answer(asker, Err(Failure::conflict(message).because(failure).hint("try again")));
                None
            }
        }
    }

    /// After a supervisor was killed: its copy is given up, and the guest goes on.
    pub(super) async fn settle_copying(&mut self, connected: &Connected) -> Result<()> {
        let Some(copying) = self.record.copying.clone() else { return Ok(()) };
        tracing::warn!(?copying, "a copy was cut off; the guest goes on");
        connected.monitor.clear_copies(&copying.disks).await?;
        if copying.ran {
            connected.monitor.resume().await?;
        }
        self.record.copying = None;
        self.record.save(self.layout)
    }
}

async fn all(
    gate: Gate,
    monitor: Monitor,
    copying: Copying,
    to: Vec<(usize, VolumeRef)>,
    given_up: oneshot::Receiver<()>,
) -> Result<JobEnd> {
    let mut stands_still = false;
    let copied = tokio::select! {
        biased;
        copied = copy(&gate, &monitor, &copying, to, &mut stands_still) => copied,
        // One that was not told is not given up.
        Ok(()) = given_up => Err(Failure::conflict("whoever asked for the copy went away")),
    };
    let resumed = if stands_still { monitor.resume().await } else { Ok(()) };
    let cleared = monitor.clear_copies(&copying.disks).await;
    let mut outcome = copied;
    for after in [resumed, cleared] {
        outcome = match (outcome, after) {
            (Err(mut failure), Err(more)) => {
                failure.causes.push(format!("and afterwards: {more}"));
                Err(failure)
            }
            (Ok(()), Err(failure)) | (Err(failure), Ok(())) => Err(failure),
            (Ok(()), Ok(())) => Ok(()),
        };
    }
    outcome.map(|()| JobEnd::GoOn(Answer::Done))
}

async fn copy(
    gate: &Gate,
    monitor: &Monitor,
    copying: &Copying,
    to: Vec<(usize, VolumeRef)>,
    stands_still: &mut bool,
) -> Result<()> {
    let gate = gate.clone();
    // Plugins say where the volumes lie, which takes a while.
    let (targets, images) = in_thread(move || open(&gate, &to)).await?;
    monitor.begin_copies(targets).await?;
    fault::point("clone.mirrored")?;
    in_thread(move || write_out(&images)).await?;
    if copying.ran {
        // Before the command: what became of it is not known until it is answered.
        *stands_still = true;
        monitor.pause().await?;
    }
    fault::point("clone.still")?;
    monitor.end_copies(&copying.disks).await
}

/// The volumes' images, for QEMU, and once more for ourselves.
fn open(gate: &Gate, to: &[(usize, VolumeRef)]) -> Result<(Vec<Target>, Vec<File>)> {
    let (mut targets, mut images) = (Vec::new(), Vec::new());
    for (disk, volume) in to {
        let source = Pool::open(gate, &volume.pool)?.attach(&volume.volume, AttachAccess::Exclusive)?;
        let mut chain = match source.way {
            Way::Files(chain) => chain,
            Way::Nfs(_) | Way::Iscsi(_) | Way::Nbd(_) | Way::Served(_) => {
                return Err(Failure::conflict(format!(
                    "volume {volume} is no image file that a running disk is copied to"
                ))
                .hint("copy to a pool of files, or stop the domain first"));
            }
        };
        let (Some((format, image)), None) = (chain.pop(), chain.pop()) else {
            return Err(Failure::conflict(format!("volume {volume} is not an empty one that stands alone")));
        };
        images.push(File::from(image.try_clone().context(|| "cannot copy a descriptor".to_owned())?));
        targets.push(Target { disk: *disk, format, image });
    }
    Ok((targets, images))
}
