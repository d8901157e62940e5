//! The source: volumes that the other host does not reach, on their way there. Those of a domain that is off are read from
//! their pools, those of a guest from its hypervisor, round after round; the last round is the one for which it stands still. Their
//! snapshots go before them, whether a guest runs or not.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use super::sending::{Job, Pending};
use crate::config::domain::DomainDefinition;
use crate::domain::relocation::words::{Cargo, Purpose};
use crate::domain::relocation::{SERVICE, along};
use crate::domain::volume::{Departs, depart, leave};
use crate::error::{Failure, Kind, Result};
use crate::fault;
use crate::gate::Gate;
use crate::gate::operation::ImageSnapshot;
use crate::hypervisor::qemu::qmp::{Monitor, RunState};
use crate::migration::copying::{Pace, Progress};
use crate::migration::handover::Attempt;
use crate::migration::steps::Answer;
use crate::peer::{Session, Stream};
use crate::types::{PeerName, VolumeRef};

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How often a copy that was cut off is taken up again, and what is waited before.
const ATTEMPTS: u32 = 20;
const REST: Duration = Duration::from_millis(500);
/// Between two rounds while memory goes over.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(200);

/// A volume with its place in the machine; none where no machine runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaves {
    pub(super) volume: VolumeRef,
    pub(super) place: Option<usize>,
    /// That the target has not yet, as far as is known.
    pub(super) snapshots: Vec<ImageSnapshot>,
}

/// All that a move copies of volumes.
pub(super) struct Volumes {
    pub(super) gate: Gate,
    pub(super) to: PeerName,
    pub(super) domain: Uuid,
    /// The domain's.
    pub(super) folder: PathBuf,
    pub(super) monitor: Option<Monitor>,
    pub(super) all: Vec<Leaves>,
    pub(super) pace: Arc<Pace>,
    pub(super) progress: Arc<Progress>,
    /// Told where the move is given up.
    pub(super) stop: watch::Receiver<bool>,
    pub(super) leaving: Option<leave::Leaving<Stream>>,
    /// The target has all of them as they are, and was told that this was all.
    pub(super) over: bool,
}

impl Volumes {
    /// One round of all of them; with a guest that stands still, or none, it is the last. Gives the bytes that went over.
    pub(super) async fn copy(&mut self, attempt: Attempt, still: bool) -> Result<u64> {
        if self.over {
            // Nobody can have written meanwhile.
            return Ok(0);
        }
        let before = self.progress.sent();
        for index in 0..self.all.len() {
            for place in 0..self.all[index].snapshots.len() {
                self.goes(attempt, index, Some(place)).await?;
                fault::point("kept.sent")?;
            }
            self.all[index].snapshots.clear();
        }
        match self.monitor.clone() {
            None => {
                for index in 0..self.all.len() {
                    self.goes(attempt, index, None).await?;
                }
                self.over = true;
            }
            Some(monitor) => {
                if still && monitor.status().await? == RunState::Running {
                    return Err(Failure::conflict(
                        "the guest goes on writing to what was to be copied for the last time",
                    ));
                }
                let mut stop = self.stop.clone();
                tokio::select! {
                    biased;
                    () = stopped(&mut stop) => return Err(broken_off()),
                    round = self.round(&monitor, attempt) => round?,
                }
                if still && let Some(leaving) = self.leaving.take() {
                    leaving.end().await?;
                    self.over = true;
                }
            }
        }
        fault::point("hand.copied")?;
        Ok(self.progress.sent() - before)
    }

    /// `snapshot`: of the volume, by its place; else it is for the volume itself.
    async fn stream(&self, attempt: Attempt, index: usize, snapshot: Option<usize>) -> Result<Stream> {
        let session = Session::connect(&self.gate, &self.to, CONNECT_WITHIN).await?;
        let number = |of: usize| u16::try_from(of).map_err(|_| Failure::other("it has too many disks, or snapshots"));
        let volume = number(index)?;
        let what = match snapshot {
            Some(place) => Cargo::Snapshot { volume, place: number(place)? },
            None => Cargo::Volume(volume),
        };
        let purpose = Purpose { domain: self.domain, attempt, what };
        session.open_stream(SERVICE, &purpose, CONNECT_WITHIN).await
    }

    async fn goes(&self, attempt: Attempt, index: usize, snapshot: Option<usize>) -> Result<()> {
        let mut stop = self.stop.clone();
        let Leaves { volume, snapshots, .. } = &self.all[index];
        let snapshot = snapshot.and_then(|place| Some((place, snapshots.get(place)?)));
        for again in 1.. {
            let sent = match self.stream(attempt, index, snapshot.map(|(place, _)| place)).await {
                Ok(stream) => {
                    let stopped = stopped(&mut stop);
                    let (gate, pace, progress) = (&self.gate, &self.pace, &self.progress);
                    let what = snapshot.map_or(Departs::Disk, |(_, one)| Departs::Snapshot(one));
                    depart(gate, volume, what, stream, pace, progress, stopped).await.map(drop)
                }
                Err(failure) => Err(failure),
            };
            match sent {
                Err(failure) if again < ATTEMPTS && was_cut(&failure) && !*stop.borrow() => rest(&failure, again).await,
                other => return other,
            }
        }
        Ok(())
    }

    async fn round(&mut self, monitor: &Monitor, attempt: Attempt) -> Result<()> {
        for again in 1.. {
            match self.once(monitor, attempt).await {
                Err(failure) if again < ATTEMPTS && was_cut(&failure) => {
                    // What came is kept there: the rounds begin anew, and only what differs goes over.
                    self.leaving = None;
                    leave::clear(monitor, &self.folder).await?;
                    rest(&failure, again).await;
                }
                other => return other,
            }
        }
        Ok(())
    }

    async fn once(&mut self, monitor: &Monitor, attempt: Attempt) -> Result<()> {
        let leaving = match &mut self.leaving {
            Some(leaving) => leaving,
            None => {
                let mut streams = Vec::new();
                for (index, Leaves { volume, place, .. }) in self.all.iter().enumerate() {
                    let place = place.ok_or_else(|| Failure::other(format!("volume {volume} has no place")))?;
                    streams.push((place, self.stream(attempt, index, None).await?));
                }
                let begun = leave::Leaving::begin(monitor, &self.folder, streams, &self.pace, &self.progress).await?;
                self.leaving.insert(begun)
            }
        };
        leaving.round().await.map(drop)
    }

    /// The move came to nothing: the hypervisor has nothing of it any more.
    pub(super) async fn clear(&mut self) {
        self.leaving = None;
        if let Some(monitor) = &self.monitor
            && let Err(failure) = leave::clear(monitor, &self.folder).await
        {
            tracing::error!(%failure, "the hypervisor does not let go of disks that were copied");
        }
    }
}

/// What the move does with them.
impl Job {
    /// While memory goes over they are copied on and on, so that little is left for the moment when the guest stands still.
    pub(super) fn copy_on(&mut self, attempt: Attempt) {
        let Some(volumes) = self.volumes.clone() else { return };
        self.rounds = Some(Box::pin(async move {
            tokio::time::sleep(BETWEEN_ROUNDS).await;
            volumes.lock().await.copy(attempt, false).await.map(Answer::Copied)
        }));
    }

    /// The guest stands still for good.
    pub(super) async fn copy_last(&mut self, attempt: Attempt) -> Result<()> {
        if let Some(round) = self.rounds.take() {
            round.await?;
        }
        match &self.volumes {
            Some(volumes) => volumes.lock().await.copy(attempt, true).await.map(drop),
            None => Ok(()),
        }
    }

    /// Notes what is to be deleted here once this attempt has moved the domain.
    pub(super) async fn leave(&self, gate: &Gate, definition: &DomainDefinition, attempt: Attempt) -> Result<()> {
        let Some(volumes) = &self.volumes else { return Ok(()) };
        let volumes = volumes.lock().await;
        if !volumes.over {
            return Err(Failure::conflict("the volumes were not copied since the guest stands still"));
        }
        let all = volumes.all.iter().map(|leaves| leaves.volume.clone()).collect();
        along::leave(gate.layout(), &definition.name, attempt, all)
    }

    /// What is under way of volumes hears that the move is over, and ends what it began.
    pub(super) async fn stop_copying(&mut self) {
        let _ = self.stop.send(true);
        let Some(volumes) = self.volumes.clone() else { return };
        if let Some(Pending::Work { work, copies: true, .. }) = &mut self.pending {
            // It failed by that, or a moment before.
            let _ = work.await;
        }
        if let Some(round) = self.rounds.take() {
            let _ = round.await;
        }
        volumes.lock().await.clear().await;
    }

    /// How far volumes are, where they are under way.
    pub(super) fn tell_copied(&self) {
        if matches!(self.pending, Some(Pending::Work { copies: true, .. })) {
            let (done, total) = self.copied.read();
            self.progress.change(|progress| (progress.done, progress.total) = (done, total));
        }
    }
}

/// Once the move is given up.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Whoever could say so is gone, and this with it.
        std::future::pending().await
    }
}

pub(super) fn broken_off() -> Failure {
    Failure::conflict("the move was given up")
}

fn was_cut(failure: &Failure) -> bool {
    matches!(failure.kind, Kind::Unreachable | Kind::TimedOut)
}

async fn rest(failure: &Failure, again: u32) {
    tracing::info!(%failure, again, "a copy was cut off, and is taken up again");
    tokio::time::sleep(REST).await;
}
