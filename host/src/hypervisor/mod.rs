//! Hypervisors. QEMU first; the supervisor sees only what is here.

pub mod places;
pub mod qemu;

use std::os::fd::OwnedFd;

use crate::config::domain::DomainDefinition;
use crate::gate::operation::HypervisorCommand;
use crate::sandbox::protocol::Forward;
use crate::storage::BlockSource;

pub use places::{HARDWARE, Places};

/// The accelerator that a domain runs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChosenAccelerator {
    Kvm,
    Tcg,
}

impl ChosenAccelerator {
    /// QEMU's name of the best processor that it can show.
    pub const fn best_cpu(self) -> &'static str {
        match self {
            ChosenAccelerator::Kvm => "host",
            ChosenAccelerator::Tcg => "max",
        }
    }
}

/// What a card is wired to.
#[derive(Debug)]
pub enum CardSource {
    Tap { descriptor: OwnedFd, mtu: Option<u32> },
    User { network: Option<String>, forwards: Vec<Forward>, restricted: bool },
}

/// Everything that a hypervisor needs to run a domain; `disks` and `cards` in the order of the definition.
#[derive(Debug)]
pub struct Launch {
    pub definition: DomainDefinition,
    pub places: Places,
    /// The number of this run of a domain, as `xm list` showed it; unique on this host while it runs.
    pub id: u32,
    pub accelerator: ChosenAccelerator,
    pub disks: Vec<BlockSource>,
    /// The folder of the sockets at which disks are served to it, now or later.
    pub served: OwnedFd,
    pub cards: Vec<CardSource>,
    /// It waits for a state that comes in, and does not begin at its firmware.
    pub incoming: bool,
    /// Its guest goes on while memory still comes.
    pub fetches: bool,
}

/// What the gate is asked to start: `descriptors[i]` becomes descriptor number [`FIRST_DESCRIPTOR`]` + i`.
#[derive(Debug)]
pub struct Prepared {
    pub command: HypervisorCommand,
    pub descriptors: Vec<OwnedFd>,
}

pub const FIRST_DESCRIPTOR: i32 = 10;

/// A device by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    Disk(usize),
    Card(usize),
}

/// What a supervisor hears from its hypervisor.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The guest powered itself off, or was asked to and did.
    PoweredOff,
    /// The guest reset itself.
    Rebooted,
    /// The guest's kernel reported a panic (pvpanic).
    Panicked,
    /// The hypervisor stopped the guest on its own: a disk failed, in that place where it is known, and why.
    StoppedOnError {
        disk: Option<usize>,
        why: String,
    },
    /// A disk failed, and the guest was told: it runs on.
    ToldOfError {
        disk: Option<usize>,
        why: String,
    },
    Paused,
    Resumed,
    /// A device is gone: the guest let it go.
    Unplugged(Device),
    /// The monitor connection ended.
    Closed,
}
