//! A network on trial: its start touched the operator's own way in, and is undone unless somebody answers.
//!
//! `gate/rollback.rs` draws it. Here is what the commands do about it; the guard is in `guard.rs`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::life;
use super::store::Store;
use crate::error::{Failure, Kind, Result};
use crate::gate::rollback::{Armed, Phase, RolledBack, after};
use crate::gate::{Gate, Ledger, Mode};
use crate::sys::process;
use crate::types::NetworkName;

/// For the guard to undo a network beyond the trial itself: its lock, and what its ledger holds.
const UNDONE_WITHIN: Duration = Duration::from_secs(60);

/// The network is up: from here on its peers have to answer, or the operator to confirm. Gives what is armed, if any.
///
/// # Errors
/// Where the guard is gone: nobody would put things back.
pub(super) fn begin(store: &Store) -> Result<Option<Armed>> {
    let rollback = store.rollback();
    let Some(mut armed) = rollback.armed()? else {
        rollback.forget_last()?;
        return Ok(None);
    };
    if !armed.guarded() {
        return Err(Failure::other("the guard that would put all back has ended"));
    }
    armed.phase = Phase::Trial;
    armed.until_ms = after(Duration::from_millis(armed.trial_ms));
    rollback.arm(&armed)?;
    Ok(Some(armed))
}

/// Waits for what the guard decides. Where the operator decides, there is nothing to wait for. The lock is not held:
/// the guard takes it.
pub(super) fn verdict(gate: &Gate, store: &Store, name: &NetworkName, armed: &Armed) -> Result<()> {
    if armed.by_hand {
        return Ok(());
    }
    let limit = Duration::from_millis(armed.trial_ms) + UNDONE_WITHIN;
    if let Some(guard) = armed.guard {
        // What goes wrong here shows in the files.
        let _ = process::wait_exit(guard, limit);
    }
    let _lock = store.lock()?;
    settle(gate, store, name)?;
    if store.record()?.is_some() {
        return Ok(());
    }
    let why = store.rollback().last().map_or_else(|| "it was stopped meanwhile".to_owned(), |last| last.why);
    Err(Failure::new(Kind::Unreachable, format!("network {name} was taken down again: {why}")).hint(format!(
        "the host is as it was; the switch may admit only known addresses on that port. `fief network start {name} \
         --confirm-within 60s` leaves the decision to you"
    )))
}

/// Undoes a network whose rollback is armed and has no guard any more. The caller holds the lock.
pub(super) fn settle(gate: &Gate, store: &Store, name: &NetworkName) -> Result<()> {
    match store.rollback().armed()? {
        Some(armed) if !armed.guarded() && gate.mode() == Mode::Perform => {
            roll_back(gate, store, name, "its guard was ended before it was known that this host is still reached")
        }
        Some(_) | None => Ok(()),
    }
}

/// Undoes all of it, and leaves a word for the operator. The caller holds the lock.
pub(super) fn roll_back(gate: &Gate, store: &Store, name: &NetworkName, why: &str) -> Result<()> {
    tracing::warn!(network = %name, why, "a network is taken down again");
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    // It is a word only: the way back does not hang on it.
    if let Err(failure) = store.rollback().set_last(&RolledBack { at, why: why.to_owned() }) {
        tracing::warn!(%failure, "what became of a network is not written down");
    }
    store.remove_record()?;
    life::undo(gate, store, &mut Ledger::open(&store.ledger_file())?, name)
}

/// Lets a network stand. `false`: it was not on trial.
pub(super) fn confirm(gate: &Gate, name: &NetworkName) -> Result<bool> {
    let store = Store::new(gate.layout(), name);
    let _lock = store.lock()?;
    let rollback = store.rollback();
    let Some(armed) = rollback.armed()? else {
        if store.record()?.is_some() {
            return Ok(false);
        }
        let failure = Failure::conflict(format!("network {name} is not up"));
        return Err(match rollback.last() {
            Some(last) => failure.hint(format!("it was taken down again: {}", last.why)),
            None => failure.hint(format!("`fief network start {name}` brings it up")),
        });
    };
    if !armed.guarded() && armed.left().is_zero() || armed.phase == Phase::Moving {
        settle(gate, &store, name)?;
        return Err(Failure::conflict(format!("network {name} was not confirmed in time, and is down again")));
    }
    rollback.disarm()?;
    rollback.forget_last()?;
    Ok(true)
}
