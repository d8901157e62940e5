//! What is left here of a domain that is another host's: all of it goes. Its volumes stay, but for those that were copied
//! along.

use std::time::Duration;

use uuid::Uuid;

use super::along;
use crate::domain::{Record, State, steps, store};
use crate::error::{Failure, Result};
use crate::gate::{Gate, Ledger};
use crate::layout::Layout;
use crate::sys::durable;
use crate::types::DomainName;

/// How long another may be at the domain's files.
const LOCK_WITHIN: Duration = Duration::from_secs(5);

/// The domain of this host that has this uuid, whatever its state.
pub fn named(layout: &Layout, domain: Uuid) -> Result<Option<DomainName>> {
    let is = |name: &DomainName| Record::load(layout, name).is_ok_and(|record| record.uuid == domain);
    Ok(store::names(layout)?.into_iter().find(is))
}

/// # Errors
/// `Conflict` where it may run here; else what could not be undone.
pub fn forget(gate: &Gate, name: &DomainName) -> Result<()> {
    let layout = gate.layout();
    let _lock = durable::lock(&layout.domain(name).join("lock"), LOCK_WITHIN)?;
    let record = Record::load(layout, name)?;
    match record.state {
        State::Elsewhere => {}
        State::Off
        | State::Starting
        | State::Running
        | State::Paused
        | State::Preserved
        | State::Stopping
        | State::Ceded => return Err(Failure::conflict(format!("domain {name} is this host's, or may be"))),
    }
    let mut ledger = Ledger::open(&layout.domain(name).join("ledger.jsonl"))?;
    held(gate, &mut ledger, &record).map(drop)
}

/// The same by whoever has its lock, and knows that it is another host's. What went along with it is deleted; gives what of
/// that stays, and why.
pub fn held(gate: &Gate, ledger: &mut Ledger, record: &Record) -> Result<Vec<Failure>> {
    let volumes = record.run.as_ref().map(|run| run.volumes.clone()).unwrap_or_default();
    let failures = steps::tear_down(gate, ledger, &record.name, &volumes);
    for failure in &failures {
        tracing::error!(domain = %record.name, %failure, "a step could not be undone");
    }
    if let Some(first) = failures.into_iter().next() {
        return Err(first.while_doing(format!("domain {} is not wholly forgotten", record.name)));
    }
    let stays = along::delete_left(gate, record);
    for failure in &stays {
        tracing::warn!(domain = %record.name, %failure, "a volume stays");
    }
    store::forget_moved(gate.layout(), &record.name).map(|()| stays)
}
