//! The gate: the one place where a privileged act is judged, recorded and done.
//!
//! ```text
//!   Operation ─▸ judge (policy) ─▸ ledger: intent ─▸ act ─▸ ledger: outcome ─▸ audit
//!                  │ denied                           │ failed
//!                  ▾                                  ▾
//!                audit, exit 5                      undone at once if half done; the caller undoes the rest
//! ```
//!
//! A ledger belongs to one object (a domain, a pool, a network) and is used under that object's lock.
//! A caller does operations against it, and then either *seals* it (the changes stand; what was set aside is
//! removed), *keeps* it (they stand until the object is torn down: a network, a running domain), or *undoes* it.

pub mod audit;
mod drift;
pub mod host_id;
pub mod identity;
pub mod judge;
pub mod ledger;
mod meter;
pub mod operation;
pub mod peers;
mod perform;
mod pin;
pub mod policy;
pub mod recover;
mod repeats;
pub mod rollback;
pub mod secret;
pub mod served;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::config::policy::Policy;
use crate::error::{Failure, Result};
use crate::fault;
use crate::layout::Layout;
use crate::types::{Digest, PluginId};

pub use drift::filter_tables;
pub use judge::Verdict;
pub use ledger::Ledger;
pub use meter::Meter;
pub use operation::{Actor, Effect, Operation, Outcome};
pub use perform::FILTER_PREFIX;
use pin::Pins;
pub use repeats::FewLines;
use repeats::Repeats;
pub use rollback::Care;

/// Whether operations are done or only shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Perform,
    DryRun,
}

/// An operation done: its outcome, and descriptors where it opens something.
#[derive(Debug)]
pub struct Done {
    pub outcome: Outcome,
    pub descriptors: Vec<OwnedFd>,
}

#[derive(Debug, Clone)]
pub struct Gate {
    layout: Layout,
    policy: Arc<Policy>,
    mode: Mode,
    care: Care,
    meter: Meter,
    pins: Pins,
    repeats: Repeats,
    kept: Arc<BTreeMap<PluginId, Digest>>,
    forgives: bool,
}

impl Gate {
    pub fn new(layout: Layout, policy: Arc<Policy>, mode: Mode) -> Self {
        Gate {
            layout,
            policy,
            mode,
            care: Care::default(),
            meter: Meter::default(),
            pins: Pins::default(),
            repeats: Repeats::default(),
            kept: Arc::default(),
            forgives: false,
        }
    }
    /// The same, for whoever keeps to these bytes of plugins, whatever is installed under their ids: a domain that runs, or a
    /// trial of what may be installed.
    #[must_use]
    pub fn keeping(mut self, kept: BTreeMap<PluginId, Digest>) -> Self {
        self.kept = Arc::new(kept);
        self
    }
    /// The same, for whoever tries what a plugin does wrong: nothing is held against it.
    #[must_use]
    pub fn forgiving(mut self) -> Self {
        self.forgives = true;
        self
    }
    pub fn forgives(&self) -> bool {
        self.forgives
    }
    /// The bytes of a plugin that are kept to, if any are.
    pub fn kept(&self, plugin: &PluginId) -> Option<Digest> {
        self.kept.get(plugin).copied()
    }
    pub fn all_kept(&self) -> &BTreeMap<PluginId, Digest> {
        &self.kept
    }
    /// The same, with what is known of the operator's way in.
    #[must_use]
    pub fn careful(mut self, care: Care) -> Self {
        self.care = care;
        self
    }
    /// How far the act is that is done just now, for whoever waits.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }
    pub fn care(&self) -> Care {
        self.care
    }
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What policy says of this operation, without doing it (`fief policy explain`).
    pub fn judge(&self, actor: &Actor, operation: &Operation) -> Verdict {
        judge::judge(&self.policy, actor, operation)
    }

    /// Judges, records and does `operation`. `descriptors` are handed to what the operation starts
    /// (`HypervisorStart`); for other operations they are empty.
    ///
    /// In a dry run, an operation with an effect is printed on stdout as one line of JSON and answered [`Outcome::Assumed`].
    ///
    /// # Errors
    /// `Denied` with the missing grant as the cause; else what the act reports. After an error nothing of this
    /// operation is left, or it is in the ledger, which is the caller's to undo.
    pub fn perform(
        &self,
        actor: &Actor,
        ledger: &mut Ledger,
        operation: Operation,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Done> {
        match self.judge(actor, &operation) {
            Verdict::Allowed { .. } => {}
            Verdict::Denied { reason, hint } => {
                let left_out = if operation.is_told() { self.repeats.line(&operation, "denied") } else { Some(0) };
                if let Some(left_out) = left_out {
                    audit::denied(&self.layout, actor, &operation, &reason, left_out);
                }
                return Err(Failure::denied(reason).hint(hint));
            }
        }
        let effect = operation.effect();
        if effect != Effect::None && self.mode == Mode::DryRun {
            crate::gate::audit::show(&operation)?;
            return Ok(Done { outcome: Outcome::Assumed, descriptors: Vec::new() });
        }
        match effect {
            Effect::None if !operation.is_told() => return perform::act(self, &operation, descriptors),
            Effect::None | Effect::Final => return self.told(actor, &operation, descriptors),
            Effect::UntilReboot | Effect::Lasting => {}
        }
        let entry = ledger.intend(actor, &operation)?;
        let acted = fault::point("gate.intended").and_then(|()| perform::act(self, &operation, descriptors));
        match acted {
            Ok(done) => {
                fault::point("gate.acted").and_then(|()| ledger.record(entry, &done.outcome)).inspect_err(
                    |failure| {
                        // It stays in the ledger, for whoever asked to undo it with the rest.
                        audit::failed(&self.layout, actor, &operation, failure);
                    },
                )?;
                audit::done(&self.layout, actor, &operation, &done.outcome);
                Ok(done)
            }
            Err(failure) => {
                ledger.forget(entry)?;
                audit::failed(&self.layout, actor, &operation, &failure);
                Err(failure)
            }
        }
    }

    /// Does what leaves nothing to undo, and audits it.
    fn told(&self, actor: &Actor, operation: &Operation, descriptors: Vec<OwnedFd>) -> Result<Done> {
        let done = perform::act(self, operation, descriptors);
        let result = if done.is_ok() { "done" } else { "failed" };
        match (&done, self.repeats.line(operation, result)) {
            (Ok(done), Some(left_out)) => {
                audit::done_again(&self.layout, actor, operation, &done.outcome, left_out);
            }
            (Err(failure), Some(left_out)) => {
                audit::failed_again(&self.layout, actor, operation, failure, left_out);
            }
            (Ok(_) | Err(_), None) => {}
        }
        done
    }

    /// Acts on what a running hypervisor has open, and which it therefore does itself, or that a plugin does: judged, shown
    /// in a dry run and audited as all others are. All of them are done, or none; `act` asks for it. To undo them is for the
    /// caller, who writes down beforehand what is begun.
    pub fn through_hypervisor(
        &self,
        actor: &Actor,
        operations: &[Operation],
        act: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        for operation in operations {
            if let Verdict::Denied { reason, hint } = self.judge(actor, operation) {
                audit::denied(&self.layout, actor, operation, &reason, 0);
                return Err(Failure::denied(reason).hint(hint));
            }
        }
        if self.mode == Mode::DryRun {
            return operations.iter().try_for_each(audit::show);
        }
        let done = act();
        for operation in operations {
            match &done {
                Ok(()) => audit::done(&self.layout, actor, operation, &Outcome::Set),
                Err(failure) => audit::failed(&self.layout, actor, operation, failure),
            }
        }
        done
    }

    /// Undoes all that is in the ledger, newest first, going on past errors. What could not be undone stays in the
    /// ledger, so that a later call tries again; `Ok` means that the ledger is empty.
    ///
    /// An entry with an intent and no outcome (fief died in the middle) is undone by what the operation names. A
    /// ledger that was being sealed when fief died is sealed.
    pub fn undo(&self, ledger: &mut Ledger) -> Result<(), Vec<Failure>> {
        if ledger.is_sealed() {
            return self.seal(ledger).map_err(|failure| vec![failure]);
        }
        self.undo_where(ledger, |_| true)?;
        // Where nothing stood in it, its file may be there still: a first line that did not come about leaves it.
        ledger.clear().map_err(|failure| vec![failure])
    }

    /// The same for some of it: one of the devices of a domain that goes on, say.
    pub fn undo_where(&self, ledger: &mut Ledger, which: impl Fn(&Operation) -> bool) -> Result<(), Vec<Failure>> {
        let mut failures = Vec::new();
        for entry in ledger.newest_first().into_iter().filter(|entry| which(&entry.operation)) {
            let undone = perform::undo(self, &entry.operation, entry.told());
            match undone.and_then(|()| fault::point("gate.undone")) {
                Ok(()) => {
                    audit::undone(&self.layout, &entry.operation);
                    if let Err(failure) = ledger.forget(entry.id) {
                        failures.push(failure);
                    }
                }
                Err(failure) => failures.push(failure),
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(failures) }
    }

    /// Makes the changes final (removes what was set aside) and empties the ledger.
    pub fn seal(&self, ledger: &mut Ledger) -> Result<()> {
        ledger.seal()?;
        fault::point("gate.sealed")?;
        for entry in ledger.newest_first() {
            perform::seal(self, &entry.operation, entry.outcome.as_ref())?;
        }
        ledger.clear()
    }
}
