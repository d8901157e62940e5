//! Copies of whole disks, as a guest sees them.
//!
//! ```text
//!   a file of the operator's ┐                              ┌ an image that was made for it
//!   an image, or a snapshot  ├─▸ its bytes, or `qemu-img` ─▸┤ a new file of the operator's
//!   what a plugin serves     ┘                              └ what a plugin serves
//! ```
//! `qemu-img` has a plugin's user, and open files and connections only.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::copy::{self, Sink, To};
use super::foreign;
use super::open::{self, Layer};
use super::place::{self, Place};
use super::{Done, Outcome, create, qcow2, snapshot, tool};
use crate::error::{Context, Failure, Result};
use crate::gate::Gate;
use crate::gate::identity::plugin_uid;
use crate::gate::operation::{DiskSource, DiskTarget, ForeignImage, ImageFormat, ImageRef};
use crate::types::{ByteSize, DiskFormat, SnapshotName, VolumeRef};

pub(in crate::gate::perform) fn copy(
    gate: &Gate,
    from: &DiskSource,
    to: &DiskTarget,
    served: Vec<OwnedFd>,
) -> Result<Done> {
    let mut served = served.into_iter();
    let mut socket = || served.next().ok_or_else(|| Failure::other("a served volume came without its connection"));
    let from = match from {
        DiskSource::File(source) => From::File(source),
        DiskSource::Image { image, format, snapshot } => {
            From::Chain(Chain::open(gate, image, *format, snapshot.as_ref())?)
        }
        DiskSource::Served { plugin, volume, export, size } => {
            let user = plugin_uid(gate.layout(), gate.policy(), plugin)?;
            From::Served(Served { socket: socket()?, export, volume, size: *size, user })
        }
    };
    match (from, to) {
        (From::File(source), DiskTarget::Image { image, format }) => {
            foreign::fill(gate, Place::find(gate, image)?, *format, source)
        }
        (From::File(source), DiskTarget::File { .. }) => {
            Err(Failure::usage(format!("{} is no volume", source.path.display()))
                .hint("`qemu-img convert` turns one file into another"))
        }
        (From::File(source), DiskTarget::Served { plugin, volume, export, blank }) => {
            let user = plugin_uid(gate.layout(), gate.policy(), plugin)?;
            let (name, socket) = (volume.to_string(), socket()?);
            let sink = Sink::Served { socket: &socket, export, blank: *blank, name: &name };
            foreign::pour(gate, source, user, &sink)
        }
        (from, DiskTarget::Image { image, format }) => into_image(gate, &from, Place::find(gate, image)?, *format),
        (from, DiskTarget::File { path, format }) => into_file(gate, &from, path, *format),
        (from, DiskTarget::Served { volume, export, blank, .. }) => {
            let (name, socket) = (volume.to_string(), socket()?);
            let size = from.size();
            from.write(gate, &Sink::Served { socket: &socket, export, blank: *blank, name: &name })?;
            Ok(Done { outcome: Outcome::DiskCopied { size, allocated: size }, descriptors: Vec::new() })
        }
    }
}

/// What is read, open.
enum From<'a> {
    File(&'a ForeignImage),
    Chain(Chain),
    Served(Served<'a>),
}

struct Served<'a> {
    socket: OwnedFd,
    export: &'a str,
    volume: &'a VolumeRef,
    size: ByteSize,
    /// Of its plugin: whoever reads it needs no more rights than that one.
    user: Option<u32>,
}

impl From<'_> {
    fn size(&self) -> ByteSize {
        match self {
            From::File(_) => ByteSize::from_bytes(0),
            From::Chain(chain) => chain.size,
            From::Served(served) => served.size,
        }
    }

    fn name(&self) -> String {
        match self {
            From::File(source) => source.path.display().to_string(),
            From::Chain(chain) => chain.layers[0].place.path.to_string(),
            From::Served(served) => served.volume.to_string(),
        }
    }

    fn write(&self, gate: &Gate, to: &Sink<'_>) -> Result<()> {
        match self {
            From::File(source) => Err(Failure::other(format!("{} is copied elsewhere", source.path.display()))),
            From::Chain(chain) => copy::all(gate, &chain.layers, chain.snapshot.as_ref(), to),
            From::Served(served) => {
                let saying = format!("cannot copy the volume {}", served.volume);
                copy::tool_run(gate, served.user, served.size, to, &saying, |run| {
                    tool::hand_served(run, &served.socket, served.export, false)
                })
            }
        }
    }
}

/// Takes a file back that was made. What was written into an image goes with that image.
pub(super) fn undo(to: &DiskTarget, outcome: Option<&Outcome>) -> Result<()> {
    match to {
        DiskTarget::Image { .. } | DiskTarget::Served { .. } => Ok(()),
        DiskTarget::File { path, .. } => create::undo(&Place::of_operator(path)?, outcome),
    }
}

/// Lets go of a new file's first name.
pub(super) fn seal(to: &DiskTarget, outcome: Option<&Outcome>) -> Result<()> {
    match to {
        DiskTarget::Image { .. } | DiskTarget::Served { .. } => Ok(()),
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
}

fn into_image(gate: &Gate, from: &From<'_>, place: Place, format: ImageFormat) -> Result<Done> {
    let name = place.path.to_string();
    let saying = format!("cannot copy {} to {name}", from.name());
    let target = place.open(true)?;
    if let From::Chain(chain) = from {
        for layer in &chain.layers {
            let (a, b) = (layer.file.metadata(), target.metadata());
            let (a, b) = (a.context(|| saying.clone())?, b.context(|| saying.clone())?);
            if (a.dev(), a.ino()) == (b.dev(), b.ino()) {
                return Err(Failure::denied(saying).because(std::io::Error::other("it would be copied onto itself")));
            }
        }
    }
    let to = To { file: &target, format: format.into(), owner: place.owner, name: &name };
    from.write(gate, &Sink::File(to))?;
    place::remember_format(&target, format);
    target.sync_all().map_err(|error| place::refuse(error, &saying))?;
    copied(place, format, from.size(), &saying)
}

fn into_file(gate: &Gate, from: &From<'_>, path: &Path, format: DiskFormat) -> Result<Done> {
    let place = Place::of_operator(path)?;
    place.must_be_free()?;
    let (name, size) = (path.display().to_string(), from.size());
    let fill = |file: &std::fs::File| {
        from.write(gate, &Sink::File(To { file, format, owner: place.owner, name: &name }))?;
        foreign::finish(file, format, &place.leaf).map_err(|error| place::refuse(error, "its name cannot be written"))
    };
    create::whole(&place, fill, |file| {
        Ok(Outcome::DiskFile {
            path: path.to_owned(),
            device: file.dev(),
            inode: file.ino(),
            size,
            allocated: ByteSize::from_bytes(file.blocks().saturating_mul(512)),
        })
    })
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
