//! What stands in the way of a move, before anything is touched: the facts of the domain and of both hosts in, all findings at
//! once out. Pure: the same facts give the same findings, on whichever host they are worked out.
//!
//! A blocker refuses the move; a warning is something that an operator may not want; a note is said for completeness. What is
//! not known of the other host is a blocker where the guest's life hangs on it, since a guess here costs more than a move.

mod disks;
mod networks;
mod predict;
mod processor;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use disks::{DiskFacts, DiskSnapshot, Sameness};
pub use networks::{CardFacts, NetworkFacts};
pub use predict::{Pace, Prediction, predict};

use super::message::Power;
use crate::sandbox::protocol::{Finding, Severity};
use crate::types::{ByteSize, Digest, DomainName, MacAddress, PluginId};

/// The domain, as its own host knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DomainFacts {
    pub name: DomainName,
    pub uuid: Uuid,
    pub power: Power,
    /// Most memory that its guest may come to have.
    pub memory: ByteSize,
    /// As the hypervisor calls it, `pc-q35-7.2` and the like; an alias would become another machine there.
    pub machine: String,
    /// What its guest was shown of a processor.
    pub cpu_model: String,
    pub cpu_features: BTreeSet<String>,
    pub disks: Vec<DiskFacts>,
    pub cards: Vec<CardFacts>,
    /// Boots by UEFI.
    pub uefi: bool,
    /// Files of the host's own that it starts from (kernel, initrd).
    pub host_files: Vec<FileFacts>,
    /// Devices of the host's own.
    pub host_devices: Vec<String>,
    /// It is off, and its guest's state is in this file of the host's own.
    pub saved: Option<String>,
    /// Snapshots of its disks, by name.
    pub snapshots: Vec<String>,
    /// What serves its disks and cards, and moves it.
    pub plugins: Vec<PluginId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileFacts {
    pub path: String,
    /// Whether the target has a file of that name.
    pub there: bool,
}

/// A host, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HostFacts {
    pub host: Uuid,
    pub name: String,
    pub architecture: String,
    pub hypervisor: String,
    pub hypervisor_version: String,
    /// Whether guests run on the processor itself.
    pub accelerated: bool,
    pub machines: BTreeSet<String>,
    pub cpu_vendor: String,
    pub cpu_models: BTreeSet<String>,
    pub cpu_features: BTreeSet<String>,
    /// It has what guests boot from by UEFI.
    pub uefi: bool,
    /// None where its kernel does not say.
    pub memory_available: Option<ByteSize>,
    pub networks: Vec<NetworkFacts>,
    pub plugins: Vec<PluginFacts>,
    pub domains: Vec<Taken>,
    /// Why its policy does not let this domain move from the source to the target; none where it does.
    pub denial: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PluginFacts {
    pub id: PluginId,
    pub digest: Digest,
}

/// What a domain of a host has, and no other there may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Taken {
    pub name: DomainName,
    pub uuid: Uuid,
    pub macs: Vec<MacAddress>,
}

/// How the domain is to move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manner {
    /// Its volumes go along; where they do not, both hosts have to reach the same ones.
    pub copies_volumes: bool,
    /// Discs that are only here are taken out first (`--eject`).
    pub ejects: bool,
    /// Snapshots that cannot go along are given up (`--leave-snapshots`).
    pub leaves_snapshots: bool,
    /// It is asked for what the interface of strategies has and no host carries out.
    #[serde(default)]
    pub unheard_of: BTreeSet<Unheard>,
    /// The guest may go on there before all of its memory has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postcopy: Option<Postcopy>,
}

/// Why a host cannot take part in post-copy, for people; none where it can.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Postcopy {
    pub here: Option<String>,
    pub there: Option<String>,
}

/// What a strategy may be set to ask for, and no host of this release does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unheard {
    /// Memory is compressed on its way.
    Compress,
}

/// All that a plan is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Facts {
    pub domain: DomainFacts,
    pub source: HostFacts,
    pub target: HostFacts,
    pub manner: Manner,
}

/// What to do where post-copy cannot be.
const POSTCOPY_REMEDY: &str = "see to that, or set `at-time-out` to `give-up` or `switch-over`";

const CHECKS: &[fn(&Facts, &mut Findings)] = &[
    hosts,
    machine,
    processor::check,
    memory,
    networks::check,
    disks::check,
    host_things,
    identity,
    plugins,
    manner,
    policy,
];

/// Everything that was found, in the order of the checks.
pub fn plan(facts: &Facts) -> Vec<Finding> {
    let mut findings = Findings::default();
    for check in CHECKS {
        check(facts, &mut findings);
    }
    findings.0
}

#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, severity: Severity, code: &str, object: impl ToString, message: String, remedy: Option<String>) {
        self.0.push(Finding { severity, code: code.to_owned(), object: object.to_string(), message, remedy });
    }
    fn blocker(&mut self, code: &str, object: impl ToString, message: String, remedy: impl Into<String>) {
        self.add(Severity::Blocker, code, object, message, Some(remedy.into()));
    }
    fn warning(&mut self, code: &str, object: impl ToString, message: String, remedy: impl Into<String>) {
        self.add(Severity::Warning, code, object, message, Some(remedy.into()));
    }
}

impl Facts {
    /// Whether its guest goes along as it is, rather than starting there from its disks.
    fn with_memory(&self) -> bool {
        match self.domain.power {
            Power::Running | Power::Paused => true,
            Power::Off => false,
        }
    }
}

fn hosts(facts: &Facts, found: &mut Findings) {
    let Facts { source, target, domain, .. } = facts;
    if source.host == target.host {
        let message = format!("{} is the host that it is on", target.name);
        found.blocker("same-host", &domain.name, message, "name another peer (`fief peer list`)");
    }
    if source.architecture != target.architecture {
        let message = format!("{} is {}, and this host is {}", target.name, target.architecture, source.architecture);
        found.blocker("architecture", &target.name, message, "choose a peer of the same architecture");
    }
}

fn machine(facts: &Facts, found: &mut Findings) {
    let Facts { domain, source, target, .. } = facts;
    if source.hypervisor != target.hypervisor {
        let message = format!("{} runs {}, and this host {}", target.name, target.hypervisor, source.hypervisor);
        found.blocker("hypervisor", &target.name, message, "choose a peer with the same hypervisor");
        return;
    }
    if !target.machines.contains(&domain.machine) {
        let message = format!(
            "{} {} on {} has no machine {}",
            target.hypervisor, target.hypervisor_version, target.name, domain.machine
        );
        found.blocker("machine", &domain.name, message, format!("upgrade {} there", target.hypervisor));
    } else if processor::older(&target.hypervisor_version, &source.hypervisor_version) && facts.with_memory() {
        let message = format!(
            "{} on {} is {}, older than this host's {}",
            target.hypervisor, target.name, target.hypervisor_version, source.hypervisor_version
        );
        found.warning(
            "hypervisor-version",
            &target.name,
            message,
            "a move to an older one is not what it is tried for",
        );
    }
}

fn memory(facts: &Facts, found: &mut Findings) {
    let Facts { domain, target, .. } = facts;
    if domain.power == Power::Off {
        return;
    }
    match target.memory_available {
        Some(available) if available >= domain.memory => {}
        Some(available) => {
            let message =
                format!("it may have {}, and {} has {} left", domain.memory.human(), target.name, available.human());
            found.blocker("memory", &domain.name, message, format!("free memory on {}", target.name));
        }
        None => {
            let message = format!("{} does not say how much memory it has left", target.name);
            found.warning("memory-unknown", &target.name, message, "look at it with `fief host info` there");
        }
    }
}

fn host_things(facts: &Facts, found: &mut Findings) {
    let Facts { domain, target, .. } = facts;
    for device in &domain.host_devices {
        let message = format!("it is a device of this host, which {} has not", target.name);
        found.blocker("host-device", device, message, "take it from the domain first");
    }
    for file in domain.host_files.iter().filter(|file| !file.there) {
        let message = format!("the domain starts from this file of the host's, and {} has none there", target.name);
        found.blocker("host-file", &file.path, message, format!("put the same file there on {}", target.name));
    }
    if domain.uefi && !target.uefi {
        let message = format!("it boots by UEFI, for which {} has no firmware", target.name);
        found.blocker("firmware", &domain.name, message, "install OVMF there (apt install ovmf)");
    }
    if let Some(file) = &domain.saved {
        let message = format!("its guest's state was saved to {file}, which does not go along");
        found.blocker(
            "saved-state",
            &domain.name,
            message,
            "`fief restore` it first, or start it afresh and shut it down",
        );
    }
}

/// Name, uuid and addresses.
fn identity(facts: &Facts, found: &mut Findings) {
    let Facts { domain, target, .. } = facts;
    for other in &target.domains {
        if other.uuid == domain.uuid {
            let message = format!("{} has a domain with the same uuid, {}", target.name, other.name);
            found.blocker(
                "uuid-taken",
                domain.uuid,
                message,
                format!("delete one of the two, or give {} a new uuid", other.name),
            );
        }
        if other.name.as_str().eq_ignore_ascii_case(domain.name.as_str()) {
            let message = format!("a domain on {} is called {} already", target.name, other.name);
            found.blocker("name-taken", &domain.name, message, "`fief rename` one of the two");
        }
        for card in domain.cards.iter().filter(|card| other.macs.contains(&card.mac)) {
            let message = format!("domain {} on {} has a card with this address", other.name, target.name);
            found.blocker("mac-taken", card.mac, message, "give one of the two another address");
        }
    }
}

fn plugins(facts: &Facts, found: &mut Findings) {
    let Facts { domain, source, target, .. } = facts;
    let digest = |host: &HostFacts, id: &PluginId| {
        host.plugins.iter().find(|plugin| plugin.id == *id).map(|plugin| plugin.digest)
    };
    for id in &domain.plugins {
        match (digest(source, id), digest(target, id)) {
            (_, None) => {
                let message = format!("it is not installed on {}", target.name);
                found.blocker("plugin-missing", id, message, format!("`fief plugin install` it on {}", target.name));
            }
            (Some(here), Some(there)) if here != there => {
                let message = format!("{} has another build of it ({there}) than this host ({here})", target.name);
                found.warning("plugin-differs", id, message, "install the same one on both");
            }
            (Some(_) | None, Some(_)) => {}
        }
    }
}

fn manner(facts: &Facts, found: &mut Findings) {
    for asked in &facts.manner.unheard_of {
        match asked {
            Unheard::Compress => {
                let message =
                    "the settings ask for memory that is compressed, which no host of this release carries out";
                found.blocker("compress", "compress", message.to_owned(), "leave it out");
            }
        }
    }
    let Some(Postcopy { here, there }) = facts.manner.postcopy.as_ref().filter(|_| facts.with_memory()) else { return };
    for (host, why) in [(&facts.source, here), (&facts.target, there)] {
        if let Some(why) = why {
            let message = format!("the settings ask for post-copy, and {} cannot take part in it: {why}", host.name);
            found.blocker("postcopy", &host.name, message, POSTCOPY_REMEDY);
        }
    }
    if facts.manner.copies_volumes && facts.domain.disks.iter().any(DiskFacts::goes_along) {
        let message = "the settings ask for post-copy, which takes volumes that both hosts reach; one of its is copied";
        found.blocker("postcopy", &facts.domain.name, message.to_owned(), POSTCOPY_REMEDY);
    }
}

fn policy(facts: &Facts, found: &mut Findings) {
    let Facts { domain, source, target, .. } = facts;
    for host in [source, target] {
        if let Some(because) = &host.denial {
            let message = format!("{} does not let it move: {because}", host.name);
            found.blocker("denied", &domain.name, message, format!("see `relocation` in the policy of {}", host.name));
        }
    }
}
