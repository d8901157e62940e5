//! A volume on its way from another host, as it is written down here, and what becomes of it.
//!
//! ```text
//!   begun ─▸ made ─▸ filled ──────────▸ taken: the domain is this host's, and so is the volume
//!             │  ▴      └──── given up ─▸ gone
//!             └──┘ cut off: it stays, for the next attempt to go on with, and goes a day after the last one
//! ```

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::fill::Stage;
use super::hold_as;
use crate::domain::unfinished::{self, Settled, Unfinished};
use crate::domain::{hold, lease, ownership};
use crate::error::{Failure, Kind, Result};
use crate::gate::operation::ImageSnapshot;
use crate::gate::{Gate, Ledger, host_id};
use crate::layout::Layout;
use crate::migration::handover::Holding;
use crate::storage::Pool;
use crate::types::{DomainName, VolumeRef};

/// How long one that was cut off is kept: longer than a night in which a network is down.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);
/// For an earlier stream of the same volume to end, once it is told to.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Arrival {
    pub target: VolumeRef,
    /// The domain that it is to be a disk of.
    pub domain: DomainName,
    pub uuid: Uuid,
    /// The volume was there before, and stays whatever becomes of this.
    pub onto: bool,
    pub stage: Stage,
    /// Those of its snapshots that came, in the order in which they were taken here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<ImageSnapshot>,
    /// When the last attempt at it began or ended, in seconds since 1970-01-01T00:00:00Z.
    pub touched: u64,
}

impl Arrival {
    pub(in crate::domain) fn go_on_with(&mut self, earlier: &Arrival) -> Result<()> {
        if earlier.uuid != self.uuid {
            return Err(Failure::conflict(format!(
                "volume {} is half of one that comes from another host, for domain {}",
                self.target, earlier.domain
            ))
            .hint("choose another name, or wait until that move is over"));
        }
        self.stage = earlier.stage;
        self.onto = earlier.onto;
        self.snapshots.clone_from(&earlier.snapshots);
        Ok(())
    }

    /// Whether it is past being gone on with. A clock that was put back makes nothing old.
    fn is_old(&self, now: u64) -> bool {
        now.saturating_sub(self.touched) >= KEPT.as_secs()
    }
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The volume, where it is on its way from another host.
pub fn of(layout: &Layout, volume: &VolumeRef) -> Result<Option<Arrival>> {
    unfinished::arrival_of(layout, volume)
}

/// What there is of a disk of a domain that is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::domain) enum Came {
    /// It is on storage that the other host writes to.
    Shared,
    /// It goes along, and what is here of it is being written.
    Half,
    /// It came as a whole: nobody else has it.
    Whole,
}

pub(in crate::domain) fn came(layout: &Layout, volume: &VolumeRef, domain: &DomainName) -> Result<Came> {
    let arrival = of(layout, volume)?.filter(|arrival| arrival.domain == *domain);
    Ok(match arrival.map(|arrival| arrival.stage) {
        None => Came::Shared,
        Some(Stage::Begun | Stage::Made) => Came::Half,
        Some(Stage::Filled) => Came::Whole,
    })
}

/// # Errors
/// `Conflict` where the volume is on its way from another host, for another domain than this.
pub(in crate::domain) fn refuse_half(layout: &Layout, volume: &VolumeRef, domain: &DomainName) -> Result<()> {
    match of(layout, volume)? {
        Some(arrival) if arrival.domain != *domain => Err(Failure::conflict(format!(
            "volume {volume} is on its way from another host, for domain {}",
            arrival.domain
        ))
        .hint(format!("`fief recover {}` says what became of that move", arrival.domain))),
        Some(_) | None => Ok(()),
    }
}

/// Whoever brings it is done, which is waited for, and has brought all of it.
///
/// # Errors
/// `Conflict` where it is not whole.
pub fn whole(gate: &Gate, volume: &VolumeRef, within: Duration) -> Result<()> {
    let unfinished = Unfinished::of_arrival(gate, volume, within)?;
    match unfinished.as_ref().and_then(Unfinished::arrival).map(|arrival| arrival.stage) {
        Some(Stage::Filled) => Ok(()),
        Some(Stage::Begun | Stage::Made) | None => Err(not_whole(volume)),
    }
}

fn not_whole(volume: &VolumeRef) -> Failure {
    Failure::conflict(format!("volume {volume} did not come as a whole"))
}

/// The domain is this host's: its volume is one like all others.
///
/// # Errors
/// `Conflict` where it is not whole.
pub fn taken(gate: &Gate, volume: &VolumeRef) -> Result<()> {
    let Some(unfinished) = Unfinished::of_arrival(gate, volume, SETTLED_WITHIN)? else { return Ok(()) };
    match unfinished.arrival().map(|arrival| arrival.stage) {
        Some(Stage::Filled) => unfinished.end(),
        Some(Stage::Begun | Stage::Made) | None => Err(not_whole(volume)),
    }
}

/// The move came to nothing: nothing of the volume stays.
pub fn given_up(gate: &Gate, volume: &VolumeRef) -> Result<()> {
    let Some(unfinished) = Unfinished::of_arrival(gate, volume, SETTLED_WITHIN)? else { return Ok(()) };
    let Some(arrival) = unfinished.arrival() else { return Ok(()) };
    let mut ledger = Ledger::open(&unfinished.ledger_path())?;
    gate.undo(&mut ledger).map_err(|mut failures| failures.remove(0))?;
    remove(gate, arrival)?;
    unfinished.end()
}

fn remove(gate: &Gate, arrival: &Arrival) -> Result<()> {
    let Arrival { target, onto, stage, .. } = arrival;
    let mut pool = Pool::open(gate, &target.pool)?;
    let made = match stage {
        Stage::Begun => false,
        Stage::Made | Stage::Filled => !onto,
    };
    let_go_of_fence(gate, &mut pool, target)?;
    if made {
        match pool.delete_volume(&target.volume) {
            // The operator was quicker.
            Err(failure) if failure.kind == Kind::NotFound => {}
            other => drop(other?),
        }
    }
    lease::let_go(gate.layout(), target)
}

/// Lets the volume go for other hosts, though the domain may be about to have it: then nothing is kept here of who wrote it,
/// and the storage alone knows. (Storage that names no host makes no volumes that could come.)
pub(super) fn let_go_of_fence(gate: &Gate, pool: &mut Pool, volume: &VolumeRef) -> Result<()> {
    let ours = hold_as()?;
    hold::release(gate, pool, volume, &ours)?;
    let fence = match pool.fence(&volume.volume) {
        Err(failure) if failure.kind == Kind::NotFound => None,
        other => other?,
    };
    match fence.and_then(|fence| fence.holder) {
        Some(holder)
            if holder.host == host_id::this(gate.layout())?.id.to_string() && holder.domain == ours.as_str() =>
        {
            pool.release_fence(&volume.volume, &holder)
        }
        Some(_) | None => Ok(()),
    }
}

/// What one that was killed, or cut off, has left: it waits where it may be gone on with.
pub(in crate::domain) fn settle(gate: &Gate, arrival: &Arrival, ledger: &Path) -> Result<Settled> {
    let mut ledger = Ledger::open(ledger)?;
    gate.undo(&mut ledger).map_err(|mut failures| failures.remove(0))?;
    let standing = ownership::standing(gate.layout(), arrival.uuid, &arrival.domain)?;
    let ours = standing.is_some_and(|standing| standing.holding == Holding::Owned);
    if !ours && (arrival.stage == Stage::Begun || arrival.is_old(now())) {
        return remove(gate, arrival).map(|()| Settled::Over);
    }
    let mut pool = Pool::open(gate, &arrival.target.pool)?;
    let_go_of_fence(gate, &mut pool, &arrival.target)?;
    lease::let_go(gate.layout(), &arrival.target)?;
    Ok(if ours { Settled::Over } else { Settled::Waits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_was_cut_off_is_kept_for_a_day_and_for_its_own_domain() {
        let arrival = |uuid: u128, stage| Arrival {
            target: "p/a".parse().unwrap(),
            domain: "node1".parse().unwrap(),
            uuid: Uuid::from_u128(uuid),
            onto: false,
            stage,
            snapshots: Vec::new(),
            touched: 1_000_000,
        };
        let half = arrival(1, Stage::Made);
        assert!(!half.is_old(0) && !half.is_old(1_000_000 + KEPT.as_secs() - 1));
        assert!(half.is_old(1_000_000 + KEPT.as_secs()));
        let mut next = arrival(1, Stage::Begun);
        next.go_on_with(&half).unwrap();
        assert_eq!(next.stage, Stage::Made);
        assert_eq!(arrival(2, Stage::Begun).go_on_with(&half).unwrap_err().kind, Kind::Conflict);
    }
}
