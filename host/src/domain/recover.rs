//! `fief recover` for a domain: looks at everything that says something about it, and brings it to one true state.
//!
//! ```text
//!   its lock is held ─▸ does its supervisor answer? ─▸ yes: nothing to do
//!        │                                          └▸ no: it is killed; its guest does not notice
//!        ▾
//!   files: half written ones, ledger, record, a rename that was cut off
//!        ▾
//!   a supervisor takes the guest up, or undoes what is left, newest first
//!        ▾
//!   off: no hypervisor and no lease may be left
//! ```
//!
//! The verbs of every day do the middle part by themselves; this one also mends what they refuse.

use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use crate::domain::record::{Record, Truth};
use crate::domain::relocation::ask::Settled;
use crate::domain::supervisor::{Purpose, Report};
use crate::domain::{State, client, lease, rebuild, relocation, rename, store};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::recover::Mended;
use crate::gate::{Gate, Ledger, Mode};
use crate::sys::durable::{self, Lock};
use crate::sys::process;
use crate::types::DomainName;

/// A supervisor that lives answers at once; this long where the machine is busy.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// How long a command that holds the domain's lock for a moment is waited for.
const LOCK_WITHIN: Duration = Duration::from_secs(3);
/// What a restore left this long ago is nobody's who still runs.
const LEFT_BEHIND: Duration = Duration::from_secs(60);
/// How long the host that a domain was handed to may take to say whether it has it.
const ASKED_WITHIN: Duration = Duration::from_secs(15);

/// What was found of `name`, and done about it; nothing where all is as its record says. In a dry run nothing is done.
///
/// # Errors
/// What stands in the way of a true state, with what to do about it.
pub fn recover(gate: &Gate, name: &DomainName, claim: bool) -> Result<Vec<Mended>> {
    let folder = gate.layout().domain(name);
    let mut mended = Vec::new();
    if !folder.is_dir() {
        return Err(store::no_such(gate.layout(), name));
    }
    if let Ok(Record { state: state @ (State::Ceded | State::Elsewhere), .. }) = Record::load(gate.layout(), name) {
        return handed(gate, name, state, claim);
    }
    if claim {
        return Err(Failure::conflict(format!("domain {name} is this host's: there is nothing to claim"))
            .hint(format!("`fief start {name}` starts it")));
    }
    let Some(lock) = hold(gate, name, &mut mended)? else { return Ok(mended) };
    files(gate, name, &mut mended)?;
    let record = match record(gate, name, &mut mended)? {
        Some(record) => record,
        None => return Ok(mended),
    };
    let open = !Ledger::open(&folder.join("ledger.jsonl"))?.is_empty();
    drop(lock);
    settle(gate, name, &record, open, &mut mended)?;
    if gate.mode() == Mode::Perform && Record::load(gate.layout(), name)?.state == State::Off {
        rest(gate, name, &mut mended)?;
    }
    Ok(mended)
}

/// One that was handed over, or is another host's.
fn handed(gate: &Gate, name: &DomainName, state: State, claim: bool) -> Result<Vec<Mended>> {
    let found = match state {
        State::Ceded => "it was handed over, and nobody said whether it was taken",
        _ => "it is another host's, and something of it is here",
    };
    let done = |done: &str| vec![Mended::new(found, done)];
    if gate.mode() == Mode::DryRun {
        return Ok(done("the other host would be asked"));
    }
    if state == State::Elsewhere && !claim {
        // One that is on its way here has its lock.
        let _free = lock(gate, name, Duration::ZERO)
            .map_err(|_| Failure::conflict(format!("domain {name} is on its way here")).hint("wait for that to end"))?;
        drop(_free);
        relocation::forget::forget(gate, name)?;
        return Ok(done("that was cleared away"));
    }
    match relocation::ask::recover(gate, name, claim, ASKED_WITHIN)? {
        Settled::Moved => Ok(done("the other host has it; what was here is cleared away")),
        Settled::Back if claim => Ok(done("it is this host's again")),
        Settled::Back => Ok(done("the other host refused it; it goes on here")),
        Settled::Waiting => Err(Failure::new(
            Kind::NeedsRecover,
            format!("domain {name} was handed over, and the other host does not answer"),
        )
        .hint(format!(
            "it is asked again and again; where that host is off for good, `fief recover {name} --claim` takes the domain \
             back: were it not off, the guest could run twice"
        ))),
    }
}

/// What commands leave beside the domains' folders that are killed while they create or delete one.
pub fn sweep(gate: &Gate) -> Result<Vec<Mended>> {
    let folders = gate.layout().domains();
    let saying = || format!("cannot look at {}", folders.display());
    if !folders.is_dir() {
        return Ok(Vec::new());
    }
    let _lock = durable::lock(&folders.join(".lock"), LOCK_WITHIN)?;
    let mut mended = Vec::new();
    for entry in std::fs::read_dir(&folders).context(saying)? {
        let entry = entry.context(saying)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let what = match (name.strip_prefix(".new-"), name.strip_prefix(".gone-")) {
            (Some(name), _) => format!("domain {name} was being created"),
            (None, Some(name)) => format!("domain {name} was being deleted"),
            (None, None) => continue,
        };
        if gate.mode() == Mode::Perform {
            std::fs::remove_dir_all(entry.path()).context(saying)?;
        }
        mended.push(Mended::new(what, "its files were removed"));
    }
    Ok(mended)
}

fn lock(gate: &Gate, name: &DomainName, within: Duration) -> Result<Lock> {
    durable::lock(&gate.layout().domain(name).join("lock"), within)
}

/// The domain's lock; none where its supervisor has it and is well.
fn hold(gate: &Gate, name: &DomainName, mended: &mut Vec<Mended>) -> Result<Option<Lock>> {
    match lock(gate, name, Duration::ZERO) {
        Err(failure) if failure.kind == Kind::Conflict => {}
        other => return other.map(Some),
    }
    if client::answers(gate.layout(), name, ANSWERS_WITHIN) {
        return Ok(None);
    }
    match lock(gate, name, LOCK_WITHIN) {
        Err(failure) if failure.kind == Kind::TimedOut => {}
        other => return other.map(Some),
    }
    let record = Record::load(gate.layout(), name)?;
    let supervisor = record.run.as_ref().map(|run| run.supervisor).filter(|supervisor| process::alive(*supervisor));
    let at_work = match record.state {
        // It answers once it is done.
        State::Starting | State::Stopping => true,
        State::Off | State::Running | State::Paused | State::Preserved | State::Ceded | State::Elsewhere => false,
    };
    let Some(supervisor) = supervisor.filter(|_| !at_work) else {
        return Err(Failure::new(Kind::TimedOut, format!("another command works on domain {name}"))
            .hint(format!("try again when it has ended; `fief logs {name} --supervisor` shows what it does")));
    };
    let found = format!("its supervisor (process {}) does not answer", supervisor.pid);
    mended.push(Mended::new(found, "it was killed, which its guest does not notice"));
    if gate.mode() == Mode::DryRun {
        return Ok(None);
    }
    process::kill(supervisor, Signal::KILL).context(|| format!("cannot end the supervisor of domain {name}"))?;
    lock(gate, name, LOCK_WITHIN).map(Some)
}

/// Under the domain's lock.
fn files(gate: &Gate, name: &DomainName, mended: &mut Vec<Mended>) -> Result<()> {
    let folder = gate.layout().domain(name);
    let saying = || format!("cannot look at the files of domain {name}");
    if gate.mode() == Mode::DryRun {
        return Ok(());
    }
    let mut removed = durable::sweep(&folder).context(saying)?;
    for entry in std::fs::read_dir(&folder).context(saying)? {
        let entry = entry.context(saying)?;
        let file = entry.file_name().to_string_lossy().into_owned();
        let age = entry.metadata().and_then(|facts| facts.modified()).context(saying)?;
        let old = SystemTime::now().duration_since(age).is_ok_and(|age| age > LEFT_BEHIND);
        let left = file == "nvram.new" || (old && (file == "restoring.toml" || file.starts_with(".screenshot-")));
        if left {
            std::fs::remove_file(entry.path()).context(saying)?;
            removed += 1;
        }
    }
    if removed > 0 {
        mended.push(Mended::new("a file was half written, or left behind", "it was removed"));
    }
    let lost = Ledger::salvage(&folder.join("ledger.jsonl"))?;
    if lost > 0 {
        let found = format!("{lost} lines of its ledger cannot be read");
        mended.push(Mended::new(found, "the others count; the file is kept as ledger.jsonl.damaged"));
    }
    if rename::finish(gate.layout(), name)? {
        mended.push(Mended::new("it was being renamed", "all its files say its name now"));
    }
    Ok(())
}

/// Its record; a new one where there is none that can be read. None: a dry run, which makes none.
fn record(gate: &Gate, name: &DomainName, mended: &mut Vec<Mended>) -> Result<Option<Record>> {
    let layout = gate.layout();
    let failure = match Record::load(layout, name) {
        Ok(record) => return Ok(Some(record)),
        Err(failure) if matches!(failure.kind, Kind::NeedsRecover | Kind::NotFound) => failure,
        Err(failure) => return Err(failure),
    };
    let cause = failure.causes.first().cloned().unwrap_or_else(|| "there is none".to_owned());
    mended
        .push(Mended::new(format!("its record cannot be used: {cause}"), "a new one was made from what else there is"));
    if gate.mode() == Mode::DryRun {
        return Ok(None);
    }
    let record = rebuild::record(gate, name)?;
    rebuild::set_aside(layout, name)?;
    record.save(layout)?;
    Ok(Some(record))
}

/// Through a supervisor, as every command does it.
fn settle(gate: &Gate, name: &DomainName, record: &Record, open: bool, mended: &mut Vec<Mended>) -> Result<()> {
    let guest = record.run.as_ref().and_then(|run| run.hypervisor).map_or(0, |hypervisor| hypervisor.pid);
    let found = match record.truth_unattended() {
        Truth::Orphaned => format!("its guest (process {guest}) is there, and nobody watches over it"),
        Truth::Dead => format!("it was {}, and its processes are gone", record.state.as_str()),
        Truth::AsRecorded if open && record.state == State::Off => "its ledger is open".to_owned(),
        Truth::AsRecorded => return Ok(()),
    };
    if gate.mode() == Mode::DryRun {
        mended.push(Mended::new(found, "a supervisor would see to it"));
        return Ok(());
    }
    let done = match client::supervise(gate.layout(), name, &Purpose::Adopt)? {
        Report::Running { .. } => "a new supervisor took it up".to_owned(),
        Report::Off | Report::Expecting | Report::Handing => {
            let end = Record::load(gate.layout(), name)?.last_end.map_or("stopped", |end| end.reason.as_str());
            format!("what was left is undone; it is off ({end})")
        }
        Report::Failed(failure) => {
            let kind = Kind::NeedsRecover;
            return Err(Failure { kind, ..failure }.while_doing(format!("cannot settle domain {name}")));
        }
    };
    mended.push(Mended::new(found, done));
    Ok(())
}

/// It is off: what no record and no ledger knew of goes too.
fn rest(gate: &Gate, name: &DomainName, mended: &mut Vec<Mended>) -> Result<()> {
    let Ok(_lock) = lock(gate, name, LOCK_WITHIN) else { return Ok(()) };
    // Another command may have started it meanwhile.
    if Record::load(gate.layout(), name)?.state != State::Off {
        return Ok(());
    }
    let stray = gate.hypervisors(name);
    if let Some(first) = stray.first() {
        let mut ledger = Ledger::open(&gate.layout().domain(name).join("ledger.jsonl"))?;
        gate.end_hypervisors(&mut ledger, name)?;
        mended
            .push(Mended::new(format!("a hypervisor (process {}) that no record knows of", first.pid), "it was ended"));
    }
    let leases = lease::release_all(gate.layout(), name)?;
    if leases > 0 {
        mended.push(Mended::new(format!("{leases} of its volumes were leased"), "they were let go"));
    }
    Ok(())
}
