//! `xm list`: the table of xm's main.py (Xen 3.4 to 4.4), and its s-expressions.

use std::time::Duration;

use super::{find, running_id, sxp};
use crate::cli::Context;
use crate::config::domain::{Action, DomainDefinition};
use crate::domain::{Record, State, store};
use crate::error::Result;
use crate::sys::machine::{self, Machine};
use crate::sys::process;
use crate::types::DomainName;

/// What a line of the list is made of.
pub(super) struct Line {
    pub name: String,
    pub id: Option<u32>,
    pub mib: u64,
    pub vcpus: u32,
    /// Six places: running, blocked, paused, shut down, crashed, dying; empty for a domain that is off.
    pub state: &'static str,
    pub time: Duration,
}

pub(super) fn run(context: &Context, long: bool, words: &[String]) -> Result<()> {
    let layout = context.layout();
    let wants_host = words.is_empty() || words.iter().any(|word| matches!(word.as_str(), "0" | "Domain-0"));
    let names: Vec<DomainName> = if words.is_empty() {
        store::names(layout)?
    } else {
        let others = words.iter().filter(|word| !matches!(word.as_str(), "0" | "Domain-0"));
        others.map(|word| find(context, word)).collect::<Result<_>>()?
    };
    let mut lines: Vec<(Line, Option<(DomainDefinition, Record)>)> = Vec::new();
    for name in &names {
        // One that cannot be read is told of by `fief list`.
        let (Ok(definition), Ok(record)) = (store::load(layout, name), Record::load(layout, name)) else { continue };
        lines.push((line(context, &definition, &record), Some((definition, record))));
    }
    if let Some(machine) = machine::read().filter(|_| wants_host) {
        let records = store::names(layout)?.into_iter().filter(|name| running_id(context, name).is_some());
        let guests =
            records.filter_map(|name| Record::load(layout, &name).ok()).map(|record| record.memory.bytes() >> 20);
        lines.insert(0, (host(machine, guests.sum()), None));
    }
    // As xm had it: those that run by id, the others after them.
    lines.sort_by_key(|(line, _)| line.id.unwrap_or(u32::MAX));
    if long {
        let texts = lines.iter().map(|(line, of)| match of {
            None => sxp::host(line),
            Some((definition, record)) => sxp::domain(line, definition, record),
        });
        return context.print(&texts.collect::<String>());
    }
    let mut text = String::from("Name                                        ID   Mem VCPUs      State   Time(s)\n");
    lines.iter().for_each(|(line, _)| text += &row(line));
    context.print(&text)
}

/// `"%(name)-40s %(domid)5s %(mem)5d %(vcpus)5d %(state)10s %(cpu_time)8.1f"`.
fn row(line: &Line) -> String {
    let id = line.id.map(|id| id.to_string()).unwrap_or_default();
    let (Line { name, mib, vcpus, state, .. }, time) = (line, line.time.as_secs_f64());
    format!("{name:<40} {id:>5} {mib:>5} {vcpus:>5} {state:>10} {time:>8.1}\n")
}

fn host(machine: Machine, guests: u64) -> Line {
    Line {
        name: "Domain-0".to_owned(),
        id: Some(0),
        mib: (machine.memory.bytes() >> 20).saturating_sub(guests),
        vcpus: machine.cpus,
        state: "r-----",
        time: machine.cpu_time,
    }
}

fn line(context: &Context, definition: &DomainDefinition, record: &Record) -> Line {
    let hypervisor = record.run.as_ref().and_then(|run| run.hypervisor);
    let state = match record.state_now() {
        State::Off | State::Elsewhere => "",
        State::Starting => "------",
        State::Running if hypervisor.is_some_and(machine::is_on_processor) => "r-----",
        State::Running => "-b----",
        State::Paused | State::Ceded => "--p---",
        State::Preserved => preserved(definition),
        State::Stopping => "-----d",
    };
    let id = running_id(context, &definition.name);
    Line {
        name: definition.name.to_string(),
        id,
        mib: record.memory.bytes() >> 20,
        vcpus: record.vcpus.into(),
        state,
        time: id.and(hypervisor).and_then(process::cpu_time).unwrap_or_default(),
    }
}

/// Kept after its end. What that was is in no record; what is kept is in the definition.
fn preserved(definition: &DomainDefinition) -> &'static str {
    let keeps = |action| action == Action::Preserve;
    if keeps(definition.on_crash) && !keeps(definition.on_poweroff) && !keeps(definition.on_reboot) {
        "----c-"
    } else {
        "---s--"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_as_xm_printed_it() {
        let line = |name: &str, id, state| Line {
            name: name.to_owned(),
            id,
            mib: 512,
            vcpus: 2,
            state,
            time: Duration::from_millis(1_183_100),
        };
        assert_eq!(
            row(&line("Domain-0", Some(0), "r-----")),
            "Domain-0                                     0   512     2     r-----   1183.1\n"
        );
        assert_eq!(
            row(&line("node1", None, "")),
            "node1                                            512     2              1183.1\n"
        );
    }
}
