//! `fief volume move` of a disk whose guest runs.
//!
//! ```text
//!   record: moving ─▸ mirrored (job) ─▸ guest stands still, all flushed ─▸ record: switched ═▸ definitions
//!      │                                                                     ─▸ the device stands on the new one ─▸ guest goes on
//!      └─ any failure, the asker gone, a supervisor killed: the mirror goes       └─ from here on forward, whoever is killed
//! ```
//! While the guest stands still both volumes hold the same, on stable storage: whichever a definition names then is right.

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::connect::Connected;
use super::control::{Answer, Asker, DiskTo};
use super::job::{Job, JobEnd};
use super::saving::in_thread;
use super::served::Serves;
use super::watch::Loop;
use crate::config::domain::Disk;
use crate::domain::keeper::Keeper;
use crate::domain::state::State;
use crate::domain::transport::Goer;
use crate::domain::{lease, steps, store};
use crate::error::{Failure, Result};
use crate::fault;
use crate::gate::Gate;
use crate::hypervisor::qemu::qmp::Monitor;
use crate::layout::Layout;
use crate::storage::BlockSource;
use crate::types::{DomainName, VolumeRef};

/// A move that is under way, in the domain's record before anything is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Moving {
    pub disk: DiskTo,
    pub place: usize,
    /// The guest goes on, where it stands still for the move's sake.
    pub ran: bool,
    /// Definitions are to name the new place, or do already.
    pub switched: bool,
}

impl Loop<'_> {
    /// Begins the move; the mirror is a job.
    pub(super) fn begin_move(&mut self, disk: DiskTo, speed: u64, asker: Asker, monitor: &Monitor) {
        match self.note_move(disk) {
            Ok((moving, definition)) => {
                let (give_up, given_up) = oneshot::channel();
                // Which of the two names is free is QEMU's to say.
                let serves = [false, true].map(|moved| self.serves(moving.place, Some(moved)));
                let onto = Onto {
                    disk: definition,
                    goer: Goer::running(self.has_host_network()),
                    serves: serves.into(),
                    speed,
                };
                let work =
                    mirror(self.gate.clone(), monitor.clone(), self.definition.name.clone(), moving, onto, given_up);
                self.job = Some(Job::of_asker("moved", asker, give_up, work));
            }
            Err(failure) => {
                self.move_given_up();
                self.answer(asker, Err(failure));
            }
        }
    }

    fn note_move(&mut self, disk: DiskTo) -> Result<(Moving, Disk)> {
        let place = self.places().disk(&disk.from)?;
        let of = |other: &&Disk| other.volume == disk.from;
        let before = self.definition.disks.iter().find(of).ok_or_else(|| Failure::other("it has no such disk"))?;
        let definition = Disk { volume: disk.to.clone(), ..before.clone() };
        let ran = self.record.state == State::Running;
        let moving = Moving { disk: disk.clone(), place, ran, switched: false };
        self.record.moving = Some(moving.clone());
        self.run()?.volumes.push(disk.to);
        self.record.save(self.layout)?;
        fault::point("move.recorded")?;
        Ok((moving, definition))
    }

    /// The mirror is whole: the domain has its disk at the new place from now on.
    ///
    /// # Errors
    /// Where it can go neither back nor on here: the next supervisor finishes it, as after a death.
    pub(super) async fn mirrored(&mut self, asker: Asker, connected: &Connected) -> Result<()> {
        let done = self.switch(&connected.monitor).await;
        match (done, self.record.moving.as_ref().is_some_and(|moving| moving.switched)) {
            (Ok(moving), _) => self.release_old(moving, asker),
            (Err(failure), true) => {
                self.answer(asker, Err(failure.clone()));
                return Err(failure.while_doing("a move is not finished"));
            }
            (Err(failure), false) => {
                let cleared = self.take_back(&connected.monitor).await;
                let failure = match cleared {
                    Ok(()) => failure,
                    Err(more) => failure.while_doing(format!("and what was begun is still there: {more}")),
                };
                self.answer(asker, Err(failure));
            }
        }
        Ok(())
    }

    async fn switch(&mut self, monitor: &Monitor) -> Result<Moving> {
        let Some(mut moving) = self.record.moving.clone() else {
            return Err(Failure::other("no disk is being moved"));
        };
        if moving.ran {
            monitor.pause().await?;
        }
        fault::point("move.still")?;
        moving.switched = true;
        self.record.moving = Some(moving.clone());
        self.record.save(self.layout)?;
        fault::point("move.noted")?;
        self.finish_move(&moving, monitor).await?;
        Ok(moving)
    }

    /// Goes on from wherever an earlier one was cut off after the record says `switched`.
    async fn finish_move(&mut self, moving: &Moving, monitor: &Monitor) -> Result<()> {
        let DiskTo { from, to } = &moving.disk;
        let after = store::repointed(self.definition, from, to);
        store::write_running(self.layout, &after)?;
        finish_definition(self.layout, &self.definition.name, moving)?;
        fault::point("move.defined")?;
        monitor.end_move(moving.place).await?;
        fault::point("move.handed-over")?;
        *self.definition = after;
        let mut places = self.places();
        if let Some(place) = places.disks.remove(from) {
            places.disks.insert(to.clone(), place);
        }
        self.run()?.places = Some(places);
        self.record.moving = None;
        if let Err(failure) = self.record.save(self.layout) {
            // On disk it is under way still, and the guest stands still for it: to be finished, not to be given up.
            self.record.moving = Some(moving.clone());
            return Err(failure);
        }
        if moving.ran { monitor.resume().await } else { Ok(()) }
    }

    /// The old place is let go by its plugin, then whoever asked hears that all is done.
    fn release_old(&mut self, moving: Moving, asker: Asker) {
        let keeper = self.served.take(&moving.disk.from);
        let (gate, name) = (self.gate.clone(), self.definition.name.clone());
        let old = moving.disk.from;
        if let Ok(run) = self.run() {
            run.volumes.retain(|volume| *volume != old);
        }
        if let Err(failure) = self.record.save(self.layout) {
            tracing::warn!(%failure, "the record still names the disk's old place");
        }
        let work = async move {
            in_thread(move || let_go(&gate, &name, &old, keeper)).await?;
            Ok(JobEnd::GoOn(Answer::Done))
        };
        self.job = Some(Job::new("moved", asker, work));
    }

    async fn take_back(&mut self, monitor: &Monitor) -> Result<()> {
        let Some(moving) = self.record.moving.clone() else { return Ok(()) };
        monitor.clear_move(moving.place).await?;
        if moving.ran {
            monitor.resume().await?;
        }
        let (gate, name, to) = (self.gate.clone(), self.definition.name.clone(), moving.disk.to);
        let keeper = self.served.take(&to);
        in_thread(move || let_go(&gate, &name, &to, keeper)).await?;
        self.move_given_up();
        Ok(())
    }

    /// There is no move any more. A record that still says so makes the next supervisor look for one, which does no harm.
    pub(super) fn move_given_up(&mut self) {
        let Some(moving) = self.record.moving.take() else { return };
        if let Ok(run) = self.run() {
            run.volumes.retain(|volume| *volume != moving.disk.to);
        }
        if let Err(failure) = self.record.save(self.layout) {
            tracing::warn!(%failure, "the record still says that a disk is being moved");
        }
    }

    /// After a supervisor was killed: a move that definitions may know of is finished, any other is given up.
    pub(super) async fn settle_moving(&mut self, connected: &Connected) -> Result<()> {
        let Some(moving) = self.record.moving.clone() else { return Ok(()) };
        tracing::warn!(?moving, "a move was cut off");
        if !moving.switched {
            return self.take_back(&connected.monitor).await;
        }
        self.finish_move(&moving, &connected.monitor).await?;
        self.release_old(moving, Asker::nobody());
        Ok(())
    }
}

/// What the domain starts with next. Where it went off in the middle, this alone is left to do.
pub(super) fn finish_definition(layout: &Layout, name: &DomainName, moving: &Moving) -> Result<()> {
    store::repoint(layout, name, &moving.disk.from, &moving.disk.to).map(drop)
}

/// First who keeps it served, which writes what it still holds.
fn let_go(gate: &Gate, name: &DomainName, volume: &VolumeRef, keeper: Option<Keeper>) -> Result<()> {
    if let Some(keeper) = keeper {
        keeper.close();
    }
    steps::let_go(gate, name, std::slice::from_ref(volume));
    lease::release(gate.layout(), volume, name)
}

/// What the disk is to stand on.
struct Onto {
    disk: Disk,
    goer: Goer,
    /// Where a plugin serves it: under the usual name, and under that of one that moved.
    serves: (Serves, Serves),
    /// Bytes a second at most; 0 where nothing is said.
    speed: u64,
}

async fn mirror(
    gate: Gate,
    monitor: Monitor,
    name: DomainName,
    moving: Moving,
    onto: Onto,
    given_up: oneshot::Receiver<()>,
) -> Result<JobEnd> {
    let (place, speed) = (moving.place, onto.speed);
    // Not given up half way: what a plugin was asked for comes, and has to be let go again.
    let (begun, keeper) = match opened(&gate, &monitor, &name, place, onto).await {
        Ok((target, keeper)) => {
            let begun = tokio::select! {
                biased;
                begun = monitor.begin_move(place, target, speed) => begun,
                Ok(()) = given_up => Err(Failure::conflict("whoever asked for the move went away")),
            };
            (begun.and_then(|()| fault::point("move.mirrored")), keeper)
        }
        Err(failure) => (Err(failure), None),
    };
    let Err(mut failure) = begun else { return Ok(JobEnd::Mirrored(keeper)) };
    // Whoever asked may have gone.
    tracing::info!(%failure, to = %moving.disk.to, "the disk stays where it is");
    if let Err(more) = monitor.clear_move(place).await {
        failure.causes.push(format!("and afterwards: {more}"));
    }
    let to = moving.disk.to;
    if let Err(more) = in_thread(move || let_go(&gate, &name, &to, keeper)).await {
        failure.causes.push(format!("and afterwards: {more}"));
    }
    Err(failure)
}

/// The way to the new place, and who keeps it served where a plugin does.
async fn opened(
    gate: &Gate,
    monitor: &Monitor,
    name: &DomainName,
    place: usize,
    onto: Onto,
) -> Result<(BlockSource, Option<Keeper>)> {
    let Onto { disk, goer, serves: (usual, moved), speed: _ } = onto;
    let serves = if monitor.moves_away(place).await? { moved } else { usual };
    let (gate, name) = (gate.clone(), name.clone());
    // Plugins say where the volume lies, which takes a while.
    in_thread(move || {
        let target = steps::open_moved(&gate, &name, &disk, goer)?;
        if target.way.needs_host_network() && goer == Goer::Cut {
            return Err(Failure::conflict("its hypervisor was started without the host's network, which this needs")
                .hint("move it while the domain is off; or give the pool transport = \"served\""));
        }
        let keeper = serves.serve(&gate, &target, &disk, &name)?;
        Ok((target, keeper))
    })
    .await
}
