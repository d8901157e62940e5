//! A new volume that is filled: it is there as a whole, or it is not there.

use serde::{Deserialize, Serialize};

use crate::domain::lease;
use crate::domain::unfinished::{Intent, Unfinished};
use crate::error::{Failure, Result};
use crate::fault;
use crate::gate::operation::{DiskSource, DiskTarget};
use crate::gate::{Actor, Gate, Ledger, Mode, Operation};
use crate::layout::Layout;
use crate::sandbox::protocol::VolumeFacts;
use crate::storage::{Pool, VolumeSpec};
use crate::types::VolumeRef;

/// How far it is, in the words of the intent.
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

/// Makes the volume as `spec` says and copies `source` to it. `from` is the volume that the source is, if it is one.
pub(super) fn make(
    gate: &Gate,
    target: &VolumeRef,
    spec: &VolumeSpec,
    from: Option<&VolumeRef>,
    source: &DiskSource,
) -> Result<VolumeFacts> {
    let mut pool = Pool::open(gate, &target.pool)?;
    if gate.mode() == Mode::DryRun {
        return pool.create_new_volume(spec, || Ok(()));
    }
    let intent = Intent::Fill { target: target.clone(), from: from.cloned(), stage: Stage::Begun };
    let mut unfinished = Unfinished::begin(gate, intent)?;
    match steps(gate, &mut pool, &mut unfinished, target, spec, from, source) {
        Ok(facts) => {
            // It stands. What is left to do, the next command does.
            let over = fault::point("fill.filled").and_then(|()| let_go(gate.layout(), target, from));
            if let Err(failure) = over.and_then(|()| unfinished.end()) {
                tracing::warn!(%failure, volume = %target, "the volume is made, and notes on its making stay");
            }
            Ok(facts)
        }
        Err(failure) => Err(unfinished.undone(gate, failure)),
    }
}

fn steps(
    gate: &Gate,
    pool: &mut Pool,
    unfinished: &mut Unfinished,
    target: &VolumeRef,
    spec: &VolumeSpec,
    from: Option<&VolumeRef>,
    source: &DiskSource,
) -> Result<VolumeFacts> {
    for volume in from.into_iter().chain([target]) {
        lease::hold(gate.layout(), volume)?;
    }
    fault::point("fill.begun")?;
    pool.create_new_volume(spec, || {
        unfinished.reached(Stage::Made)?;
        fault::point("fill.made")
    })?;
    let to = pool.target(&target.volume)?;
    copy(gate, &mut Ledger::volatile(), source.clone(), to)?;
    fault::point("fill.copied")?;
    let facts = pool.volume(&target.volume)?;
    if facts.size < spec.size.bytes() {
        return Err(Failure::other(format!("the volume {target} is smaller than what was copied to it")));
    }
    unfinished.reached(Stage::Filled)?;
    Ok(facts)
}

pub(super) fn copy(gate: &Gate, ledger: &mut Ledger, from: DiskSource, to: DiskTarget) -> Result<()> {
    gate.perform(&Actor::Operator, ledger, Operation::DiskCopy { from, to }, Vec::new()).map(drop)
}

fn let_go(layout: &Layout, target: &VolumeRef, from: Option<&VolumeRef>) -> Result<()> {
    from.into_iter().chain([target]).try_for_each(|volume| lease::let_go(layout, volume))
}

/// What one that did not come to its end has left: a volume that is not whole goes.
pub(in crate::domain) fn settle(gate: &Gate, target: &VolumeRef, from: Option<&VolumeRef>, stage: Stage) -> Result<()> {
    match stage {
        Stage::Begun | Stage::Filled => {}
        Stage::Made => Pool::open(gate, &target.pool)?.delete_volume(&target.volume)?,
    }
    let_go(gate.layout(), target, from)
}
