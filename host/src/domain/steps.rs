//! The steps of a start, and their undoing.
//!
//! | step | undone by |
//! | --- | --- |
//! | lease of each volume that is written | the lease is released |
//! | volumes attached, through their storage plugins | `detach` is told to the plugin |
//! | networks up, cards plugged, through their network plugins | (networks stay up: they are not the domain's) |
//! | a tap for each card | ledger |
//! | the hypervisor, its guest not let go | ledger |
//!
//! Disks and cards do not wait for one another: each side is a plugin's process to start.

use std::fs::{DirBuilder, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use crate::config::domain::{Card, Disk, DomainDefinition};
use crate::domain::record::{CardRecord, Record};
use crate::domain::{lease, reservations};
use crate::error::{Context, Failure, Result};
use crate::fault;
use crate::gate::operation::ProcessId;
use crate::gate::{Actor, Gate, Ledger, Mode, Operation, Outcome};
use crate::hypervisor::{CardSource, ChosenAccelerator, Launch, Places, qemu};
use crate::layout::Layout;
use crate::network::{Network, Nic, Port};
use crate::sandbox::protocol::AttachAccess;
use crate::storage::{BlockSource, Pool};
use crate::types::{DomainName, VolumeRef};

/// What a start brought forth.
#[derive(Debug)]
pub struct Launched {
    /// None in a dry run.
    pub hypervisor: Option<ProcessId>,
    pub accelerator: ChosenAccelerator,
    pub warning: Option<String>,
    pub cards: Vec<CardRecord>,
}

/// The volumes that a domain uses, each with whether it writes to it.
pub fn volumes(definition: &DomainDefinition) -> impl Iterator<Item = (&VolumeRef, bool)> {
    definition.disks.iter().map(|disk| (&disk.volume, !disk.read_only))
}

/// Starts the hypervisor of a domain, its guest not yet let go. After an error the caller calls [`tear_down`].
/// With `incoming`, it waits for a state.
pub fn launch(
    gate: &Gate,
    ledger: &mut Ledger,
    definition: &DomainDefinition,
    places: &Places,
    id: u32,
    incoming: bool,
) -> Result<Launched> {
    let layout = gate.layout();
    if gate.mode() == Mode::Perform {
        for (volume, writes) in volumes(definition) {
            if writes {
                lease::take(layout, volume, &definition.name)?;
            }
        }
    }
    fault::point("start.leased")?;
    let ((disks, ports), accelerator) = std::thread::scope(|scope| {
        let disks = scope.spawn(|| attach_disks(gate, definition));
        let ports = scope.spawn(|| plug_cards(gate, definition));
        let accelerator = qemu::probe::choose(gate, definition.accelerator);
        let joined = |_| Failure::other("a step of the start panicked");
        let disks = disks.join().map_err(joined).flatten();
        let ports = ports.join().map_err(joined).flatten();
        (disks.and_then(|disks| Ok((disks, ports?))), accelerator)
    })
    .zip_results()?;
    let (accelerator, warning) = accelerator;
    let (cards, wired) = make_taps(gate, ledger, definition, id, ports)?;
    fault::point("start.tapped")?;
    let (definition, places) = (definition.clone(), places.clone());
    let launch = Launch { definition, places, id, accelerator, disks, cards: wired, incoming };
    // A dry run makes its sockets elsewhere: the domain may be running, or not be there at all.
    let scratch = (gate.mode() == Mode::DryRun).then(Scratch::new).transpose()?;
    let folder = scratch.as_ref().map_or_else(|| layout.domain(&launch.definition.name), |scratch| scratch.0.clone());
    let domain = launch.definition.name.clone();
    let prepared = qemu::prepare(launch, &folder, &gate.policy().host)?;
    fault::point("start.prepared")?;
    let start = Operation::HypervisorStart { domain, id, command: prepared.command };
    let done = gate.perform(&Actor::Operator, ledger, start, prepared.descriptors)?;
    fault::point("start.spawned")?;
    let hypervisor = match done.outcome {
        Outcome::Process { process } => Some(process),
        _ => None,
    };
    Ok(Launched { hypervisor, accelerator, warning, cards })
}

/// A folder for what a dry run opens; it goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("fief-dry-run-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path).context(|| format!("cannot make {}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove what a dry run made");
        }
    }
}

/// Both, or the first error.
trait ZipResults<A, B> {
    fn zip_results(self) -> Result<(A, B)>;
}
impl<A, B> ZipResults<A, B> for (Result<A>, Result<B>) {
    fn zip_results(self) -> Result<(A, B)> {
        Ok((self.0?, self.1?))
    }
}

fn attach_disks(gate: &Gate, definition: &DomainDefinition) -> Result<Vec<BlockSource>> {
    // One sandbox a pool, however many disks it has for this domain.
    let mut pools: Vec<Pool> = Vec::new();
    definition.disks.iter().map(|disk| attach_disk(gate, &mut pools, disk)).collect()
}

fn attach_disk(gate: &Gate, pools: &mut Vec<Pool>, disk: &Disk) -> Result<BlockSource> {
    let VolumeRef { pool, volume } = &disk.volume;
    let saying = |failure: Failure| failure.while_doing(format!("cannot attach volume {}", disk.volume));
    let at = match pools.iter().position(|open| open.definition().name == *pool) {
        Some(at) => at,
        None => {
            pools.push(Pool::open(gate, pool).map_err(saying)?);
            pools.len() - 1
        }
    };
    let access = if disk.read_only { AttachAccess::ReadOnly } else { AttachAccess::Exclusive };
    let source = pools[at].attach(volume, access).map_err(saying)?;
    fault::point("start.attached").map(|()| source).map_err(saying)
}

fn plug_cards(gate: &Gate, definition: &DomainDefinition) -> Result<Vec<Port>> {
    let mut networks: Vec<Network> = Vec::new();
    let reservations = match gate.mode() {
        Mode::Perform if !definition.cards.is_empty() => Some(reservations::at_start(gate.layout(), definition)?),
        Mode::Perform | Mode::DryRun => None,
    };
    let plug = |(index, card): (usize, &Card)| {
        let at = match networks.iter().position(|open| open.definition().name == card.network) {
            Some(at) => at,
            None => {
                let mut network = Network::open(gate, &card.network)?;
                network.up()?;
                if let Some(reservations) = &reservations {
                    let cards = reservations.get(&card.network).map_or(&[][..], Vec::as_slice);
                    network.reserve(cards)?;
                }
                networks.push(network);
                networks.len() - 1
            }
        };
        let nic = Nic {
            domain: definition.name.clone(),
            index: u32::try_from(index).unwrap_or(u32::MAX),
            mac: card.mac,
            address: card.address,
        };
        let port = networks[at].plug(&nic)?;
        fault::point("start.plugged").map(|()| port)
    };
    let saying = |(index, result): (usize, Result<Port>)| {
        result.map_err(|failure| {
            failure.while_doing(format!("cannot plug card {index} into network {}", definition.cards[index].network))
        })
    };
    definition.cards.iter().enumerate().map(plug).enumerate().map(saying).collect()
}

fn make_taps(
    gate: &Gate,
    ledger: &mut Ledger,
    definition: &DomainDefinition,
    id: u32,
    ports: Vec<Port>,
) -> Result<(Vec<CardRecord>, Vec<CardSource>)> {
    let mut records = Vec::new();
    let mut sources = Vec::new();
    for (index, (card, port)) in definition.cards.iter().zip(ports).enumerate() {
        match port {
            Port::User { network, forwards, restricted } => {
                if card.bandwidth.is_some() {
                    let message = format!("network {} cannot limit the bandwidth of card {index}", card.network);
                    return Err(Failure::conflict(message)
                        .hint("leave `bandwidth` out of the card, or use a network with a bridge"));
                }
                records.push(CardRecord { network: card.network.clone(), mac: Some(card.mac), tap: None });
                sources.push(CardSource::User { network, forwards, restricted });
            }
            Port::Bridge { bridge, admit_address, mtu } => {
                let tap = Record::tap_name(id, index)?;
                let create = Operation::TapCreate {
                    domain: definition.name.clone(),
                    tap: tap.clone(),
                    bridge,
                    mac: card.mac,
                    mtu,
                    admit_address,
                    spoofing: card.spoofing,
                    bandwidth: card.bandwidth,
                };
                let mut done = gate.perform(&Actor::Operator, ledger, create, Vec::new())?;
                let descriptor = match done.descriptors.pop() {
                    Some(descriptor) => descriptor,
                    None => placeholder()?,
                };
                records.push(CardRecord { network: card.network.clone(), mac: Some(card.mac), tap: Some(tap) });
                sources.push(CardSource::Tap { descriptor, mtu });
            }
        }
    }
    Ok((records, sources))
}

/// Stands where a dry run has no tap.
fn placeholder() -> Result<OwnedFd> {
    File::open("/dev/null").map(OwnedFd::from).context(|| "cannot open /dev/null".to_owned())
}

/// Undoes a start, whole or half: hypervisor and taps by the ledger, then the volumes. Goes on past errors and gives
/// them all; none means that nothing is left.
pub fn tear_down(gate: &Gate, ledger: &mut Ledger, name: &DomainName, volumes: &[VolumeRef]) -> Vec<Failure> {
    let mut failures = gate.undo(ledger).err().unwrap_or_default();
    for volume in volumes {
        if let Err(failure) = Pool::open(gate, &volume.pool).and_then(|mut pool| pool.detach(&volume.volume)) {
            // A plugin that is broken or gone must not keep a domain from stopping.
            tracing::warn!(volume = %volume, %failure, "the storage plugin did not let the volume go");
        }
        if let Err(failure) = lease::release(gate.layout(), volume, name) {
            failures.push(failure);
        }
    }
    for socket in ["control.sock", "qmp.sock", "serial.sock", "vnc.sock"] {
        if let Err(failure) = remove(gate.layout(), name, socket) {
            failures.push(failure);
        }
    }
    failures
}

fn remove(layout: &Layout, name: &DomainName, file: &str) -> Result<()> {
    let path = layout.domain(name).join(file);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
