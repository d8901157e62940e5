//! The steps of a start, and their undoing.
//!
//! | step | undone by |
//! | --- | --- |
//! | lease of each volume that is written | the lease is released |
//! | its fence taken, where other hosts reach it too | the fence is released |
//! | volumes attached, through their storage plugins | `detach` is told to the plugin |
//! | networks up, cards plugged, through their network plugins | (networks stay up: they are not the domain's) |
//! | the folder of sockets at which disks are served | ledger |
//! | a socket and a sandbox for each disk that a plugin serves | their ledgers (keeper.rs) |
//! | a tap for each card | ledger |
//! | the hypervisor, its guest not let go | ledger |
//!
//! Disks and cards do not wait for one another: each side is a plugin's process to start.

mod down;

use std::fs::File;
use std::os::fd::OwnedFd;

use crate::config::domain::{Card, Disk, DomainDefinition};
use crate::domain::change::{Change, disc};
use crate::domain::keeper::{self, Keeper, Tell};
use crate::domain::record::{CardRecord, Record};
use crate::domain::reservations::{self, Reservations};
use crate::domain::scratch::Scratch;
use crate::domain::transport::Goer;
use crate::domain::volume::arrival::{self, Came};
use crate::domain::{hold, lease, store, transport};
use crate::error::{Context, Failure, Result};
use crate::fault;
use crate::gate::operation::ProcessId;
use crate::gate::{Actor, Gate, Ledger, Mode, Operation, Outcome};
use crate::hypervisor::{CardSource, ChosenAccelerator, Launch, Places, qemu};
use crate::network::{Network, Nic, Port};
use crate::sandbox::protocol::AttachAccess;
use crate::storage::{BlockSource, Pool, Way};
use crate::types::{DomainName, VolumeRef};

pub(super) use down::let_go;
pub use down::tear_down;

/// What a start brought forth.
#[derive(Debug)]
pub struct Launched {
    /// None in a dry run.
    pub hypervisor: Option<ProcessId>,
    pub accelerator: ChosenAccelerator,
    pub warning: Option<String>,
    pub cards: Vec<CardRecord>,
    pub keepers: Vec<Keeper>,
}

/// What a hypervisor begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// Its guest's firmware.
    Fresh,
    /// A state that comes in.
    Saved,
    /// A guest that another host hands over, as the owner of this generation: until it has, that host has the volumes.
    HandedOver(Coming),
}

/// How a guest comes from another host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coming {
    pub owner: u64,
    /// It goes on before all of its memory has come.
    pub fetches: bool,
}

/// The volumes that a domain uses, each with whether it writes to it.
pub fn volumes(definition: &DomainDefinition) -> impl Iterator<Item = (&VolumeRef, bool)> {
    definition.disks.iter().map(|disk| (&disk.volume, !disk.read_only))
}

/// Starts the hypervisor of a domain, its guest not yet let go. After an error the caller calls [`tear_down`].
/// `tell` hears of disks that plugins serve; none in a dry run.
pub fn launch(
    gate: &Gate,
    ledger: &mut Ledger,
    definition: &DomainDefinition,
    places: &Places,
    id: u32,
    begins: Begins,
    tell: Option<&Tell>,
) -> Result<Launched> {
    let layout = gate.layout();
    if gate.mode() == Mode::Perform {
        for (volume, writes) in volumes(definition) {
            match (writes, came(gate, begins, volume, &definition.name)?) {
                (false, _) => {}
                (true, Came::Shared | Came::Whole) => lease::take(layout, volume, &definition.name)?,
                (true, Came::Half) => lease::take_over(layout, volume, &definition.name)?,
            }
        }
    }
    fault::point("start.leased")?;
    let ((disks, ports), accelerator) = std::thread::scope(|scope| {
        let disks = scope.spawn(|| attach_disks(gate, definition, begins));
        let ports = scope.spawn(|| plug_cards(gate, definition));
        let accelerator = qemu::probe::choose(gate, definition.accelerator);
        let joined = |_| Failure::other("a step of the start panicked");
        let disks = disks.join().map_err(joined).flatten();
        let ports = ports.join().map_err(joined).flatten();
        (disks.and_then(|disks| Ok((disks, ports?))), accelerator)
    })
    .zip_results()?;
    let (accelerator, warning) = accelerator;
    let folder = Operation::ServedFolder { domain: definition.name.clone() };
    let served = match gate.perform(&Actor::Operator, ledger, folder, Vec::new())?.descriptors.pop() {
        Some(folder) => folder,
        None => placeholder()?,
    };
    let keepers = serve_disks(gate, definition, places, id, &disks, begins, tell)?;
    let (cards, wired) = make_taps(gate, ledger, definition, id, ports)?;
    fault::point("start.tapped")?;
    let (definition, places) = (definition.clone(), places.clone());
    let incoming = begins != Begins::Fresh;
    let fetches = matches!(begins, Begins::HandedOver(Coming { fetches: true, .. }));
    let launch = Launch { definition, places, id, accelerator, disks, served, cards: wired, incoming, fetches };
    // A dry run makes its sockets elsewhere: the domain may be running, or not be there at all.
    let scratch = (gate.mode() == Mode::DryRun).then(Scratch::new).transpose()?;
    let folder = scratch.as_ref().map_or_else(|| layout.domain(&launch.definition.name), |scratch| scratch.0.clone());
    let domain = launch.definition.name.clone();
    let prepared = qemu::prepare(launch, &folder, &gate.policy().host)?;
    fault::point("start.prepared")?;
    let start = Operation::HypervisorStart { domain, id, command: prepared.command };
    let done = gate.perform(&Actor::Operator, ledger, start, prepared.descriptors)?;
    fault::point("start.spawned")?;
    if !keepers.is_empty() {
        fault::point("serve.attached")?;
    }
    let hypervisor = match done.outcome {
        Outcome::Process { process } => Some(process),
        _ => None,
    };
    Ok(Launched { hypervisor, accelerator, warning, cards, keepers })
}

/// Those that a plugin serves, all at the same time; none in a dry run, where nobody is told of them.
fn serve_disks(
    gate: &Gate,
    definition: &DomainDefinition,
    places: &Places,
    id: u32,
    sources: &[BlockSource],
    begins: Begins,
    tell: Option<&Tell>,
) -> Result<Vec<Keeper>> {
    let Some(tell) = tell else { return Ok(Vec::new()) };
    let mut disks = Vec::new();
    for (disk, source) in definition.disks.iter().zip(sources) {
        if let Way::Served(served) = &source.way {
            let (domain, volume) = (definition.name.clone(), disk.volume.clone());
            let place = places.disk(&disk.volume)?;
            let whose = match begins {
                Begins::Fresh | Begins::Saved => keeper::Whose::Ours,
                Begins::HandedOver(_) => match came(gate, begins, &disk.volume, &definition.name)? {
                    Came::Whole => keeper::Whose::Ours,
                    Came::Shared | Came::Half => keeper::Whose::Expected,
                },
            };
            let (export, writes) = (served.generation, !source.read_only);
            disks.push(keeper::Disk { domain, id, place, moved: false, volume, writes, export, whose });
        }
    }
    std::thread::scope(|scope| {
        let all: Vec<_> = disks.into_iter().map(|disk| scope.spawn(|| Keeper::start(gate, disk, tell))).collect();
        // Each is waited for, whatever became of the others.
        let all: Vec<Result<Keeper>> = all
            .into_iter()
            .map(|started| started.join().map_err(|_| Failure::other("a step of the start panicked")).flatten())
            .collect();
        all.into_iter().collect()
    })
}

/// Whether a disk comes along with the domain that is handed over.
fn came(gate: &Gate, begins: Begins, volume: &VolumeRef, domain: &DomainName) -> Result<Came> {
    match begins {
        Begins::HandedOver(_) => arrival::came(gate.layout(), volume, domain),
        Begins::Fresh | Begins::Saved => Ok(Came::Shared),
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

fn attach_disks(gate: &Gate, definition: &DomainDefinition, begins: Begins) -> Result<Vec<BlockSource>> {
    // One sandbox a pool, however many disks it has for this domain.
    let mut pools: Vec<Pool> = Vec::new();
    definition
        .disks
        .iter()
        .map(|disk| attach_disk(gate, &mut pools, &definition.name, disk, Goer::Networked, begins))
        .collect()
}

fn attach_disk(
    gate: &Gate,
    pools: &mut Vec<Pool>,
    domain: &DomainName,
    disk: &Disk,
    goer: Goer,
    begins: Begins,
) -> Result<BlockSource> {
    let VolumeRef { pool, volume } = &disk.volume;
    let saying = |failure: Failure| failure.while_doing(format!("cannot attach volume {}", disk.volume));
    let at = match pools.iter().position(|open| open.definition().name == *pool) {
        Some(at) => at,
        None => {
            pools.push(Pool::open(gate, pool).map_err(saying)?);
            pools.len() - 1
        }
    };
    let came = came(gate, begins, &disk.volume, domain).map_err(saying)?;
    let access = match (disk.read_only, begins, came) {
        (true, ..) => AttachAccess::ReadOnly,
        (false, Begins::HandedOver(_), Came::Shared) => AttachAccess::Handover,
        (false, Begins::Fresh | Begins::Saved | Begins::HandedOver(_), _) => AttachAccess::Exclusive,
    };
    let pool = &mut pools[at];
    pool.same_storage().map_err(saying)?;
    let picked = transport::pick(gate, pool, volume, goer).map_err(saying)?.filter(|picked| picked.open);
    if let Some(picked) = &picked {
        tracing::info!(volume = %disk.volume, "{}", picked.words());
    }
    let generation = match (gate.mode(), disk.read_only, begins) {
        (Mode::Perform, false, Begins::Fresh | Begins::Saved) => {
            hold::take(gate, pool, &disk.volume, domain).map_err(saying)?.generation
        }
        // It is taken once the domain is ours, but for what came along as a whole: nobody else has that.
        (Mode::Perform, false, Begins::HandedOver(Coming { owner, .. })) => {
            let expected = hold::expect(gate, pool, &disk.volume, domain, owner).map_err(saying)?;
            match came {
                Came::Whole => {
                    hold::take_handed(gate, pool, &disk.volume, domain, (owner, false)).map_err(saying)?.generation
                }
                Came::Shared | Came::Half => expected,
            }
        }
        (Mode::Perform | Mode::DryRun, _, _) => 0,
    };
    let mut source = pool.attach(volume, access).map_err(|mut failure| {
        failure.causes.extend(picked.map(|picked| format!("it is to be {}", picked.words())));
        saying(failure)
    })?;
    if let Way::Served(served) = &mut source.way {
        served.generation = generation;
    }
    fault::point("start.attached").map(|()| source).map_err(saying)
}

fn plug_cards(gate: &Gate, definition: &DomainDefinition) -> Result<Vec<Port>> {
    let mut networks: Vec<Network> = Vec::new();
    let reserved = reserved(gate, definition)?;
    let cards = definition.cards.iter().enumerate();
    cards.map(|(index, card)| plug_card(gate, &mut networks, &reserved, &definition.name, index, card)).collect()
}

/// The addresses that networks are to keep while this definition runs. None are written in a dry run.
fn reserved(gate: &Gate, definition: &DomainDefinition) -> Result<Option<Reservations>> {
    match gate.mode() {
        Mode::Perform if !definition.cards.is_empty() => reservations::at_start(gate.layout(), definition).map(Some),
        Mode::Perform | Mode::DryRun => Ok(None),
    }
}

fn plug_card(
    gate: &Gate,
    networks: &mut Vec<Network>,
    reserved: &Option<Reservations>,
    domain: &DomainName,
    index: usize,
    card: &Card,
) -> Result<Port> {
    let plugged = (|| {
        let at = match networks.iter().position(|open| open.definition().name == card.network) {
            Some(at) => at,
            None => {
                let mut network = Network::open(gate, &card.network)?;
                network.up()?;
                if let Some(reserved) = reserved {
                    let cards = reserved.get(&card.network).map_or(&[][..], Vec::as_slice);
                    network.reserve(cards)?;
                }
                networks.push(network);
                networks.len() - 1
            }
        };
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let nic = Nic { domain: domain.clone(), index, mac: card.mac, address: card.address };
        let port = networks[at].plug(&nic)?;
        fault::point("start.plugged").map(|()| port)
    })();
    plugged.map_err(|failure| failure.while_doing(format!("cannot plug card {index} into network {}", card.network)))
}

fn make_taps(
    gate: &Gate,
    ledger: &mut Ledger,
    definition: &DomainDefinition,
    id: u32,
    ports: Vec<Port>,
) -> Result<(Vec<CardRecord>, Vec<CardSource>)> {
    let cards = definition.cards.iter().zip(ports).enumerate();
    let wire = |(index, (card, port))| wire(gate, ledger, &definition.name, (id, index), card, port);
    Ok(cards.map(wire).collect::<Result<Vec<_>>>()?.into_iter().unzip())
}

/// The way out for one card: number `index` of run `id`.
pub(super) fn wire(
    gate: &Gate,
    ledger: &mut Ledger,
    domain: &DomainName,
    (id, index): (u32, usize),
    card: &Card,
    port: Port,
) -> Result<(CardRecord, CardSource)> {
    let record = |tap| CardRecord { network: card.network.clone(), mac: Some(card.mac), tap };
    match port {
        Port::User { network, forwards, restricted } => {
            if card.bandwidth.is_some() {
                let message = format!("network {} cannot limit the bandwidth of card {index}", card.network);
                return Err(Failure::conflict(message)
                    .hint("leave `bandwidth` out of the card, or use a network with a bridge"));
            }
            Ok((record(None), CardSource::User { network, forwards, restricted }))
        }
        Port::Bridge { bridge, admit_address, mtu } => {
            let tap = Record::tap_name(id, index)?;
            let create = Operation::TapCreate {
                domain: domain.clone(),
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
            Ok((record(Some(tap)), CardSource::Tap { descriptor, mtu }))
        }
    }
}

/// One disk for a machine that runs, as at a start: its lease, then the way to its volume. Undone by [`let_go`].
pub(super) fn open_disk(gate: &Gate, domain: &DomainName, disk: &Disk, goer: Goer) -> Result<BlockSource> {
    if gate.mode() == Mode::Perform && !disk.read_only {
        lease::take(gate.layout(), &disk.volume, domain)?;
    }
    attach_disk(gate, &mut Vec::new(), domain, disk, goer, Begins::Fresh)
}

/// The same for a volume that a disk moves to. The command that wants this has the volume until then.
pub(super) fn open_moved(gate: &Gate, domain: &DomainName, disk: &Disk, goer: Goer) -> Result<BlockSource> {
    lease::take_over(gate.layout(), &disk.volume, domain)?;
    attach_disk(gate, &mut Vec::new(), domain, disk, goer, Begins::Fresh)
}

/// One card for a machine that runs, as at a start: its network up, and its port there.
/// `definition` is that of the run, with the card.
pub(super) fn open_port(gate: &Gate, definition: &DomainDefinition, card: &Card) -> Result<Port> {
    let index = definition.cards.iter().position(|other| other.mac == card.mac).unwrap_or(definition.cards.len());
    plug_card(gate, &mut Vec::new(), &reserved(gate, definition)?, &definition.name, index, card)
}

/// Shows what plugging a device in would do; unplugging does nothing of its own but what was done then, undone.
pub(super) fn show_change(gate: &Gate, domain: &DomainName, change: &Change) -> Result<()> {
    match change {
        Change::AttachDisk { disk } => open_disk(gate, domain, disk, Goer::Networked).map(drop),
        Change::Insert { volume } => open_disk(gate, domain, &disc(volume), Goer::Networked).map(drop),
        Change::AttachCard { card } => {
            let port = open_port(gate, &store::load(gate.layout(), domain)?, card)?;
            let id = Record::load(gate.layout(), domain)?.run.map_or(0, |run| run.id);
            wire(gate, &mut Ledger::volatile(), domain, (id, 0), card, port).map(drop)
        }
        Change::DetachDisk { .. } | Change::DetachCard { .. } | Change::Eject { .. } | Change::Set { .. } => Ok(()),
    }
}

/// Stands where a dry run has no tap and no folder.
fn placeholder() -> Result<OwnedFd> {
    File::open("/dev/null").map(OwnedFd::from).context(|| "cannot open /dev/null".to_owned())
}
