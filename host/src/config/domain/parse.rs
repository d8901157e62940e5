//! From the file as written to the checked definition, and back.

use std::collections::BTreeSet;
use std::path::PathBuf;

use uuid::Uuid;

use super::{
    Accelerator, Action, Boot, BootDevice, Card, CardModel, Disk, DiskBus, DiskDevice, DomainDefinition, Firmware,
    Graphics, GraphicsKind,
};
use crate::config::reader::{self, Table};
use crate::error::Result;
use crate::types::{ByteSize, MacAddress};

/// Least memory of a guest: below it not even firmware starts.
const MEMORY_MIN: ByteSize = ByteSize::from_mib(1);
/// Most memory of a guest: what an x86-64 machine of QEMU addresses with 46 bits less room for devices.
const MEMORY_MAX: ByteSize = ByteSize::from_mib(16 << 20);
/// Most processors of a guest (QEMU's q35 takes 288 before version 8.1 and more after; a domain must run on both).
const VCPUS_MAX: i64 = 288;
/// Most disks, and most cards: each takes a PCIe slot of the 31 on the root bus.
const DEVICES_MAX: usize = 12;
/// Longest kernel command line, in bytes (COMMAND_LINE_SIZE of Linux on x86).
const CMDLINE_MAX: usize = 2048;

/// Where a uuid and card addresses come from where none are written.
pub trait Identity {
    fn uuid(&mut self) -> Uuid;
    fn mac(&mut self) -> MacAddress;
}

/// Random ones.
#[derive(Debug)]
pub struct RandomIdentity;

impl Identity for RandomIdentity {
    fn uuid(&mut self) -> Uuid {
        Uuid::new_v4()
    }
    fn mac(&mut self) -> MacAddress {
        let bytes = Uuid::new_v4().into_bytes();
        MacAddress::for_guest([bytes[0], bytes[1], bytes[2]])
    }
}

const ACTIONS: [(&str, Action); 3] =
    [("destroy", Action::Destroy), ("restart", Action::Restart), ("preserve", Action::Preserve)];

/// Reads a definition; `source` names the file in errors.
///
/// # Errors
/// `Usage`, with every mistake and its place.
pub fn parse(bytes: &[u8], source: &str, identity: &mut dyn Identity) -> Result<DomainDefinition> {
    reader::read(bytes, source, "domain definition", |top| take(top, identity))
}

/// The definition as a file that [`parse`] reads as the same.
pub fn to_toml(definition: &DomainDefinition) -> String {
    // Every part of it is a table, a list, a string, a number or a boolean: there is nothing that TOML cannot say.
    toml::to_string(definition).unwrap_or_default()
}

fn take(top: &mut Table<'_>, identity: &mut dyn Identity) -> Option<DomainDefinition> {
    let name = top.required("name");
    let uuid = if top.has("uuid") { top.parsed("uuid") } else { None };
    let memory: Option<ByteSize> = top.required("memory");
    let max_memory: Option<ByteSize> = top.parsed("max-memory");
    if let Some(memory) = memory
        && !(MEMORY_MIN..=MEMORY_MAX).contains(&memory)
    {
        top.mistake("memory", format_args!("{memory} is not between {MEMORY_MIN} and {MEMORY_MAX}"));
    }
    if let (Some(memory), Some(max_memory)) = (memory, max_memory) {
        if max_memory < memory {
            top.mistake("max-memory", format_args!("{max_memory} is less than memory, {memory}"));
        } else if max_memory > MEMORY_MAX {
            top.mistake("max-memory", format_args!("{max_memory} is more than {MEMORY_MAX}"));
        }
    }
    let vcpus = top.integer("vcpus", 1..=VCPUS_MAX).unwrap_or(1);
    let accelerators = [("auto", Accelerator::Auto), ("kvm", Accelerator::Kvm), ("tcg", Accelerator::Tcg)];
    let accelerator = top.choice("accelerator", &accelerators, Accelerator::Auto);
    let cpu = top.text("cpu").map(str::to_owned);
    if let Some(cpu) = &cpu
        && (cpu.is_empty() || !cpu.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+,=".contains(c)))
    {
        top.mistake("cpu", "is not the name of a processor model (`qemu-system-x86_64 -cpu help` lists them)");
    }
    let on_poweroff = top.choice("on-poweroff", &ACTIONS, Action::Destroy);
    let on_reboot = top.choice("on-reboot", &ACTIONS, Action::Restart);
    let on_crash = top.choice("on-crash", &ACTIONS, Action::Restart);
    let debug_exit = top.boolean("debug-exit").unwrap_or(false);
    let boot = top.table("boot", take_boot).unwrap_or(Boot {
        firmware: Firmware::Bios,
        order: vec![BootDevice::Disk, BootDevice::Cdrom],
        kernel: None,
        initrd: None,
        cmdline: None,
    });
    let disks = take_disks(top);
    let cards = take_cards(top, identity);
    if boot.kernel.is_none() && boot.order.contains(&BootDevice::Network) && cards.is_empty() && top.has("boot") {
        top.mistake("boot", "order names the network, and the domain has no card");
    }
    let graphics = top.table("graphics", |table| {
        table.choice("kind", &[("none", GraphicsKind::None), ("vnc", GraphicsKind::Vnc)], GraphicsKind::None)
    });
    Some(DomainDefinition {
        name: name?,
        uuid: uuid.unwrap_or_else(|| identity.uuid()),
        memory: memory?,
        max_memory: max_memory.or(memory)?,
        vcpus: u16::try_from(vcpus).unwrap_or(1),
        accelerator,
        cpu,
        on_poweroff,
        on_reboot,
        on_crash,
        debug_exit,
        boot,
        disks,
        cards,
        graphics: Graphics { kind: graphics.unwrap_or(GraphicsKind::None) },
    })
}

fn take_boot(table: &mut Table<'_>) -> Boot {
    let firmware = table.choice("firmware", &[("bios", Firmware::Bios), ("uefi", Firmware::Uefi)], Firmware::Bios);
    let devices = [("disk", BootDevice::Disk), ("cdrom", BootDevice::Cdrom), ("network", BootDevice::Network)];
    let mut order = Vec::new();
    for word in table.list::<String>("order").unwrap_or_else(|| vec!["disk".into(), "cdrom".into()]) {
        match devices.iter().find(|(known, _)| *known == word) {
            Some((_, device)) if order.contains(device) => {
                table.mistake("order", format_args!("{word:?} stands in it twice"));
            }
            Some((_, device)) => order.push(*device),
            None => table.mistake("order", reader::not_one_of(&word, devices.iter().map(|(word, _)| *word))),
        }
    }
    let mut file = |key: &str| {
        let path = table.text(key).map(PathBuf::from);
        if path.as_ref().is_some_and(|path| !path.is_absolute()) {
            table.mistake(key, "is not an absolute path");
        }
        path
    };
    let kernel = file("kernel");
    let initrd = file("initrd");
    let cmdline = table.text("cmdline").map(str::to_owned);
    if cmdline.as_ref().is_some_and(|cmdline| cmdline.len() > CMDLINE_MAX || cmdline.chars().any(char::is_control)) {
        table.mistake("cmdline", format_args!("has control characters, or is longer than {CMDLINE_MAX} bytes"));
    }
    if kernel.is_none() {
        for key in ["initrd", "cmdline"] {
            if table.has(key) {
                table.mistake(key, "has no meaning without kernel");
            }
        }
    }
    Boot { firmware, order, kernel, initrd, cmdline }
}

fn take_disks(top: &mut Table<'_>) -> Vec<Disk> {
    let mut seen = BTreeSet::new();
    let disks = top.tables("disk", |table| {
        let volume: Option<crate::types::VolumeRef> = table.required("volume");
        let devices = [("disk", DiskDevice::Disk), ("cdrom", DiskDevice::Cdrom)];
        let device = table.choice("device", &devices, DiskDevice::Disk);
        let default_bus = match device {
            DiskDevice::Disk => DiskBus::Virtio,
            DiskDevice::Cdrom => DiskBus::Sata,
        };
        let bus = table.choice("bus", &[("virtio", DiskBus::Virtio), ("sata", DiskBus::Sata)], default_bus);
        if device == DiskDevice::Cdrom && bus == DiskBus::Virtio {
            table.mistake("bus", "a CD-ROM is on sata");
        }
        let read_only = table.boolean("read-only");
        if device == DiskDevice::Cdrom && read_only == Some(false) {
            table.mistake("read-only", "a CD-ROM is read only");
        }
        if device == DiskDevice::Disk && bus == DiskBus::Sata && read_only == Some(true) {
            table.mistake("read-only", "a SATA disk cannot be read only; one on virtio can");
        }
        let volume = volume?;
        if !seen.insert(volume.clone()) {
            table.mistake("volume", format_args!("{volume} is a disk of this domain already"));
        }
        Some(Disk { volume, device, bus, read_only: read_only.unwrap_or(device == DiskDevice::Cdrom) })
    });
    if disks.len() > DEVICES_MAX {
        top.mistake("disk", format_args!("{} disks, at most {DEVICES_MAX} are allowed", disks.len()));
    }
    disks
}

fn take_cards(top: &mut Table<'_>, identity: &mut dyn Identity) -> Vec<Card> {
    let mut seen = BTreeSet::new();
    let cards = top.tables("card", |table| {
        let network = table.required("network");
        let mac: Option<MacAddress> = table.parsed("mac");
        let model =
            table.choice("model", &[("virtio", CardModel::Virtio), ("e1000", CardModel::E1000)], CardModel::Virtio);
        let address = table.parsed("address");
        let mac = mac.unwrap_or_else(|| identity.mac());
        if !seen.insert(mac) {
            table.mistake("mac", format_args!("{mac} is the address of another card of this domain"));
        }
        Some(Card { network: network?, mac, model, address })
    });
    if cards.len() > DEVICES_MAX {
        top.mistake("card", format_args!("{} cards, at most {DEVICES_MAX} are allowed", cards.len()));
    }
    cards
}
