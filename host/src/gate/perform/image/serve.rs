//! An image served as the disk that is in it, by QEMU's storage daemon: to this host itself, which reads no qcow2.
//!
//! It runs as the plugin's user with open files and one listening socket. It ends by its line in the ledger, or with the thread
//! that started it. A snapshot is served by `qemu-nbd`, which alone can, and which makes its socket itself.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Gid, Uid};
use serde_json::json;

use super::place::Place;
use super::{Done, Gate, Outcome, open, snapshot, tool};
use crate::error::{Context, Failure, Result};
use crate::gate::operation::{ImageFormat, ImageRef};
use crate::sys::confined::Confined;
use crate::sys::process;
use crate::types::{Access, SnapshotName};

/// Beside `qemu-img`, with which it is built.
const PROGRAM: &str = "qemu-storage-daemon";
const PROGRAM_OF_SNAPSHOTS: &str = "qemu-nbd";
/// That the latter makes, in the folder that it is given.
const SOCKET: &str = "image.sock";
/// How its only export is called.
const EXPORT: &str = "disk";
/// For what was written and not flushed, once it is asked to end.
const GRACE: Duration = Duration::from_secs(10);

pub(in crate::gate::perform) fn start(
    gate: &Gate,
    image: &ImageRef,
    format: ImageFormat,
    access: Access,
    snapshot: Option<&SnapshotName>,
    descriptors: Vec<OwnedFd>,
) -> Result<Done> {
    match snapshot {
        None => all(gate, image, format, access, descriptors),
        Some(snapshot) => as_then(gate, image, format, snapshot, descriptors),
    }
}

fn all(gate: &Gate, image: &ImageRef, format: ImageFormat, access: Access, descriptors: Vec<OwnedFd>) -> Result<Done> {
    let saying = || format!("cannot serve the image {}", image.path);
    let Some(listener) = descriptors.into_iter().next() else {
        return Err(Failure::other(saying()).because(std::io::Error::other("there is no socket to serve at")));
    };
    let write = access == Access::ReadWrite;
    let layers = open::chain(Place::find(gate, image)?, Some(format), write)?;
    let program = gate.policy().host.qemu_img.with_file_name(PROGRAM);
    // Nobody waits for its end.
    let mut daemon = Confined::new(&program, Duration::ZERO);
    daemon.user(layers[0].place.owner);
    let mut node = tool::hand_node(&mut daemon, &layers, write)?;
    node["node-name"] = EXPORT.into();
    if write {
        // What is to read as zeroes gives its room back.
        node["discard"] = "unmap".into();
        node["file"]["discard"] = "unmap".into();
    }
    let number = daemon.hand_number(&listener).context(saying)?;
    let export = json!({ "type": "nbd", "id": EXPORT, "node-name": EXPORT, "name": EXPORT, "writable": write });
    daemon
        .argument("--blockdev")
        .argument(node.to_string())
        .argument("--nbd-server")
        .argument(format!("addr.type=fd,addr.str={number}"))
        .argument("--export")
        .argument(export.to_string());
    left(daemon, &saying(), &program, "qemu-system-common")
}

/// What is in a snapshot never changes, and is read with nothing locked: a hypervisor may have the image open.
fn as_then(
    gate: &Gate,
    image: &ImageRef,
    format: ImageFormat,
    name: &SnapshotName,
    descriptors: Vec<OwnedFd>,
) -> Result<Done> {
    let saying = || format!("cannot serve the snapshot {name} of the image {}", image.path);
    let Some(folder) = descriptors.into_iter().next() else {
        return Err(Failure::other(saying()).because(std::io::Error::other("there is no folder for a socket")));
    };
    let layers = open::chain(Place::find(gate, image)?, Some(format), false)?;
    let snapshot = snapshot::find(&layers[0], name)?;
    let owner = layers[0].place.owner;
    if let Some(uid) = owner {
        rustix::fs::fchown(&folder, Some(Uid::from_raw(uid)), Some(Gid::from_raw(uid))).context(saying)?;
    }
    let program = gate.policy().host.qemu_img.with_file_name(PROGRAM_OF_SNAPSHOTS);
    let mut daemon = Confined::new(&program, Duration::ZERO);
    daemon.user(owner);
    let mut node = tool::hand_node(&mut daemon, &layers, false)?;
    node["force-share"] = true.into();
    let folder = daemon.hand(&folder).context(saying)?;
    daemon
        .argument("--read-only")
        .argument("--load-snapshot")
        .argument(format!("snapshot.id={},snapshot.name={}", snapshot.id, snapshot.name))
        .argument("--export-name")
        .argument(EXPORT)
        .argument("--socket")
        .argument(format!("{folder}/{SOCKET}"))
        .argument(format!("json:{node}"));
    left(daemon, &saying(), &program, "qemu-utils")
}

/// Starts it and leaves it to itself.
fn left(daemon: Confined, saying: &str, program: &Path, package: &str) -> Result<Done> {
    let saying = || saying.to_owned();
    let mut child = daemon.leave().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::other(saying())
            .because(std::io::Error::other(format!("there is no {}", program.display())))
            .hint(format!("install it (Debian: {package}); it is looked for beside qemu-img")),
        _ => Failure::other(saying()).because(error),
    })?;
    match process::identify(child.id()) {
        Some(process) => Ok(Done { outcome: Outcome::Process { process }, descriptors: Vec::new() }),
        None => {
            let status = child.wait().context(saying)?;
            Err(Failure::other(saying()).because(std::io::Error::other(format!("it ended at once ({status})"))))
        }
    }
}

/// Without an outcome there is nothing to end: it died with whoever was in the act.
pub(super) fn undo(image: &ImageRef, outcome: Option<&Outcome>) -> Result<()> {
    match outcome {
        Some(Outcome::Process { process }) => {
            process::end(*process, GRACE).context(|| format!("cannot end what serves the image {}", image.path))
        }
        Some(_) | None => Ok(()),
    }
}
