//! The way down: undoing a start, whole or half, by this supervisor or for one that was killed.

use jiff::Timestamp;

use super::moving::finish_definition;
use super::run::Life;
use crate::domain::record::{End, EndReason, Run};
use crate::domain::state::{Happening, State, step};
use crate::domain::{steps, store};
use crate::error::{Failure, Kind, Result};
use crate::fault;
use crate::sys::process::boot_id;

impl Life<'_> {
    /// Undoes what a killed supervisor left of a run whose hypervisor is gone too.
    pub(super) fn clear_remains(&mut self) -> Result<()> {
        if self.ledger.is_empty() && self.record.state == State::Off {
            return Ok(());
        }
        let rebooted = self.record.run.as_ref().is_some_and(|run| run.boot != boot_id());
        tracing::warn!(domain = %self.name(), rebooted, "undoing what an earlier run left");
        let reason = if rebooted { EndReason::HostRebooted } else { self.reason() };
        self.undo(reason, None)
    }

    /// Why a run is over whose supervisor was killed before it could say.
    pub(super) fn reason(&self) -> EndReason {
        match (self.record.state, &self.record.last_end) {
            (State::Starting, _) => EndReason::StartFailed,
            // It was undoing, and had written down why.
            (State::Stopping, Some(end)) => end.reason,
            (State::Stopping, None) => EndReason::Stopped,
            (State::Off | State::Running | State::Paused | State::Preserved | State::Ceded | State::Elsewhere, _) => {
                EndReason::HypervisorGone
            }
        }
    }

    /// Undoes the start and records that the domain is off.
    pub(super) fn undo(&mut self, reason: EndReason, exit_code: Option<i32>) -> Result<()> {
        self.undo_then(reason, exit_code, None)
    }

    /// The same, of a domain that is about to start again: it is never off, or whoever wants it off by now would be told
    /// that it is.
    pub(super) fn undo_then(&mut self, reason: EndReason, exit_code: Option<i32>, again: Option<Run>) -> Result<()> {
        let name = self.name();
        let volumes = self.record.run.as_ref().map(|run| run.volumes.clone()).unwrap_or_default();
        let failures = steps::tear_down(self.gate, &mut self.ledger, &name, &volumes);
        for failure in &failures {
            tracing::error!(domain = %name, %failure, "a step could not be undone");
        }
        self.record.copying = None;
        // Both volumes held the same when it was switched: it starts with the new one.
        if let Some(moving) = self.record.moving.take().filter(|moving| moving.switched) {
            finish_definition(self.gate.layout(), &name, &moving)?;
        }
        // A save that was under way has come about if its file stands, whoever was killed meanwhile.
        let saved = self.record.saving.take().and_then(|saving| {
            let stands = saving.stands();
            if !stands {
                saving.clear();
            }
            stands.then_some(saving.file)
        });
        let reason = if saved.is_some() { EndReason::Saved } else { reason };
        if saved.is_some() {
            self.record.saved = saved;
        }
        self.record.last_end = Some(End { at: Timestamp::now(), reason, exit_code });
        if let Some(first) = failures.into_iter().next() {
            self.record.save(self.gate.layout())?;
            return Err(Failure { kind: Kind::NeedsRecover, ..first }
                .while_doing(format!("domain {name} is not wholly undone"))
                .hint(format!("mend the cause, then `fief recover {name}` tries again")));
        }
        fault::point("stop.undone")?;
        store::forget_running(self.gate.layout(), &name)?;
        self.record.state = match again {
            Some(_) => State::Starting,
            None => step(State::Stopping, Happening::Undone, self.rules()).0,
        };
        self.record.run = again;
        // What it starts with next; a definition that cannot be read is told by the start.
        if let Ok(next) = store::load(self.gate.layout(), &name) {
            self.record.memory = next.memory;
            self.record.vcpus = next.vcpus;
        }
        self.record.save(self.gate.layout())
    }

    /// What a start that failed says, once it is undone.
    pub(super) fn failed(&mut self, failure: Failure) -> Failure {
        self.record.state = State::Stopping;
        match self.undo(EndReason::StartFailed, None) {
            Ok(()) => failure.while_doing(format!("cannot start domain {}", self.name())),
            Err(undo) => {
                let mut failure = failure.while_doing(format!("cannot start domain {}", self.name()));
                failure.causes.push(format!("and it was not wholly undone: {undo}"));
                Failure { kind: undo.kind, hint: undo.hint, ..failure }
            }
        }
    }
}
