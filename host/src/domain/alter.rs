//! The way of a change: to the supervisor of a domain that runs, else into its definition.

use std::time::Duration;

use crate::domain::change::Change;
use crate::domain::state::{Admission, Request as Verb, admit};
use crate::domain::supervisor::control::{Answer, Request};
use crate::domain::{State, client, steps, store};
use crate::error::{Failure, Result};
use crate::gate::{Gate, Mode};
use crate::network::Network;
use crate::storage::Pool;
use crate::types::DomainName;

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Altered {
    Done,
    /// It was so before.
    Already,
    /// From its next start; why not now.
    Later(String),
}

/// Changes a domain; in a dry run says what would become of it, and shows the operations. `within` is how long a guest
/// has to let a device go.
///
/// # Errors
/// `NotFound` where there is no such volume or network; `TimedOut` where the guest does not let go.
pub fn alter(gate: &Gate, name: &DomainName, change: &Change, within: Duration) -> Result<Altered> {
    let layout = gate.layout();
    if !layout.domain(name).exists() {
        return Err(store::no_such(layout, name));
    }
    let before = store::load(layout, name)?;
    let after = change.apply(&before)?;
    is_there(gate, change)?;
    let state = client::settled_start(layout, name)?;
    if let Admission::Deny { kind, because, hint } = admit(state, Verb::Change) {
        return Err(Failure::new(kind, format!("cannot change domain {name}: {because}")).hint(hint));
    }
    if gate.mode() == Mode::DryRun {
        if state != State::Off && after != before {
            steps::show_change(gate, name, change)?;
        }
        return Ok(if after == before { Altered::Already } else { Altered::Done });
    }
    if state != State::Off {
        let timeout_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let request = Request::Change { change: change.clone(), timeout_ms };
        match client::ask(layout, name, &request)?.map(|answered| answered.answer) {
            Some(
                Answer::Done
                | Answer::File { .. }
                | Answer::Memory { .. }
                | Answer::Machine { .. }
                | Answer::Copied { .. }
                | Answer::Migrated { .. }
                | Answer::Words { .. },
            ) => return Ok(Altered::Done),
            Some(Answer::Already) => return Ok(Altered::Already),
            Some(Answer::Later { because }) => return Ok(Altered::Later(because)),
            // It went off before it could be asked.
            None => {}
        }
    }
    Ok(if store::change(layout, name, change)? { Altered::Done } else { Altered::Already })
}

/// # Errors
/// `NotFound` where what is to be attached does not exist.
fn is_there(gate: &Gate, change: &Change) -> Result<()> {
    match change {
        Change::AttachDisk { disk } => Pool::open(gate, &disk.volume.pool)?.volume(&disk.volume.volume).map(drop),
        Change::Insert { volume } => Pool::open(gate, &volume.pool)?.volume(&volume.volume).map(drop),
        Change::AttachCard { card } => Network::open(gate, &card.network).map(drop),
        Change::DetachDisk { .. } | Change::DetachCard { .. } | Change::Eject { .. } | Change::Set { .. } => Ok(()),
    }
}
