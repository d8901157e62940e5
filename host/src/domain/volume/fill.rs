//! A volume that is filled: it is there as a whole, or it is not there.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::ends::Ends;
use super::{hold_as, moving};
use crate::domain::supervisor::control::{DiskTo, Request};
use crate::domain::unfinished::{Intent, Unfinished};
use crate::domain::{Record, client, hold, lease, store};
use crate::error::{Failure, Kind, Result};
use crate::fault;
use crate::gate::operation::{DiskSource, ForeignImage};
use crate::gate::{Gate, Ledger, Mode};
use crate::layout::Layout;
use crate::sandbox::protocol::VolumeFacts;
use crate::storage::{Pool, VolumeSpec};
use crate::types::{DomainName, SnapshotName, VolumeRef};

/// Between two looks at how far a supervisor is with its copy.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a supervisor may take to see that nobody wants its move any more.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(60);

/// What is done, in the words of the intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Work {
    pub target: VolumeRef,
    /// None: it comes from a file.
    pub from: Option<VolumeRef>,
    /// The target was there before, and stays whatever becomes of this.
    #[serde(default)]
    pub onto: bool,
    /// The source goes, and the target takes its place.
    #[serde(default)]
    pub moves: Option<Moves>,
    /// A domain that runs, and that writes to the source meanwhile.
    #[serde(default)]
    pub running: Option<DomainName>,
    pub stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Moves {
    /// The source stays, as a copy of what was.
    pub keep: bool,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The volume is not made, as far as anyone knows.
    Begun,
    /// It is made, and holds anything.
    Made,
    /// It holds what it should, on stable storage.
    Filled,
}

/// Where its content comes from.
pub(super) enum Source {
    File(ForeignImage),
    Volume {
        volume: VolumeRef,
        snapshot: Option<SnapshotName>,
    },
    /// A disk of a domain that runs, whose supervisor has its hypervisor do it.
    Running {
        domain: DomainName,
        disk: DiskTo,
        speed: u64,
    },
}

/// Makes the target as `spec` says and copies the source to it; then what a move has left to do.
pub(super) fn make(gate: &Gate, work: Work, spec: &VolumeSpec, source: &Source) -> Result<VolumeFacts> {
    let mut pool = Pool::open(gate, &work.target.pool)?;
    if gate.mode() == Mode::DryRun {
        return if work.onto { pool.volume(&spec.name) } else { pool.create_new_volume(spec, || Ok(())) };
    }
    let mut unfinished = Unfinished::begin(gate, Intent::Fill(work.clone()))?;
    let facts = match steps(gate, &mut pool, &mut unfinished, &work, spec, source) {
        Ok(facts) => facts,
        Err(failure) => return Err(unfinished.undone(gate, failure)),
    };
    // It stands. What is left to do, the next command does where this one cannot.
    let done = Work { stage: Stage::Filled, ..work };
    let over = fault::point("fill.filled").and_then(|()| rest(gate, &done)).and_then(|()| unfinished.end());
    match over {
        Ok(()) => Ok(facts),
        Err(failure) if done.moves.is_some() => Err(Failure { kind: Kind::PartlyDone, ..failure }
            .while_doing(format!("volume {} is copied, and the move is not finished", done.target))
            .hint("put right what is named; the next command finishes it")),
        Err(failure) => {
            tracing::warn!(%failure, volume = %done.target, "the volume is made, and notes on its making stay");
            Ok(facts)
        }
    }
}

fn steps(
    gate: &Gate,
    pool: &mut Pool,
    unfinished: &mut Unfinished,
    work: &Work,
    spec: &VolumeSpec,
    source: &Source,
) -> Result<VolumeFacts> {
    held(work).try_for_each(|volume| lease::hold(gate.layout(), volume))?;
    fault::point("fill.begun")?;
    let mut made = || unfinished.reached(Stage::Made).and_then(|()| fault::point("fill.made"));
    if work.onto {
        made()?;
    } else {
        pool.create_new_volume(spec, made)?;
    }
    match source {
        Source::Running { domain, disk, speed } => {
            let request = match work.moves {
                None => Request::Copy { disks: vec![disk.clone()] },
                Some(_) => Request::Move { disk: disk.clone(), speed: *speed },
            };
            match run(gate, domain, &request) {
                // A supervisor that went in the middle: the next one has finished what was begun, and knew of no more.
                Err(failure) if work.moves.is_none() || !has_moved(gate.layout(), domain, work)? => {
                    return Err(failure);
                }
                Ok(()) | Err(_) => {}
            }
        }
        Source::File(_) | Source::Volume { .. } => {
            let mut ledger = Ledger::open(&unfinished.ledger_path())?;
            let mut ends = Ends::new(gate, &mut ledger, unfinished.folder());
            let from = match source {
                Source::Volume { volume, snapshot } => ends.source(volume, snapshot.as_ref())?,
                Source::File(file) => DiskSource::File(file.clone()),
                Source::Running { domain, .. } => return Err(Failure::other(format!("{domain} copies by itself"))),
            };
            let to = ends.target(&work.target, !work.onto)?;
            ends.copy(from, to)?;
            ends.close()?;
            gate.seal(&mut ledger)?;
        }
    }
    fault::point("fill.copied")?;
    let facts = pool.volume(&work.target.volume)?;
    if facts.size < spec.size.bytes() {
        return Err(Failure::other(format!("volume {} is smaller than what was copied to it", work.target)));
    }
    unfinished.reached(Stage::Filled)?;
    Ok(facts)
}

/// Asks the domain's supervisor, and tells the gate's meter meanwhile how far it is.
fn run(gate: &Gate, domain: &DomainName, request: &Request) -> Result<()> {
    let layout = gate.layout();
    let (over, ends) = mpsc::channel::<()>();
    let asked = std::thread::scope(|scope| {
        scope.spawn(move || {
            while ends.recv_timeout(LOOK_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                if let Some((done, total)) = client::copied(layout, domain).filter(|(_, total)| *total > 0) {
                    gate.meter().tell(done, total);
                }
            }
        });
        let asked = client::ask(layout, domain, request);
        drop(over);
        asked
    });
    match asked? {
        Some(_) => Ok(()),
        None => Err(Failure::conflict(format!("domain {domain} went off before it could be copied"))
            .hint("try again: it is copied as it is now")),
    }
}

/// The volumes that this command keeps others off from. A domain that runs does that itself.
fn held(work: &Work) -> impl Iterator<Item = &VolumeRef> {
    work.from.iter().filter(|_| work.running.is_none()).chain([&work.target])
}

/// What is to be done once the target holds what it should.
fn rest(gate: &Gate, work: &Work) -> Result<()> {
    let mut pool = Pool::open(gate, &work.target.pool)?;
    hold::release(gate, &mut pool, &work.target, &hold_as()?)?;
    moving::finish(gate, work)?;
    held(work).try_for_each(|volume| lease::let_go(gate.layout(), volume))
}

/// Whether a domain that was to move has its disk at the new place. Whoever is about it has ended, or ends now: it sees
/// that nobody asks any more.
fn has_moved(layout: &Layout, domain: &DomainName, work: &Work) -> Result<bool> {
    let until = Instant::now() + GIVEN_UP_WITHIN;
    loop {
        match client::settled_start(layout, domain) {
            Err(failure) if failure.kind == Kind::NotFound => return Ok(false),
            other => other?,
        };
        if Record::load(layout, domain)?.moving.is_none() {
            let has = |volume: &VolumeRef| -> Result<bool> {
                Ok(store::load(layout, domain)?.disks.iter().any(|disk| disk.volume == *volume))
            };
            return has(&work.target);
        }
        if Instant::now() >= until {
            return Err(Failure::new(Kind::TimedOut, format!("domain {domain} still moves volume {}", work.target))
                .hint(format!("`fief logs {domain} --supervisor` shows what it does")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What one that did not come to its end has left: a volume that is not whole goes, a move of one that is, is finished.
pub(in crate::domain) fn settle(gate: &Gate, work: &Work, ledger: &Path) -> Result<()> {
    let mut ledger = Ledger::open(ledger)?;
    gate.undo(&mut ledger).map_err(|mut failures| failures.remove(0))?;
    let remove = match work.stage {
        Stage::Begun => false,
        Stage::Made => {
            if let (Some(domain), Some(_)) = (&work.running, work.moves)
                && has_moved(gate.layout(), domain, work)?
            {
                return rest(gate, work);
            }
            !work.onto
        }
        Stage::Filled => return rest(gate, work),
    };
    let mut pool = Pool::open(gate, &work.target.pool)?;
    hold::release(gate, &mut pool, &work.target, &hold_as()?)?;
    if remove {
        pool.delete_volume(&work.target.volume)?;
    }
    held(work).try_for_each(|volume| lease::let_go(gate.layout(), volume))
}
