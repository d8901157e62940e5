//! Looking at images, and opening one with all that it stands on.
//!
//! Which files a hypervisor or an image tool gets is decided here, by fief's own reading of the headers. They are
//! handed open files and told the chain, so that they follow no name in an image themselves.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use super::place::{self, Place};
use super::qcow2::{self, Backing, Header};
use super::{Done, Outcome};
use crate::error::{Context, Failure, Result};
use crate::gate::operation::{ImageFacts, ImageFormat};
use crate::types::{Access, ByteSize, RelativePath};

/// Images in one chain: deeper ones are slow for the guest and are sooner a mistake or an attack.
const DEPTH_MAX: usize = 16;

/// One image of a chain, open.
pub(super) struct Layer {
    pub place: Place,
    pub file: File,
    pub format: ImageFormat,
    /// Of a qcow2 image.
    pub header: Option<Header>,
    backing: Option<(RelativePath, ImageFormat)>,
}

pub(super) fn inspect(place: Place) -> Result<Done> {
    let layer = Layer::open(place, None, false)?;
    Ok(Done { outcome: Outcome::Image { facts: layer.facts()? }, descriptors: Vec::new() })
}

pub(super) fn open(place: Place, format: ImageFormat, access: Access) -> Result<Done> {
    let layers = chain(place, Some(format), access == Access::ReadWrite)?;
    let formats = layers.iter().map(|layer| layer.format).collect();
    let descriptors = layers.into_iter().map(|layer| OwnedFd::from(layer.file)).collect();
    Ok(Done { outcome: Outcome::Chain { formats }, descriptors })
}

/// The image at `place` and those that it stands on, top first; all but the top for reading only. The format is
/// found out where none is given.
pub(super) fn chain(place: Place, format: Option<ImageFormat>, write: bool) -> Result<Vec<Layer>> {
    let top = place.path.clone();
    let saying = || format!("cannot open the image {top} with what it stands on");
    let first = Layer::open(place, format, write)?;
    if write && first.header.as_ref().is_some_and(|header| header.corrupt) {
        return Err(Failure::conflict(format!("the image {top} is marked as damaged, and is not opened for writing"))
            .hint("look at it with `qemu-img check`, which can repair it (-r)"));
    }
    let mut layers = vec![first];
    while let Some((path, format)) = layers.last().and_then(|layer| layer.backing.clone()) {
        if layers.len() == DEPTH_MAX {
            return Err(Failure::denied(saying())
                .because(std::io::Error::other(format!("it stands on more than {DEPTH_MAX} images")))
                .hint("flatten it: make a full clone"));
        }
        let next = layers[layers.len() - 1]
            .place
            .beside(&path)
            .and_then(|place| Layer::open(place, Some(format), false))
            .map_err(|failure| failure.while_doing(saying()))?;
        let id = identity(&next.file).context(saying)?;
        for above in &layers {
            if identity(&above.file).context(saying)? == id {
                return Err(Failure::denied(saying())
                    .because(std::io::Error::other(format!("{path} stands on itself, by way of its backing image"))));
            }
        }
        layers.push(next);
    }
    Ok(layers)
}

fn identity(file: &File) -> std::io::Result<(u64, u64)> {
    file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
}

impl Layer {
    /// The image as `format`, or as what it is: what fief remembers of its making, else what its content says.
    pub(super) fn open(place: Place, format: Option<ImageFormat>, write: bool) -> Result<Layer> {
        let file = place.open(write)?;
        let saying = || format!("cannot read the image {}", place.path);
        let format = match format.or_else(|| place::remembered_format(&file)) {
            Some(format) => format,
            None if qcow2::is_qcow2(&file).context(saying)? => ImageFormat::Qcow2,
            None => ImageFormat::Raw,
        };
        let header = match format {
            ImageFormat::Raw => None,
            ImageFormat::Qcow2 => Some(qcow2::header(&file).map_err(|unfit| Failure::other(saying()).because(unfit))?),
        };
        let backing = match header.as_ref().and_then(|header| header.backing.as_ref()) {
            Some(backing) => Some(resolve(&place, backing).map_err(|failure| failure.while_doing(saying()))?),
            None => None,
        };
        Ok(Layer { place, file, format, header, backing })
    }

    pub(super) fn facts(&self) -> Result<ImageFacts> {
        let metadata = self.file.metadata().context(|| format!("cannot look at the image {}", self.place.path))?;
        let size = self.header.as_ref().map_or(metadata.len(), |header| header.virtual_size);
        Ok(ImageFacts {
            format: self.format,
            virtual_size: ByteSize::from_bytes(size),
            // st_blocks counts in units of 512 bytes, whatever the file system's own (stat(2)).
            allocated: ByteSize::from_bytes(metadata.blocks().saturating_mul(512)),
            backing: self.backing.as_ref().map(|(path, _)| path.clone()),
        })
    }
}

/// Where a backing image lies, in the granted directory. Its name is relative to the folder of the image that names
/// it, as QEMU takes it, or absolute and below the directory.
fn resolve(place: &Place, backing: &Backing) -> Result<(RelativePath, ImageFormat)> {
    let refuse = |why: &str| {
        Failure::denied(format!("its backing image {:?} {why}", backing.name))
            .hint("only images in the same granted directory are opened; make a full copy with `qemu-img convert`")
    };
    let name = backing.name.as_str();
    // `json:…` and `nbd://…` are not files. QEMU looks for a colon ahead of the first slash.
    if name.split('/').next().is_some_and(|first| first.contains(':')) {
        return Err(refuse("is not a file"));
    }
    let (mut components, rest) = if name.starts_with('/') {
        let below = std::path::Path::new(name).strip_prefix(place.base()).map_err(|_| refuse("lies elsewhere"))?;
        (Vec::new(), below.to_str().unwrap_or_default())
    } else {
        let folder: Vec<&str> = place.path.as_str().split('/').collect();
        (folder[..folder.len() - 1].to_vec(), name)
    };
    // No link is ever followed below the directory, so taking `..` off the text is what the kernel would do.
    for component in rest.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop().ok_or_else(|| refuse("lies outside of the directory"))?;
            }
            plain => components.push(plain),
        }
    }
    let path = components.join("/").parse().map_err(|invalid| refuse("has no usable name").because(invalid))?;
    match backing.format.as_deref() {
        Some("raw") => Ok((path, ImageFormat::Raw)),
        Some("qcow2") => Ok((path, ImageFormat::Qcow2)),
        Some(other) => Err(refuse(&format!("is of the format {other:?}, which fief does not open"))),
        None => Err(Failure::denied(format!("it does not say of what format its backing image {name:?} is"))
            .hint("write it in with `qemu-img rebase -u -F FORMAT -b BACKING IMAGE`; guessing it lets a guest choose")),
    }
}
