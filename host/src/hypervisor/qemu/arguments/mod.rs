//! From a domain to QEMU's argument list: a pure function. Objects are JSON wherever QEMU 7.2 takes JSON; the few
//! options that it reads as `key=value` hold nothing that an operator wrote, or have it escaped.
//!
//! What a device is called, and where it sits, follows from its place alone (`hypervisor/places.rs`), so that a guest
//! finds its second card where it was when a third disk is added:
//!
//! | PCI slot | device |
//! | --- | --- |
//! | 1, 2 | VGA; USB for the pointer |
//! | 3, 4 | balloon; entropy |
//! | 8, 9 | ports for virtio cards, eight a slot; the second slot where the machine starts with more cards |
//! | 10 – 15 | other cards, the seventh as function 1 of slot 10, and so on |
//! | 16, 17 | ports for virtio disks, likewise |
//! | 24 – 29 | more SATA, six disks each; the first six are on the chipset's own controller |
//!
//! What is plugged into a port can be unplugged while the guest runs, and it can be reached by virtio 1.0 alone (Linux
//! since 4.0): a port has no I/O space, of which there is not enough for all of them.
//!
//! In layout 1, from before there were ports, virtio disks were in slots 8 to 15 (the ninth as function 1 of slot 8), and
//! cards in slots 16 to 23. Guests that were saved in it are restored in it.

mod card;
mod disk;

use serde_json::{Value, json};

pub(super) use card::{device as card_device, device_id as card_id, id as card_netdev_id, netdev, port as card_port};
pub use disk::socket as served_socket;
pub(super) use disk::{
    client_nodes as served_nodes, cut_node, device as disk_device, device_id as disk_id, disk_of_node, is_under,
    node as disk_node, nodes as disk_nodes, port as disk_port, raw_node, renamed, secret as disk_secret,
    secret_id as disk_secret_id, served_node, top_nodes,
};

use crate::config::domain::{Action, BootDevice, DomainDefinition, GraphicsKind};
use crate::error::{Failure, Result};
use crate::gate::operation::ImageFormat;
use crate::hypervisor::{ChosenAccelerator, Device, Places};
use crate::sandbox::protocol::Forward;
use crate::storage::{IscsiDisk, NbdDisk, NfsDisk, Served};
use crate::types::ByteSize;

/// All that the arguments say; descriptors as the numbers that they will have in QEMU.
#[derive(Debug)]
pub struct Plan<'a> {
    pub definition: &'a DomainDefinition,
    pub places: &'a Places,
    pub accelerator: ChosenAccelerator,
    /// Listening sockets.
    pub qmp: i32,
    pub serial: i32,
    pub disks: Vec<DiskPlan>,
    pub cards: Vec<CardPlan>,
    pub start: StartPlan,
    /// A state comes in by QMP before the guest is let go.
    pub incoming: bool,
}

#[derive(Debug)]
pub struct DiskPlan {
    pub way: WayPlan,
    pub read_only: bool,
    /// A file that holds a password.
    pub secret: Option<i32>,
}

/// How QEMU comes to a disk's bytes.
#[derive(Debug)]
pub enum WayPlan {
    /// An image and those it stands on, top first. All but a writable top are opened for reading only.
    Files(Vec<(ImageFormat, i32)>),
    Nfs(NfsDisk),
    Iscsi(IscsiDisk),
    Nbd(NbdDisk),
    /// The folder that its socket lies in, as a descriptor.
    Served {
        folder: i32,
        disk: Served,
    },
}

#[derive(Debug)]
pub enum CardPlan {
    Tap { descriptor: i32, mtu: Option<u32> },
    User { network: Option<String>, forwards: Vec<Forward>, restricted: bool },
}

/// What runs first.
#[derive(Debug)]
pub enum StartPlan {
    Bios,
    /// Flash images: code (read only) and the domain's own variables.
    Uefi {
        code: i32,
        variables: i32,
    },
    Kernel {
        kernel: i32,
        initrd: Option<i32>,
    },
}

/// Slots of the table above.
const VGA: usize = 1;
const USB: usize = 2;
const BALLOON: usize = 3;
const ENTROPY: usize = 4;
const CARD_PORTS: usize = 8;
const CARDS: usize = 10;
const CARD_SLOTS: usize = 6;
const DISK_PORTS: usize = 16;
const MORE_SATA: usize = 24;
/// Of layout 1.
const FIRST_DISKS: usize = 8;
const FIRST_CARDS: usize = 16;
const FIRST_SLOTS: usize = 8;
/// PCI's functions in a slot.
const FUNCTIONS: usize = 8;

/// QEMU's arguments, without the program.
///
/// # Errors
/// `Usage` where the machine has no room or no device for what is defined.
pub fn arguments(plan: &Plan<'_>) -> Result<Vec<String>> {
    let definition = plan.definition;
    let mut list = List::default();
    list.flag("-nodefaults").flag("-no-user-config").flag("-S");
    list.text("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    list.text("-name", format!("guest={},debug-threads=on", escape(definition.name.as_str())));
    list.text("-uuid", definition.uuid.to_string());
    list.text("-machine", machine(definition.machine.as_deref(), &plan.start));
    if plan.incoming {
        list.text("-incoming", "defer");
    }
    list.text(
        "-accel",
        match plan.accelerator {
            ChosenAccelerator::Kvm => "kvm",
            ChosenAccelerator::Tcg => "tcg",
        },
    );
    list.text("-cpu", definition.cpu.as_deref().unwrap_or(plan.accelerator.best_cpu()));
    // The balloon takes what the guest is not to have now.
    let size = if plan.places.hardware < 2 { definition.memory } else { definition.max_memory };
    list.text("-m", format!("size={}", memory(size)));
    list.text("-smp", format!("cpus={0},sockets=1,cores={0},threads=1", definition.vcpus));
    list.text("-rtc", "base=utc");
    list.text("-boot", "strict=on");
    list.text("-action", actions(definition));

    list.text("-chardev", format!("socket,id=qmp,fd={},server=on,wait=off", plan.qmp));
    list.text("-mon", "chardev=qmp,mode=control");
    list.text("-chardev", format!("socket,id=serial0,fd={},server=on,wait=off", plan.serial));
    list.json("-device", json!({"driver": "isa-serial", "id": "serial0-port", "chardev": "serial0", "index": 0}));

    start(&mut list, &plan.start, definition);
    graphics(&mut list, definition.graphics.kind);
    list.json("-device", json!({"driver": "virtio-balloon-pci", "id": "balloon0", "addr": slot(BALLOON)}));
    list.json("-object", json!({"qom-type": "rng-builtin", "id": "entropy0"}));
    list.json("-device", json!({"driver": "virtio-rng-pci", "rng": "entropy0", "addr": slot(ENTROPY)}));
    // Linux has a driver for the ISA form since 3.11, for the PCI form since 5.12.
    list.json("-device", json!({"driver": "pvpanic"}));
    if plan.places.hardware >= 2 {
        let generation = definition.generation_id.to_string();
        list.json("-device", json!({"driver": "vmgenid", "id": "generation0", "guid": generation}));
    }
    if definition.debug_exit {
        list.json("-device", json!({"driver": "isa-debug-exit", "iobase": 0xf4, "iosize": 4}));
    }

    ports(&mut list, plan.places);
    let mut order = BootOrder::new(definition);
    disk::add(&mut list, plan, &mut order)?;
    card::add(&mut list, plan, &mut order)?;
    Ok(list.0)
}

fn machine(kind: Option<&str>, start: &StartPlan) -> String {
    // A guest's memory is not for a core dump; USB and VMware's port are there where asked for only.
    let mut machine = format!("{},usb=off,vmport=off,dump-guest-core=off", kind.unwrap_or("q35"));
    if let StartPlan::Uefi { .. } = start {
        machine.push_str(",pflash0=firmware-code,pflash1=firmware-variables");
    }
    machine
}

fn memory(size: ByteSize) -> String {
    match size.bytes() {
        bytes if bytes.is_multiple_of(1 << 20) => format!("{}M", bytes >> 20),
        bytes => format!("{bytes}b"),
    }
}

/// What QEMU does by itself when the guest ends.
///
/// - The guest powers off: QEMU ends (the supervisor, also one that was away, sees that it has), unless the domain is
///   to be preserved; then it stays, paused, in run state `shutdown`. `quit` and SIGTERM end it in either case.
/// - The guest reboots: in place where it is to go on. Else a reboot is made a power-off; the event `SHUTDOWN`
///   says `guest-reset`, so that the supervisor tells one from the other.
/// - The guest panics: always paused, in run state `guest-panicked`, so that the supervisor chooses with the guest's
///   memory still there, and one that was away can still choose.
fn actions(definition: &DomainDefinition) -> String {
    let [reboot, shutdown] = ends(definition.on_poweroff, definition.on_reboot);
    format!("reboot={reboot},shutdown={shutdown},panic=pause")
}

/// What a reboot and a power-off do, in QEMU's words.
pub(super) fn ends(on_poweroff: Action, on_reboot: Action) -> [&'static str; 2] {
    let reboot = match on_reboot {
        Action::Restart => "reset",
        Action::Destroy | Action::Preserve => "shutdown",
    };
    let stays = [on_poweroff, on_reboot].contains(&Action::Preserve);
    [reboot, if stays { "pause" } else { "poweroff" }]
}

fn start(list: &mut List, start: &StartPlan, definition: &DomainDefinition) {
    match start {
        StartPlan::Bios => {}
        StartPlan::Uefi { code, variables } => {
            list.file("firmware-code", ImageFormat::Raw, *code, true);
            list.file("firmware-variables", ImageFormat::Raw, *variables, false);
        }
        StartPlan::Kernel { kernel, initrd } => {
            list.text("-kernel", format!("/proc/self/fd/{kernel}"));
            if let Some(initrd) = initrd {
                list.text("-initrd", format!("/proc/self/fd/{initrd}"));
            }
            if let Some(line) = &definition.boot.cmdline {
                list.text("-append", line.clone());
            }
        }
    }
}

fn graphics(list: &mut List, kind: GraphicsKind) {
    list.text("-display", "none");
    match kind {
        GraphicsKind::None => {}
        GraphicsKind::Vnc => {
            // A display that listens nowhere: clients come as descriptors, by QMP `add_client`.
            list.text("-vnc", "none");
            list.json("-device", json!({"driver": "VGA", "id": "video0", "addr": slot(VGA)}));
            list.json("-device", json!({"driver": "qemu-xhci", "id": "usb0", "addr": slot(USB)}));
            // A pointer with absolute positions, which is all that VNC knows.
            list.json("-device", json!({"driver": "usb-tablet", "id": "pointer0", "bus": "usb0.0"}));
        }
    }
}

/// Which device the firmware tries when, from the definition's `boot.order`.
struct BootOrder {
    order: Vec<BootDevice>,
    per_class: usize,
}

impl BootOrder {
    fn new(definition: &DomainDefinition) -> Self {
        let order = if definition.boot.kernel.is_some() { Vec::new() } else { definition.boot.order.clone() };
        BootOrder { order, per_class: definition.disks.len().max(definition.cards.len()) }
    }
    /// `bootindex` of the device that is number `index` of its list.
    fn index(&mut self, device: BootDevice, index: usize) -> Option<usize> {
        let class = self.order.iter().position(|d| *d == device)?;
        Some(class * self.per_class + index)
    }
}

/// The arguments as they grow.
#[derive(Default)]
struct List(Vec<String>);

impl List {
    fn flag(&mut self, option: &str) -> &mut Self {
        self.0.push(option.into());
        self
    }
    fn text(&mut self, option: &str, value: impl Into<String>) -> &mut Self {
        self.0.extend([option.into(), value.into()]);
        self
    }
    fn json(&mut self, option: &str, value: Value) -> &mut Self {
        self.text(option, value.to_string())
    }

    /// A block node called `node` over an open file. `-add-fd` files it under a set, so that QEMU takes the very
    /// descriptor instead of opening a path; the descriptor's access must be the node's.
    fn file(&mut self, node: &str, format: ImageFormat, descriptor: i32, read_only: bool) {
        self.descriptor(descriptor, node);
        for node in file_nodes(node, format, descriptor, read_only, None) {
            self.json("-blockdev", node);
        }
    }

    /// The set that holds a descriptor says whose it is, so that it can be taken away again.
    fn descriptor(&mut self, descriptor: i32, of: &str) {
        self.text("-add-fd", format!("fd={descriptor},set={descriptor},opaque={of}"));
    }
}

/// A block node called `node` over the file in a descriptor set, and the one of the file itself below it.
fn file_nodes(node: &str, format: ImageFormat, set: i32, read_only: bool, backing: Option<&str>) -> [Value; 2] {
    let file = json!({
        "driver": "file", "node-name": format!("{node}-file"), "filename": format!("/dev/fdset/{set}"),
        "read-only": read_only, "discard": "unmap", "aio": "threads", "locking": "auto",
        "cache": {"direct": false, "no-flush": false},
    });
    let mut top = json!({
        "driver": format.as_str(), "node-name": node, "file": format!("{node}-file"),
        "read-only": read_only, "discard": "unmap",
    });
    match format {
        ImageFormat::Raw => {}
        // Null where there is none: QEMU never follows the path in an image's header.
        ImageFormat::Qcow2 => top["backing"] = backing.into(),
    }
    [file, top]
}

/// The ports of layout 2. Each is the root of a bus of its own, where one device can come and go.
fn ports(list: &mut List, places: &Places) {
    let cards = (0..places.card_ports).map(|port| (card::port(port), CARD_PORTS, port));
    let disks = (0..places.disk_ports).map(|port| (disk::port(port), DISK_PORTS, port));
    // Numbers of chassis tell ports apart (PCI Express base specification, slot capabilities).
    for (chassis, (id, base, port)) in cards.chain(disks).enumerate() {
        let addr = format!("0x{:x}.0x{:x}", base + port / FUNCTIONS, port % FUNCTIONS);
        let mut device =
            json!({"driver": "pcie-root-port", "id": id, "chassis": chassis + 1, "addr": addr, "io-reserve": 0});
        if port % FUNCTIONS == 0 {
            device["multifunction"] = true.into();
        }
        list.json("-device", device);
    }
}

/// The device that an id names; none for a name of another kind.
pub(super) fn device_of_id(id: &str) -> Option<Device> {
    let name = id.strip_suffix("-device")?;
    let place = |prefix: &str| name.strip_prefix(prefix)?.parse().ok();
    place("disk").map(Device::Disk).or_else(|| place("card").map(Device::Card))
}

/// In `key=value` lists a comma ends the value, two stand for one (qemu(1)).
fn escape(value: &str) -> String {
    value.replace(',', ",,")
}

fn slot(number: usize) -> String {
    format!("0x{number:x}")
}

/// The port in a place, where the machine has it.
fn port_of(seat: usize, ports: usize, what: &str, port: impl Fn(usize) -> String) -> Result<String> {
    if seat >= ports {
        return Err(Failure::usage(format!("the domain has more than {ports} {what}")));
    }
    Ok(port(seat))
}

/// Where device `index` of `total` sat in layout 1.
fn place(device: &mut Value, what: &str, base: usize, index: usize, total: usize) -> Result<()> {
    place_among(device, what, (base, FIRST_SLOTS), index, total)
}

/// Where device `index` of `total` sits among the slots from a base; the first function of a shared slot says so.
fn place_among(
    device: &mut Value,
    what: &str,
    (base, slots): (usize, usize),
    index: usize,
    total: usize,
) -> Result<()> {
    let (function, most) = (index / slots, slots * FUNCTIONS);
    if function >= FUNCTIONS {
        return Err(Failure::usage(format!("the domain has more than {most} {what}")));
    }
    device["addr"] = format!("0x{:x}.0x{function:x}", base + index % slots).into();
    if function == 0 && index + slots < total {
        device["multifunction"] = true.into();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
