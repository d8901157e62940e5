//! Snapshots of a domain: one inside each disk that it writes to, all under one name and as at one moment.
//!
//! | | off | running |
//! | --- | --- | --- |
//! | create | each disk by its plugin, in turn: nothing changes meanwhile | all disks in one transaction of the hypervisor's |
//! | delete | by the plugins | by the hypervisor, which has the images open |
//! | revert | by the plugins | not: what the guest has in memory would no longer fit its disks |
//!
//! What is begun is written down first (`unfinished.rs`): a creation that was cut off is taken back, the other two are
//! finished.

mod inside;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::domain::{DiskDevice, DomainDefinition};
use crate::domain::clone::hold;
use crate::domain::pools::Pools;
use crate::domain::state::{Admission, Request as Verb, admit};
use crate::domain::supervisor::control::Request;
use crate::domain::unfinished::{Intent, Unfinished};
use crate::domain::{Record, client, store, users_of_volume};
use crate::error::{Failure, Kind, Result};
use crate::fault;
use crate::gate::operation::{ImageFormat, ImageRef};
use crate::gate::{Actor, Gate, Mode, Operation};
use crate::sandbox::protocol::AttachAccess;
use crate::sys::durable::Lock;
use crate::types::{DomainName, SnapshotName, VolumeRef};

pub(in crate::domain) use inside::of_volume;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    Create,
    Delete,
    Revert,
}

impl Act {
    const fn word(self) -> &'static str {
        match self {
            Act::Create => "take a snapshot of",
            Act::Delete => "delete a snapshot of",
            Act::Revert => "revert",
        }
    }
}

/// A snapshot as it stands on the disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub name: String,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub created: u64,
    /// The disks that have it, of the domain's `of`.
    pub volumes: Vec<VolumeRef>,
    pub of: usize,
}

/// A domain whose snapshots are worked on: the disks that it writes to, and whether they are open.
struct Subject {
    definition: DomainDefinition,
    disks: Vec<VolumeRef>,
    runs: bool,
    /// Of one that is off: nobody starts it meanwhile.
    _held: Option<Lock>,
    pools: Pools,
}

/// All snapshots, the oldest first.
pub fn list(gate: &Gate, name: &DomainName) -> Result<Vec<Standing>> {
    let layout = gate.layout();
    let definition = match store::load_running(layout, name)? {
        Some(running) => running,
        None => store::load(layout, name)?,
    };
    let disks = disks(&definition);
    let mut pools = Pools::default();
    standing(gate, &mut pools, &disks)
}

fn disks(definition: &DomainDefinition) -> Vec<VolumeRef> {
    let own = definition.disks.iter().filter(|disk| disk.device == DiskDevice::Disk && !disk.read_only);
    own.map(|disk| disk.volume.clone()).collect()
}

fn standing(gate: &Gate, pools: &mut Pools, disks: &[VolumeRef]) -> Result<Vec<Standing>> {
    let mut all: BTreeMap<String, Standing> = BTreeMap::new();
    for volume in disks {
        let pool = pools.of(gate, &volume.pool)?;
        if !pool.has_snapshots()? {
            continue;
        }
        for facts in pool.snapshots(&volume.volume)? {
            let standing = all.entry(facts.name.clone()).or_insert_with(|| Standing {
                name: facts.name,
                created: facts.created,
                volumes: Vec::new(),
                of: disks.len(),
            });
            standing.created = standing.created.min(facts.created);
            standing.volumes.push(volume.clone());
        }
    }
    let mut all: Vec<Standing> = all.into_values().collect();
    all.sort_by_key(|standing| standing.created);
    Ok(all)
}

/// What stands under this name.
fn find(gate: &Gate, pools: &mut Pools, disks: &[VolumeRef], name: &SnapshotName) -> Result<Vec<VolumeRef>> {
    let found = standing(gate, pools, disks)?.into_iter().find(|standing| standing.name == name.as_str());
    Ok(found.map(|standing| standing.volumes).unwrap_or_default())
}

/// Keeps all disks as they are now.
///
/// # Errors
/// `Conflict` where there is one of that name, or a disk is raw; then nothing is made.
pub fn create(gate: &Gate, name: &DomainName, snapshot: &SnapshotName) -> Result<Vec<VolumeRef>> {
    let mut subject = Subject::of(gate, name, Act::Create)?;
    subject.keeps_snapshots(gate)?;
    let there = find(gate, &mut subject.pools, &subject.disks, snapshot)?;
    if let Some(volume) = there.first() {
        return Err(Failure::conflict(format!("volume {volume} of domain {name} has a snapshot {snapshot} already"))
            .hint("choose another name, or delete that one"));
    }
    let volumes = subject.disks.clone();
    if gate.mode() == Mode::DryRun {
        return subject.make(gate, snapshot, &mut |_| Ok(())).map(|()| volumes);
    }
    // The hypervisor makes all of them or none, and none is there now.
    let made = if subject.runs { volumes.clone() } else { Vec::new() };
    let intent = Intent::Snapshot { domain: name.clone(), snapshot: snapshot.clone(), act: Act::Create, volumes: made };
    let mut unfinished = Unfinished::begin(gate, intent)?;
    let made = fault::point("snapshot.begun").and_then(|()| {
        subject.make(gate, snapshot, &mut |volume| {
            unfinished.add(volume)?;
            fault::point("snapshot.volume")
        })?;
        fault::point("snapshot.made")
    });
    // To take it back, others must reach the domain.
    drop(subject);
    match made {
        Ok(()) => unfinished.end().map(|()| volumes),
        Err(failure) => Err(unfinished.undone(gate, failure)),
    }
}

/// # Errors
/// `NotFound` where no disk has it.
pub fn delete(gate: &Gate, name: &DomainName, snapshot: &SnapshotName) -> Result<()> {
    let mut subject = Subject::of(gate, name, Act::Delete)?;
    let volumes = find(gate, &mut subject.pools, &subject.disks, snapshot)?;
    if volumes.is_empty() {
        return Err(none(name, snapshot));
    }
    if gate.mode() == Mode::DryRun {
        return subject.delete(gate, snapshot, &volumes);
    }
    let intent = Intent::Snapshot {
        domain: name.clone(),
        snapshot: snapshot.clone(),
        act: Act::Delete,
        volumes: volumes.clone(),
    };
    let unfinished = Unfinished::begin(gate, intent)?;
    fault::point("snapshot.deleting")?;
    subject.delete(gate, snapshot, &volumes).map_err(half)?;
    unfinished.end()
}

/// Looks whether it can be gone back to; then `agreed` is asked, and all disks go back.
///
/// # Errors
/// `NotFound` where no disk has it; `Conflict` where only some have, where a linked clone stands on one, or the domain runs.
pub fn revert(
    gate: &Gate,
    name: &DomainName,
    snapshot: &SnapshotName,
    agreed: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let mut subject = Subject::of(gate, name, Act::Revert)?;
    let volumes = find(gate, &mut subject.pools, &subject.disks, snapshot)?;
    if volumes.is_empty() {
        return Err(none(name, snapshot));
    }
    if let Some(volume) = subject.disks.iter().find(|volume| !volumes.contains(volume)) {
        return Err(Failure::conflict(format!("volume {volume} of domain {name} has no snapshot {snapshot}"))
            .hint("it was made before that disk was there; `fief volume snapshot revert` takes one disk back"));
    }
    for volume in &volumes {
        // Refused where something stands on it.
        subject.pools.of(gate, &volume.pool)?.image(&volume.volume, AttachAccess::Exclusive)?;
    }
    agreed()?;
    if gate.mode() == Mode::DryRun {
        return subject.revert(gate, snapshot, &volumes);
    }
    let intent = Intent::Snapshot {
        domain: name.clone(),
        snapshot: snapshot.clone(),
        act: Act::Revert,
        volumes: volumes.clone(),
    };
    let unfinished = Unfinished::begin(gate, intent)?;
    // A state that was saved no longer fits these disks.
    let mut record = Record::load(gate.layout(), name)?;
    record.runs += 1;
    record.saved = None;
    record.save(gate.layout())?;
    fault::point("snapshot.reverting")?;
    subject.revert(gate, snapshot, &volumes).map_err(half)?;
    unfinished.end()
}

/// What a command that was killed has left of such an act: a creation goes, the others come to their end.
pub(super) fn settle(
    gate: &Gate,
    name: &DomainName,
    snapshot: &SnapshotName,
    act: Act,
    volumes: &[VolumeRef],
) -> Result<()> {
    if !gate.layout().domain(name).exists() {
        return Ok(());
    }
    let mut subject = Subject::of(gate, name, act)?;
    match act {
        Act::Create | Act::Delete => {
            let there = find(gate, &mut subject.pools, &subject.disks, snapshot)?;
            let left: Vec<VolumeRef> = volumes.iter().filter(|volume| there.contains(volume)).cloned().collect();
            subject.delete(gate, snapshot, &left)
        }
        Act::Revert => subject.revert(gate, snapshot, volumes),
    }
}

fn none(name: &DomainName, snapshot: &SnapshotName) -> Failure {
    Failure::not_found(format!("domain {name} has no snapshot {snapshot}"))
        .hint(format!("`fief snapshot list {name}` shows those that there are"))
}

/// Some disks may have changed and others not.
fn half(failure: Failure) -> Failure {
    Failure { kind: Kind::NeedsRecover, ..failure }.hint("put right what is named; the next command goes on with it")
}

impl Subject {
    fn of(gate: &Gate, name: &DomainName, act: Act) -> Result<Subject> {
        let layout = gate.layout();
        if !layout.domain(name).exists() {
            return Err(store::no_such(layout, name));
        }
        let refused = |kind, because: &str, hint: &str| {
            Failure::new(kind, format!("cannot {} domain {name}: {because}", act.word())).hint(hint)
        };
        let runs = match (admit(client::settled_start(layout, name)?, Verb::Copy), act) {
            (Admission::Deny { kind, because, hint }, _) => return Err(refused(kind, because, hint)),
            (Admission::Already, _) => false,
            (Admission::Accept, Act::Create | Act::Delete) => true,
            (Admission::Accept, Act::Revert) => {
                return Err(refused(
                    Kind::Conflict,
                    "it runs, and what its guest holds in memory would no longer fit its disks",
                    &format!("`fief shutdown {name}` first"),
                ));
            }
        };
        let running = if runs { store::load_running(layout, name)? } else { None };
        let (definition, held) = match running {
            Some(running) => (running, None),
            None => {
                let held = if gate.mode() == Mode::Perform { Some(hold(layout, name)?) } else { None };
                (store::load(layout, name)?, held)
            }
        };
        let disks = disks(&definition);
        if disks.is_empty() {
            return Err(refused(Kind::Conflict, "it has no disk that it writes to", "snapshots are of disks"));
        }
        for volume in &disks {
            if let Some(user) = users_of_volume(layout, volume)?.iter().find(|user| !runs || *user != name) {
                return Err(refused(
                    Kind::Conflict,
                    &format!("its volume {volume} is a disk of {user} too, which runs"),
                    &format!("`fief shutdown {user}` first"),
                ));
            }
        }
        Ok(Subject { definition, disks, runs, _held: held, pools: Pools::default() })
    }

    /// # Errors
    /// `Conflict`, with every disk whose format has no snapshots.
    fn keeps_snapshots(&mut self, gate: &Gate) -> Result<()> {
        let name = &self.definition.name;
        let mut raw = Vec::new();
        for volume in &self.disks {
            if self.pools.of(gate, &volume.pool)?.volume(&volume.volume)?.format == ImageFormat::Raw {
                raw.push(format!("volume {volume} is raw, a format without snapshots"));
            }
        }
        if raw.is_empty() {
            return Ok(());
        }
        let failure = Failure::conflict(format!("cannot take a snapshot of domain {name}"));
        Err(Failure { causes: raw, ..failure }
            .hint(format!("`fief clone {name} NEW` keeps a whole copy; disks in qcow2 volumes have snapshots")))
    }

    fn make(
        &mut self,
        gate: &Gate,
        snapshot: &SnapshotName,
        note: &mut dyn FnMut(&VolumeRef) -> Result<()>,
    ) -> Result<()> {
        if self.runs {
            let request = Request::SnapshotCreate { snapshot: snapshot.clone(), volumes: self.disks.clone() };
            let make = |image| Operation::SnapshotCreate { image, snapshot: snapshot.clone() };
            let volumes = self.disks.clone();
            return self.by_hypervisor(gate, &volumes, make, &request);
        }
        for volume in &self.disks {
            let pool = self.pools.of(gate, &volume.pool)?;
            pool.create_snapshot(&volume.volume, snapshot, || note(volume))?;
        }
        Ok(())
    }

    fn delete(&mut self, gate: &Gate, snapshot: &SnapshotName, volumes: &[VolumeRef]) -> Result<()> {
        if self.runs {
            let request = Request::SnapshotDelete { snapshot: snapshot.clone(), volumes: volumes.to_vec() };
            let delete = |image| Operation::SnapshotDelete { image, snapshot: snapshot.clone() };
            return self.by_hypervisor(gate, volumes, delete, &request);
        }
        for volume in volumes {
            self.pools.of(gate, &volume.pool)?.delete_snapshot(&volume.volume, snapshot)?;
        }
        Ok(())
    }

    fn revert(&mut self, gate: &Gate, snapshot: &SnapshotName, volumes: &[VolumeRef]) -> Result<()> {
        for volume in volumes {
            self.pools.of(gate, &volume.pool)?.revert_snapshot(&volume.volume, snapshot)?;
        }
        Ok(())
    }

    fn by_hypervisor(
        &mut self,
        gate: &Gate,
        volumes: &[VolumeRef],
        operation: impl Fn(ImageRef) -> Operation,
        request: &Request,
    ) -> Result<()> {
        let mut operations = Vec::new();
        for volume in volumes {
            operations
                .push(operation(self.pools.of(gate, &volume.pool)?.image(&volume.volume, AttachAccess::Exclusive)?));
        }
        let name = &self.definition.name;
        gate.through_hypervisor(&Actor::Operator, &operations, || match client::ask(gate.layout(), name, request)? {
            Some(_) => Ok(()),
            None => Err(Failure::conflict(format!("domain {name} went off meanwhile")).hint("try again")),
        })
    }
}
