//! A domain made from another: the disks that it writes to are copied or linked, all else is as there but for what
//! must not be the same twice on one network. Everything is looked at before anything is made.
//!
//! ```text
//!   plan ─▸ intent ─▸ each disk: a volume, noted ─▸ (it runs: all disks filled as at one moment) ─▸ defined ─▸ intent gone
//!                └──────────── any failure, or killed: the volumes go, nothing is defined ──────┘
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use crate::config::domain::{self, Card, DiskDevice, DomainDefinition, RandomIdentity};
use crate::domain::pools::Pools;
use crate::domain::state::{Admission, Request as Verb, admit};
use crate::domain::supervisor::control::{DiskTo, Request};
use crate::domain::unfinished::{Intent, Unfinished, is_defined};
use crate::domain::{Record, State, client, nvram, store, users_of_volume};
use crate::error::{Failure, Kind, Result};
use crate::fault;
use crate::gate::operation::Preallocation;
use crate::gate::{Actor, Gate, Ledger, Mode, Operation};
use crate::layout::Layout;
use crate::sandbox::protocol::{AttachAccess, CloneStyle, VolumeFacts};
use crate::storage::{Pool, VolumeSpec};
use crate::sys::durable;
use crate::types::{ByteSize, DomainName, PoolName, VolumeName, VolumeRef};

/// A disk of the source's, and where its copy goes.
#[derive(Debug)]
struct Part {
    /// By place in the definition, from 0.
    index: usize,
    from: VolumeRef,
    to: VolumeRef,
    facts: VolumeFacts,
}

/// A clone that can be made.
#[derive(Debug)]
pub struct Plan {
    source: DomainName,
    runs: bool,
    style: CloneStyle,
    definition: DomainDefinition,
    nvram: Option<Vec<u8>>,
    parts: Vec<Part>,
    notes: Vec<String>,
    identity: Identity,
}

/// What becomes of the system that the copies hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    Kept,
    /// Machine-id, host name and ssh host keys are new ones.
    Reset,
}

impl Plan {
    /// # Errors
    /// `NotFound` for what is not there, `Conflict` for a name that is taken or a state that does not allow it,
    /// `NoRoom` where the copies of a running domain's disks would find none.
    pub fn new(
        gate: &Gate,
        source: &DomainName,
        name: &DomainName,
        style: CloneStyle,
        identity: Identity,
    ) -> Result<Plan> {
        let layout = gate.layout();
        if !layout.domain(source).exists() {
            return Err(store::no_such(layout, source));
        }
        store::is_free(layout, name, None)?;
        let runs = match admit(client::settled_start(layout, source)?, Verb::Copy) {
            Admission::Accept => true,
            Admission::Already => false,
            Admission::Deny { kind, because, hint } => {
                return Err(Failure::new(kind, format!("cannot clone domain {source}: {because}")).hint(hint));
            }
        };
        if identity == Identity::Reset && style == CloneStyle::Linked {
            return Err(Failure::usage("a linked clone keeps the identity of its source")
                .hint("leave --linked or --reset-identity out"));
        }
        if runs && style == CloneStyle::Linked {
            return Err(Failure::conflict(format!("cannot make a linked clone of {source} while it runs")).hint(
                format!("a linked clone stands on disks that are not written to: `fief shutdown {source}` first, or leave --linked out for a full copy"),
            ));
        }
        let running = if runs { store::load_running(layout, source)? } else { None };
        let definition = match running {
            Some(running) => running,
            None => store::load(layout, source)?,
        };
        let mut pools = Pools::default();
        let parts = parts(gate, &mut pools, &definition, name, runs)?;
        if runs {
            has_room(gate, &mut pools, &parts)?;
        }
        let identity = match (identity, parts.first()) {
            (Identity::Reset, Some(system)) => {
                let image = pools.of(gate, &system.from.pool)?.image(&system.from.volume, AttachAccess::ReadOnly)?;
                let inspect = Operation::IdentityInspect { image };
                gate.perform(&Actor::Operator, &mut Ledger::volatile(), inspect, Vec::new())?;
                Identity::Reset
            }
            (Identity::Reset, None) => {
                return Err(Failure::usage(format!(
                    "domain {source} has no disk whose system could get another identity"
                ))
                .hint("leave --reset-identity out"));
            }
            (Identity::Kept, _) => Identity::Kept,
        };
        let nvram = nvram::of(layout, source)?;
        let (definition, notes) = another(&definition, name, &parts, &mut RandomIdentity);
        Ok(Plan { source: source.clone(), runs, style, definition, nvram, parts, notes, identity })
    }

    /// What is not as in the source, where that may surprise.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
    pub fn definition(&self) -> &DomainDefinition {
        &self.definition
    }
    pub fn volumes(&self) -> impl Iterator<Item = &VolumeRef> {
        self.parts.iter().map(|part| &part.to)
    }

    /// Makes it. After an error nothing of it is left.
    pub fn make(&self, gate: &Gate) -> Result<()> {
        if gate.mode() == Mode::DryRun {
            self.make_volumes(gate, &mut |_| Ok(()))?;
            return self.reset_identity(gate);
        }
        let layout = gate.layout();
        // One that is off must not be started, changed or removed while its disks are read.
        let _held = if self.runs { None } else { Some(hold(layout, &self.source)?) };
        let name = &self.definition.name;
        let intent = Intent::Clone { name: name.clone(), uuid: self.definition.uuid, volumes: Vec::new() };
        let mut unfinished = Unfinished::begin(gate, intent)?;
        let made = self.steps(gate, &mut unfinished);
        unfinished.made(gate, made)
    }

    fn steps(&self, gate: &Gate, unfinished: &mut Unfinished) -> Result<()> {
        let layout = gate.layout();
        fault::point("clone.begun")?;
        self.make_volumes(gate, &mut |volume| {
            unfinished.add(volume)?;
            fault::point("clone.volume")
        })?;
        if self.runs {
            self.fill(layout)?;
        }
        fault::point("clone.copied")?;
        self.reset_identity(gate)?;
        store::create_with(layout, &self.definition, self.nvram.as_deref())?;
        fault::point("clone.defined")
    }

    /// Copies or links; of a running domain the volumes are empty until they are filled.
    fn make_volumes(&self, gate: &Gate, note: &mut dyn FnMut(&VolumeRef) -> Result<()>) -> Result<()> {
        let mut pools = Pools::default();
        for part in &self.parts {
            let pool = pools.of(gate, &part.to.pool)?;
            if self.runs {
                let spec = VolumeSpec {
                    name: part.to.volume.clone(),
                    size: ByteSize::from_bytes(part.facts.size),
                    format: part.facts.format,
                    preallocation: Preallocation::Sparse,
                };
                pool.create_new_volume(&spec, || note(&part.to))?;
            } else {
                pool.clone_volume(&part.from.volume, None, &part.to.volume, self.style, || note(&part.to))?;
            }
        }
        Ok(())
    }

    /// In the first disk, which is the one that boots.
    fn reset_identity(&self, gate: &Gate) -> Result<()> {
        let Some(system) = self.parts.first().filter(|_| self.identity == Identity::Reset) else { return Ok(()) };
        let mut pool = Pool::open(gate, &system.to.pool)?;
        let image = match gate.mode() {
            Mode::Perform => pool.image(&system.to.volume, AttachAccess::Exclusive)?,
            // There is no copy: its source stands for it.
            Mode::DryRun => pool.image(&system.from.volume, AttachAccess::ReadOnly)?,
        };
        let reset = Operation::IdentityReset { image, name: self.definition.name.clone() };
        gate.perform(&Actor::Operator, &mut Ledger::volatile(), reset, Vec::new()).map(drop)
    }

    fn fill(&self, layout: &Layout) -> Result<()> {
        let disks = self.parts.iter().map(|part| DiskTo { from: part.from.clone(), to: part.to.clone() }).collect();
        match client::ask(layout, &self.source, &Request::Copy { disks })? {
            Some(_) => Ok(()),
            None => Err(Failure::conflict(format!("domain {} went off before it could be copied", self.source))
                .hint("try again: it is copied as it is now")),
        }
    }
}

/// The disks that the domain writes to. CD-ROMs and disks that are only read are shared.
fn parts(
    gate: &Gate,
    pools: &mut Pools,
    definition: &DomainDefinition,
    name: &DomainName,
    runs: bool,
) -> Result<Vec<Part>> {
    let own = |disk: &crate::config::domain::Disk| disk.device == DiskDevice::Disk && !disk.read_only;
    let mut parts: Vec<Part> = Vec::new();
    for (index, disk) in definition.disks.iter().enumerate().filter(|(_, disk)| own(disk)) {
        let from = disk.volume.clone();
        let users = users_of_volume(gate.layout(), &from)?;
        if let Some(user) = users.iter().find(|user| !runs || **user != definition.name) {
            return Err(Failure::conflict(format!("cannot copy volume {from}: it is a disk of {user}, which runs"))
                .hint(format!("`fief shutdown {user}` first")));
        }
        let to = VolumeRef { pool: from.pool.clone(), volume: volume_name(name, parts.len())? };
        let pool = pools.of(gate, &from.pool)?;
        let facts = pool.volume(&from.volume)?;
        match pool.volume(&to.volume) {
            Err(failure) if failure.kind == Kind::NotFound => {}
            Err(failure) => return Err(failure),
            Ok(_) => {
                return Err(Failure::conflict(format!("cannot copy volume {from}: there is a volume {to} already"))
                    .hint("choose another name for the clone, or delete that volume"));
            }
        }
        parts.push(Part { index, from, to, facts });
    }
    Ok(parts)
}

/// `web2`, then `web2-2` and so on.
fn volume_name(name: &DomainName, place: usize) -> Result<VolumeName> {
    let text = match place {
        0 => name.to_string(),
        place => format!("{name}-{}", place + 1),
    };
    text.parse().map_err(|invalid| Failure::usage(format!("{text:?} cannot be a volume's name")).because(invalid))
}

/// # Errors
/// `NoRoom` where a pool has less than the disks there take now.
fn has_room(gate: &Gate, pools: &mut Pools, parts: &[Part]) -> Result<()> {
    let mut wanted: BTreeMap<&PoolName, u64> = BTreeMap::new();
    for part in parts {
        *wanted.entry(&part.to.pool).or_default() += part.facts.allocated.unwrap_or(part.facts.size);
    }
    for (name, bytes) in wanted {
        let available = pools.of(gate, name)?.info()?.available;
        let bytes = ByteSize::from_bytes(bytes);
        if let Some(available) = available.filter(|available| *available < bytes) {
            let message =
                format!("the copies take {} of pool {name}, and {} are left", bytes.human(), available.human());
            return Err(Failure::new(Kind::NoRoom, message).hint("make room there"));
        }
    }
    Ok(())
}

/// The definition under another name: what must differ, differs; what is about that very domain is left out.
fn another(
    source: &DomainDefinition,
    name: &DomainName,
    parts: &[Part],
    identity: &mut dyn domain::Identity,
) -> (DomainDefinition, Vec<String>) {
    let mut notes = Vec::new();
    let mut cards: Vec<Card> = Vec::new();
    for (index, card) in source.cards.iter().enumerate() {
        let taken = |mac| source.cards.iter().chain(&cards).any(|other| other.mac == mac);
        let mut mac = identity.mac();
        while taken(mac) {
            mac = identity.mac();
        }
        if let Some(address) = card.address {
            notes.push(format!("card {index} of {name} may send from any address: {address} is {}'s", source.name));
        }
        cards.push(Card { mac, address: None, ..card.clone() });
    }
    if source.autostart.is_some() {
        notes.push(format!("{name} does not start with the host: `fief set {name} --autostart` makes it"));
    }
    let mut disks = source.disks.clone();
    for part in parts {
        if let Some(disk) = disks.get_mut(part.index) {
            disk.volume = part.to.clone();
        }
    }
    let definition = DomainDefinition {
        name: name.clone(),
        uuid: identity.uuid(),
        generation_id: identity.uuid(),
        protected: false,
        autostart: None,
        disks,
        cards,
        ..source.clone()
    };
    (definition, notes)
}

/// Holds a domain that is off.
pub(super) fn hold(layout: &Layout, name: &DomainName) -> Result<durable::Lock> {
    let busy = || Failure::conflict(format!("domain {name} is being started or changed")).hint("try again in a moment");
    let lock = durable::lock(&layout.domain(name).join("lock"), Duration::ZERO).map_err(|_| busy())?;
    match Record::load(layout, name)?.state_now() {
        State::Off => Ok(lock),
        State::Starting
        | State::Running
        | State::Paused
        | State::Preserved
        | State::Stopping
        | State::Ceded
        | State::Elsewhere => Err(busy()),
    }
}

/// What a clone that did not come to its end has left: all of it goes, unless it is defined, which was its last step.
pub(super) fn settle(gate: &Gate, name: &DomainName, uuid: Uuid, made: &[VolumeRef]) -> Result<()> {
    if is_defined(gate.layout(), name, uuid)? {
        return Ok(());
    }
    for volume in made.iter().rev() {
        Pool::open(gate, &volume.pool)?.delete_volume(&volume.volume)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
