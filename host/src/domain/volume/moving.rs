//! What a move does beyond a copy: definitions name the target, then the source goes.

use super::fill::Work;
use crate::domain::{Record, State, store};
use crate::error::{Failure, Kind, Result};
use crate::fault;
use crate::gate::Gate;
use crate::layout::Layout;
use crate::sandbox::protocol::AttachAccess;
use crate::storage::Pool;
use crate::types::{DomainName, VolumeRef};

/// The domains whose definitions name the source.
///
/// # Errors
/// `Conflict` where the source could not go in the end, or something of it would be lost.
pub(super) fn refuse_unfit(
    gate: &Gate,
    pool: &mut Pool,
    from: &VolumeRef,
    target: &VolumeRef,
    running: Option<&DomainName>,
) -> Result<Vec<DomainName>> {
    let layout = gate.layout();
    // Nothing else stands on it.
    pool.side(&from.volume, AttachAccess::Exclusive)?;
    match pool.snapshots(&from.volume) {
        Ok(all) if !all.is_empty() => {
            return Err(Failure::conflict(format!("volume {from} has {} snapshots, which stay behind", all.len()))
                .hint(format!("delete them first (`fief volume snapshot list {from}`), or copy it instead")));
        }
        // A pool that keeps none has none to lose.
        Ok(_) | Err(_) => {}
    }
    named(layout, from, target, running, "move")
}

/// The domains whose definitions name a volume that is to be another. `running` goes along with it.
///
/// # Errors
/// `Conflict` where another domain that runs has it, or one has both.
pub(super) fn named(
    layout: &Layout,
    from: &VolumeRef,
    target: &VolumeRef,
    running: Option<&DomainName>,
    doing: &str,
) -> Result<Vec<DomainName>> {
    let mut named = Vec::new();
    for name in store::names(layout)? {
        let definition = match store::load(layout, &name) {
            Ok(definition) => definition,
            Err(failure) if failure.kind == Kind::NotFound => continue,
            Err(failure) => return Err(failure),
        };
        let has = |definition: &crate::config::domain::DomainDefinition, volume: &VolumeRef| {
            definition.disks.iter().any(|disk| disk.volume == *volume)
        };
        let off = Record::load(layout, &name)?.state_now() == State::Off;
        let runs_with = if off { None } else { store::load_running(layout, &name)? };
        if running != Some(&name) && runs_with.as_ref().is_some_and(|definition| has(definition, from)) {
            return Err(Failure::conflict(format!("cannot {doing} volume {from}: {name} runs, and reads it"))
                .hint(format!("fief shutdown {name}")));
        }
        if has(&definition, from) {
            if has(&definition, target) {
                return Err(Failure::conflict(format!("domain {name} has both {from} and {target}"))
                    .hint("detach one of them first"));
            }
            named.push(name);
        }
    }
    Ok(named)
}

/// Goes on from wherever an earlier one was cut off.
pub(super) fn finish(gate: &Gate, work: &Work) -> Result<()> {
    let (Some(moves), Some(from)) = (work.moves, &work.from) else { return Ok(()) };
    repoint_all(gate, from, &work.target)?;
    fault::point("move.switched")?;
    if !moves.keep {
        Pool::open(gate, &from.pool)?.delete_volume(&from.volume)?;
    }
    fault::point("move.deleted")
}

/// All definitions that name the one name the other.
pub(super) fn repoint_all(gate: &Gate, from: &VolumeRef, to: &VolumeRef) -> Result<()> {
    for name in store::names(gate.layout())? {
        match store::repoint(gate.layout(), &name, from, to) {
            Ok(true) => tracing::info!(domain = %name, %from, %to, "the domain has another volume now"),
            Ok(false) => {}
            // Deleted meanwhile, or it cannot be read: then it names nothing that is known.
            Err(failure) if matches!(failure.kind, Kind::NotFound | Kind::Usage) => {
                tracing::warn!(domain = %name, %failure, "left as it is");
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}
