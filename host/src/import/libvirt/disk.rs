//! `<disk>` (formatdomain, "Hard drives, floppy disks, CDROMs").

use std::path::PathBuf;

use crate::config::domain::{BootDevice, DiskBus};
use crate::import::guest::{Guest, GuestDisk, Source};
use crate::import::report::Report;
use crate::import::xml::Element;
use crate::types::DiskFormat;

pub(super) fn disk(disk: Element<'_, '_>, guest: &mut Guest, report: &mut Report) -> Option<GuestDisk> {
    let line = disk.line();
    let Some(target) = disk.attribute_of("target", "dev") else {
        report.wrong(line, "disk", "it does not say what the disk is called in the guest", "as in <target dev='vda'/>");
        return None;
    };
    let key = format!("disk {target}");
    let cdrom = match disk.attribute("device").unwrap_or("disk") {
        "disk" | "lun" => false,
        "cdrom" => true,
        other => {
            report.left(line, &key, format!("{other}: a domain has disks and CD-ROM drives"));
            return None;
        }
    };
    if disk.child("encryption").is_some() {
        report.wrong(
            line,
            &key,
            "it is encrypted by libvirt, which fief does not open",
            "decrypt it with qemu-img first",
        );
        return None;
    }
    let source = source(disk, &key, report)?;
    let read_only = cdrom || disk.child("readonly").is_some();
    let bus = match disk.attribute_of("target", "bus").unwrap_or_default() {
        _ if cdrom => DiskBus::Sata,
        "virtio" | "xen" | "" => DiskBus::Virtio,
        // SATA has no read-only disks.
        _ if read_only => DiskBus::Virtio,
        "sata" => DiskBus::Sata,
        other => {
            report.changed(line, &key, format!("{other} becomes bus = \"sata\""));
            DiskBus::Sata
        }
    };
    for element in disk.children() {
        let why = match element.name() {
            // The address is of libvirt's own machine; the rest is read above or below.
            "driver" | "source" | "target" | "readonly" | "address" | "alias" | "backingStore" => continue,
            "boot" => {
                let device = if cdrom { BootDevice::Cdrom } else { BootDevice::Disk };
                if !guest.order.contains(&device) {
                    guest.order.push(device);
                }
                "boot.order counts kinds of devices: disks before others, in the order of the definition"
            }
            "serial" | "wwn" | "vendor" | "product" | "geometry" | "blockio" => {
                "disks have no serial number or geometry of their own: names below /dev/disk/by-id change"
            }
            "iotune" => "a disk's speed is not limited",
            "shareable" => "a volume is one running domain's alone",
            "snapshot" | "transient" => "use `fief volume snapshot`",
            _ => "it has no counterpart",
        };
        report.left(element.line(), &format!("{key} {}", element.name()), why);
    }
    Some(GuestDisk { line, target: target.to_owned(), source, cdrom, read_only, bus })
}

fn source(disk: Element<'_, '_>, key: &str, report: &mut Report) -> Option<Source> {
    let line = disk.line();
    let format = match disk.attribute_of("driver", "type").unwrap_or("raw") {
        "raw" | "aio" => DiskFormat::Raw,
        "qcow2" => DiskFormat::Qcow2,
        "vmdk" => DiskFormat::Vmdk,
        other => {
            let hint = "convert it to qcow2 with `qemu-img convert -f FORMAT -O qcow2 OLD NEW`, and name that";
            report.wrong(line, key, format!("its format {other:?} is none that fief copies from"), hint);
            return None;
        }
    };
    let attribute = |name| disk.attribute_of("source", name);
    let path = match disk.attribute("type").unwrap_or("file") {
        "file" => attribute("file"),
        "block" => attribute("dev"),
        "volume" => {
            let (pool, volume) = (attribute("pool").unwrap_or("?"), attribute("volume").unwrap_or("?"));
            let where_is =
                format!("it is a volume of libvirt's: `virsh vol-path --pool {pool} {volume}` tells its path");
            return Some(Source::Elsewhere(where_is));
        }
        other => return Some(Source::Elsewhere(format!("the old host reached it by {other}"))),
    };
    match path {
        None => Some(Source::Empty),
        Some(path) if path.starts_with('/') => Some(Source::Path { path: PathBuf::from(path), format }),
        Some(path) => {
            report.wrong(line, key, format!("{path:?} is no absolute path"), "");
            None
        }
    }
}
