//! Disks: a chain of block nodes for each, and the device that shows it to the guest.
//!
//! The top node of the disk in place *n* is `disk<n>`; events name it, and `disk_of_node` reads it back.

use serde_json::{Value, json};

use super::{BootOrder, FIRST_DISKS, List, MORE_SATA, Plan, file_nodes, place, port_of, slot};
use crate::config::domain::{BootDevice, Disk, DiskDevice};
use crate::error::{Failure, Result};
use crate::gate::operation::ImageFormat;
use crate::hypervisor::places::{FIXED, in_port};

/// SATA ports of one controller.
const PORTS: usize = 6;
/// Controllers beside the chipset's own.
const MORE_CONTROLLERS: usize = 6;
/// `VIRTIO_BLK_ID_BYTES` (virtio 1.2, 5.2.6); ATA has as many.
const SERIAL_MAX: usize = 20;

pub(super) fn add(list: &mut List, plan: &Plan<'_>, order: &mut BootOrder) -> Result<()> {
    let (disks, places) = (&plan.definition.disks, plan.places);
    if disks.len() != plan.disks.len() {
        return Err(Failure::other("the domain's disks and their images are not of the same number"));
    }
    let on_virtio = disks.iter().filter(|disk| in_port(disk.device, disk.bus)).count();
    let mut controllers = 0;
    for (index, (disk, source)) in disks.iter().zip(&plan.disks).enumerate() {
        let seat = places.disk(&disk.volume)?;
        for (_, descriptor) in &source.chain {
            list.descriptor(*descriptor, &node(seat));
        }
        for node in nodes(seat, &source.chain, source.read_only) {
            list.json("-blockdev", node);
        }
        let mut device = device(seat, disk, source.read_only).map_err(|failure| {
            failure.while_doing(format!("disk {} of {} cannot be had", index + 1, plan.definition.name))
        })?;
        let class = match disk.device {
            DiskDevice::Disk => BootDevice::Disk,
            DiskDevice::Cdrom => BootDevice::Cdrom,
        };
        if let Some(boot) = order.index(class, index) {
            device["bootindex"] = boot.into();
        }
        if seat >= FIXED {
            device["bus"] = sata_port(list, seat - FIXED, &mut controllers)?.into();
        } else if places.hardware < 2 {
            place(&mut device, "virtio disks", FIRST_DISKS, seat, on_virtio)?;
        } else {
            device["bus"] = port_of(seat, places.disk_ports, "virtio disks", port)?.into();
        }
        list.json("-device", device);
    }
    for seat in &places.drives {
        let mut device = json!({"driver": "ide-cd", "id": device_id(*seat)});
        device["bus"] = sata_port(list, seat.saturating_sub(FIXED), &mut controllers)?.into();
        list.json("-device", device);
    }
    Ok(())
}

/// The block nodes of a chain (top first; each with the number of its descriptor set), from the lowest up: a node is
/// named by the one above it.
pub(in crate::hypervisor::qemu) fn nodes(seat: usize, chain: &[(ImageFormat, i32)], read_only: bool) -> Vec<Value> {
    let top = node(seat);
    let below = |layer: usize| if layer == 0 { top.clone() } else { format!("{top}-below{layer}") };
    let layers = chain.iter().enumerate().rev();
    layers
        .flat_map(|(layer, (format, set))| {
            let backing = (layer + 1 < chain.len()).then(|| below(layer + 1));
            file_nodes(&below(layer), *format, *set, layer > 0 || read_only, backing.as_deref())
        })
        .collect()
}

/// The device, without its place.
pub(in crate::hypervisor::qemu) fn device(seat: usize, disk: &Disk, read_only: bool) -> Result<Value> {
    let driver = match (disk.device, in_port(disk.device, disk.bus)) {
        (DiskDevice::Cdrom, _) => "ide-cd",
        (DiskDevice::Disk, false) => "ide-hd",
        (DiskDevice::Disk, true) => "virtio-blk-pci",
    };
    if driver == "ide-hd" && read_only {
        return Err(Failure::usage("it is read-only, and SATA has no read-only disks")
            .hint("write bus = \"virtio\", or device = \"cdrom\""));
    }
    let mut device = json!({"driver": driver, "id": device_id(seat), "drive": node(seat)});
    match disk.device {
        DiskDevice::Cdrom => {}
        DiskDevice::Disk => {
            // A full pool stops the guest until there is room; other errors are the guest's to deal with.
            device["werror"] = "enospc".into();
            device["rerror"] = "report".into();
            let name = disk.volume.volume.as_str();
            if name.len() <= SERIAL_MAX {
                device["serial"] = name.into();
            }
        }
    }
    Ok(device)
}

/// The bus of a SATA disk or drive, the controllers up to its own added before it.
fn sata_port(list: &mut List, index: usize, controllers: &mut usize) -> Result<String> {
    let (controller, port) = (index / PORTS, index % PORTS);
    if controller > MORE_CONTROLLERS {
        return Err(Failure::usage(format!("the domain has more than {} SATA disks", PORTS * (MORE_CONTROLLERS + 1))));
    }
    while *controllers < controller {
        *controllers += 1;
        let addr = slot(MORE_SATA + *controllers - 1);
        list.json("-device", json!({"driver": "ich9-ahci", "id": format!("sata{controllers}"), "addr": addr}));
    }
    Ok(match controller {
        0 => format!("ide.{port}"),
        more => format!("sata{more}.{port}"),
    })
}

/// The port, of layout 2, that a disk sits in.
pub(in crate::hypervisor::qemu) fn port(seat: usize) -> String {
    format!("disk-port{seat}")
}

/// The top block node of the disk in a place.
pub(in crate::hypervisor::qemu) fn node(seat: usize) -> String {
    format!("disk{seat}")
}

pub(in crate::hypervisor::qemu) fn device_id(seat: usize) -> String {
    format!("{}-device", node(seat))
}

/// The place of the disk that a block node belongs to; none for a name of another kind.
pub(in crate::hypervisor::qemu) fn disk_of_node(node: &str) -> Option<usize> {
    let rest = node.strip_prefix("disk")?;
    rest[..rest.find('-').unwrap_or(rest.len())].parse().ok()
}
