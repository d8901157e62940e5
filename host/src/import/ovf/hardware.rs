//! `VirtualHardwareSection`: one `Item` for each device (DMTF DSP0243, 8.3; resource types of CIM's
//! `CIM_ResourceAllocationSettingData`).

use super::Package;
use crate::config::domain::{CardModel, DiskBus, Firmware};
use crate::import::guest::{Guest, GuestCard, GuestDisk, Source};
use crate::import::report::Report;
use crate::import::value;
use crate::import::xml::Element;
use crate::types::DiskFormat;

pub(super) fn section(section: Element<'_, '_>, package: &Package<'_>, guest: &mut Guest, report: &mut Report) {
    for element in section.children() {
        match element.name() {
            "Item" | "StorageItem" | "EthernetPortItem" => item(element, package, guest, report),
            "Info" => {}
            "System" => {
                let kind = element.text_of("VirtualSystemType").unwrap_or("?");
                report.changed(element.line(), "System", format!("{kind}: the machine is QEMU's newest q35"));
            }
            "Config" | "ExtraConfig" => config(element, guest, report),
            other => report.left(element.line(), other, "it has no counterpart"),
        }
    }
}

/// VMware's own settings.
fn config(element: Element<'_, '_>, guest: &mut Guest, report: &mut Report) {
    let (key, set) = (element.attribute("key").unwrap_or("?"), element.attribute("value").unwrap_or_default());
    let shown = format!("{} {key}", element.name());
    match (key, set) {
        ("firmware", "efi") => {
            guest.firmware = Some(Firmware::Uefi);
            report.taken(element.line(), &shown, "boot.firmware = \"uefi\"");
            let what = "the firmware's variables begin anew: it looks for \\EFI\\BOOT\\BOOTX64.EFI on the disk";
            report.guest(element.line(), &shown, what);
        }
        ("firmware", _) => report.taken(element.line(), &shown, "boot.firmware = \"bios\""),
        _ => report.left(element.line(), &shown, "settings of VMware's own have no counterpart"),
    }
}

fn item(item: Element<'_, '_>, package: &Package<'_>, guest: &mut Guest, report: &mut Report) {
    let line = item.line();
    let key = item.text_of("ElementName").or_else(|| item.text_of("Caption")).unwrap_or("Item");
    match item.text_of("ResourceType").unwrap_or_default() {
        "3" => match item.text_of("VirtualQuantity").and_then(|number| number.parse::<u16>().ok()) {
            Some(vcpus @ 1..) => {
                guest.vcpus = Some(vcpus);
                report.taken(line, key, format!("vcpus = {vcpus}"));
            }
            Some(0) | None => report.wrong(line, key, "it does not say how many processors there are", ""),
        },
        "4" => memory(item, key, guest, report),
        "10" => guest.cards.push(card(item, key, report)),
        "14" => report.left(line, key, "there is no floppy drive"),
        "15" | "16" => drive(item, key, package, guest, report),
        "17" => disk(item, key, package, guest, report),
        "5" | "6" | "20" => report.taken(line, key, "controllers are there where a disk needs them"),
        "24" => {
            guest.vnc = true;
            report.taken(line, key, "graphics.kind = \"vnc\": `fief view NAME`");
        }
        "13" => report.taken(line, key, "keyboard and mouse are PS/2"),
        "21" => report.taken(line, key, "every domain has one serial console (ttyS0)"),
        "23" => report.left(line, key, "there is no USB"),
        "35" => report.left(line, key, "there is no sound"),
        _ => report.left(line, key, "fief has no such device"),
    }
}

fn memory(item: Element<'_, '_>, key: &str, guest: &mut Guest, report: &mut Report) {
    let quantity = item.text_of("VirtualQuantity").and_then(|number| number.parse::<u64>().ok());
    let bytes = units(item.text_of("AllocationUnits").unwrap_or("byte * 2^20"));
    match quantity.zip(bytes).and_then(|(quantity, unit)| quantity.checked_mul(unit)) {
        Some(bytes) if bytes <= i64::MAX as u64 => {
            guest.memory = Some(value::memory(bytes, item.line(), key, "memory", report));
        }
        Some(_) | None => report.wrong(item.line(), key, "it does not say how much memory there is", ""),
    }
}

/// `byte * 2^20` (DSP0004, annex C), or the words that older exporters wrote.
fn units(text: &str) -> Option<u64> {
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
    match plain.as_str() {
        "byte" | "bytes" => Some(1),
        "kilobytes" | "kb" => Some(1 << 10),
        "megabytes" | "mb" => Some(1 << 20),
        "gigabytes" | "gb" => Some(1 << 30),
        other => {
            let (base, exponent) = other.strip_prefix("byte*")?.split_once('^')?;
            base.parse::<u64>().ok()?.checked_pow(exponent.parse().ok()?)
        }
    }
}

fn card(item: Element<'_, '_>, key: &str, report: &mut Report) -> GuestCard {
    let line = item.line();
    match item.text_of("ResourceSubType").unwrap_or("?") {
        "E1000" | "E1000e" => report.taken(line, key, "model = \"e1000\""),
        other => report.changed(line, key, format!("{other} becomes model = \"e1000\"")),
    }
    let mac = item.text_of("Address").filter(|address| address.contains([':', '-']));
    GuestCard {
        line,
        bridge: item.text_of("Connection").unwrap_or("default").to_owned(),
        mac: mac.and_then(|mac| value::mac(mac, line, key, report)),
        model: CardModel::E1000,
        address: None,
        bandwidth: None,
    }
}

/// A CD-ROM drive: its disc where the package holds one.
fn drive(item: Element<'_, '_>, key: &str, package: &Package<'_>, guest: &mut Guest, report: &mut Report) {
    let target = format!("cdrom{}", guest.disks.iter().filter(|disk| disk.cdrom).count() + 1);
    let file = item.text_of("HostResource").and_then(|resource| resource.rsplit_once("/file/")).map(|(_, id)| id);
    let source = match file {
        Some(id) => match packed(item.line(), key, id, DiskFormat::Raw, package, report) {
            Some(source) => source,
            None => return,
        },
        None => Source::Empty,
    };
    guest.disks.push(GuestDisk { line: item.line(), target, source, cdrom: true, read_only: true, bus: DiskBus::Sata });
}

fn disk(item: Element<'_, '_>, key: &str, package: &Package<'_>, guest: &mut Guest, report: &mut Report) {
    let line = item.line();
    let target = format!("disk{}", guest.disks.iter().filter(|disk| !disk.cdrom).count() + 1);
    let id = item.text_of("HostResource").and_then(|resource| resource.rsplit_once("/disk/")).map(|(_, id)| id);
    let Some(disk) = id.and_then(|id| package.disks.get(id)) else {
        report.wrong(line, key, "it names no disk of the package (HostResource)", "");
        return;
    };
    if disk.parent {
        report.wrong(
            disk.line,
            key,
            "it is the difference to another disk",
            "delete the guest's snapshots, and export it again",
        );
        return;
    }
    let source = match disk.file {
        None => Source::Elsewhere("the package has no file of it: it was exported empty".to_owned()),
        Some(_) if !disk.format.contains("vmdk") => {
            report.wrong(
                disk.line,
                key,
                format!("its format is {:?}", disk.format),
                "fief reads VMDK disks of packages",
            );
            return;
        }
        Some(file) => match packed(line, key, file, DiskFormat::Vmdk, package, report) {
            Some(source) => source,
            None => return,
        },
    };
    report.changed(line, key, format!("it is called {target} here (--disk {target}=…), on bus = \"sata\""));
    guest.disks.push(GuestDisk { line, target, source, cdrom: false, read_only: false, bus: DiskBus::Sata });
}

/// A file of the package.
fn packed(
    line: usize,
    key: &str,
    id: &str,
    format: DiskFormat,
    package: &Package<'_>,
    report: &mut Report,
) -> Option<Source> {
    let Some((href, at, compression)) = package.files.get(id) else {
        report.wrong(line, key, format!("the package's References name no file {id:?}"), "");
        return None;
    };
    if compression.is_some_and(|how| how != "identity") {
        report.wrong(*at, key, format!("{href} is compressed as a whole"), "gunzip it, and take the attribute out");
        return None;
    }
    if href.contains("://") {
        report.wrong(*at, key, format!("{href} lies elsewhere"), "fetch it, and name the file");
        return None;
    }
    Some(Source::Packed { file: (*href).to_owned(), format, checksum: package.sums.get(*href).cloned() })
}
