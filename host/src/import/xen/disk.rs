//! `disk = [ … ]`, in xm's form (`phy:/dev/x,xvda,w`) and in xl's (xl-disk-configuration(5)).

use std::path::PathBuf;

use super::keys::Keys;
use crate::config::domain::DiskBus;
use crate::import::guest::{GuestDisk, Source};
use crate::types::DiskFormat;

/// What one specification says.
#[derive(Debug, Default)]
struct Spec {
    target: Option<String>,
    format: Option<String>,
    vdev: Option<String>,
    access: Option<String>,
    cdrom: bool,
    /// How the old host was to reach it, where that is no file and no device.
    way: Option<String>,
    /// Options that have no counterpart.
    left: Vec<String>,
}

pub(super) fn disks(keys: &mut Keys<'_>, hvm: bool) -> Vec<GuestDisk> {
    let mut disks: Vec<GuestDisk> = Vec::new();
    for (line, text) in keys.list("disk") {
        let spec = parse(&text);
        let Some(disk) = disk(line, spec, hvm, keys) else { continue };
        if disks.iter().any(|other| other.target == disk.target) {
            keys.report.wrong(line, "disk", format!("two disks are called {}", disk.target), "");
            continue;
        }
        disks.push(disk);
    }
    disks
}

fn parse(text: &str) -> Spec {
    let mut spec = Spec::default();
    let mut rest = text.trim();
    // Prefixes stand one after the other: `tap:aio:/path`, `tap2:tapdisk:qcow2:/path`.
    while let Some((prefix, after)) = rest.split_once(':') {
        match prefix.trim() {
            "phy" | "file" | "tap" | "tap2" | "aio" | "sync" | "tapdisk" | "raw" => {
                spec.format.get_or_insert_with(|| "raw".into());
            }
            // `tap:qcow2:` says more than the `tap` before it.
            format @ ("qcow" | "qcow2" | "vhd" | "vmdk" | "qed" | "vdi") => spec.format = Some(format.into()),
            way @ ("drbd" | "iscsi" | "nbd" | "rbd" | "npiv" | "sr" | "ram") => {
                spec.way = Some(way.into());
                spec.format.get_or_insert_with(|| "raw".into());
            }
            _ => break,
        }
        rest = after;
    }
    while !rest.is_empty() {
        // `target=` takes all that is left, commas and all.
        if let Some(target) = rest.trim_start().strip_prefix("target=") {
            spec.target = Some(target.trim().into());
            break;
        }
        let (part, after) = rest.split_once(',').unwrap_or((rest, ""));
        rest = after;
        let part = part.trim();
        match part.split_once('=') {
            Some(("format", value)) => spec.format = Some(value.into()),
            Some(("vdev", value)) => spec.vdev = Some(value.into()),
            Some(("access", value)) => spec.access = Some(value.into()),
            Some(("devtype", value)) => spec.cdrom |= value == "cdrom",
            Some((key, _)) if key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') => {
                spec.left.push(key.into());
            }
            Some(_) | None => match part {
                "cdrom" => spec.cdrom = true,
                "discard" | "no-discard" | "direct-io-safe" | "backendtype" => spec.left.push(part.into()),
                _ => positional(&mut spec, part),
            },
        }
    }
    spec
}

/// `target, format, vdev, access`: each in its turn, where it is not set yet.
fn positional(spec: &mut Spec, part: &str) {
    let given = Some(part.to_owned());
    if spec.target.is_none() {
        spec.target = given;
    } else if spec.format.is_none() {
        spec.format = given;
    } else if spec.vdev.is_none() {
        spec.vdev = given;
    } else if spec.access.is_none() {
        spec.access = given;
    } else if !part.is_empty() {
        spec.left.push(part.into());
    }
}

fn disk(line: usize, spec: Spec, hvm: bool, keys: &mut Keys<'_>) -> Option<GuestDisk> {
    let Some(vdev) = spec.vdev.filter(|vdev| !vdev.is_empty()) else {
        keys.report.wrong(
            line,
            "disk",
            "it does not say what the disk is called in the guest",
            "as in phy:/dev/x,xvda,w",
        );
        return None;
    };
    let vdev = vdev.trim_start_matches("ioemu:").trim_start_matches("/dev/").to_owned();
    let (target, kind) = vdev.split_once(':').unwrap_or((&vdev, ""));
    let cdrom = spec.cdrom || kind == "cdrom";
    let key = format!("disk {target}");
    for option in &spec.left {
        keys.report.left(line, &format!("{key} {option}"), "how a volume is served is its pool's to say");
    }
    let read_only = cdrom || !matches!(spec.access.as_deref().unwrap_or("w"), "w" | "w!" | "rw");
    let path = spec.target.unwrap_or_default();
    let format = match spec.format.as_deref().unwrap_or("raw") {
        "" | "raw" | "aio" => Some(DiskFormat::Raw),
        "qcow2" => Some(DiskFormat::Qcow2),
        "vmdk" => Some(DiskFormat::Vmdk),
        other => {
            let hint = "convert it to qcow2 with `qemu-img convert -f FORMAT -O qcow2 OLD NEW`, and name that";
            keys.report.wrong(line, &key, format!("its format {other:?} is none that fief copies from"), hint);
            None
        }
    }?;
    let source = match (spec.way, path.as_str()) {
        (Some(way), _) => Source::Elsewhere(format!("the old host reached it by {way}")),
        (None, "") => Source::Empty,
        // xm took /dev for said: phy:vg0/node1.
        (None, path) if !path.starts_with('/') => Source::Path { path: PathBuf::from("/dev").join(path), format },
        (None, path) => Source::Path { path: PathBuf::from(path), format },
    };
    let bus = match target {
        _ if cdrom => DiskBus::Sata,
        // An emulated IDE or SCSI disk: its system may have no driver for virtio.
        name if hvm && (name.starts_with("hd") || name.starts_with("sd")) && !read_only => DiskBus::Sata,
        _ => DiskBus::Virtio,
    };
    if target.starts_with("xvd") && target.ends_with(|c: char| c.is_ascii_digit()) {
        let what = "it held a file system, or swap, and no partition table: it becomes a whole disk, and no boot loader fits on it";
        keys.report.guest(
            line,
            &key,
            format!("{what}; import with --kernel, --initrd and --cmdline, or copy it into a partition"),
        );
    }
    Some(GuestDisk { line, target: target.to_owned(), source, cdrom, read_only, bus })
}
