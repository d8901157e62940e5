//! One sandbox process and the calls made into it.
//!
//! ```text
//!   start: installed? pinned? granted? ─▸ compiled ─▸ directories (gate) ─▸ process ─▸ Load ─▸ Ready
//!   call:  Call ─▸ { Ask ─▸ checked words ─▸ gate ─▸ Answer }* ─▸ Return
//!            │ trap, limit, silence, nonsense
//!            ▾
//!          the process is ended; the next call starts another
//! ```

mod moving;

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::config::policy::{Limits, PluginGrants};
use crate::error::{Failure, Kind, Result};
use crate::gate::operation::Purpose;
use crate::gate::{Actor, Gate, Ledger, Operation, judge};
use crate::plugin::breach::Spoilt;
use crate::plugin::met::Met;
use crate::plugin::process::Process;
use crate::plugin::reach::Asker;
use crate::plugin::recording::Recorder;
use crate::plugin::reply::Next;
use crate::plugin::trouble::Trouble;
use crate::plugin::{Effective, Installed, Patience, ask, effective, failure, loading, log, package, reply, shape};
use crate::sandbox::protocol::{
    Ability, Ask, Call, CallError, ErrorCode, FromSandbox, PluginError, Reply, Return, Settings, ToSandbox,
};
use crate::types::{DomainName, NetworkName, PluginId, PoolName};

pub use moving::Steps;

/// The sandbox keeps the call's deadlines itself; this much later the host stops believing that it does.
const GRACE: Duration = Duration::from_secs(2);
/// Streams that one call may open: more are a plugin's that does not keep what it has.
const CONNECTIONS_MAX: u32 = 64;
/// Asks of one call: ten thousand volumes can be looked at.
const ASKS_MAX: u32 = 10_000;

/// What a call is about; it fills in what the plugin's asks do not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Pool(PoolName),
    Network(NetworkName),
    Domain(DomainName),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subject::Pool(name) => write!(f, "pool {name}"),
            Subject::Network(name) => write!(f, "network {name}"),
            Subject::Domain(name) => write!(f, "domain {name}"),
        }
    }
}

/// A sandbox process with one plugin loaded. Dropping it ends the process.
#[derive(Debug)]
pub struct Session {
    gate: Gate,
    installed: Installed,
    effective: Effective,
    limits: Limits,
    patience: Patience,
    abilities: Vec<Ability>,
    process: Option<Process>,
    /// The last call failed because a server did not answer.
    silence: bool,
    /// What the host fails at, on purpose.
    trouble: Option<Trouble>,
    /// It came in the last call.
    troubled: bool,
    /// What was counted of the streams of the last call, where they were led past us.
    turns: u32,
    /// What the plugin's own error of the last call was.
    refused: Option<ErrorCode>,
}

impl Session {
    /// Starts a sandbox for an installed plugin: directories that are granted and wanted are opened by the gate
    /// and handed over (read-only in a dry run). The process lives no longer than the calling thread; a call that
    /// finds it gone starts another.
    ///
    /// # Errors
    /// `NotFound` where it is not installed, `Denied` where its digest is not the pinned one or it asks for more
    /// than was granted, `PluginFault` where it does not load.
    pub fn start(gate: &Gate, plugin: &PluginId) -> Result<Session> {
        Session::begin(gate, plugin, Patience::Work)
    }

    /// The same; `patience` says how long a server may say nothing.
    pub fn begin(gate: &Gate, plugin: &PluginId, patience: Patience) -> Result<Session> {
        let installed = package::chosen(gate, plugin)?;
        package::admitted(gate, &installed)?;
        let none = PluginGrants::default();
        let grants = gate.policy().plugins.get(plugin).unwrap_or(&none);
        let effective = effective(&installed.manifest, grants)?;
        let limits = grants.limits.clone();
        let gate = gate.clone();
        let mut session = Session {
            gate,
            installed,
            effective,
            limits,
            patience,
            abilities: Vec::new(),
            process: None,
            silence: false,
            trouble: None,
            troubled: false,
            turns: 0,
            refused: None,
        };
        session.process = Some(session.ready()?);
        Ok(session)
    }

    /// The sandbox process, while there is one.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    pub fn installed(&self) -> &Installed {
        &self.installed
    }

    /// The optional interfaces that the plugin exports.
    pub fn abilities(&self) -> &[Ability] {
        &self.abilities
    }

    /// Whether the last call failed because a server that the plugin speaks with did not answer.
    pub const fn met_silence(&self) -> bool {
        self.silence
    }

    /// What the host fails at in each call from now on, for a plugin that is being tried out.
    pub fn fail(&mut self, trouble: Option<Trouble>) {
        self.trouble = trouble;
    }

    /// Whether that came in the last call.
    pub const fn was_troubled(&self) -> bool {
        self.troubled
    }

    /// How many answers came, or requests went, over the streams of the last call, where those were to be spoilt.
    pub const fn turns(&self) -> u32 {
        self.turns
    }

    /// The plugin's own error, where it ended the last call.
    pub const fn refused(&self) -> Option<&ErrorCode> {
        self.refused.as_ref()
    }

    /// Calls a function of the plugin on a fresh instance. Each ask of the plugin goes through the gate as that
    /// plugin, against `ledger`; the caller seals, keeps or undoes it.
    ///
    /// # Errors
    /// The plugin's own error by its code (`not-found` → `NotFound`, `already-exists`, `in-use`, `wrong-state` →
    /// `Conflict`, `denied` → `Denied`, `exhausted` → `NoRoom`, `unreachable`, `timeout`, `invalid` → `Usage`);
    /// `PluginFault` for a trap, a limit, or an answer that does not fit the call.
    pub fn call(&mut self, ledger: &mut Ledger, subject: &Subject, call: Call) -> Result<Return> {
        let saying = format!("the plugin {} failed at {}", self.installed.manifest.id, shape::name(&call));
        let wanted = shape::of(&call);
        (self.silence, self.troubled, self.refused) = (false, false, None);
        let mut process = self.ready().map_err(|failure| failure.while_doing(saying.clone()))?;
        let settings = match &call {
            Call::Storage { settings, .. } | Call::Network { settings, .. } | Call::Migration { settings, .. } => {
                settings.clone()
            }
        };
        let purpose = self.patience.purpose(shape::purpose(&call));
        let has = (&self.effective, &self.limits, self.patience.silence_ms());
        let recorder = Recorder::of(&self.gate, subject, &self.installed, has, &call);
        let mut turn = Turn {
            session: self,
            ledger,
            subject,
            settings,
            purpose,
            asks: 0,
            connections: 0,
            connecting: Duration::ZERO,
            met: Met::default(),
            troubled: false,
            spoilt: Spoilt::default(),
            recorder,
        };
        let taken = turn.take(&mut process, call);
        if let Some(recorder) = turn.recorder.take() {
            recorder.end(&taken);
        }
        let (met, troubled, came) = (turn.met, turn.troubled, turn.spoilt.end());
        (self.troubled, self.turns) = (came.some || troubled, came.turns);
        match taken {
            Ok(Ok(given)) if shape::of_return(&given) == wanted => {
                self.process = Some(process);
                Ok(given)
            }
            // From here on nothing is believed of this process: it ends with `process`.
            Ok(Ok(_)) => Err(Failure::new(Kind::PluginFault, "its answer does not fit the call").while_doing(saying)),
            Ok(Err(error)) => {
                if let CallError::Plugin(PluginError { code, .. }) = &error {
                    self.refused = Some(code.clone());
                }
                self.silence = met.silence(&error);
                if matches!(error, CallError::Plugin(_) | CallError::Missing(_)) {
                    self.process = Some(process);
                }
                Err(met.explained(&error).while_doing(saying))
            }
            Err(failure) => Err(failure.while_doing(saying)),
        }
    }

    /// The process, started if there is none that lives.
    fn ready(&mut self) -> Result<Process> {
        if let Some(mut process) = self.process.take()
            && !process.has_ended()
        {
            return Ok(process);
        }
        let directories = loading::open_directories(&self.gate, &self.installed.manifest.id, &self.effective)?;
        let (process, abilities) =
            loading::load(&self.gate, &self.installed, &self.effective, (&self.limits, self.patience), &directories)?;
        self.abilities = abilities;
        Ok(process)
    }
}

/// One call on its way.
struct Turn<'a> {
    session: &'a Session,
    ledger: &'a mut Ledger,
    subject: &'a Subject,
    settings: Settings,
    purpose: Purpose,
    asks: u32,
    connections: u32,
    /// What connecting took so far, whether or not it worked.
    connecting: Duration,
    met: Met,
    /// The host failed on purpose.
    troubled: bool,
    /// Streams that fail on purpose.
    spoilt: Spoilt,
    recorder: Option<Recorder>,
}

impl Turn<'_> {
    /// # Errors
    /// Outside: the sandbox misbehaved. Inside: the call failed and the sandbox said so.
    fn take(&mut self, process: &mut Process, call: Call) -> Result<Result<Return, CallError>> {
        let session = self.session;
        let plugin = &session.installed.manifest.id;
        // Time in which the plugin had the word; what the host spends on asks is the host's.
        let mut left = session.limits.wall.saturating_add(GRACE);
        let mut log = log::Sink::new(&session.gate, plugin, self.subject, session.limits.log_lines_per_second);
        process.send(&ToSandbox::Call(call), &[])?;
        loop {
            let begun = Instant::now();
            let frame = process.receive(begun + left)?;
            left = left.saturating_sub(begun.elapsed());
            match frame {
                FromSandbox::Return(result) => return Ok(result),
                FromSandbox::Log { level, message, fields } => {
                    if let Some(recorder) = &mut self.recorder {
                        recorder.said(&message, &fields);
                    }
                    log.line(level, &message, &fields)?;
                }
                FromSandbox::Ask(ask) => {
                    self.asks += 1;
                    if self.asks > ASKS_MAX {
                        return Err(Failure::new(Kind::PluginFault, format!("it asked more than {ASKS_MAX} times")));
                    }
                    let asked = self.recorder.as_ref().map(|_| ask.clone());
                    let (answer, mut descriptors) = match self.answer(ask) {
                        Ok((reply, descriptors)) => (Ok(reply), descriptors),
                        Err(error) => (Err(error), Vec::new()),
                    };
                    if let (Some(recorder), Some(ask)) = (&mut self.recorder, asked) {
                        recorder.asked(ask, &answer, &mut descriptors);
                    }
                    let beside: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
                    process.send(&ToSandbox::Answer(answer), &beside)?;
                }
                FromSandbox::Ready { .. }
                | FromSandbox::Compiled
                | FromSandbox::AskAs(..)
                | FromSandbox::Serving(_)
                | FromSandbox::Event(_) => {
                    return Err(Failure::new(Kind::PluginFault, "its sandbox sent a frame that is no answer"));
                }
            }
        }
    }

    fn answer(&mut self, ask: Ask) -> Result<(Reply, Vec<OwnedFd>), PluginError> {
        let session = self.session;
        let plugin = &session.installed.manifest.id;
        if ask::interface(&ask).is_some_and(|interface| !session.effective.interfaces.contains(&interface)) {
            return Err(failure::refusal(ErrorCode::Denied, "the host interface is not granted"));
        }
        let trouble = session.trouble.as_ref().filter(|trouble| trouble.comes(self.asks));
        self.troubled |= trouble.is_some_and(Trouble::is_of_asks);
        if let Some(told) = trouble.and_then(|trouble| trouble.answer(&ask)) {
            return Err(told);
        }
        let connects = matches!(ask, Ask::Connect { .. });
        if connects {
            self.may_connect()?;
        }
        let begun = Instant::now();
        let creates = ask::creates(&ask);
        let asker = Asker {
            plugin,
            policy: session.gate.policy(),
            effective: &session.effective,
            subject: self.subject,
            settings: &self.settings,
            purpose: self.purpose,
        };
        let operation = ask::operation(&asker, ask).inspect_err(|refused| {
            self.met.refused(refused);
        })?;
        let mut done = self.perform(operation);
        if let (Some(trouble), true, Ok((_, streams))) = (trouble, connects, &mut done) {
            let led = trouble.spoil(std::mem::take(streams), &mut self.spoilt);
            *streams = led.map_err(|error| failure::refusal(ErrorCode::Unreachable, error.to_string()))?;
        }
        if connects {
            self.connecting += begun.elapsed();
            if done.is_ok() {
                self.met.connected();
            }
        }
        done.map_err(|failure| {
            tracing::debug!(%plugin, %failure, "an operation that a plugin asked for failed");
            let told = failure::to_plugin(&failure, creates);
            self.met.failed(failure, connects);
            told
        })
    }

    /// Who tries a server that is gone again and again does not hold up the command that called.
    fn may_connect(&mut self) -> Result<(), PluginError> {
        self.connections += 1;
        if self.connections > CONNECTIONS_MAX {
            let message = format!("one call opens at most {CONNECTIONS_MAX} connections");
            return Err(failure::refusal(ErrorCode::Exhausted, message));
        }
        if self.connecting >= self.session.limits.wall {
            return Err(failure::refusal(ErrorCode::Timeout, "the call has spent its time on connecting"));
        }
        Ok(())
    }

    fn perform(&mut self, operation: Operation) -> Result<(Reply, Vec<OwnedFd>)> {
        let session = self.session;
        let actor = Actor::Plugin(session.installed.manifest.id.clone());
        let done = session.gate.perform(&actor, self.ledger, operation.clone(), Vec::new())?;
        let mismatch = || Failure::other("the operation gave what it does not give");
        match reply::reply(&operation, done.outcome) {
            // What else the host has is not the plugin's to know.
            Next::Answer(Reply::Links(mut all)) => {
                let Actor::Plugin(id) = &actor else { return Err(mismatch()) };
                all.retain(|link| link.owned || judge::names_link(session.gate.policy(), id, &link.name));
                Ok((Reply::Links(all), Vec::new()))
            }
            // One descriptor each: the sandbox takes the frame and what is beside it as one.
            Next::Answer(reply @ (Reply::Connection | Reply::Secret)) if done.descriptors.len() == 1 => {
                Ok((reply, done.descriptors))
            }
            Next::Answer(Reply::Connection | Reply::Secret) => Err(mismatch()),
            Next::Answer(reply) => Ok((reply, Vec::new())),
            Next::Read(reading) => {
                let outcome = session.gate.perform(&actor, self.ledger, reading, Vec::new())?.outcome;
                reply::read(&operation, outcome).map(|reply| (reply, Vec::new())).ok_or_else(mismatch)
            }
            Next::Withheld => Err(Failure::denied("a dry run opens no connection for a change")
                .hint("what the plugin would do over it is not fief's to foresee; the same without --dry-run does it")),
            Next::Mismatch => Err(mismatch()),
        }
    }
}
