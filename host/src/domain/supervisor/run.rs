//! From the first instruction of a supervisor to its end: what it finds, what it starts, what it leaves.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::ending::{Askers, Ending};
use super::pause::{Wanted, pause};
use super::purpose::{Purpose, Report};
use super::served::Served;
use super::watch::{self, Entry, Held};
use crate::config::domain::DomainDefinition;
use crate::domain::record::{End, EndReason, Record, Run, Truth};
use crate::domain::saved::Opened;
use crate::domain::state::{Admission, Happening, Request as Verb, Rules, SETTLED, State, Task, admit, step};
use crate::domain::{keeper, kept, run_id, steps, store};
use crate::error::{Failure, Result};
use crate::fault;
use crate::gate::{Gate, Ledger};
use crate::hypervisor::Places;
use crate::sys::process::boot_id;
use crate::sys::{durable, process};
use crate::types::DomainName;

/// Runs to the end of the domain. `say` is called once, with the outcome of the start.
pub fn run(gate: &Gate, name: &DomainName, purpose: &Purpose, say: impl FnOnce(Report)) -> Result<()> {
    let mut say = Some(say);
    let mut report = move |report: Report| {
        if let Some(say) = say.take() {
            say(report);
        }
    };
    let result = supervise(gate, name, purpose, &mut report);
    if let Err(failure) = &result {
        tracing::error!(domain = %name, %failure, "supervisor ends");
        report(Report::Failed(failure.clone()));
    }
    result
}

/// A domain in the hands of its supervisor.
pub(in crate::domain::supervisor) struct Life<'a> {
    pub(super) gate: &'a Gate,
    pub(super) definition: DomainDefinition,
    pub(super) record: Record,
    pub(super) ledger: Ledger,
    restarts: u32,
}

/// Why nothing of a domain is done here that is handed over, or another host's.
fn not_ours(name: &DomainName, state: State) -> Failure {
    match admit(state, Verb::Start) {
        Admission::Deny { kind, because, hint } => Failure::new(kind, format!("domain {name}: {because}")).hint(hint),
        Admission::Accept | Admission::Already => Failure::conflict(format!("domain {name} is another host's")),
    }
}

fn supervise(gate: &Gate, name: &DomainName, purpose: &Purpose, report: &mut dyn FnMut(Report)) -> Result<()> {
    let layout = gate.layout();
    // A supervisor that ends lets go of the lock a moment after its last answer.
    let _lock = durable::lock(&layout.domain(name).join("lock"), Duration::from_secs(2))?;
    fault::point("start.locked")?;
    store::sweep(layout, name)?;
    let record = match Record::load(layout, name) {
        Err(failure) if failure.kind == crate::error::Kind::NotFound => Record::new(&store::load(layout, name)?),
        other => other?,
    };
    let mine = match (record.state, purpose) {
        (State::Elsewhere, Purpose::Incoming | Purpose::Adopt) | (State::Ceded, Purpose::Adopt | Purpose::Hand) => true,
        (State::Ceded | State::Elsewhere, _) => return Err(not_ours(name, record.state)),
        (_, Purpose::Incoming) => return Err(Failure::conflict(format!("domain {name} is this host's already"))),
        (_, _) => false,
    };
    // What it runs with where it does: what it starts with next may have been changed since, or be broken.
    let definition = match record.state {
        State::Off | State::Elsewhere => None,
        State::Ceded | State::Starting | State::Running | State::Paused | State::Preserved | State::Stopping => {
            store::load_running(layout, name)?
        }
    };
    let definition = definition.map_or_else(|| store::load(layout, name), Ok)?;
    let kept = match (&record.run, record.truth_unattended()) {
        (Some(run), Truth::Orphaned) => run.plugins.clone(),
        (Some(run), _) if record.state == State::Ceded => run.plugins.clone(),
        _ => kept::by(gate, &definition),
    };
    let gate = &gate.clone().keeping(kept);
    let layout = gate.layout();
    let ledger = Ledger::open(&layout.domain(name).join("ledger.jsonl"))?;
    let mut life = Life { gate, definition, record, ledger, restarts: 0 };
    if mine {
        return match purpose {
            Purpose::Incoming => life.take_in(report),
            _ if life.record.state == State::Ceded => life.cede_again(report),
            _ => life.forget_elsewhere(report),
        };
    }

    let ending = match life.record.truth_unattended() {
        Truth::Orphaned => Some(life.adopt(report)?),
        Truth::Dead | Truth::AsRecorded => {
            life.clear_remains()?;
            match purpose {
                Purpose::Start => {
                    // Of a restore that was killed before its supervisor was there.
                    store::forget_restoring(layout, name)?;
                    life.definition = store::load(layout, name)?;
                    None
                }
                Purpose::Restore(file) => {
                    let opened = Opened::open(file)?;
                    life.definition = store::take_restoring(layout, name)?;
                    fault::point("restore.taken")?;
                    Some(life.start(Some(opened), report)?)
                }
                Purpose::Hand => return life.hand_at_rest(report),
                Purpose::Adopt | Purpose::Incoming => {
                    report(Report::Off);
                    return Ok(());
                }
            }
        }
    };
    let ending = match ending {
        Some(ending) => ending,
        None => life.start(None, report)?,
    };
    life.live_on(ending)
}

impl Life<'_> {
    pub(super) fn live_on(&mut self, mut ending: Ending) -> Result<()> {
        let life = self;
        let (layout, name) = (life.gate.layout(), life.name());
        // The guest is over; start it again for as long as its definition, or whoever asked for a reboot, says so.
        loop {
            while ending.handing.is_some() {
                match life.hand_over(ending)? {
                    Some(next) => ending = next,
                    None => return Ok(()),
                }
            }
            let (task, askers) = life.end(ending)?;
            match task {
                Task::StartAgain { after } => {
                    tracing::info!(domain = %name, seconds = after.as_secs(), "starting again");
                    let wanted = match after.is_zero() {
                        true => Wanted::Yes,
                        false => pause(&layout.domain(&name), after, || life.undo(EndReason::Stopped, None))?,
                    };
                    match wanted {
                        Wanted::Yes => ending = life.start_again(askers)?,
                        Wanted::No => return Ok(()),
                    }
                }
                Task::Nothing | Task::LetGo | Task::TearDown | Task::Keep | Task::End => return Ok(()),
            }
        }
    }
}

impl Life<'_> {
    /// What the loop changes while the guest runs.
    pub(super) fn held(&mut self) -> Held<'_> {
        Held { record: &mut self.record, definition: &mut self.definition, ledger: &mut self.ledger }
    }

    pub(super) fn name(&self) -> DomainName {
        self.definition.name.clone()
    }

    pub(super) fn rules(&self) -> Rules {
        Rules {
            on_poweroff: self.definition.on_poweroff,
            on_reboot: self.definition.on_reboot,
            on_crash: self.definition.on_crash,
            restarts: self.restarts,
        }
    }

    /// All steps up to a running guest, then watches it to its end.
    fn start(&mut self, state: Option<Opened>, report: &mut dyn FnMut(Report)) -> Result<Ending> {
        let layout = self.gate.layout();
        let name = self.name();
        let id = run_id::next(layout)?;
        let places = match &state {
            Some(opened) => opened.header.places(&self.definition)?,
            None => Places::new(&self.definition),
        };
        // Written before the first step: a lease counts only while its domain is not off, and what is undone after a
        // crash is read from here.
        self.record.state = State::Starting;
        self.record.run = Some(Run {
            id,
            boot: boot_id(),
            supervisor: process::this(),
            hypervisor: None,
            accelerator: crate::hypervisor::ChosenAccelerator::Tcg,
            warning: None,
            started: Timestamp::now(),
            volumes: steps::volumes(&self.definition).map(|(volume, _)| volume.clone()).collect(),
            cards: Vec::new(),
            held: false,
            places: Some(places.clone()),
            changing: None,
            plugins: self.gate.all_kept().clone(),
            serves: true,
            storage: super::Storage::default(),
        });
        self.record.memory = self.definition.memory;
        self.record.vcpus = self.definition.vcpus;
        let recorded = self.record.save(layout).and_then(|()| store::write_running(layout, &self.definition));
        if let Err(failure) = recorded.and_then(|()| fault::point("start.recorded")) {
            return Err(self.failed(failure));
        }
        let (tell, told) = tokio::sync::mpsc::unbounded_channel();
        let launched = match steps::launch(
            self.gate,
            &mut self.ledger,
            &self.definition,
            &places,
            id,
            if state.is_some() { steps::Begins::Saved } else { steps::Begins::Fresh },
            Some(&tell),
        ) {
            Ok(launched) => launched,
            Err(failure) => return Err(self.failed(failure)),
        };
        let served = Served { keepers: launched.keepers, tell, told };
        let watcher = watch::Watcher::new(self.gate, &self.definition, launched.hypervisor);
        let connected = watcher.connect().and_then(|watcher| fault::point("start.connected").map(|()| watcher));
        let mut watcher = match connected {
            Ok(watcher) => watcher,
            Err(failure) => {
                drop(served);
                return Err(self.failed(failure));
            }
        };
        let (next, _) = step(State::Starting, Happening::Launched, self.rules());
        let mut entry = Entry::Fresh;
        let restored = state.is_some();
        if let Some(opened) = state {
            if opened.header.paused {
                entry = Entry::Still;
            }
            let received = watcher.receive(opened).and_then(|()| fault::point("restore.received"));
            if let Err(failure) = received {
                drop(served);
                return Err(self.failed(failure));
            }
        }
        self.record.state = match entry {
            Entry::Fresh | Entry::Adopted | Entry::Moved | Entry::Fetching => next,
            Entry::Still => step(next, Happening::Paused, self.rules()).0,
        };
        // From here on the guest may write to its disks: what was saved before no longer fits them.
        let fitting = (self.record.runs, self.record.saved.take());
        self.record.runs += 1;
        let warning = launched.warning.clone();
        if let Some(run) = &mut self.record.run {
            run.hypervisor = launched.hypervisor;
            run.accelerator = launched.accelerator;
            run.warning = launched.warning;
            run.cards = launched.cards;
            run.held = restored && entry == Entry::Fresh;
        }
        let recorded = self.record.save(layout).and_then(|()| match restored {
            true => fault::point("restore.recorded"),
            false => Ok(()),
        });
        if let Err(failure) = recorded {
            drop((watcher, served));
            (self.record.runs, self.record.saved) = fitting;
            return Err(self.failed(failure));
        }
        tracing::info!(domain = %name, id, "running");
        let rules = self.rules();
        let begun = Instant::now();
        let ending = watcher.run(self.held(), served, rules, entry, || report(Report::Running { id, warning }));
        self.settle(begun);
        match ending {
            Ok(ending) => Ok(ending),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    /// A guest that ran for a good while is not in a restart loop.
    fn settle(&mut self, begun: Instant) {
        if begun.elapsed() > SETTLED {
            self.restarts = 0;
        }
    }

    /// Takes up a guest that runs without a supervisor.
    fn adopt(&mut self, report: &mut dyn FnMut(Report)) -> Result<Ending> {
        let layout = self.gate.layout();
        let half = match self.record.state {
            // Killed before the guest was let go, where nothing is lost by undoing; or while it was undoing.
            State::Starting | State::Stopping => Some(self.reason()),
            State::Off | State::Running | State::Paused | State::Preserved | State::Ceded | State::Elsewhere => None,
        };
        if let Some(reason) = half {
            self.undo(reason, None)?;
            report(Report::Off);
            return Ok(Ending::new(reason, Happening::StopAsked));
        }
        let Some(run) = &mut self.record.run else {
            return Err(Failure::other("a record without a run has no guest to take up"));
        };
        run.supervisor = process::this();
        let (id, warning, hypervisor) = (run.id, run.warning.clone(), run.hypervisor);
        tracing::warn!(domain = %self.record.name, id, "taking up a running guest");
        let watcher = watch::Watcher::new(self.gate, &self.definition, hypervisor).connect()?;
        self.record.save(layout)?;
        let (tell, told) = tokio::sync::mpsc::unbounded_channel();
        let keepers = keeper::take_over(self.gate, &self.name(), keeper::Whose::Ours, &tell)?;
        let served = Served { keepers, tell, told };
        let rules = self.rules();
        watcher.run(self.held(), served, rules, Entry::Adopted, || report(Report::Running { id, warning }))
    }

    /// A start after an earlier run of this supervisor's; `askers` wait for its outcome.
    fn start_again(&mut self, askers: Askers) -> Result<Ending> {
        let mut waiting = Some(askers);
        let started = store::load(self.gate.layout(), &self.name()).and_then(|definition| {
            // What was changed since its start takes effect now.
            self.definition = definition;
            self.start(None, &mut |_| {
                if let Some(askers) = waiting.take() {
                    // They are of the loop before, which cannot be run from within this one.
                    std::thread::spawn(move || askers.answer(&Ok(State::Running)));
                }
            })
        });
        if let (Err(failure), Some(askers)) = (&started, waiting) {
            askers.answer(&Err(failure.clone()));
        }
        started
    }

    /// What follows when a guest is over. Every asker is answered once the domain is off; where it starts again
    /// because it was asked to, those who asked come back, to be answered then.
    fn end(&mut self, ending: Ending) -> Result<(Task, Askers)> {
        if ending.left_running {
            return Ok((Task::Nothing, Askers::default()));
        }
        let (state, task) = step(State::Running, ending.happening, self.rules());
        let again = match task {
            Task::StartAgain { .. } => self.record.run.clone(),
            Task::Nothing | Task::LetGo | Task::TearDown | Task::Keep | Task::End => None,
        };
        let again = again.map(|run| Run { hypervisor: None, volumes: Vec::new(), cards: Vec::new(), ..run });
        let undone = match self.record.run {
            Some(_) => {
                // So that whoever finishes this, should we be killed now, does not take the guest for a running one.
                let Ending { reason, exit_code, .. } = ending;
                self.record.state = state;
                self.record.last_end = Some(End { at: Timestamp::now(), reason, exit_code });
                self.record.save(self.gate.layout())?;
                fault::point("stop.recorded")?;
                self.undo_then(reason, exit_code, again).and_then(|()| fault::point("stop.off"))
            }
            None => Ok(()),
        };
        let asked = ending.happening == Happening::PoweredOffToStart;
        let waiting = match (&undone, asked) {
            (Ok(()), true) => ending.askers,
            (Ok(()), false) | (Err(_), _) => {
                ending.askers.answer(&undone.clone().map(|()| State::Off));
                Askers::default()
            }
        };
        undone?;
        tracing::info!(domain = %self.name(), reason = ending.reason.as_str(), "off");
        if let Task::StartAgain { .. } = task {
            self.restarts += u32::from(!asked);
        }
        Ok((task, waiting))
    }
}
