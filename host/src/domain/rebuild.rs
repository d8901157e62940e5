//! A record from everything but the record: the definition that runs, the ledger, and the processes that carry the
//! domain's mark.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

use crate::config::domain::DomainDefinition;
use crate::domain::record::{CardRecord, Record, Run};
use crate::domain::{State, steps, store};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::{Gate, Ledger, Operation, Outcome};
use crate::hypervisor::{ChosenAccelerator, Places};
use crate::layout::Layout;
use crate::sys::process::boot_id;
use crate::sys::{durable, process};
use crate::types::{DomainName, InterfaceName, ProcessId};

/// A supervisor that is none, so that a new one takes the guest up: no process began at that time.
const NOBODY: ProcessId = ProcessId { pid: 1, start_time: u64::MAX };

/// The record of a domain as it is. The caller holds its lock.
///
/// # Errors
/// Where its definition cannot be read either.
pub(super) fn record(gate: &Gate, name: &DomainName) -> Result<Record> {
    let layout = gate.layout();
    let running = store::load_running(layout, name).ok().flatten();
    let definition = running.map_or_else(|| store::load(layout, name), Ok).map_err(|failure| {
        Failure { kind: Kind::NeedsRecover, ..failure }
            .while_doing(format!("neither the record nor the definition of domain {name} can be read"))
    })?;
    let ledger = Ledger::open(&layout.domain(name).join("ledger.jsonl"))?;
    let living = gate.hypervisors(name);
    let mut record = Record::new(&definition);
    // Nobody knows how often it ran: more often than any state that was saved before remembers.
    record.runs = SystemTime::now().duration_since(UNIX_EPOCH).map_or(u64::MAX / 2, |since| since.as_secs());
    if let Some(run) = run(&definition, &ledger, &living)? {
        record.state = State::Running;
        record.run = Some(run);
    }
    Ok(record)
}

/// The run that goes on now; none where no living hypervisor is in the ledger.
fn run(definition: &DomainDefinition, ledger: &Ledger, living: &[ProcessId]) -> Result<Option<Run>> {
    let started = ledger.entries().iter().find_map(|entry| match (&entry.operation, &entry.outcome) {
        (Operation::HypervisorStart { id, command, .. }, Some(Outcome::Process { process }))
            if living.contains(process) && process::alive(*process) =>
        {
            Some((*id, command.kvm, *process))
        }
        _ => None,
    });
    let Some((id, kvm, hypervisor)) = started else { return Ok(None) };
    let taps: Vec<&InterfaceName> = ledger
        .entries()
        .iter()
        .filter_map(|entry| match &entry.operation {
            Operation::TapCreate { tap, .. } => Some(tap),
            _ => None,
        })
        .collect();
    let mut cards = Vec::with_capacity(definition.cards.len());
    for (index, card) in definition.cards.iter().enumerate() {
        let tap = Record::tap_name(id, index)?;
        cards.push(CardRecord {
            network: card.network.clone(),
            mac: Some(card.mac),
            tap: taps.contains(&&tap).then_some(tap),
        });
    }
    Ok(Some(Run {
        id,
        boot: boot_id(),
        supervisor: NOBODY,
        hypervisor: Some(hypervisor),
        accelerator: if kvm { ChosenAccelerator::Kvm } else { ChosenAccelerator::Tcg },
        warning: None,
        started: Timestamp::now(),
        volumes: steps::volumes(definition).map(|(volume, _)| volume.clone()).collect(),
        cards,
        // Devices that came while it ran may sit elsewhere; the hypervisor then refuses the next one a place.
        places: Some(Places::new(definition)),
        held: false,
        changing: None,
        plugins: std::collections::BTreeMap::new(),
        serves: false,
        storage: crate::domain::supervisor::Storage::default(),
    }))
}

/// Keeps the record that cannot be used, for a look at it.
pub(super) fn set_aside(layout: &Layout, name: &DomainName) -> Result<()> {
    let path = Record::path(layout, name);
    match std::fs::rename(&path, durable::damaged(&path)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot rename {}", path.display()))
        }
        _ => Ok(()),
    }
}
