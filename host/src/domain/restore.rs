//! From a saved state to a domain that can go on with it: everything is looked at before anything is changed.

use std::path::{Path, PathBuf};

use crate::config::domain::{self, DomainDefinition};
use crate::domain::saved::{Header, Here, HostCpu, Opened, misfits};
use crate::domain::{Record, State, client, nvram, store};
use crate::error::{Context, Failure, Kind, Result};
use crate::fault;
use crate::gate::Gate;
use crate::hypervisor::{Places, qemu};
use crate::layout::Layout;
use crate::network::Network;
use crate::storage::Pool;
use crate::types::{DomainName, NetworkName, VolumeRef};

/// What is to be another than in the file.
#[derive(Debug, Default)]
pub struct Mapping {
    pub name: Option<DomainName>,
    /// By place in the definition, from 0.
    pub disks: Vec<(usize, VolumeRef)>,
    pub cards: Vec<(usize, NetworkName)>,
}

impl Mapping {
    fn changes_devices(&self) -> bool {
        !self.disks.is_empty() || !self.cards.is_empty()
    }
}

/// A restore that can be done.
#[derive(Debug)]
pub struct Plan {
    file: PathBuf,
    /// What the guest goes on with: the file's, mapped, on the very machine type that it ran on.
    definition: DomainDefinition,
    places: Places,
    /// What the domain starts with later; none where that stays as it is.
    next: Option<DomainDefinition>,
    /// What it was defined as; none where it was not.
    before: Option<DomainDefinition>,
    /// None where the domain's own are these.
    nvram: Option<Vec<u8>>,
    loses: Option<String>,
}

/// What a restore changed ahead of its guest, to be put back where that comes to nothing.
#[derive(Debug)]
pub struct Prepared {
    name: DomainName,
    created: bool,
    replaced: Option<DomainDefinition>,
    nvram: Option<Vec<u8>>,
}

impl Plan {
    /// # Errors
    /// `Usage` for a file or a mapping that is wrong; `Conflict` with every misfit as a cause.
    pub fn new(gate: &Gate, file: &Path, mapping: &Mapping) -> Result<Plan> {
        let layout = gate.layout();
        let mut opened = Opened::open(file)?;
        let nvram = opened.nvram()?;
        let header = opened.header;
        let source = format!("the definition in {}", file.display());
        let saved = domain::parse(header.definition.as_bytes(), &source, &mut domain::RandomIdentity)?;
        let mapped = mapped(&saved, mapping)?;
        let known = known(layout, &mapped, mapping.name.is_some())?;
        let mapped =
            DomainDefinition { name: known.as_ref().map_or(mapped.name.clone(), |k| k.name.clone()), ..mapped };
        fits(gate, file, &header, &mapped)?;
        let loses = loses(file, &header, known.as_ref());
        let next = (known.is_none() || mapping.changes_devices()).then(|| mapped.clone());
        let before = known.as_ref().map(|known| store::load(layout, &known.name)).transpose()?;
        let nvram =
            (!nvram.is_empty() && nvram::of(layout, &mapped.name)?.unwrap_or_default() != nvram).then_some(nvram);
        let places = header.places(&mapped)?;
        let definition = DomainDefinition { machine: Some(header.machine), ..mapped };
        Ok(Plan { file: file.to_owned(), definition, places, next, before, nvram, loses })
    }

    pub fn name(&self) -> &DomainName {
        &self.definition.name
    }
    pub fn definition(&self) -> &DomainDefinition {
        &self.definition
    }
    pub fn places(&self) -> &Places {
        &self.places
    }
    /// What would be lost, for the operator to agree to.
    pub fn loses(&self) -> Option<String> {
        self.loses.clone()
    }

    /// Makes the domain ready for the supervisor that goes on with the state. Where that changes the domain, the whole
    /// file is held against its sum first: a damaged one changes nothing.
    pub fn prepare(&self, layout: &Layout) -> Result<Prepared> {
        let name = self.name();
        if self.next.is_some() || self.nvram.is_some() {
            Opened::open(&self.file)?.verify()?;
        }
        let mut prepared = Prepared { name: name.clone(), created: false, replaced: None, nvram: None };
        let done = self.change(layout, &mut prepared);
        match done {
            Ok(()) => Ok(prepared),
            Err(failure) => {
                prepared.take_back(layout);
                Err(failure)
            }
        }
    }

    fn change(&self, layout: &Layout, prepared: &mut Prepared) -> Result<()> {
        match (&self.next, &self.before) {
            (Some(next), None) => {
                store::create(layout, next)?;
                prepared.created = true;
            }
            (Some(next), Some(before)) => {
                store::replace(layout, next)?;
                prepared.replaced = Some(before.clone());
            }
            (None, _) => {}
        }
        fault::point("restore.defined")?;
        if let Some(nvram) = &self.nvram {
            prepared.nvram = nvram::of(layout, self.name())?;
            nvram::put(layout, self.name(), nvram)?;
        }
        store::leave_restoring(layout, &self.definition)?;
        fault::point("restore.prepared")
    }
}

impl Prepared {
    /// Puts back what was there before. The failure that led here is the one to tell; what could not be put back is logged.
    pub fn take_back(self, layout: &Layout) {
        let name = &self.name;
        let back = || -> Result<()> {
            store::forget_restoring(layout, name)?;
            if self.created {
                return store::take_back(layout, name);
            }
            if let Some(before) = self.nvram {
                nvram::put(layout, name, &before)?;
            }
            self.replaced.map_or(Ok(()), |before| store::replace(layout, &before))
        };
        if let Err(failure) = back() {
            tracing::warn!(domain = %self.name, %failure, "what a restore changed ahead of its guest stays changed");
        }
    }
}

fn mapped(saved: &DomainDefinition, mapping: &Mapping) -> Result<DomainDefinition> {
    let mut definition = saved.clone();
    if let Some(name) = &mapping.name {
        definition.name = name.clone();
    }
    let none = |what: &str, at: usize, count: usize| {
        Failure::usage(format!("there is no {what} {at} in the file")).hint(match count {
            0 => format!("it has no {what}"),
            count => format!("it has {count}, counted from 0"),
        })
    };
    for (at, volume) in &mapping.disks {
        let count = definition.disks.len();
        definition.disks.get_mut(*at).ok_or_else(|| none("disk", *at, count))?.volume = volume.clone();
    }
    for (at, network) in &mapping.cards {
        let count = definition.cards.len();
        definition.cards.get_mut(*at).ok_or_else(|| none("card", *at, count))?.network = network.clone();
    }
    Ok(definition)
}

/// The domain that the state is of, where it is defined here: it is off. None: its name is free.
fn known(layout: &Layout, mapped: &DomainDefinition, named: bool) -> Result<Option<Record>> {
    for name in store::names(layout)? {
        let Ok(record) = Record::load(layout, &name) else { continue };
        let same = record.uuid == mapped.uuid;
        if same && named && name != mapped.name {
            return Err(Failure::conflict(format!("the file is of domain {name}, which is defined here")).hint(
                format!("`fief rename {name} {}` gives it that name; then restore without --name", mapped.name),
            ));
        }
        if !same && name == mapped.name {
            return Err(Failure::conflict(format!("another domain is called {name}"))
                .hint("--name restores under another name"));
        }
        if same {
            return match client::settle(layout, &name)? {
                State::Off => Ok(Some(Record::load(layout, &name)?)),
                State::Starting
                | State::Running
                | State::Paused
                | State::Preserved
                | State::Stopping
                | State::Ceded
                | State::Elsewhere => {
                    Err(Failure::conflict(format!("domain {name} is not off"))
                        .hint(format!("`fief stop {name}` stops it")))
                }
            };
        }
    }
    Ok(None)
}

fn loses(file: &Path, header: &Header, known: Option<&Record>) -> Option<String> {
    let file = file.display();
    match known {
        Some(record) if record.runs == header.runs => None,
        Some(record) => Some(format!(
            "restore {file} although domain {} has run since it was saved: its disks no longer fit the memory in the \
             file, and what is on them may be destroyed",
            record.name
        )),
        None => Some(format!(
            "define a domain from {file}: it is not known here whether its disks are as they were when it was saved, \
             and what is on them may be destroyed where they are not"
        )),
    }
}

/// # Errors
/// `Conflict`, with all that stands in the way.
fn fits(gate: &Gate, file: &Path, header: &Header, definition: &DomainDefinition) -> Result<()> {
    let (accelerator, _) = qemu::probe::choose(gate, definition.accelerator)?;
    let facts = qemu::facts::facts(gate)?;
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").context(|| "cannot read /proc/cpuinfo".to_owned())?;
    let cpu = HostCpu::parse(&cpuinfo);
    let here = Here { accelerator, hypervisor: &facts.version, machines: &facts.machines, cpu };
    let mut causes = misfits(header, &here);
    let mut pools: Vec<Pool> = Vec::new();
    for (at, disk) in definition.disks.iter().enumerate() {
        if let Err(failure) = there(gate, &mut pools, &disk.volume) {
            causes.push(format!("disk {at}: {failure}"));
        }
    }
    for (at, card) in definition.cards.iter().enumerate() {
        if let Err(failure) = Network::open(gate, &card.network) {
            causes.push(format!("card {at}: {failure}"));
        }
    }
    if causes.is_empty() {
        return Ok(());
    }
    let failure = Failure::new(Kind::Conflict, format!("the state in {} does not fit here", file.display()));
    Err(Failure { causes, ..failure }.hint("--disk N=POOL/VOLUME and --card N=NETWORK put others in their places"))
}

fn there(gate: &Gate, pools: &mut Vec<Pool>, volume: &VolumeRef) -> Result<()> {
    let at = match pools.iter().position(|pool| pool.definition().name == volume.pool) {
        Some(at) => at,
        None => {
            pools.push(Pool::open(gate, &volume.pool)?);
            pools.len() - 1
        }
    };
    pools[at].volume(&volume.volume).map(drop)
}
