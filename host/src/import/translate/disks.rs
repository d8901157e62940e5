//! Which volume each disk becomes.

use super::{Choices, Copy, DiskChoice};
use crate::config::domain::{DISKS_MAX, DiskBus};
use crate::import::guest::{Guest, GuestDisk, Source};
use crate::import::report::Report;
use crate::types::{DomainName, VolumeName, VolumeRef};

pub(super) struct Made {
    pub volume: VolumeRef,
    pub device: &'static str,
    pub bus: &'static str,
    pub read_only: bool,
}

#[derive(Default)]
pub(super) struct Disks {
    pub all: Vec<Made>,
    pub copies: Vec<Copy>,
    pub uses: Vec<VolumeRef>,
    /// CD-ROM drives with nothing in them.
    pub empty_drives: i64,
}

pub(super) fn disks(guest: &Guest, name: &DomainName, choices: &Choices, report: &mut Report) -> Disks {
    let mut disks = Disks::default();
    for target in choices.disks.keys() {
        if !guest.disks.iter().any(|disk| disk.target == *target) {
            let known: Vec<&str> = guest.disks.iter().map(|disk| disk.target.as_str()).collect();
            let has = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            report.wrong(0, &format!("--disk {target}"), format!("the guest has no such disk; it has {has}"), "");
        }
    }
    if guest.disks.len() > DISKS_MAX {
        let line = guest.disks[DISKS_MAX].line;
        report.wrong(
            line,
            "disk",
            format!("a domain has {DISKS_MAX} disks at the most"),
            "leave one out: --disk NAME=none",
        );
        return disks;
    }
    for disk in &guest.disks {
        let key = format!("disk {}", disk.target);
        let choice = choices.disks.get(&disk.target);
        if let Some(DiskChoice::None) = choice {
            report.left(disk.line, &key, "as --disk says");
            continue;
        }
        if disk.cdrom && disk.source == Source::Empty && choice.is_none() {
            disks.empty_drives += 1;
            report.taken(disk.line, &key, format!("empty-drives = {}", disks.empty_drives));
            continue;
        }
        let Some((volume, source)) = place(disk, choice, name, choices, &disks, &key, report) else { continue };
        if disks.all.iter().any(|other| other.volume == volume) {
            report.wrong(disk.line, &key, format!("{volume} is another disk of the guest already"), "");
            continue;
        }
        tell(disk, &volume, &disks, &key, report);
        disks.all.push(Made {
            volume: volume.clone(),
            device: if disk.cdrom { "cdrom" } else { "disk" },
            bus: bus(disk.bus),
            read_only: disk.read_only,
        });
        match source {
            Some(source) => disks.copies.push(Copy { line: disk.line, target: disk.target.clone(), volume, source }),
            None => disks.uses.push(volume),
        }
    }
    disks
}

fn bus(bus: DiskBus) -> &'static str {
    match bus {
        DiskBus::Virtio => "virtio",
        DiskBus::Sata => "sata",
    }
}

/// The volume, and what is copied into it; none where it is left out or the report says what is wrong.
fn place(
    disk: &GuestDisk,
    choice: Option<&DiskChoice>,
    name: &DomainName,
    choices: &Choices,
    disks: &Disks,
    key: &str,
    report: &mut Report,
) -> Option<(VolumeRef, Option<Source>)> {
    if let Some(DiskChoice::Volume(volume)) = choice {
        return Some((volume.clone(), None));
    }
    let source = match (&disk.source, choice) {
        (Source::Path { format, .. }, Some(DiskChoice::File(path))) => {
            Source::Path { path: path.clone(), format: *format }
        }
        (Source::Packed { .. }, Some(DiskChoice::File(_))) => {
            report.wrong(disk.line, key, "the package holds it", "leave --disk out, or name a volume");
            return None;
        }
        // Nothing said how it was laid out: a disk that was served as a whole is.
        (Source::Elsewhere(_) | Source::Empty, Some(DiskChoice::File(path))) => {
            Source::Path { path: path.clone(), format: crate::types::DiskFormat::Raw }
        }
        (Source::Empty, _) => {
            report.wrong(disk.line, key, "it does not say where the disk lies", "");
            return None;
        }
        (Source::Elsewhere(why), _) => {
            let hint = format!("say --disk {0}=POOL/VOLUME, or --disk {0}=/PATH of a copy", disk.target);
            report.wrong(disk.line, key, format!("fief cannot copy it: {why}"), &hint);
            return None;
        }
        (source @ (Source::Path { .. } | Source::Packed { .. }), _) => source.clone(),
    };
    let volume = VolumeRef { pool: choices.pool.clone(), volume: volume(disk, &source, name, disks)? };
    Some((volume, choices.copy.then_some(source)))
}

/// `node1`, `node1-1`, …; a CD keeps the name of its file.
fn volume(disk: &GuestDisk, source: &Source, name: &DomainName, disks: &Disks) -> Option<VolumeName> {
    let file = match source {
        Source::Path { path, .. } => path.file_name().map(|name| name.to_string_lossy().into_owned()),
        Source::Packed { file, .. } => file.rsplit('/').next().map(str::to_owned),
        Source::Empty | Source::Elsewhere(_) => None,
    };
    if disk.cdrom
        && let Some(Ok(kept)) = file.filter(|name| name.ends_with(".iso")).map(|name| name.parse())
    {
        return Some(kept);
    }
    let number = disks.all.iter().filter(|made| (made.device == "cdrom") == disk.cdrom).count();
    let text = match (disk.cdrom, number) {
        (true, number) => format!("{name}-cd{number}"),
        (false, 0) => name.to_string(),
        (false, number) => format!("{name}-{number}"),
    };
    // A domain's name and a few digits are a volume's name.
    text.parse().ok()
}

fn tell(disk: &GuestDisk, volume: &VolumeRef, disks: &Disks, key: &str, report: &mut Report) {
    let (line, bus) = (disk.line, bus(disk.bus));
    if disk.cdrom {
        report.taken(line, key, format!("volume = \"{volume}\", device = \"cdrom\""));
        return;
    }
    let number = disks.all.iter().filter(|made| made.device == "disk" && made.bus == bus).count();
    // Past z nobody counts; DISKS_MAX is less.
    let letter = char::from(b'a' + u8::try_from(number).unwrap_or(25).min(25));
    let now = format!("{}{letter}", if bus == "virtio" { "vd" } else { "sd" });
    report.taken(line, key, format!("volume = \"{volume}\", bus = \"{bus}\""));
    let was = disk.target.trim_end_matches(|c: char| c.is_ascii_digit());
    if was != now && !was.starts_with("disk") {
        let what = "name file systems by UUID= or LABEL= in /etc/fstab and in the boot loader";
        report.guest(line, key, format!("{} is {now} now: {what}", disk.target));
    }
}
