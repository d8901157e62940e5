//! A guest as its old host defined it, in words that Xen, libvirt and OVF share.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use uuid::Uuid;

use crate::config::domain::{Action, BootDevice, CardModel, DiskBus, Firmware};
use crate::types::{Bandwidth, ByteSize, Checksum, DiskFormat, MacAddress};

/// What was read; an absent field takes fief's own default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Guest {
    /// As written, and its line.
    pub name: Option<(usize, String)>,
    pub uuid: Option<(usize, Uuid)>,
    /// A line for people.
    pub description: Option<String>,
    pub memory: Option<ByteSize>,
    pub max_memory: Option<ByteSize>,
    pub vcpus: Option<u16>,
    pub on_poweroff: Option<Action>,
    pub on_reboot: Option<Action>,
    pub on_crash: Option<Action>,
    pub firmware: Option<Firmware>,
    /// Empty: fief's own.
    pub order: Vec<BootDevice>,
    pub disks: Vec<GuestDisk>,
    pub cards: Vec<GuestCard>,
    pub vnc: bool,
    /// Where Xen started its kernel itself, so that no boot loader was needed.
    pub paravirtual: bool,
    /// What its kernel was told, where the host started it.
    pub command_line: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct GuestDisk {
    pub line: usize,
    /// As the old host named it: `xvda`, `hdc`, `disk1`. `--disk` names it so.
    pub target: String,
    pub source: Source,
    pub cdrom: bool,
    pub read_only: bool,
    pub bus: DiskBus,
}

/// Where a disk lies.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A file or block device, by its path on the old host.
    Path { path: PathBuf, format: DiskFormat },
    /// A file of an OVF package, or a part of an OVA.
    Packed { file: String, format: DiskFormat, checksum: Option<Checksum> },
    /// A drive with nothing in it.
    Empty,
    /// What fief cannot copy from: a network block device, say. Why, in one line.
    Elsewhere(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct GuestCard {
    pub line: usize,
    /// The bridge or network of the old host. `--network` names it so.
    pub bridge: String,
    pub mac: Option<MacAddress>,
    pub model: CardModel,
    pub address: Option<Ipv4Addr>,
    pub bandwidth: Option<Bandwidth>,
}
