//! A strategy that is a plugin: what it asks for becomes steps that are legal, with limits that can be kept, and its
//! silence, its loops and its lies end it and nothing else.
//!
//! ```text
//!  plugin ─ raw step ─▸ bounds: is it too much? ─▸ phases: may it follow? ─▸ limits ─▸ Asking (the driver) ─┐
//!         ◂─────────── told ◂───────────────────────────────────────────────────────────────────────────────┘
//! ```

#[cfg(test)]
mod tests;
pub mod told;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::bounds::{Bounds, Verdict, Watch};
use super::phases::{Phases, Refused, Terms};
use super::plan::Facts;
use super::steps::{Answer, Ask, Asking, Limits, Outcome, Strategy};
use crate::error::{Failure, Kind, Result};
use crate::gate::{Gate, Ledger};
use crate::plugin::{Session, Steps, Subject, chosen, settings, strikes};
use crate::sandbox::protocol::{
    Call, ErrorCode, Finding, MigrationCall, MoveFacts, PluginError, PluginKind, RawLimits, Retry, Return, Settings,
    Step, StepReply,
};
use crate::types::{DomainName, PluginId};

/// Longest note of a strategy's that people are shown, in characters.
const NOTE_MAX: usize = 120;

/// Refused steps that are remembered.
const REFUSED_KEPT: usize = 16;

/// A plugin that is to move one domain. Its sandbox lives no longer than the thread that opened it.
#[derive(Debug)]
pub struct PluginStrategy {
    gate: Gate,
    session: Session,
    domain: DomainName,
    facts: MoveFacts,
    settings: Settings,
}

impl PluginStrategy {
    /// Starts the plugin's sandbox.
    ///
    /// # Errors
    /// As [`Session::start`]; `Usage` where the plugin is of another kind, or a setting is not one that it takes.
    pub fn open(
        gate: &Gate,
        plugin: &PluginId,
        given: &BTreeMap<String, String>,
        facts: &Facts,
        bandwidth: Option<u64>,
    ) -> Result<PluginStrategy> {
        let manifest = chosen(gate, plugin)?.manifest;
        match manifest.kind {
            PluginKind::Migration => {}
            PluginKind::Storage | PluginKind::Network => {
                return Err(Failure::usage(format!("plugin {plugin} moves no domains"))
                    .hint("`fief plugin list` says which are of the kind migration"));
            }
        }
        let settings = settings::resolve(&manifest, given)?;
        let postcopy = gate.policy().plugins.get(plugin).is_some_and(|grants| grants.postcopy);
        let told = told::facts(facts, bandwidth, postcopy);
        PluginStrategy::of(gate, plugin, facts.domain.name.clone(), settings, told)
    }

    /// Of facts that are made up: for whoever tries a strategy out.
    ///
    /// # Errors
    /// As [`Session::start`].
    pub fn of(
        gate: &Gate,
        plugin: &PluginId,
        domain: DomainName,
        settings: Settings,
        facts: MoveFacts,
    ) -> Result<PluginStrategy> {
        strikes::may_call(gate, plugin, &Subject::Domain(domain.clone()))?;
        let session = Session::start(gate, plugin)?;
        Ok(PluginStrategy { gate: gate.clone(), session, domain, facts, settings })
    }

    /// What the plugin says stands in the way of it.
    ///
    /// # Errors
    /// `PluginFault`.
    pub fn check(&mut self) -> Result<Vec<Finding>> {
        let (facts, settings) = (Box::new(self.facts.clone()), self.settings.clone());
        let call = Call::Migration { facts, settings, function: MigrationCall::Check };
        let subject = Subject::Domain(self.domain.clone());
        let answer = match self.session.call(&mut Ledger::volatile(), &subject, call) {
            Ok(Return::Findings(findings)) => Ok(findings.into_iter().map(told::finding).collect()),
            Ok(_) => Err(Failure::new(Kind::PluginFault, "its answer does not fit the call")),
            Err(failure) => Err(failure),
        };
        self.heard(&answer);
        answer
    }

    fn heard<T>(&self, answer: &Result<T>) {
        let plugin = &self.session.installed().manifest.id;
        strikes::heard(&self.gate, plugin, &Subject::Domain(self.domain.clone()), answer);
    }

    /// One run, with what the plugin itself says of it and which steps were refused. Nothing is judged.
    pub fn tried(&mut self, within: Duration, ask: &mut Asking<'_>) -> (Result<Outcome>, Vec<Refused>) {
        let (said, asked) = self.drive(within, ask);
        (said, asked.refused)
    }

    fn drive<'a, 'b>(&mut self, within: Duration, ask: &'a mut Asking<'b>) -> (Result<Outcome>, Asked<'a, 'b>) {
        let mut asked = Asked {
            ask,
            phases: Phases::new(Terms::of(&self.facts)),
            watch: Watch::new(Bounds::of(self.bytes(), within), Instant::now()),
            bandwidth: self.facts.bandwidth,
            under_way: None,
            failed: None,
            refused: Vec::new(),
        };
        let subject = Subject::Domain(self.domain.clone());
        let said = self.session.run_move(&subject, self.facts.clone(), self.settings.clone(), &mut asked);
        (said, asked)
    }

    fn bytes(&self) -> u64 {
        let volumes = self.facts.volumes.iter().map(|volume| volume.allocated);
        volumes.fold(self.facts.memory, u64::saturating_add)
    }
}

impl Strategy for PluginStrategy {
    fn run(&mut self, within: Duration, ask: &mut Asking<'_>) -> Result<()> {
        let (said, asked) = self.drive(within, ask);
        let judged = asked.judge(said.map(drop), &self.session.installed().manifest.id);
        self.heard(&judged);
        judged
    }
}

/// One run: what was asked for so far, and what came of it.
struct Asked<'a, 'b> {
    ask: &'a mut Asking<'b>,
    phases: Phases,
    watch: Watch,
    /// That policy lets moves have.
    bandwidth: Option<u64>,
    /// The limits that memory goes over with.
    under_way: Option<Limits>,
    /// The step that gave the move up.
    failed: Option<Failure>,
    /// Steps that reached nobody: the first of them.
    refused: Vec<Refused>,
}

impl Asked<'_, '_> {
    /// From raw words to a step.
    fn checked(&self, step: Step) -> Ask {
        match step {
            Step::Reserve => Ask::Reserve,
            Step::Pause => Ask::Pause,
            Step::CopyVolumes => Ask::CopyVolumes,
            Step::Save => Ask::Save,
            Step::CopyState => Ask::CopyState,
            Step::Restore => Ask::Restore,
            Step::Precopy(limits) => Ask::Precopy(told::limits(limits).kept(self.bandwidth)),
            Step::NextSample => Ask::NextSample,
            Step::Adjust(limits) => Ask::Adjust(self.adjusted(limits)),
            Step::Postcopy => Ask::Postcopy,
            Step::SwitchOver => Ask::SwitchOver,
            Step::Progress { done, total, note } => {
                Ask::Progress { done, total, note: fief_wire::text::shown(&note, NOTE_MAX) }
            }
        }
    }

    fn adjusted(&self, wanted: RawLimits) -> Limits {
        let wanted = told::limits(wanted);
        self.under_way.map_or_else(|| wanted.kept(self.bandwidth), |now| now.adjusted(wanted, self.bandwidth))
    }

    /// Limits that are already kept need no telling.
    fn changes_nothing(&self, ask: &Ask) -> bool {
        matches!(ask, Ask::Adjust(limits) if self.under_way == Some(*limits))
    }

    /// # Errors
    /// The step's, or `PluginFault` where too much was asked for.
    fn carry_out(&mut self, ask: &Ask) -> Result<Answer> {
        let answer = (self.ask)(ask.clone()).inspect_err(|failure| {
            self.phases.failed(ask);
            self.failed.get_or_insert_with(|| failure.clone());
        })?;
        self.phases.done(ask);
        if let Ask::Precopy(limits) | Ask::Adjust(limits) = ask {
            self.under_way = Some(*limits);
        }
        Ok(answer)
    }

    /// What came of the run. The plugin's own word on it is the last that is asked.
    fn judge(self, ended: Result<()>, plugin: &PluginId) -> Result<()> {
        match (ended, self.phases.is_over(), self.failed) {
            (Err(failure), true, _) => {
                tracing::warn!(%plugin, %failure, "the domain has moved, and its strategy failed after that");
                Ok(())
            }
            (Ok(()), true, _) => Ok(()),
            (_, false, Some(failure)) => Err(failure),
            (Err(failure), false, None) => Err(failure),
            (Ok(()), false, None) => {
                let message = format!("the plugin {plugin} says that the domain has moved, and it has not");
                Err(Failure::new(Kind::PluginFault, message).hint("tell the plugin's author"))
            }
        }
    }
}

impl Steps for Asked<'_, '_> {
    fn left(&self) -> Duration {
        self.watch.left(Instant::now())
    }

    fn spent(&mut self, time: Duration) {
        self.watch.spent(time);
    }

    fn step(&mut self, step: Step) -> Result<std::result::Result<StepReply, PluginError>> {
        let ask = self.checked(step);
        match self.watch.asked(&ask, Instant::now()) {
            Verdict::Go => {}
            Verdict::Hold(time) => {
                std::thread::sleep(time);
                self.watch.spent(time);
            }
            Verdict::Drop => return Ok(Ok(StepReply::Done)),
            Verdict::End(why) => return Err(ended(why)),
        }
        if let Err(refused) = self.phases.admit(&ask) {
            if self.refused.len() < REFUSED_KEPT {
                self.refused.push(refused);
            }
            return Ok(Err(refusal(refused)));
        }
        if self.changes_nothing(&ask) {
            return Ok(Ok(StepReply::Done));
        }
        match self.carry_out(&ask) {
            Ok(answer) => {
                // What has moved has moved: nothing is left to be ended.
                match self.watch.answered(&ask, &answer) {
                    Err(why) if !self.phases.is_over() => Err(ended(why)),
                    Ok(()) | Err(_) => Ok(Ok(told::reply(answer))),
                }
            }
            // Nothing may follow: what the plugin is told is for its own last words.
            Err(failure) => Ok(Err(told::failed(&failure))),
        }
    }
}

fn ended(why: &str) -> Failure {
    let mut failure = Failure::new(Kind::PluginFault, "the strategy was ended");
    failure.causes.push(why.to_owned());
    failure.hint("the domain goes on where it is; `fief migrate --strategy` names another one")
}

fn refusal(refused: Refused) -> PluginError {
    let code = match refused {
        Refused::OutOfOrder { .. } => ErrorCode::WrongState,
        Refused::NotGranted => ErrorCode::Denied,
    };
    PluginError { code, message: refused.to_string(), retry: Retry::Never }
}
