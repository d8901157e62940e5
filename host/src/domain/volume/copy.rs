//! A volume that is copied to another pool, or moved there.

use super::fill::{self, Moves, Source, Stage, Work};
use super::moving;
use crate::domain::supervisor::control::DiskTo;
use crate::domain::{lease, users_of_volume};
use crate::error::{Failure, Kind, Result};
use crate::gate::Gate;
use crate::gate::operation::{ImageFormat, Preallocation};
use crate::sandbox::protocol::VolumeFacts;
use crate::storage::{Pool, VolumeSpec};
use crate::types::{ByteSize, DomainName, SnapshotName, VolumeRef};

/// What the operator wants.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub snapshot: Option<SnapshotName>,
    /// Else the source's, where the pool keeps images.
    pub format: Option<ImageFormat>,
    /// The target is there already, and is written over.
    pub onto: bool,
    pub moves: Option<Moves>,
    /// Of a move while its domain runs, in bytes a second; 0: as fast as it goes.
    pub speed: u64,
}

/// A copy that can be made.
#[derive(Debug)]
pub struct Copy {
    work: Work,
    spec: VolumeSpec,
    snapshot: Option<SnapshotName>,
    /// Domains whose definitions name the source.
    named: Vec<DomainName>,
    speed: u64,
}

impl Copy {
    /// Looks at both; changes nothing.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` for a target that is there (or, with `onto`, is not fit), or a source that may not be moved.
    pub fn plan(gate: &Gate, from: &VolumeRef, target: &VolumeRef, wanted: &Wanted) -> Result<Copy> {
        if from == target {
            return Err(Failure::usage(format!("cannot copy {from} to itself")).hint("name another volume"));
        }
        let layout = gate.layout();
        let mut pool = Pool::open(gate, &from.pool)?;
        let facts = pool.volume(&from.volume)?;
        lease::refuse_held(layout, from)?;
        let running = match wanted.snapshot {
            Some(_) => None,
            None => users_of_volume(layout, from)?.into_iter().next(),
        };
        let named = if wanted.moves.is_some() {
            moving::refuse_unfit(gate, &mut pool, from, target, running.as_ref())?
        } else {
            Vec::new()
        };
        let mut there = Pool::open(gate, &target.pool)?;
        let size = ByteSize::from_bytes(facts.size);
        match (there.volume(&target.volume), wanted.onto) {
            (Err(failure), false) if failure.kind == Kind::NotFound => {}
            (Err(failure), _) => return Err(failure),
            (Ok(_), false) => {
                return Err(Failure::conflict(format!("there is a volume {target} already")).hint(
                    "choose another name, or delete that volume; --onto writes over one that a pool cannot make (a LUN)",
                ));
            }
            (Ok(other), true) if other.size < size.bytes() => {
                let smaller = ByteSize::from_bytes(other.size).human();
                return Err(Failure::conflict(format!("volume {target} has {smaller}, and {from} {}", size.human()))
                    .hint("make it larger first"));
            }
            (Ok(_), true) => lease::refuse_held(layout, target).and_then(|()| unused(gate, target))?,
        }
        // Where it is no image, a volume is its bytes.
        let usual = if there.keeps_formats() { facts.format } else { ImageFormat::Raw };
        let spec = VolumeSpec {
            name: target.volume.clone(),
            size,
            format: wanted.format.unwrap_or(usual),
            preallocation: Preallocation::Sparse,
        };
        let work = Work {
            target: target.clone(),
            from: Some(from.clone()),
            onto: wanted.onto,
            moves: wanted.moves,
            running,
            stage: Stage::Begun,
        };
        Ok(Copy { work, spec, snapshot: wanted.snapshot.clone(), named, speed: wanted.speed })
    }

    /// The domain that runs and writes to the source meanwhile.
    pub fn running(&self) -> Option<&DomainName> {
        self.work.running.as_ref()
    }

    /// Of a move: the domains that are to have the target in the source's place.
    pub fn named(&self) -> &[DomainName] {
        &self.named
    }

    /// After an error nothing of it is left, or what is left to do is done by the next command.
    pub fn perform(&self, gate: &Gate) -> Result<VolumeFacts> {
        let doing = if self.work.moves.is_some() { "move" } else { "copy" };
        let saying = |failure: Failure| match &self.work.from {
            Some(from) => failure.while_doing(format!("cannot {doing} volume {from} to {}", self.work.target)),
            None => failure,
        };
        self.source().and_then(|source| fill::make(gate, self.work.clone(), &self.spec, &source)).map_err(saying)
    }

    fn source(&self) -> Result<Source> {
        let from = self.work.from.clone().ok_or_else(|| Failure::other("a copy has a source"))?;
        Ok(match &self.work.running {
            Some(domain) => {
                let disk = DiskTo { from, to: self.work.target.clone() };
                Source::Running { domain: domain.clone(), disk, speed: self.speed }
            }
            None => Source::Volume { volume: from, snapshot: self.snapshot.clone() },
        })
    }
}

/// # Errors
/// `Conflict` where a domain that runs has it.
fn unused(gate: &Gate, volume: &VolumeRef) -> Result<()> {
    match users_of_volume(gate.layout(), volume)?.first() {
        None => Ok(()),
        Some(user) => Err(Failure::conflict(format!("volume {volume} is a disk of {user}, which runs"))
            .hint(format!("fief shutdown {user}"))),
    }
}
