//! From `domain.toml` to a checked definition, and back.
//!
//! What only the host can know (does the volume exist, is there a kernel at that path) is checked at start.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;

use uuid::Uuid;

use super::{
    Accelerator, Action, Autostart, Boot, BootDevice, Card, CardModel, Disk, DiskBus, DiskDevice, DomainDefinition,
    Firmware, Graphics, GraphicsKind, OnStorageError,
};
use crate::config::reader::{Choice, Document, TableReader};
use crate::config::text::{AbsolutePath, ShortText};
use crate::error::Result;
use crate::types::{Bandwidth, ByteSize, Invalid, MacAddress, NetworkName, Span, Spoofing, VolumeRef};

/// Least memory: QEMU's PC firmware needs it to start at all.
pub const MEMORY_MIN: ByteSize = ByteSize::from_mib(1);
/// Most memory, 16 TiB: above what QEMU's own models of a processor address (46 bits would be 64 TiB, less holes).
pub const MEMORY_MAX: ByteSize = ByteSize::from_mib(16 << 20);
/// Memory is counted in whole MiB, as `-m` and the balloon of QEMU count it.
const MEMORY_STEP: u64 = 1 << 20;
/// Most virtual processors: what QEMU's q35 machine takes before version 8.1; a domain runs on older hosts too.
pub const VCPUS_MAX: u16 = 288;
/// Most disks: with the cards they have room on one PCI bus and leave some to plug in later.
pub const DISKS_MAX: usize = 16;
/// Most cards: as for disks.
pub const CARDS_MAX: usize = 16;
/// Longest command line of a kernel, in bytes: `COMMAND_LINE_SIZE` of Linux on x86 less the closing NUL.
const CMDLINE_MAX: usize = 2047;
/// Where `order` is absent: in the middle of those that write one.
const AUTOSTART_ORDER: u16 = 100;
/// Longest description, in bytes: a line or two.
const DESCRIPTION_MAX: usize = 256;
/// Most drives without a disc.
const DRIVES_MAX: i64 = 4;
/// Tries to find an address that no other card has. With 24 random bits and [`CARDS_MAX`] cards the second try is rare.
const MAC_TRIES: usize = 16;

/// Makes what a definition leaves open.
pub trait Identity {
    fn uuid(&mut self) -> Uuid;
    fn mac(&mut self) -> MacAddress;
}

/// From the system's source of randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomIdentity;

impl Identity for RandomIdentity {
    fn uuid(&mut self) -> Uuid {
        Uuid::new_v4()
    }
    fn mac(&mut self) -> MacAddress {
        // The first bytes of a version 4 UUID are all random (RFC 9562, 5.4).
        let bytes = Uuid::new_v4().into_bytes();
        MacAddress::for_guest([bytes[0], bytes[1], bytes[2]])
    }
}

/// Reads a definition; `source` names the text in messages (a path, or "standard input").
///
/// # Errors
/// Kind `Usage`, with every mistake as a cause: `node1.toml:4:1: unknown key "memry" (did you mean "memory"?)`.
pub fn parse(bytes: &[u8], source: &str, identity: &mut dyn Identity) -> Result<DomainDefinition> {
    Document::parse("domain definition", source, bytes)?.read(|table| domain(table, identity))
}

/// The definition as TOML, each value written out, so that [`parse`] gives the same definition again.
pub fn to_toml(definition: &DomainDefinition) -> String {
    // Every part of it is a table, a list, a text, a number or a boolean: there is nothing that TOML cannot say.
    toml::to_string(definition).unwrap_or_default()
}

fn domain(table: &mut TableReader<'_>, identity: &mut dyn Identity) -> Option<DomainDefinition> {
    let name = table.required("name", "node1");
    let uuid = match table.optional::<WrittenUuid>("uuid", "0b1c5a3e-4f1d-4c39-9f0e-2d8a1c6b7e55") {
        Some(WrittenUuid(uuid)) => uuid,
        None => identity.uuid(),
    };
    let memory = table.required::<ByteSize>("memory", "512MiB");
    let max_memory = table.optional::<ByteSize>("max-memory", "1GiB").or(memory);
    check_memory(table, memory, max_memory);
    let vcpus = table.integer("vcpus", 1..=i64::from(VCPUS_MAX)).and_then(|vcpus| u16::try_from(vcpus).ok());
    let accelerator = table.choice("accelerator").unwrap_or(Accelerator::Auto);
    let machine = table.optional::<MachineType>("machine", "pc-q35-7.2").map(|MachineType(machine)| machine);
    let cpu = table.optional::<CpuModel>("cpu", "max").map(|CpuModel(cpu)| cpu);
    let on_poweroff = table.choice("on-poweroff").unwrap_or(Action::Destroy);
    let on_reboot = table.choice("on-reboot").unwrap_or(Action::Restart);
    let on_crash = table.choice("on-crash").unwrap_or(Action::Restart);
    let on_storage_error = table.choice("on-storage-error");
    let debug_exit = table.boolean("debug-exit").unwrap_or(false);
    let protected = table.boolean("protected").unwrap_or(false);
    let description = table.optional::<ShortText<DESCRIPTION_MAX>>("description", "the web shop").map(String::from);
    let empty_drives = table.integer("empty-drives", 0..=DRIVES_MAX).and_then(|count| usize::try_from(count).ok());
    let generation_id = match table.optional::<WrittenUuid>("generation-id", "6d2fb0a1-93a4-4c7e-a5d6-0f3c2b1e4d58") {
        Some(WrittenUuid(id)) => id,
        None => uuid,
    };
    let autostart = if table.has("autostart") { Some(table.section("autostart", autostart)?) } else { None };
    let disks = disks(table);
    let cards = cards(table, identity);
    let has_card = table.has("card");
    let boot = table.section("boot", |table| boot(table, has_card))?;
    let graphics =
        table.section("graphics", |table| Graphics { kind: table.choice("kind").unwrap_or(GraphicsKind::None) })?;
    Some(DomainDefinition {
        name: name?,
        uuid,
        memory: memory?,
        max_memory: max_memory?,
        vcpus: vcpus.unwrap_or(1),
        accelerator,
        machine,
        cpu,
        on_poweroff,
        on_reboot,
        on_crash,
        on_storage_error,
        debug_exit,
        protected,
        description,
        empty_drives: empty_drives.unwrap_or(0),
        generation_id,
        autostart,
        boot,
        disks,
        cards,
        graphics,
    })
}

fn autostart(table: &mut TableReader<'_>) -> Autostart {
    let order = table.integer("order", 0..=i64::from(u16::MAX)).and_then(|order| u16::try_from(order).ok());
    let delay = table.optional::<Span>("delay", "10s");
    Autostart { order: order.unwrap_or(AUTOSTART_ORDER), delay: delay.unwrap_or(Span(std::time::Duration::ZERO)) }
}

fn check_memory(table: &TableReader<'_>, memory: Option<ByteSize>, max_memory: Option<ByteSize>) {
    for (key, size) in [("memory", memory), ("max-memory", max_memory)] {
        let Some(size) = size.filter(|_| table.has(key)) else { continue };
        if !(MEMORY_MIN..=MEMORY_MAX).contains(&size) {
            table.wrong(key, format!("{size} is not from {MEMORY_MIN} to {MEMORY_MAX}"), "");
        } else if !size.bytes().is_multiple_of(MEMORY_STEP) {
            let whole = ByteSize::from_bytes(size.bytes().next_multiple_of(MEMORY_STEP));
            table.wrong(key, "memory is counted in whole MiB", format!("write \"{whole}\", say"));
        }
    }
    if let (Some(memory), Some(max_memory)) = (memory, max_memory)
        && max_memory < memory
    {
        table.wrong("max-memory", format!("{max_memory} is less than the memory, {memory}"), "");
    }
}

fn boot(table: &mut TableReader<'_>, has_card: bool) -> Boot {
    let firmware = table.choice("firmware").unwrap_or(Firmware::Bios);
    let order = table.choices("order").unwrap_or_else(|| vec![BootDevice::Disk, BootDevice::Cdrom]);
    let kernel = table.optional::<AbsolutePath>("kernel", "/boot/vmlinuz").map(PathBuf::from);
    let initrd = table.optional::<AbsolutePath>("initrd", "/boot/initrd.img").map(PathBuf::from);
    let cmdline = table.optional::<ShortText<CMDLINE_MAX>>("cmdline", "console=ttyS0").map(String::from);
    if !table.has("kernel") {
        for key in ["initrd", "cmdline"] {
            if table.has(key) {
                table.wrong(key, "is of use with a kernel only", "add boot.kernel, or leave it out");
            }
        }
        if order.is_empty() {
            table.wrong("order", "nothing to boot from", "name disk, cdrom or network, or leave order out");
        }
        if order.contains(&BootDevice::Network) && !has_card {
            table.wrong("order", "boots from the network, but the domain has no card", "add a [[card]]");
        }
    }
    Boot { firmware, order, kernel, initrd, cmdline }
}

fn disks(table: &mut TableReader<'_>) -> Vec<Disk> {
    let mut seen = BTreeMap::<VolumeRef, usize>::new();
    table.tables("disk", DISKS_MAX, |table| {
        let volume = table.required::<VolumeRef>("volume", "default/node1");
        let device = table.choice("device").unwrap_or(DiskDevice::Disk);
        let bus = table.choice("bus").unwrap_or(match device {
            DiskDevice::Disk => DiskBus::Virtio,
            DiskDevice::Cdrom => DiskBus::Sata,
        });
        let read_only = table.boolean("read-only");
        if device == DiskDevice::Cdrom && bus == DiskBus::Virtio {
            table.wrong("bus", "a CD-ROM drive is on sata", "leave it out");
        }
        match (device, bus, read_only) {
            (DiskDevice::Cdrom, _, Some(false)) => {
                table.wrong("read-only", "a CD-ROM can only be read", "leave it out");
            }
            (DiskDevice::Disk, DiskBus::Sata, Some(true)) => {
                let hint = "write bus = \"virtio\", or device = \"cdrom\"";
                table.wrong("read-only", "SATA has no read-only disks", hint);
            }
            (DiskDevice::Cdrom | DiskDevice::Disk, DiskBus::Virtio | DiskBus::Sata, _) => {}
        }
        let volume = volume?;
        let at = table.at("volume");
        if let Some(first) = seen.insert(volume.clone(), at) {
            let line = table.line_of(first);
            table.wrong("volume", format!("{volume} is a disk of this domain already (line {line})"), "");
        }
        Some(Disk { volume, device, bus, read_only: read_only.unwrap_or(device == DiskDevice::Cdrom) })
    })
}

/// A card whose address may still have to be made.
struct OpenCard {
    mac: Option<MacAddress>,
    card: Card,
}

fn cards(table: &mut TableReader<'_>, identity: &mut dyn Identity) -> Vec<Card> {
    let mut macs = BTreeMap::<MacAddress, usize>::new();
    let mut addresses = BTreeMap::new();
    let open = table.tables("card", CARDS_MAX, |table| {
        let network = table.required::<NetworkName>("network", "lab");
        let mac = table.optional::<MacAddress>("mac", "52:54:00:12:34:56");
        let model = table.choice("model").unwrap_or(CardModel::Virtio);
        let address = table.optional::<GuestAddress>("address", "10.77.0.5").map(|GuestAddress(address)| address);
        let spoofing = table.choice("spoofing").unwrap_or_default();
        let bandwidth = table.optional::<Bandwidth>("bandwidth", "100Mbit");
        if let Some(mac) = mac
            && let Some(first) = macs.insert(mac, table.at("mac"))
        {
            let line = table.line_of(first);
            table.wrong("mac", format!("another card has {mac} (line {line})"), "leave it out and one is made");
        }
        let network = network?;
        if let Some(address) = address
            && let Some(first) = addresses.insert((network.clone(), address), table.at("address"))
        {
            let line = table.line_of(first);
            table.wrong("address", format!("another card on this network has {address} (line {line})"), "");
        }
        // The address stands for one that is made below, once all written ones are known.
        let mac_or_any = mac.unwrap_or(MacAddress::for_guest([0; 3]));
        let card = Card { network, mac: mac_or_any, model, address, spoofing, bandwidth };
        Some(OpenCard { mac, card })
    });
    let mut cards = Vec::new();
    for OpenCard { mac, mut card } in open {
        if mac.is_none() {
            let free = (0..MAC_TRIES).map(|_| identity.mac()).find(|mac| !macs.contains_key(mac));
            let Some(free) = free else {
                table.wrong("card", "no free MAC address was found", "write one as mac = \"52:54:00:…\"");
                continue;
            };
            macs.insert(free, table.at("card"));
            card.mac = free;
        }
        cards.push(card);
    }
    cards
}

struct WrittenUuid(Uuid);

impl FromStr for WrittenUuid {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match Uuid::try_parse(text) {
            Ok(uuid) if uuid.is_nil() => Err(Invalid::new("the UUID of all zeroes names nothing")),
            Ok(uuid) => Ok(WrittenUuid(uuid)),
            Err(_) => Err(Invalid::new(format!("{text:?} is not a UUID"))),
        }
    }
}

/// QEMU's name of a machine type: q35, as a version of it.
struct MachineType(String);

impl FromStr for MachineType {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let version = text.strip_prefix("pc-q35-").and_then(|version| version.split_once('.'));
        let number =
            |digits: &str| !digits.is_empty() && digits.len() < 4 && digits.bytes().all(|b| b.is_ascii_digit());
        match version {
            _ if text == "q35" => Ok(MachineType(text.to_owned())),
            Some((major, minor)) if number(major) && number(minor) => Ok(MachineType(text.to_owned())),
            _ => Err(Invalid::new(format!("{text:?} is not a machine type that domains have"))),
        }
    }
}

/// QEMU's name of a model, with features after commas (`qemu64,+pni`).
struct CpuModel(String);

impl FromStr for CpuModel {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        /// Longer than any model with a screenful of features, in bytes.
        const MODEL_MAX: usize = 1024;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.,+=".contains(c);
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.chars().all(plain) || text.len() > MODEL_MAX
        {
            return Err(Invalid::new(format!("{text:?} is not the name of a processor model")));
        }
        Ok(CpuModel(text.to_owned()))
    }
}

/// An address that a guest can have.
struct GuestAddress(Ipv4Addr);

impl FromStr for GuestAddress {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let address: Ipv4Addr = text
            .parse()
            .map_err(|_| Invalid::new(format!("{text:?} is not an IPv4 address; it is written without a prefix")))?;
        // 0.0.0.0/8 and 240.0.0.0/4: "this network" and reserved (RFC 6890).
        if address.octets()[0] == 0 || address.octets()[0] >= 240 || address.is_loopback() || address.is_multicast() {
            return Err(Invalid::new(format!("{address} is not an address that a guest can have")));
        }
        Ok(GuestAddress(address))
    }
}

macro_rules! words {
    ($($of:ident { $($word:literal => $choice:ident),+ $(,)? })+) => {$(
        impl Choice for $of {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, $of::$choice)),+];
        }
    )+};
}

words! {
    Accelerator { "auto" => Auto, "kvm" => Kvm, "tcg" => Tcg }
    Action { "destroy" => Destroy, "restart" => Restart, "preserve" => Preserve }
    OnStorageError { "pause" => Pause, "report" => Report }
    Firmware { "bios" => Bios, "uefi" => Uefi }
    BootDevice { "disk" => Disk, "cdrom" => Cdrom, "network" => Network }
    DiskDevice { "disk" => Disk, "cdrom" => Cdrom }
    DiskBus { "virtio" => Virtio, "sata" => Sata }
    CardModel { "virtio" => Virtio, "e1000" => E1000 }
    GraphicsKind { "none" => None, "vnc" => Vnc }
    Spoofing { "denied" => Denied, "allowed" => Allowed }
}
