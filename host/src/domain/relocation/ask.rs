//! A command's part in a move: it tells the domain's supervisor, and looks how far that is.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::asking::{Asking, migrated};
use super::{Owner, Progress, Wish};
use crate::domain::client;
use crate::domain::state::{Admission, Request as Verb, admit};
use crate::domain::supervisor::control::{Answer, Request};
use crate::domain::supervisor::{Purpose, Report};
use crate::domain::{Record, State};
use crate::error::{Failure, Kind, Result};
use crate::gate::Gate;
use crate::peer::tidy_holds;
use crate::types::DomainName;

/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Moves the domain, and waits for the end; `look` hears how far it is. Given up where this command goes away, for as long as
/// that can be. How it ended.
///
/// # Errors
/// Where it was not moved: it is this host's, as before. `NeedsRecover` where it is ceded, and nobody knows whether it was taken.
pub fn migrate(gate: &Gate, name: &DomainName, wish: Wish, mut look: impl FnMut(&Progress)) -> Result<Progress> {
    let layout = gate.layout();
    let state = client::settled_start(layout, name)?;
    if state == State::Off {
        match client::supervise(layout, name, &Purpose::Hand)? {
            Report::Handing => {}
            Report::Failed(failure) => return Err(failure),
            Report::Running { .. } | Report::Off | Report::Expecting => {
                return Err(Failure::other(format!("domain {name} cannot be handed over: its supervisor ended")));
            }
        }
    } else if let Admission::Deny { kind, because, hint } = admit(state, Verb::Copy) {
        return Err(Failure::new(kind, format!("cannot move domain {name}: {because}")).hint(hint));
    }
    let (tell, told) = mpsc::channel();
    let asking = Asking::begin(layout, name, &Request::Migrate { wish })?;
    std::thread::spawn(move || {
        // The command may have ended.
        let _ = tell.send(asking.answer());
    });
    let answered = loop {
        match told.recv_timeout(LOOK_EVERY) {
            Ok(answered) => break answered,
            Err(RecvTimeoutError::Timeout) => {
                if let Some(progress) = migrated(layout, name) {
                    look(&progress);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Err(Failure::other("whoever waited for the move died")),
        }
    };
    match answered? {
        Some(Answer::Migrated { progress }) => Ok(*progress),
        Some(_) | None => Err(ended(gate, name)),
    }
}

/// Its supervisor ended without a word: what is on disk says how it stands.
fn ended(gate: &Gate, name: &DomainName) -> Failure {
    match Record::load(gate.layout(), name).map(|record| record.state) {
        Ok(State::Ceded) => super::unsaid(name),
        Ok(State::Elsewhere) => Failure::new(
            Kind::PartlyDone,
            format!("domain {name} was moved, and what is left of it here is not cleared away"),
        )
        .hint(format!("`fief recover {name}` does that, and so does `fief serve` when it starts")),
        Ok(_) => Failure::conflict(format!(
            "domain {name} was not moved: its supervisor ended, and whoever comes next gives it up"
        ))
        .hint(format!("`fief logs {name} --supervisor` shows what it did")),
        Err(_) => {
            Failure::other(format!("domain {name} is not here any more, and its supervisor did not say how it ended"))
                .hint("`fief list` on the other host shows whether it is there")
        }
    }
}

/// Gives a move up.
///
/// # Errors
/// `Conflict` where there is none, or it is ceded already.
pub fn cancel(gate: &Gate, name: &DomainName) -> Result<()> {
    Asking::begin(gate.layout(), name, &Request::MigrateCancel)?.answer().map(drop)
}

/// As `fief serve` begins: whoever worked on a move may be gone, with its host. What is ceded is asked about again, and of what
/// was to come nothing stays.
pub fn resume(gate: &Gate) {
    let layout = gate.layout();
    if let Err(failure) = tidy_holds(layout) {
        tracing::warn!(%failure, "what moves have left with peers stays");
    }
    for name in crate::domain::store::names(layout).unwrap_or_default() {
        let Ok(record) = Record::load(layout, &name) else { continue };
        if Owner::is_busy(layout, record.uuid) {
            continue;
        }
        let begun = match record.state {
            State::Ceded | State::Elsewhere => client::supervise(layout, &name, &Purpose::Adopt).map(drop),
            State::Off | State::Starting | State::Running | State::Paused | State::Preserved | State::Stopping => {
                Ok(())
            }
        };
        if let Err(failure) = begun {
            tracing::warn!(domain = %name, %failure, "a move of it is not taken up");
        }
    }
}

/// What became of a domain that is ceded, once it was asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    Moved,
    Back,
    /// The other host does not answer.
    Waiting,
}

/// Asks the host that a domain is ceded to, and waits for a while. With `claim`, the operator says that it is off.
pub fn recover(gate: &Gate, name: &DomainName, claim: bool, within: Duration) -> Result<Settled> {
    let layout = gate.layout();
    let until = std::time::Instant::now() + within;
    let ask = || Asking::begin(layout, name, &Request::Recover { claim });
    let asking = match ask() {
        Ok(asking) => asking,
        Err(_) => {
            if let Report::Failed(failure) = client::supervise(layout, name, &Purpose::Adopt)? {
                return Err(failure);
            }
            ask()?
        }
    };
    let answer = asking.answer()?;
    tracing::debug!(?answer, "asked again");
    loop {
        let state = match Record::load(layout, name) {
            Ok(record) => record.state,
            Err(failure) if failure.kind == Kind::NotFound => return Ok(Settled::Moved),
            Err(failure) => return Err(failure),
        };
        match state {
            State::Ceded => {}
            State::Elsewhere => return Ok(Settled::Moved),
            State::Off | State::Starting | State::Running | State::Paused | State::Preserved | State::Stopping => {
                return Ok(Settled::Back);
            }
        }
        if std::time::Instant::now() >= until {
            return Ok(Settled::Waiting);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
