//! A domain of libvirt's, as `virsh dumpxml` prints it (libvirt.org/formatdomain.html).

mod card;
mod disk;
mod left;

use uuid::Uuid;

use super::guest::Guest;
use super::report::Report;
use super::value;
use super::xml::{self, Element};
use crate::config::domain::{BootDevice, Firmware};
use crate::types::ByteSize;

/// Reads a definition; mistakes are in the report.
pub fn read(text: &str) -> (Guest, Report) {
    let mut report = Report::default();
    let mut guest = Guest::default();
    if let Some(xml) = xml::parse(text, &mut report) {
        let root = xml.root();
        match root.name() {
            "domain" => domain(root, &mut guest, &mut report),
            // What `virsh snapshot-dumpxml` and `virsh save-image-dumpxml` print holds one.
            other => report.wrong(root.line(), other, "this is no <domain>", "take what `virsh dumpxml NAME` prints"),
        }
    }
    (guest, report)
}

fn domain(root: Element<'_, '_>, guest: &mut Guest, report: &mut Report) {
    kind(root, guest, report);
    for element in root.children() {
        let (line, name) = (element.line(), element.name());
        match name {
            "name" => {
                report.taken(line, name, format!("name = {:?}", element.text()));
                guest.name = Some((line, element.text().to_owned()));
            }
            "uuid" => match Uuid::try_parse(element.text()) {
                Ok(uuid) if !uuid.is_nil() => {
                    report.taken(line, name, format!("uuid = \"{uuid}\""));
                    guest.uuid = Some((line, uuid));
                }
                Ok(_) | Err(_) => report.wrong(line, name, "this is no UUID", "leave it out and fief makes one"),
            },
            "title" | "description" if guest.description.is_none() => {
                guest.description = value::description(element.text(), line, name, report);
            }
            // `memory` is the most that it may have, `currentMemory` what it begins with.
            "memory" => guest.max_memory = size(element, "max-memory", report),
            "currentMemory" => guest.memory = size(element, "memory", report),
            "vcpu" => vcpus(element, guest, report),
            "os" => os(element, guest, report),
            "bootloader" => {
                report.changed(line, name, "the disk's own boot loader starts the kernel now");
                let what =
                    "install a boot loader on the disk (grub-install), or import with --kernel, --initrd and --cmdline";
                report.guest(line, name, what);
            }
            "on_poweroff" => guest.on_poweroff = value::action(element.text(), line, name, report),
            "on_reboot" => guest.on_reboot = value::action(element.text(), line, name, report),
            "on_crash" => guest.on_crash = value::action(element.text(), line, name, report),
            "devices" => devices(element, guest, report),
            other => left::element(other, line, report),
        }
    }
    if guest.memory.is_none() {
        guest.memory = guest.max_memory;
    }
}

/// Who ran it, and for what processor.
fn kind(root: Element<'_, '_>, guest: &mut Guest, report: &mut Report) {
    let line = root.line();
    match root.attribute("type") {
        Some(kind @ ("kvm" | "qemu" | "hvf")) => report.taken(line, "domain", format!("a guest of {kind}")),
        Some("xen") => report.changed(line, "domain", "a guest of Xen"),
        Some(other) => {
            let hint = "fief takes guests of kvm, qemu and xen";
            report.wrong(line, "domain", format!("it is of the type {other:?}"), hint);
        }
        None => report.wrong(line, "domain", "it does not say of what type it is", "as in <domain type='kvm'>"),
    }
    let kind = root.child("os").and_then(|os| os.child("type"));
    guest.paravirtual = kind.is_some_and(|kind| matches!(kind.text(), "linux" | "xen" | "xenpvh"));
    if let Some(kind) = kind
        && let Some(arch) = kind.attribute("arch")
        && !matches!(arch, "x86_64" | "i686" | "i386")
    {
        report.wrong(kind.line(), "os type", format!("it is for {arch}"), "a domain of fief's is an x86-64 machine");
    }
}

fn size(element: Element<'_, '_>, name: &str, report: &mut Report) -> Option<ByteSize> {
    let line = element.line();
    let factor: Option<u64> = match element.attribute("unit").unwrap_or("KiB") {
        "b" | "bytes" => Some(1),
        "KB" => Some(1_000),
        "k" | "KiB" => Some(1 << 10),
        "MB" => Some(1_000_000),
        "M" | "MiB" => Some(1 << 20),
        "GB" => Some(1_000_000_000),
        "G" | "GiB" => Some(1 << 30),
        "TB" => Some(1_000_000_000_000),
        "T" | "TiB" => Some(1 << 40),
        _ => None,
    };
    let bytes = element.text().parse::<u64>().ok().and_then(|number| number.checked_mul(factor?));
    match bytes.filter(|bytes| *bytes <= i64::MAX as u64) {
        Some(bytes) => Some(value::memory(bytes, line, element.name(), name, report)),
        None => {
            report.wrong(line, element.name(), format!("{:?} is no size of memory", element.text()), "");
            None
        }
    }
}

fn vcpus(element: Element<'_, '_>, guest: &mut Guest, report: &mut Report) {
    let line = element.line();
    let text = element.attribute("current").unwrap_or_else(|| element.text());
    match text.parse() {
        Ok(vcpus @ 1..) => {
            report.taken(line, "vcpu", format!("vcpus = {vcpus}"));
            guest.vcpus = Some(vcpus);
        }
        Ok(0) | Err(_) => report.wrong(line, "vcpu", format!("{text:?} is no number of processors"), ""),
    }
    if element.attribute("current").is_some_and(|current| current != element.text()) {
        report.left(line, "vcpu", format!("up to {}: a running domain keeps its processors", element.text()));
    }
    if element.attribute("cpuset").is_some() {
        report.left(line, "vcpu cpuset", "processors are not pinned; the host's scheduler shares them out");
    }
}

fn os(os: Element<'_, '_>, guest: &mut Guest, report: &mut Report) {
    if os.attribute("firmware") == Some("efi") {
        guest.firmware = Some(Firmware::Uefi);
        report.taken(os.line(), "os firmware", "boot.firmware = \"uefi\"");
    }
    let mut words = Vec::new();
    for element in os.children() {
        let (line, key) = (element.line(), format!("os {}", element.name()));
        match element.name() {
            "type" => match element.attribute("machine") {
                Some(machine) => report.changed(line, &key, format!("{machine}: the machine is QEMU's newest q35")),
                None => report.taken(line, &key, element.text()),
            },
            "loader" => {
                let uefi = ["OVMF", "edk2", "efi"].iter().any(|word| element.text().contains(word));
                if uefi || element.attribute("type") == Some("pflash") {
                    guest.firmware = Some(Firmware::Uefi);
                    report.taken(line, &key, "boot.firmware = \"uefi\", with this host's OVMF");
                } else {
                    report.left(line, &key, "fief has firmware of its own");
                }
                if element.attribute("secure") == Some("yes") {
                    report.left(line, &key, "Secure Boot is off");
                }
            }
            "nvram" => {
                report.left(line, &key, "the firmware's variables begin anew: it looks for \\EFI\\BOOT\\BOOTX64.EFI")
            }
            "boot" => match element.attribute("dev") {
                Some("hd") => order(guest, BootDevice::Disk, line, &key, report),
                Some("cdrom") => order(guest, BootDevice::Cdrom, line, &key, report),
                Some("network") => order(guest, BootDevice::Network, line, &key, report),
                other => {
                    let device = other.unwrap_or("?");
                    report.left(line, &key, format!("{device}: a domain boots from disk, CD-ROM or network"));
                }
            },
            "kernel" | "initrd" => {
                let option = format!("--{}", element.name());
                report.left(line, &key, format!("{}: copy it here and say {option} FILE", element.text()));
            }
            "cmdline" => {
                words.push(element.text().to_owned());
                report.left(line, &key, "it counts beside --kernel: --cmdline changes it");
            }
            "root" => {
                words.insert(0, format!("root={}", element.text()));
                report.left(line, &key, "the boot loader's menu says it now");
            }
            other => left::element(other, line, report),
        }
    }
    guest.command_line = (!words.is_empty()).then(|| words.join(" "));
}

fn order(guest: &mut Guest, device: BootDevice, line: usize, key: &str, report: &mut Report) {
    if !guest.order.contains(&device) {
        guest.order.push(device);
    }
    report.taken(line, key, "boot.order");
}

fn devices(devices: Element<'_, '_>, guest: &mut Guest, report: &mut Report) {
    for element in devices.children() {
        match element.name() {
            "disk" => {
                if let Some(disk) = disk::disk(element, guest, report) {
                    if guest.disks.iter().any(|other| other.target == disk.target) {
                        report.wrong(disk.line, "disk", format!("two disks are called {}", disk.target), "");
                    } else {
                        guest.disks.push(disk);
                    }
                }
            }
            "interface" => guest.cards.extend(card::card(element, report)),
            "graphics" => {
                let kind = element.attribute("type").unwrap_or("?");
                guest.vnc = true;
                let line = element.line();
                if kind == "vnc" {
                    report.taken(line, "graphics", "graphics.kind = \"vnc\", on a private socket: `fief view NAME`");
                } else {
                    report.changed(line, "graphics", format!("{kind} becomes graphics.kind = \"vnc\""));
                }
            }
            other => left::device(other, element, report),
        }
    }
}
