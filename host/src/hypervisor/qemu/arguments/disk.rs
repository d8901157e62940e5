//! Disks: a chain of block nodes for each, and the device that shows it to the guest.
//!
//! The top node of disk *n* is `disk<n>`; events name it, and `disk_of_node` reads it back.

use serde_json::json;

use super::{BootOrder, DISKS, List, MORE_SATA, Plan, place, slot};
use crate::config::domain::{BootDevice, Disk, DiskBus, DiskDevice};
use crate::error::{Failure, Result};

/// SATA ports of one controller.
const PORTS: usize = 6;
/// Controllers beside the chipset's own.
const MORE_CONTROLLERS: usize = 6;
/// `VIRTIO_BLK_ID_BYTES` (virtio 1.2, 5.2.6); ATA has as many.
const SERIAL_MAX: usize = 20;

pub(super) fn add(list: &mut List, plan: &Plan<'_>, order: &mut BootOrder) -> Result<()> {
    let disks = &plan.definition.disks;
    if disks.len() != plan.disks.len() {
        return Err(Failure::other("the domain's disks and their images are not of the same number"));
    }
    let on_virtio = disks.iter().filter(|disk| !on_sata(disk)).count();
    let (mut virtio, mut sata) = (0, 0);
    for (index, (disk, source)) in disks.iter().zip(&plan.disks).enumerate() {
        let node = disk_node(index);
        let below = |layer: usize| if layer == 0 { node.clone() } else { format!("{node}-below{layer}") };
        // From the lowest up: a node is named by the one above it.
        for (layer, (format, descriptor)) in source.chain.iter().enumerate().rev() {
            let backing = (layer + 1 < source.chain.len()).then(|| below(layer + 1));
            list.file(&below(layer), *format, *descriptor, layer > 0 || source.read_only, backing.as_deref());
        }

        let class = match disk.device {
            DiskDevice::Disk => BootDevice::Disk,
            DiskDevice::Cdrom => BootDevice::Cdrom,
        };
        let driver = match (disk.device, on_sata(disk)) {
            (DiskDevice::Cdrom, _) => "ide-cd",
            (DiskDevice::Disk, true) => "ide-hd",
            (DiskDevice::Disk, false) => "virtio-blk-pci",
        };
        if driver == "ide-hd" && source.read_only {
            return Err(Failure::usage(format!(
                "disk {} of {} is read-only, and SATA has no read-only disks",
                index + 1,
                plan.definition.name
            ))
            .hint("write bus = \"virtio\", or device = \"cdrom\""));
        }
        let mut device = json!({"driver": driver, "id": format!("{node}-device"), "drive": node});
        if let Some(boot) = order.index(class, index) {
            device["bootindex"] = boot.into();
        }
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
        if on_sata(disk) {
            device["bus"] = sata_port(list, sata)?.into();
            sata += 1;
        } else {
            place(&mut device, "virtio disks", DISKS, virtio, on_virtio)?;
            virtio += 1;
        }
        list.json("-device", device);
    }
    Ok(())
}

/// CD-ROM drives are SATA whatever the bus: firmware boots from it, and every system has the driver.
fn on_sata(disk: &Disk) -> bool {
    match (disk.device, disk.bus) {
        (DiskDevice::Cdrom, DiskBus::Sata | DiskBus::Virtio) | (DiskDevice::Disk, DiskBus::Sata) => true,
        (DiskDevice::Disk, DiskBus::Virtio) => false,
    }
}

/// The bus of SATA disk `index`, its controller added before its first.
fn sata_port(list: &mut List, index: usize) -> Result<String> {
    let (controller, port) = (index / PORTS, index % PORTS);
    match controller {
        0 => Ok(format!("ide.{port}")),
        more if more <= MORE_CONTROLLERS => {
            if port == 0 {
                let addr = slot(MORE_SATA + more - 1);
                list.json("-device", json!({"driver": "ich9-ahci", "id": format!("sata{more}"), "addr": addr}));
            }
            Ok(format!("sata{more}.{port}"))
        }
        _ => Err(Failure::usage(format!("the domain has more than {} SATA disks", PORTS * (MORE_CONTROLLERS + 1)))),
    }
}

/// The top block node of disk `index`.
pub fn disk_node(index: usize) -> String {
    format!("disk{index}")
}

/// The disk that a block node belongs to; none for a name of another kind.
pub(in crate::hypervisor::qemu) fn disk_of_node(node: &str) -> Option<usize> {
    let rest = node.strip_prefix("disk")?;
    rest[..rest.find('-').unwrap_or(rest.len())].parse().ok()
}
