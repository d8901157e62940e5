//! An OVF package (DMTF DSP0243, versions 1.0 to 2.1), as VMware exports a guest: an envelope in XML that names
//! disks, which lie beside it, or with it in one tar file (OVA).

pub mod archive;
mod hardware;
mod manifest;

use std::collections::BTreeMap;

use super::guest::Guest;
use super::report::Report;
use super::value;
use super::xml::{self, Element};
use crate::config::domain::Firmware;
use crate::types::Checksum;

/// What the envelope says of a disk of the package.
struct PackedDisk<'a> {
    line: usize,
    file: Option<&'a str>,
    format: &'a str,
    parent: bool,
}

/// What the envelope names, by its own identifiers.
struct Package<'a> {
    /// By id: name, line, compression.
    files: BTreeMap<&'a str, (&'a str, usize, Option<&'a str>)>,
    disks: BTreeMap<&'a str, PackedDisk<'a>>,
    sums: BTreeMap<String, Checksum>,
}

/// Reads an envelope; mistakes are in the report. `name` is what its manifest calls it.
pub fn read(text: &str, name: &str, manifest: Option<&str>) -> (Guest, Report) {
    let mut report = Report::default();
    let mut guest = Guest::default();
    let sums = match manifest {
        Some(manifest) => manifest::sums(manifest, &mut report),
        None => {
            report.left(0, "manifest", "there is none: damage of the disks would not be seen");
            BTreeMap::new()
        }
    };
    if let Some(sum) = sums.get(name)
        && !sum.is_of(text.as_bytes())
    {
        report.wrong(
            0,
            "manifest",
            format!("{name} is not what its checksum says: the package is damaged"),
            "export it again",
        );
        return (guest, report);
    }
    let Some(xml) = xml::parse(text, &mut report) else { return (guest, report) };
    let root = xml.root();
    if root.name() != "Envelope" {
        report.wrong(root.line(), root.name(), "this is no OVF envelope", "");
        return (guest, report);
    }
    let package = package(root, sums);
    let mut systems = root.all("VirtualSystem");
    match (systems.next(), systems.next()) {
        (Some(system), None) => virtual_system(system, &package, &mut guest, &mut report),
        (Some(_), Some(other)) => report.wrong(other.line(), "VirtualSystem", "the package holds several guests", ONE),
        (None, _) => {
            let line = root.child("VirtualSystemCollection").map_or(root.line(), Element::line);
            report.wrong(line, "VirtualSystem", "the package does not hold one guest", ONE);
        }
    }
    for section in root.children() {
        let why = match section.name() {
            // Read above.
            "References"
            | "DiskSection"
            | "NetworkSection"
            | "VirtualSystem"
            | "VirtualSystemCollection"
            | "Strings" => continue,
            "EulaSection" | "ProductSection" | "AnnotationSection" => "it is about the package, not about the guest",
            _ => "it has no counterpart",
        };
        report.left(section.line(), section.name(), why);
    }
    (guest, report)
}

const ONE: &str = "export one guest a package";

fn package<'a>(root: Element<'a, '_>, sums: BTreeMap<String, Checksum>) -> Package<'a> {
    let mut package = Package { files: BTreeMap::new(), disks: BTreeMap::new(), sums };
    for file in root.all("References").flat_map(|section| section.all("File")) {
        if let (Some(id), Some(href)) = (file.attribute("id"), file.attribute("href")) {
            package.files.insert(id, (href, file.line(), file.attribute("compression")));
        }
    }
    for disk in root.all("DiskSection").flat_map(|section| section.all("Disk")) {
        if let Some(id) = disk.attribute("diskId") {
            let format = disk.attribute("format").unwrap_or_default();
            let parent = disk.attribute("parentRef").is_some();
            package.disks.insert(id, PackedDisk { line: disk.line(), file: disk.attribute("fileRef"), format, parent });
        }
    }
    package
}

fn virtual_system(system: Element<'_, '_>, package: &Package<'_>, guest: &mut Guest, report: &mut Report) {
    let name = system.text_of("Name").or_else(|| system.attribute("id"));
    if let Some(name) = name {
        report.taken(system.line(), "VirtualSystem", format!("name = {name:?}"));
        guest.name = Some((system.line(), name.to_owned()));
    }
    for section in system.children() {
        match section.name() {
            "Info" | "Name" => {}
            "VirtualHardwareSection" => hardware::section(section, package, guest, report),
            "OperatingSystemSection" => {
                let what = section.text_of("Description").unwrap_or("the system");
                report.taken(section.line(), "OperatingSystemSection", format!("{what}: nothing depends on it here"));
            }
            "AnnotationSection" => {
                let text = section.text_of("Annotation").unwrap_or_default();
                guest.description = value::description(text, section.line(), "AnnotationSection", report);
            }
            "ProductSection" | "EulaSection" => {
                report.left(section.line(), section.name(), "a definition has no properties");
            }
            other => report.left(section.line(), other, "it has no counterpart"),
        }
    }
    if guest.firmware.is_none() {
        guest.firmware = Some(Firmware::Bios);
    }
    let drivers = "disks are on sata and cards are e1000, for which every system has drivers; with those for virtio \
                   installed, bus = \"virtio\" and model = \"virtio\" are faster (`fief edit`)";
    report.guest(0, "drivers", drivers);
    report.guest(0, "VMware Tools", "take them off; they look for a host that is no longer there");
}
