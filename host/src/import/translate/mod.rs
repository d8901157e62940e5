//! From a guest of another host to a domain of this one: a definition, and the disks that have to be copied for it.
//! Decided from what was read and what is here; nothing is looked at.

mod boot;
mod cards;
mod disks;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use toml::{Table, Value};
use uuid::Uuid;

use super::guest::{Guest, Source};
use super::report::Report;
use crate::config::domain::{self, Action, DomainDefinition, Identity};
use crate::error::Result;
use crate::types::{DomainName, MacAddress, NetworkName, PoolName, VolumeRef};

/// What the operator chose.
#[derive(Debug, Clone, PartialEq)]
pub struct Choices {
    pub name: Option<DomainName>,
    /// Where disks are copied to.
    pub pool: PoolName,
    /// By the disk's name on the old host.
    pub disks: BTreeMap<String, DiskChoice>,
    /// By bridge.
    pub networks: BTreeMap<String, NetworkName>,
    /// Else the volumes are there already.
    pub copy: bool,
    pub kernel: Option<PathBuf>,
    pub initrd: Option<PathBuf>,
    pub cmdline: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskChoice {
    /// This volume, as it is.
    Volume(VolumeRef),
    /// A copy of this file.
    File(PathBuf),
    /// Not at all.
    None,
}

/// What there is on this host already.
#[derive(Debug, Clone, Default)]
pub struct Here {
    pub networks: BTreeSet<NetworkName>,
    pub uuids: BTreeMap<Uuid, DomainName>,
    pub macs: BTreeMap<MacAddress, DomainName>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Translated {
    pub definition: DomainDefinition,
    pub copies: Vec<Copy>,
    /// Volumes that have to be there.
    pub uses: Vec<VolumeRef>,
}

/// A disk to be copied into a new volume.
#[derive(Debug, Clone, PartialEq)]
pub struct Copy {
    pub line: usize,
    /// As the old host called it.
    pub target: String,
    pub volume: VolumeRef,
    pub source: Source,
}

/// The domain's name: the operator's, or the file's; none where the report says why not.
pub fn name(guest: &Guest, choices: Option<&DomainName>, report: &mut Report) -> Option<DomainName> {
    if let Some(name) = choices {
        return Some(name.clone());
    }
    match &guest.name {
        None => {
            report.wrong(0, "name", "it gives the guest no name", "say --name NAME");
            None
        }
        Some((line, text)) => match text.parse() {
            Ok(name) => Some(name),
            Err(invalid) => {
                report.wrong(*line, "name", format!("{text:?}: {invalid}"), "say --name NAME");
                None
            }
        },
    }
}

/// # Errors
/// Where the definition that comes of it is none that fief takes; mistakes of the file and of the choices are in the
/// report instead, and give none.
pub fn translate(
    guest: &Guest,
    name: &DomainName,
    choices: &Choices,
    here: &Here,
    source: &str,
    identity: &mut dyn Identity,
    report: &mut Report,
) -> Result<Option<Translated>> {
    let mut table = Table::new();
    table.insert("name".into(), Value::String(name.to_string()));
    if let Some(description) = &guest.description {
        table.insert("description".into(), Value::String(description.clone()));
    }
    identify(guest, here, &mut table, report);
    memory(guest, &mut table, report);
    if let Some(vcpus) = guest.vcpus {
        table.insert("vcpus".into(), Value::Integer(vcpus.into()));
    }
    for (key, action) in
        [("on-poweroff", guest.on_poweroff), ("on-reboot", guest.on_reboot), ("on-crash", guest.on_crash)]
    {
        if let Some(action) = action {
            table.insert(key.into(), Value::String(word(action).into()));
        }
    }
    let disks = disks::disks(guest, name, choices, report);
    if disks.empty_drives > 0 {
        table.insert("empty-drives".into(), Value::Integer(disks.empty_drives));
    }
    let cards = cards::cards(guest, choices, here, report);
    table.insert("boot".into(), Value::Table(boot::boot(guest, choices, !cards.is_empty(), report)));
    let value = |volume: &VolumeRef, device: &str, bus: &str, read_only: bool| {
        let mut disk = Table::new();
        disk.insert("volume".into(), Value::String(volume.to_string()));
        disk.insert("device".into(), Value::String(device.into()));
        disk.insert("bus".into(), Value::String(bus.into()));
        if read_only && device == "disk" {
            disk.insert("read-only".into(), Value::Boolean(true));
        }
        Value::Table(disk)
    };
    let all = disks.all.iter().map(|disk| value(&disk.volume, disk.device, disk.bus, disk.read_only));
    table.insert("disk".into(), Value::Array(all.collect()));
    table.insert("card".into(), Value::Array(cards));
    let graphics = if guest.vnc { "vnc" } else { "none" };
    table.insert("graphics".into(), Value::Table(Table::from_iter([("kind".into(), Value::String(graphics.into()))])));
    if report.has_mistakes() {
        return Ok(None);
    }
    let made = format!("the definition made of {source}");
    let definition = domain::parse(table.to_string().as_bytes(), &made, identity)?;
    Ok(Some(Translated { definition, copies: disks.copies, uses: disks.uses }))
}

fn identify(guest: &Guest, here: &Here, table: &mut Table, report: &mut Report) {
    let Some((line, uuid)) = guest.uuid else { return };
    match here.uuids.get(&uuid) {
        Some(other) => report.changed(line, "uuid", format!("domain {other} has it; this one gets another")),
        None => {
            table.insert("uuid".into(), Value::String(uuid.to_string()));
        }
    }
}

fn memory(guest: &Guest, table: &mut Table, report: &mut Report) {
    let Some(memory) = guest.memory else {
        // What it says may have been a mistake, which has been told.
        if !report.has_mistakes() {
            report.wrong(0, "memory", "it does not say how much memory the guest has", "");
        }
        return;
    };
    table.insert("memory".into(), Value::String(memory.to_string()));
    match guest.max_memory {
        Some(most) if most > memory => {
            table.insert("max-memory".into(), Value::String(most.to_string()));
        }
        Some(most) if most < memory => {
            report.changed(0, "max-memory", format!("{most} is less than the memory, {memory}, which counts"));
        }
        Some(_) | None => {}
    }
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Destroy => "destroy",
        Action::Restart => "restart",
        Action::Preserve => "preserve",
    }
}
