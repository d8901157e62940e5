//! `fief list`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::output::{Cell, Column, Format, Row};
use crate::domain::record::Truth;
use crate::domain::survey::local;
use crate::domain::{Record, State, client, store};
use crate::error::{Failure, Result};
use crate::hypervisor::ChosenAccelerator;
use crate::layout::Layout;
use crate::sys::machine::{self, Machine};
use crate::sys::process;
use crate::types::{ByteSize, DomainName};

/// List domains
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// These only
    names: Vec<DomainName>,
    /// Those that are not off only
    #[arg(long)]
    running: bool,
    /// This machine too, as the first line: its memory in use and in all, processors, and their time since it started
    #[arg(long)]
    host: bool,
}

/// A line of the listing.
enum Listed {
    Host(Machine),
    Domain(Box<Line>),
}

struct Line {
    name: DomainName,
    /// The record, or why there is none to go by.
    record: Result<Record>,
    state: Option<State>,
    /// The guest runs and has no supervisor: the next command gives it one.
    orphaned: bool,
    cpu: Option<Duration>,
    /// Only where it is asked for: the most that the guest may have, and what it has.
    most_and_actual: (Option<ByteSize>, Option<ByteSize>),
    /// The same: why it could not move to another host, by what is known here.
    obstacles: Option<Vec<String>>,
}

impl Line {
    fn new(name: DomainName, record: Result<Record>) -> Line {
        let Ok(known) = &record else {
            return Line {
                name,
                record,
                state: None,
                orphaned: false,
                cpu: None,
                most_and_actual: (None, None),
                obstacles: None,
            };
        };
        let truth = known.truth();
        let state = match truth {
            Truth::AsRecorded | Truth::Orphaned => known.state,
            Truth::Dead => State::Off,
        };
        let hypervisor = known.run.as_ref().filter(|_| state != State::Off).and_then(|run| run.hypervisor);
        let cpu = hypervisor.and_then(process::cpu_time);
        let orphaned = truth == Truth::Orphaned;
        Line { name, state: Some(state), orphaned, cpu, most_and_actual: (None, None), obstacles: None, record }
    }

    fn run(&self) -> Option<&crate::domain::record::Run> {
        match (&self.record, self.state) {
            (Ok(record), Some(state)) if state != State::Off => record.run.as_ref(),
            _ => None,
        }
    }

    /// A guest that stands still says so where nobody paused it.
    fn state_words(&self, state: State) -> String {
        match self.run() {
            Some(run) if state == State::Paused && run.storage.waits => "paused: storage".to_owned(),
            Some(_) | None => state.as_str().to_owned(),
        }
    }

    /// Looks at what costs a question to the supervisor.
    fn look_closer(&mut self, layout: &Layout) {
        let definition = match store::load_running(layout, &self.name) {
            Ok(Some(running)) if self.run().is_some() => Ok(running),
            Ok(_) | Err(_) => store::load(layout, &self.name),
        };
        if let (Ok(record), Some(state)) = (&self.record, self.state) {
            self.obstacles = Some(local::obstacles(definition.as_ref().ok(), record, state));
        }
        let actual = self.run().and_then(|_| client::memory(layout, &self.name));
        self.most_and_actual = (definition.ok().map(|definition| definition.max_memory), actual);
    }

    fn note(&self) -> Option<String> {
        match &self.record {
            Err(failure) => Some(failure.to_string()),
            Ok(_) if self.orphaned => Some("has no supervisor; the next command gives it one".to_owned()),
            Ok(record) => match self.run() {
                Some(run) => run.storage.words().or_else(|| run.warning.clone()),
                None => record.last_end.as_ref().map(|end| format!("last end: {}", end.reason.as_str())),
            },
        }
    }
}

/// Whether, by what is known here; and why not.
fn moves(why_not: &[String]) -> String {
    if why_not.is_empty() { "yes".to_owned() } else { format!("no: {}", why_not.join(", ")) }
}

fn accelerator(accelerator: ChosenAccelerator) -> &'static str {
    match accelerator {
        ChosenAccelerator::Kvm => "kvm",
        ChosenAccelerator::Tcg => "tcg",
    }
}

impl Row for Listed {
    const KIND: &'static str = "domain";
    const COLUMNS: &'static [Column] = &[
        Column::left("NAME"),
        Column::right("ID"),
        Column::left("STATE"),
        Column::right("MEMORY"),
        Column::right("VCPUS"),
        Column::right("TIME"),
        Column::right("MAX-MEMORY").wide(),
        Column::right("ACTUAL").wide(),
        Column::left("ACCELERATOR").wide(),
        Column::left("UUID").wide(),
        Column::left("MOVES").wide(),
        Column::left("NOTE").wide(),
    ];

    fn name(&self) -> String {
        match self {
            Listed::Host(_) => HOST.to_owned(),
            Listed::Domain(line) => line.name.to_string(),
        }
    }

    fn cells(&self) -> Vec<Cell> {
        match self {
            Listed::Host(machine) => host_cells(machine),
            Listed::Domain(line) => line.cells(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Listed::Host(machine) => host_json(machine),
            Listed::Domain(line) => line.json(),
        }
    }
}

impl Line {
    fn cells(&self) -> Vec<Cell> {
        let run = self.run();
        let known = self.record.as_ref().ok();
        let (most, actual) = self.most_and_actual;
        let or_unknown = |text: Option<String>| text.map_or(Cell::Unknown, Cell::Text);
        vec![
            Cell::Text(self.name.to_string()),
            Cell::optional(run.map(|run| run.id.to_string())),
            or_unknown(self.state.map(|state| self.state_words(state))),
            or_unknown(known.map(|record| record.memory.human())),
            or_unknown(known.map(|record| record.vcpus.to_string())),
            Cell::optional(self.cpu.map(|cpu| format!("{:.1}s", cpu.as_secs_f64()))),
            or_unknown(most.map(|most| most.human())),
            Cell::optional(actual.map(|actual| actual.human())),
            Cell::optional(run.map(|run| accelerator(run.accelerator))),
            or_unknown(known.map(|record| record.uuid.to_string())),
            or_unknown(self.obstacles.as_ref().map(|why| moves(why))),
            Cell::optional(self.note()),
        ]
    }

    fn json(&self) -> Value {
        let run = self.run();
        let known = self.record.as_ref().ok();
        json!({
            "name": self.name,
            "id": run.map(|run| run.id),
            "state": self.state.map_or("unknown", State::as_str),
            "memory": known.map(|record| record.memory.bytes()),
            "max-memory": self.most_and_actual.0.map(ByteSize::bytes),
            "actual-memory": self.most_and_actual.1.map(ByteSize::bytes),
            "vcpus": known.map(|record| record.vcpus),
            "cpu-time-ms": self.cpu.map(|cpu| u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX)),
            "accelerator": run.map(|run| accelerator(run.accelerator)),
            "uuid": known.map(|record| record.uuid),
            "moves": self.obstacles.as_ref().map(Vec::is_empty),
            "moves-not-because": self.obstacles,
            "started": run.map(|run| run.started),
            "storage": run.map(|run| &run.storage).filter(|storage| !storage.is_well()),
            "note": self.note(),
        })
    }
}

/// No domain can have this name.
const HOST: &str = "(host)";

fn host_cells(machine: &Machine) -> Vec<Cell> {
    vec![
        Cell::Text(HOST.to_owned()),
        Cell::Text("0".to_owned()),
        Cell::Text("running".to_owned()),
        Cell::Text(format!("{}/{}", machine.memory_used.human(), machine.memory.human())),
        Cell::Text(machine.cpus.to_string()),
        Cell::Text(format!("{:.1}s", machine.cpu_time.as_secs_f64())),
        Cell::optional(None::<String>),
        Cell::optional(None::<String>),
        Cell::optional(None::<String>),
        Cell::optional(None::<String>),
        Cell::optional(None::<String>),
        Cell::optional(None::<String>),
    ]
}

/// The keys of a domain's line, and two more.
fn host_json(machine: &Machine) -> Value {
    json!({
        "name": HOST,
        "id": 0,
        "state": "running",
        "memory": machine.memory.bytes(),
        "max-memory": null,
        "actual-memory": null,
        "vcpus": machine.cpus,
        "cpu-time-ms": u64::try_from(machine.cpu_time.as_millis()).unwrap_or(u64::MAX),
        "accelerator": null,
        "uuid": null,
        "moves": null,
        "moves-not-because": null,
        "started": null,
        "storage": null,
        "note": null,
        "host": true,
        "memory-used": machine.memory_used.bytes(),
    })
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let layout = context.layout();
    let names = if args.names.is_empty() { store::names(layout)? } else { args.names.clone() };
    let mut lines = Vec::with_capacity(names.len());
    for name in names {
        let record = Record::load(layout, &name);
        match record {
            Err(Failure { kind: crate::error::Kind::NotFound, .. }) if !args.names.is_empty() => {
                return Err(store::no_such(layout, &name));
            }
            record => lines.push(Line::new(name, record)),
        }
    }
    if args.running {
        lines.retain(|line| line.state != Some(State::Off));
    }
    if context.wide() || context.for_programs() {
        lines.iter_mut().for_each(|line| line.look_closer(layout));
    }
    let domains = lines.into_iter().map(|line| Listed::Domain(Box::new(line)));
    // `-o name` prints what other verbs take, and none takes the host.
    let host = args.host && context.format() != Format::Name;
    let host = if host { Some(Listed::Host(machine::read().ok_or_else(unreadable)?)) } else { None };
    context.list(&host.into_iter().chain(domains).collect::<Vec<_>>())
}

fn unreadable() -> Failure {
    Failure::other("the kernel does not say what this machine has").hint("is /proc mounted?")
}
