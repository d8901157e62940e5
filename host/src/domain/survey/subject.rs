//! The domain that is to move, as its own host knows it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::host;
use super::places::{Found, Places};
use crate::config::domain::{Disk, DiskDevice, DomainDefinition, Firmware};
use crate::domain::{Record, State, client, snapshot, store};
use crate::error::{Failure, Kind, Result};
use crate::gate::Gate;
use crate::gate::operation::ImageFormat;
use crate::hypervisor::ChosenAccelerator;
use crate::hypervisor::qemu::{probe, processor};
use crate::migration::message::Power;
use crate::migration::plan::{CardFacts, DiskFacts, DomainFacts, FileFacts, Sameness};
use crate::migration::survey::Subject;
use crate::network::Network;
use crate::types::{ByteSize, DomainName, NetworkName, PluginId, PoolName, VolumeRef};

/// The newest machine type, as QEMU calls it.
const NEWEST: &str = "q35";

pub(super) struct Own {
    /// What depends on the target is not known yet.
    pub facts: DomainFacts,
    definition: DomainDefinition,
    accelerator: ChosenAccelerator,
    /// Of the pools that answer, and whether other hosts may reach them.
    pub identities: BTreeMap<PoolName, (String, bool)>,
    pub disks_by: Vec<(VolumeRef, PluginId)>,
    pub cards_by: Vec<(NetworkName, PluginId)>,
    /// Of the hypervisor that runs it.
    pub hypervisor_version: Option<String>,
    pub accelerated: Option<bool>,
    /// What the guest has of memory, in bytes.
    pub memory_now: u64,
}

impl Own {
    /// What its files and its supervisor tell: all that the target has to know of it. Pools and snapshots are yet to be asked
    /// for ([`Own::look`]).
    pub(super) fn known(gate: &Gate, name: &DomainName) -> Result<Own> {
        let layout = gate.layout();
        if !layout.domain(name).exists() {
            return Err(store::no_such(layout, name));
        }
        let power = power(name, client::settled_start(layout, name)?)?;
        let record = Record::load(layout, name)?;
        let definition = match store::load_running(layout, name)? {
            Some(running) if power != Power::Off => running,
            Some(_) | None => store::load(layout, name)?,
        };
        let (machine, version) = match power {
            Power::Running | Power::Paused => client::machine(layout, name)?,
            Power::Off => (definition.machine.clone().unwrap_or_else(|| NEWEST.to_owned()), None),
        };
        let accelerator = match &record.run {
            Some(run) if power != Power::Off => run.accelerator,
            Some(_) | None => probe::choose(gate, definition.accelerator)?.0,
        };
        let disks_by = |disk: &Disk| Some((disk.volume.clone(), host::serving(gate, &disk.volume.pool)?));
        let network = |network: &NetworkName| {
            let kind = Network::open(gate, network).ok()?.definition().kind.clone();
            Some((network.clone(), gate.policy().networks.get(&kind)?.clone()))
        };
        let facts = DomainFacts {
            name: name.clone(),
            uuid: definition.uuid,
            power,
            memory: definition.max_memory,
            machine,
            cpu_model: String::new(),
            cpu_features: BTreeSet::new(),
            disks: definition.disks.iter().map(|disk| unplaced(&disk.volume, disk.device)).collect(),
            cards: definition
                .cards
                .iter()
                .map(|card| CardFacts { network: card.network.clone(), mac: card.mac })
                .collect(),
            uefi: definition.boot.kernel.is_none() && definition.boot.firmware == Firmware::Uefi,
            host_files: files(&definition),
            host_devices: Vec::new(),
            saved: record.saved.as_deref().filter(|file| power == Power::Off && file.exists()).map(shown_path),
            snapshots: Vec::new(),
            plugins: Vec::new(),
        };
        Ok(Own {
            facts,
            accelerator,
            identities: BTreeMap::new(),
            disks_by: definition.disks.iter().filter_map(disks_by).collect(),
            cards_by: definition.cards.iter().filter_map(|card| network(&card.network)).collect(),
            hypervisor_version: version,
            accelerated: (power != Power::Off).then_some(accelerator == ChosenAccelerator::Kvm),
            memory_now: definition.memory.bytes(),
            definition,
        })
    }

    /// Asks its pools and its hypervisor for the rest.
    pub(super) fn look(&mut self, gate: &Gate) -> Result<()> {
        let name = &self.facts.name;
        let mut places = Places::default();
        for facts in &mut self.facts.disks {
            if let Found::Pool(info, found) = places.find(gate, &facts.volume) {
                self.identities.insert(facts.volume.pool.clone(), (info.identity, info.reachable_from_peers));
                if let Some(found) = found {
                    facts.size = ByteSize::from_bytes(found.size);
                    facts.format = found.format;
                    facts.allocated = ByteSize::from_bytes(found.allocated.unwrap_or(found.size));
                }
            }
        }
        (self.facts.cpu_model, self.facts.cpu_features) = shown(gate, &self.definition, self.accelerator)?;
        // Whoever does not answer is told of already.
        let mut names = BTreeSet::new();
        for disk in
            self.facts.disks.iter_mut().filter(|disk| !disk.disc && self.identities.contains_key(&disk.volume.pool))
        {
            let Some(pool) = places.pool(&disk.volume.pool) else { continue };
            disk.snapshots = snapshot::of_volume(gate, pool, &disk.volume.volume)?;
            names.extend(disk.snapshots.iter().map(|snapshot| snapshot.name.clone()));
        }
        self.facts.snapshots = names.into_iter().collect();
        if let Some(actual) = client::memory(gate.layout(), name).filter(|_| self.facts.power != Power::Off) {
            self.memory_now = actual.bytes();
        }
        Ok(())
    }

    /// What the target has to know of it.
    pub(super) fn subject(&self) -> Subject {
        let DomainFacts { name, uuid, power, disks, cards, host_files, .. } = &self.facts;
        let serving = self.disks_by.iter().map(|(_, id)| id).chain(self.cards_by.iter().map(|(_, id)| id));
        Subject {
            domain: name.clone(),
            uuid: *uuid,
            power: *power,
            accelerator: self.definition.accelerator,
            macs: cards.iter().map(|card| card.mac).collect(),
            networks: cards.iter().map(|card| card.network.clone()).collect(),
            volumes: disks.iter().map(|disk| disk.volume.clone()).collect(),
            plugins: serving.cloned().collect(),
            files: host_files.iter().map(|file| file.path.clone()).collect(),
        }
    }
}

fn power(name: &DomainName, state: State) -> Result<Power> {
    let refused = |kind, because: &str, hint: String| {
        Err(Failure::new(kind, format!("domain {name} cannot move: {because}")).hint(hint))
    };
    match state {
        State::Off => Ok(Power::Off),
        State::Running => Ok(Power::Running),
        State::Paused => Ok(Power::Paused),
        State::Starting => refused(Kind::Conflict, "it is starting", format!("wait for it: `fief wait {name}`")),
        State::Stopping => refused(Kind::Conflict, "it is stopping", format!("wait for it: `fief wait {name}`")),
        State::Preserved => refused(Kind::Conflict, "its guest is over, and kept", format!("`fief stop {name}` first")),
        State::Ceded | State::Elsewhere => {
            refused(Kind::NeedsRecover, "it is, or may be, another host's", format!("`fief recover {name}`"))
        }
    }
}

fn unplaced(volume: &VolumeRef, device: DiskDevice) -> DiskFacts {
    DiskFacts {
        volume: volume.clone(),
        disc: match device {
            DiskDevice::Cdrom => true,
            DiskDevice::Disk => false,
        },
        size: ByteSize::default(),
        format: ImageFormat::Raw,
        allocated: ByteSize::default(),
        sameness: Sameness::Unknown,
        pool_there: false,
        room_there: None,
        exists_there: false,
        snapshots: Vec::new(),
        snapshots_there: false,
    }
}

/// What the guest is shown of a processor: the model's name, and what features it surely has.
fn shown(
    gate: &Gate,
    definition: &DomainDefinition,
    accelerator: ChosenAccelerator,
) -> Result<(String, BTreeSet<String>)> {
    let cpu = definition.cpu.clone().unwrap_or_else(|| accelerator.best_cpu().to_owned());
    let mut words = cpu.split(',');
    let model = words.next().unwrap_or_default().to_owned();
    let (with, without) = asked_for(words);
    let mut features = match model.as_str() {
        // All that there is here.
        "host" | "max" => processor::processor(gate, accelerator)?.features.into_iter().collect(),
        _ => BTreeSet::new(),
    };
    features.extend(with);
    Ok((model, features.difference(&without).cloned().collect()))
}

/// `+avx`, `avx=on`, `-avx`, `avx=off`.
fn asked_for<'a>(words: impl Iterator<Item = &'a str>) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut with, mut without) = (BTreeSet::new(), BTreeSet::new());
    for word in words {
        let of = |name: &str| name.replace('_', "-");
        if let Some(name) = word.strip_prefix('+').or_else(|| word.strip_suffix("=on")) {
            with.insert(of(name));
        } else if let Some(name) = word.strip_prefix('-').or_else(|| word.strip_suffix("=off")) {
            without.insert(of(name));
        }
    }
    (with, without)
}

fn files(definition: &DomainDefinition) -> Vec<FileFacts> {
    let boot = &definition.boot;
    let files = [boot.kernel.as_deref(), boot.initrd.as_deref()].into_iter().flatten();
    files.map(|file| FileFacts { path: shown_path(file), there: false }).collect()
}

fn shown_path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_definition_asks_of_a_processor_is_read() {
        let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
        let read = asked_for("+sse4_1,avx=on,-vmx,svm=off,migratable=yes".split(','));
        assert_eq!(read, (set(&["sse4-1", "avx"]), set(&["vmx", "svm"])));
    }

    #[test]
    fn a_domain_moves_where_it_runs_stands_still_or_is_off() {
        let name = "a".parse().unwrap();
        for state in State::ALL {
            let moves = matches!(state, State::Off | State::Running | State::Paused);
            assert_eq!(power(&name, state).is_ok(), moves, "{state:?}");
        }
    }
}
