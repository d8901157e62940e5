//! Copies of whole disks: out of a file of the operator's, into one, or from the image of one volume to that of another.

use super::copy::{self, To};
use super::foreign;
use super::open::{self, Layer};
use super::place::{self, Place};
use super::{Done, Outcome, create, qcow2, snapshot};
use crate::error::{Context, Failure, Result};
use crate::gate::Gate;
use crate::gate::operation::{DiskSource, DiskTarget, ImageFormat, ImageRef};
use crate::types::{ByteSize, DiskFormat, SnapshotName};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub(super) fn copy(gate: &Gate, from: &DiskSource, to: &DiskTarget) -> Result<Done> {
    match (from, to) {
        (DiskSource::File(source), DiskTarget::Image { image, format }) => {
            foreign::fill(gate, Place::find(gate, image)?, *format, source)
        }
        (DiskSource::Image { image, format, snapshot }, DiskTarget::Image { image: target, format: wanted }) => {
            let source = Chain::open(gate, image, *format, snapshot.as_ref())?;
            source.into_image(gate, Place::find(gate, target)?, *wanted)
        }
        (DiskSource::Image { image, format, snapshot }, DiskTarget::File { path, format: wanted }) => {
            Chain::open(gate, image, *format, snapshot.as_ref())?.into_file(gate, path, *wanted)
        }
        (DiskSource::File(source), DiskTarget::File { .. }) => {
            Err(Failure::usage(format!("{} is no volume", source.path.display()))
                .hint("`qemu-img convert` turns one file into another"))
        }
    }
}

/// Takes a file back that was made. What was written into an image goes with that image.
pub(super) fn undo(to: &DiskTarget, outcome: Option<&Outcome>) -> Result<()> {
    match to {
        DiskTarget::Image { .. } => Ok(()),
        DiskTarget::File { path, .. } => create::undo(&Place::of_operator(path)?, outcome),
    }
}

/// Lets go of a new file's first name.
pub(super) fn seal(to: &DiskTarget, outcome: Option<&Outcome>) -> Result<()> {
    match to {
        DiskTarget::Image { .. } => Ok(()),
        DiskTarget::File { path, .. } => create::seal(&Place::of_operator(path)?, outcome),
    }
}

/// What a guest sees of a volume.
struct Chain {
    layers: Vec<Layer>,
    snapshot: Option<qcow2::Snapshot>,
    size: ByteSize,
}

impl Chain {
    fn open(gate: &Gate, image: &ImageRef, format: ImageFormat, snapshot: Option<&SnapshotName>) -> Result<Chain> {
        let layers = open::chain(Place::find(gate, image)?, Some(format), false)?;
        let snapshot = snapshot.map(|name| snapshot::find(&layers[0], name)).transpose()?;
        let size = layers[0].facts()?.virtual_size;
        Ok(Chain { layers, snapshot, size })
    }

    fn into_image(self, gate: &Gate, place: Place, format: ImageFormat) -> Result<Done> {
        let name = place.path.to_string();
        let saying = format!("cannot copy the image {} to {name}", self.layers[0].place.path);
        let target = place.open(true)?;
        for layer in &self.layers {
            let (a, b) = (layer.file.metadata(), target.metadata());
            let (a, b) = (a.context(|| saying.clone())?, b.context(|| saying.clone())?);
            if (a.dev(), a.ino()) == (b.dev(), b.ino()) {
                return Err(Failure::denied(saying).because(std::io::Error::other("it would be copied onto itself")));
            }
        }
        let to = To { file: &target, format: format.into(), owner: place.owner, name: &name };
        copy::all(gate, &self.layers, self.snapshot.as_ref(), &to)?;
        place::remember_format(&target, format);
        target.sync_all().map_err(|error| place::refuse(error, &saying))?;
        copied(place, format, self.size, &saying)
    }

    fn into_file(self, gate: &Gate, path: &Path, format: DiskFormat) -> Result<Done> {
        let place = Place::of_operator(path)?;
        place.must_be_free()?;
        let name = path.display().to_string();
        let fill = |file: &std::fs::File| {
            let to = To { file, format, owner: place.owner, name: &name };
            copy::all(gate, &self.layers, self.snapshot.as_ref(), &to)?;
            foreign::finish(file, format, &place.leaf)
                .map_err(|error| place::refuse(error, "its name cannot be written"))
        };
        create::whole(&place, fill, |file| {
            Ok(Outcome::DiskFile {
                path: path.to_owned(),
                device: file.dev(),
                inode: file.ino(),
                size: self.size,
                allocated: ByteSize::from_bytes(file.blocks().saturating_mul(512)),
            })
        })
    }
}

/// What the image holds that a disk of this size was copied to.
pub(super) fn copied(place: Place, format: ImageFormat, size: ByteSize, doing: &str) -> Result<Done> {
    let facts = Layer::open(place, Some(format), false)?.facts()?;
    let fits = match format {
        // Whole sectors.
        ImageFormat::Raw => facts.virtual_size >= size,
        ImageFormat::Qcow2 => facts.virtual_size == size,
    };
    if !fits {
        let sizes = format!("it has {} bytes, and {} were expected", facts.virtual_size.bytes(), size.bytes());
        return Err(Failure::other(doing).because(std::io::Error::other(sizes)));
    }
    let outcome = Outcome::DiskCopied { size: facts.virtual_size, allocated: facts.allocated };
    Ok(Done { outcome, descriptors: Vec::new() })
}
