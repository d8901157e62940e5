//! Images below granted directories: made, grown, renamed, copied, deleted, their snapshots, and opened for a hypervisor.
//!
//! Raw images are worked on by fief itself; what changes the inside of a qcow2 image is done by `qemu-img`, as the
//! plugin's user and with open files only (`tool.rs`). Headers are read by fief alone (`qcow2.rs`).

mod aside;
mod copy;
mod create;
mod delete;
mod disk;
mod foreign;
mod identity;
mod open;
mod place;
mod qcow2;
mod rename;
mod resize;
mod serve;
mod snapshot;
mod tool;

use std::path::Path;

use super::{Done, Gate, Operation, Outcome};
use crate::error::{Failure, Result};
use crate::gate::operation::ImageRef;
use crate::types::RelativePath;
use place::Place;

pub(super) fn act(gate: &Gate, operation: &Operation) -> Result<Done> {
    match operation {
        Operation::ImageInspect { image } => open::inspect(Place::find(gate, image)?),
        Operation::ImageOpen { image, format, access } => open::open(Place::find(gate, image)?, *format, *access),
        Operation::ImageCreate { image, format, size, preallocation, backing } => {
            let wanted = create::Wanted {
                format: *format,
                size: *size,
                preallocation: *preallocation,
                backing: backing.as_ref(),
            };
            create::create(gate, &Place::find(gate, image)?, &wanted)
        }
        Operation::ImageCopy { image, snapshot, target, format } => {
            copy::copy(gate, Place::find(gate, image)?, snapshot.as_ref(), target, *format)
        }
        Operation::ImageResize { image, size } => resize::grow(gate, Place::find(gate, image)?, operation, *size),
        Operation::ImageDelete { image } => delete::set_aside(gate, image),
        Operation::ImageRename { image, to } => rename::rename(&Place::find(gate, image)?, operation, to),
        Operation::SnapshotCreate { image, snapshot } => {
            snapshot::create(gate, Place::find(gate, image)?, operation, snapshot)
        }
        Operation::SnapshotDelete { image, snapshot } => snapshot::delete(gate, Place::find(gate, image)?, snapshot),
        Operation::SnapshotRevert { image, snapshot } => snapshot::revert(gate, Place::find(gate, image)?, snapshot),
        Operation::SnapshotList { image } => snapshot::list(Place::find(gate, image)?),
        Operation::SnapshotDate { image, snapshot, created, nanos } => {
            snapshot::date(Place::find(gate, image)?, snapshot, *created, *nanos)
        }
        Operation::IdentityInspect { image } => identity::inspect(gate, Place::find(gate, image)?),
        Operation::IdentityReset { image, name } => identity::reset(gate, Place::find(gate, image)?, name),
        Operation::ForeignInspect { source } => foreign::inspect(source),
        Operation::ForeignDetect { path } => foreign::detect(path),
        other => Err(stray(other)),
    }
}

pub(super) use disk::copy as copy_disk;
pub(super) use serve::start as serve;

pub(super) fn undo(gate: &Gate, operation: &Operation, outcome: Option<&Outcome>) -> Result<()> {
    // What changed nothing has nothing to undo.
    if matches!(outcome, Some(Outcome::Unchanged | Outcome::Assumed)) {
        return Ok(());
    }
    let find = |image: &ImageRef| Place::recorded(gate, image, outcome.and_then(recorded_path));
    match operation {
        Operation::ImageCreate { image, .. } => match find(image)? {
            Some(place) => create::undo(&place, outcome),
            None => Ok(()),
        },
        Operation::ImageCopy { image, target, .. } => match find(&beside(image, target))? {
            Some(place) => create::undo(&place, outcome),
            None => Ok(()),
        },
        Operation::DiskCopy { to, .. } => disk::undo(to, outcome),
        Operation::ImageServe { image, .. } => serve::undo(image, outcome),
        Operation::ImageResize { image, .. } => match find(image)? {
            Some(place) => resize::undo(gate, place, operation, outcome),
            None => Ok(()),
        },
        Operation::ImageDelete { image } => match find(image)? {
            Some(place) => delete::undo(&place, outcome),
            None => Ok(()),
        },
        Operation::ImageRename { image, to } => match find(image)? {
            Some(place) => rename::undo(&place, operation, to, outcome),
            None => Ok(()),
        },
        Operation::SnapshotCreate { image, snapshot } => match find(image)? {
            Some(place) => snapshot::undo(gate, place, operation, snapshot, outcome),
            None => Ok(()),
        },
        // What a snapshot held, and what was in the image before a revert, is nowhere else: these two have no
        // inverse. The callers of the pool say so before they ask. An identity is reset in a copy, which goes as a whole.
        Operation::SnapshotDelete { .. }
        | Operation::SnapshotRevert { .. }
        | Operation::SnapshotDate { .. }
        | Operation::IdentityReset { .. } => Ok(()),
        other => Err(stray(other)),
    }
}

/// Removes what stands beside the image for an undo only.
pub(super) fn seal(gate: &Gate, operation: &Operation, outcome: Option<&Outcome>) -> Result<()> {
    let find = |image: &ImageRef| Place::recorded(gate, image, outcome.and_then(recorded_path));
    match operation {
        Operation::ImageCreate { image, .. } => match find(image)? {
            Some(place) => create::seal(&place, outcome),
            None => Ok(()),
        },
        Operation::ImageCopy { image, target, .. } => match find(&beside(image, target))? {
            Some(place) => create::seal(&place, outcome),
            None => Ok(()),
        },
        Operation::DiskCopy { to, .. } => disk::seal(to, outcome),
        Operation::ImageDelete { image } => match find(image)? {
            Some(place) => delete::seal(&place, outcome),
            None => Ok(()),
        },
        Operation::ImageResize { image, .. }
        | Operation::ImageRename { image, .. }
        | Operation::SnapshotCreate { image, .. } => match find(image)? {
            Some(place) => aside::Mark::clear(&place),
            None => Ok(()),
        },
        Operation::SnapshotDelete { .. }
        | Operation::SnapshotRevert { .. }
        | Operation::SnapshotDate { .. }
        | Operation::IdentityReset { .. } => Ok(()),
        other => Err(stray(other)),
    }
}

fn recorded_path(outcome: &Outcome) -> Option<&Path> {
    match outcome {
        Outcome::ImageMade { path, .. }
        | Outcome::ImageResized { path, .. }
        | Outcome::ImageSetAside { path, .. }
        | Outcome::ImageRenamed { path, .. }
        | Outcome::Snapshot { path, .. }
        | Outcome::SnapshotGone { path } => Some(path),
        Outcome::Unchanged
        | Outcome::Directory
        | Outcome::Space { .. }
        | Outcome::Image { .. }
        | Outcome::Format { .. }
        | Outcome::DiskCopied { .. }
        | Outcome::DiskFile { .. }
        | Outcome::Snapshots { .. }
        | Outcome::Chain { .. }
        | Outcome::Links { .. }
        | Outcome::Link { .. }
        | Outcome::Set
        | Outcome::Served { .. }
        | Outcome::Tap { .. }
        | Outcome::Process { .. }
        | Outcome::Probed { .. }
        | Outcome::Connected { .. }
        | Outcome::Revealed
        | Outcome::Assumed => None,
    }
}

fn beside(image: &ImageRef, path: &RelativePath) -> ImageRef {
    ImageRef { path: path.clone(), ..image.clone() }
}

/// `perform` sends each family its own operations, so this is never seen.
fn stray(operation: &Operation) -> Failure {
    Failure::other(format!("not an operation on an image: {operation:?}"))
}

#[cfg(test)]
mod tests;
