//! Calls into a pool's plugin. A question must change nothing; a change is done as a whole or not at all.

use std::time::{Duration, Instant};

use super::answer::From;
use super::pool::Pool;
use super::transport;
use crate::error::{Failure, Kind, Result};
use crate::gate::{Gate, Ledger, Mode};
use crate::plugin::{Patience, Session, Subject, strikes};
use crate::sandbox::protocol::{Ability, Call, Return, StorageCall};
use crate::sys::durable::{self, Lock};
use crate::types::{PluginId, PoolName};

/// How long a change waits for another one of the same pool to end.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(10);
/// A pool's ledger, in its folder while a change is under way.
pub(super) const LEDGER: &str = "ledger.jsonl";

/// What answers for the plugin.
pub(super) enum Backend {
    Session(Box<Session>),
    #[cfg(test)]
    Scripted(super::tests::Script),
}

/// Whether a change found things as they were wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changed {
    Nothing,
    Something,
}

impl Pool {
    /// Asks the plugin. What it asks of the host meanwhile is undone, if that changed anything.
    pub(super) fn query<T>(
        &mut self,
        function: StorageCall,
        check: impl FnOnce(From<'_>, Return) -> Result<T>,
    ) -> Result<T> {
        self.may_call()?;
        let mut ledger = Ledger::volatile();
        let answer = self.call(&mut ledger, function);
        let from = From(&self.plugin);
        let checked = match answer.and_then(|answer| match ledger.is_empty() {
            true => check(from, answer),
            false => Err(from.fault("it changed something in a call that only asks")),
        }) {
            Err(failure) if !ledger.is_empty() => Err(undone(&self.gate, &mut ledger, failure)),
            checked => checked,
        };
        self.heard(&checked);
        checked
    }

    /// # Errors
    /// `PluginFault` where the plugin was at fault too often over this pool.
    fn may_call(&self) -> Result<()> {
        strikes::may_call(&self.gate, &self.plugin, &Subject::Pool(self.definition.name.clone()))
    }

    fn heard<T>(&self, answer: &Result<T>) {
        strikes::heard(&self.gate, &self.plugin, &Subject::Pool(self.definition.name.clone()), answer);
    }

    /// Has the plugin change something, under the pool's lock.
    pub(super) fn change<T>(
        &mut self,
        function: StorageCall,
        check: impl FnOnce(From<'_>, Return) -> Result<T>,
    ) -> Result<T> {
        self.change_knowing(function, |from, answer, _| check(from, answer))
    }

    /// The same; `check` hears too whether anything was changed, and what it fails is undone.
    pub(super) fn change_knowing<T>(
        &mut self,
        function: StorageCall,
        check: impl FnOnce(From<'_>, Return, Changed) -> Result<T>,
    ) -> Result<T> {
        self.may_call()?;
        let (_lock, mut ledger) = match self.gate.mode() {
            Mode::Perform => {
                let (lock, ledger) = hold(&self.gate, &self.definition.name)?;
                (Some(lock), ledger)
            }
            // A dry run records nothing, and leaves what was cut off to the next real change.
            Mode::DryRun => (None, Ledger::volatile()),
        };
        let answer = self.call(&mut ledger, function);
        let changed = if ledger.is_empty() { Changed::Nothing } else { Changed::Something };
        let checked = answer.and_then(|answer| check(From(&self.plugin), answer, changed));
        self.heard(&checked);
        match checked {
            Ok(checked) => match self.gate.seal(&mut ledger) {
                Ok(()) => Ok(checked),
                Err(failure) if ledger.is_sealed() => {
                    tracing::warn!(%failure, "a change stands, and what it set aside is still there");
                    Ok(checked)
                }
                Err(failure) => Err(undone(&self.gate, &mut ledger, failure)),
            },
            Err(failure) => Err(undone(&self.gate, &mut ledger, failure)),
        }
    }

    /// Whether the plugin exports an optional interface.
    pub(super) fn can(&mut self, ability: Ability) -> Result<bool> {
        Ok(match started(&self.gate, &self.plugin, self.patience, &mut self.backend)? {
            Backend::Session(session) => session.abilities().contains(&ability),
            #[cfg(test)]
            Backend::Scripted(_) => true,
        })
    }

    pub(super) fn call(&mut self, ledger: &mut Ledger, function: StorageCall) -> Result<Return> {
        let settings = self.settings_for(transport::subject(&function))?;
        let name = self.definition.name.clone();
        let call = Call::Storage { pool: name.as_str().to_owned(), settings, function };
        self.recall()?;
        let backend = started(&self.gate, &self.plugin, self.patience, &mut self.backend)?;
        let begun = Instant::now();
        let (answer, silence) = match backend {
            Backend::Session(session) => {
                let answer = session.call(ledger, &Subject::Pool(name), call);
                let silence = session.met_silence();
                (answer, silence)
            }
            #[cfg(test)]
            Backend::Scripted(script) => (script(&self.gate, ledger, call), false),
        };
        self.remember(answer.as_ref().err().filter(|_| silence), begun.elapsed());
        // A sandbox that was at fault may be gone or broken: the next call gets a new one.
        if answer.as_ref().is_err_and(|failure| failure.kind == Kind::PluginFault)
            && matches!(self.backend, Some(Backend::Session(_)))
        {
            self.backend = None;
        }
        answer
    }
}

/// Undoes what a change left that was cut off. Where that does not work it is logged, and whoever only asks goes on;
/// the next change says so.
pub(super) fn settle(gate: &Gate, name: &PoolName) {
    let open = gate.layout().pool(name).join(LEDGER);
    if gate.mode() == Mode::DryRun || !open.exists() {
        return;
    }
    match hold_within(gate, name, Duration::ZERO) {
        Ok(_undone) => {}
        // Its change is under way.
        Err(failure) if failure.kind == Kind::Conflict => {}
        Err(failure) => tracing::warn!(pool = %name, %failure, "a change that was cut off is not undone"),
    }
}

fn started<'a>(
    gate: &Gate,
    plugin: &PluginId,
    patience: Patience,
    backend: &'a mut Option<Backend>,
) -> Result<&'a mut Backend> {
    Ok(match backend {
        Some(backend) => backend,
        None => backend.insert(Backend::Session(Box::new(Session::begin(gate, plugin, patience)?))),
    })
}

/// The lock of a pool and its ledger, empty: what an earlier change left, cut off, is undone first.
pub(super) fn hold(gate: &Gate, name: &PoolName) -> Result<(Lock, Ledger)> {
    hold_within(gate, name, LOCK_WAIT)
}

fn hold_within(gate: &Gate, name: &PoolName, wait: Duration) -> Result<(Lock, Ledger)> {
    let folder = gate.layout().pool(name);
    if !folder.is_dir() {
        return Err(super::pool::unknown(gate, name));
    }
    let lock = durable::lock(&folder.join("lock"), wait)?;
    let mut ledger = Ledger::open(&folder.join(LEDGER))?;
    if !ledger.is_empty() {
        tracing::info!(pool = %name, "undoing a change that was cut off");
    }
    if folder.join(LEDGER).exists() {
        gate.undo(&mut ledger).map_err(|failures| {
            let message = format!("cannot undo an earlier change of the pool {name} that was cut off");
            let causes = failures.iter().map(Failure::to_string).collect();
            Failure { causes, ..Failure::new(Kind::NeedsRecover, message) }
                .hint("put right what is named above, then `fief recover`: nothing else is changed until then")
        })?;
    }
    Ok((lock, ledger))
}

/// Takes back what is in the ledger, because of `failure`.
pub(super) fn undone(gate: &Gate, ledger: &mut Ledger, mut failure: Failure) -> Failure {
    if let Err(failures) = gate.undo(ledger) {
        failure.causes.extend(failures.iter().map(|f| format!("and it could not be undone: {f}")));
        failure.kind = Kind::PartlyDone;
        failure.hint = Some("the next change of the pool tries to undo it again".into());
    }
    failure
}
