//! New images, and taking them back.
//!
//! An image is built under a name of the gate's own and gets its real one, in one step, when it is whole and on
//! disk. The first name stays until the change is sealed: it tells an image that an interrupted change has made
//! from one that was there before.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::aside::Aside;
use super::open::{self, Layer};
use super::place::{self, Place};
use super::{Done, Outcome, tool};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::Gate;
use crate::gate::operation::{ImageFormat, Preallocation};
use crate::gate::perform::directory;
use crate::sys::beneath;
use crate::types::{ByteSize, RelativePath};

/// Guests see whole sectors (virtio and ATA), in bytes.
const SECTOR: u64 = 512;
/// Deepest backing image that another may stand on, so that the new one can still be opened.
const BACKING_DEPTH_MAX: usize = 15;

pub(super) struct Wanted<'a> {
    pub format: ImageFormat,
    /// May be zero with `backing`: then that image's size.
    pub size: ByteSize,
    pub preallocation: Preallocation,
    pub backing: Option<&'a RelativePath>,
}

pub(super) fn create(gate: &Gate, place: &Place, wanted: &Wanted<'_>) -> Result<Done> {
    place.must_be_free()?;
    let base = match wanted.backing {
        Some(path) => Some(backing(place, path)?),
        None => None,
    };
    let size = match &base {
        Some(base) if wanted.size.bytes() == 0 => base.facts()?.virtual_size,
        _ => whole_sectors(wanted.size),
    };
    if size.bytes() == 0 {
        return Err(Failure::usage(format!("cannot make the image {} of no size", place.path)));
    }
    if wanted.preallocation == Preallocation::Full {
        must_have_room(place, size)?;
    }
    match (wanted.format, &base) {
        (ImageFormat::Raw, None) => {
            build(place, wanted.format, |file| fill_raw(place, file, size, wanted.preallocation))
        }
        (ImageFormat::Raw, Some(_)) => {
            Err(Failure::usage(format!("a raw image cannot stand on another: {}", place.path))
                .hint("linked clones are of the format qcow2"))
        }
        (ImageFormat::Qcow2, Some(_)) if wanted.preallocation == Preallocation::Full => {
            Err(Failure::usage(format!("{} stands on another image, so its blocks cannot be taken ahead", place.path))
                .hint("make a full clone, or leave it sparse"))
        }
        (ImageFormat::Qcow2, _) => {
            build(place, wanted.format, |file| fill_qcow2(gate, place, file, size, wanted.preallocation, base.as_ref()))
        }
    }
}

/// Opens the image that a new one is to stand on, with the whole chain below it checked.
fn backing(place: &Place, path: &RelativePath) -> Result<Layer> {
    let mut layers = open::chain(place.beside(path)?, None, false)?;
    if layers.len() > BACKING_DEPTH_MAX {
        return Err(Failure::conflict(format!("{path} stands on too many images already"))
            .hint("make a full clone of it, and clone that"));
    }
    Ok(layers.swap_remove(0))
}

fn whole_sectors(size: ByteSize) -> ByteSize {
    ByteSize::from_bytes(size.bytes().checked_next_multiple_of(SECTOR).unwrap_or(u64::MAX).min(i64::MAX as u64))
}

fn must_have_room(place: &Place, size: ByteSize) -> Result<()> {
    let (_, available) =
        directory::space(&place.folder).context(|| format!("cannot measure the room for {}", place.path))?;
    if size <= available {
        return Ok(());
    }
    Err(Failure::new(
        Kind::NoRoom,
        format!("no room for {}: it takes {}, and {} are left", place.path, size.human(), available.human()),
    )
    .hint("remove something, or make it sparse"))
}

fn fill_raw(place: &Place, file: &File, size: ByteSize, preallocation: Preallocation) -> Result<()> {
    let saying = format!("cannot make the image {} of {}", place.path, size.human());
    file.set_len(size.bytes()).map_err(|error| place::refuse(error, &saying))?;
    match preallocation {
        Preallocation::Sparse => Ok(()),
        Preallocation::Full => match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size.bytes()) {
            Err(Errno::OPNOTSUPP) => Err(Failure::other(saying)
                .because(io::Error::other("its file system cannot take blocks ahead"))
                .hint("make it sparse")),
            other => other.map_err(|error| place::refuse(error.into(), &saying)),
        },
    }
}

fn fill_qcow2(
    gate: &Gate,
    place: &Place,
    file: &File,
    size: ByteSize,
    preallocation: Preallocation,
    base: Option<&Layer>,
) -> Result<()> {
    let mut run = tool::qemu_img(gate, place.owner, ByteSize::from_bytes(0));
    let options = match preallocation {
        Preallocation::Sparse => "compat=1.1",
        Preallocation::Full => "compat=1.1,preallocation=falloc",
    };
    run.argument("create").argument("-q").argument("-f").argument("qcow2").argument("-o").argument(options);
    if let Some(base) = base {
        // `-u`: the name is written in and not opened; fief has looked at the image already.
        let name = name_from(&place.path, &base.place.path);
        run.argument("-u").argument("-b").argument(name).argument("-F").argument(base.format.as_str());
    }
    let name = run.hand(file).context(|| "cannot copy a descriptor".into())?;
    run.argument(name).argument(size.bytes().to_string());
    tool::run(gate, run, &format!("cannot make the image {} of {}", place.path, size.human()))
}

/// The name of `to` as seen from the folder of `from`, which is how a qcow2 header names its backing image.
fn name_from(from: &RelativePath, to: &RelativePath) -> String {
    let mut folder: Vec<&str> = from.as_str().split('/').collect();
    folder.pop();
    let to: Vec<&str> = to.as_str().split('/').collect();
    let shared = folder.iter().zip(&to[..to.len() - 1]).take_while(|(a, b)| a == b).count();
    let mut parts = vec![".."; folder.len() - shared];
    parts.extend(&to[shared..]);
    // A colon ahead of the first slash would be read as a protocol.
    if parts[0].contains(':') {
        parts.insert(0, ".");
    }
    parts.join("/")
}

/// Makes an image, lets `fill` write it, and gives it its name. Where any of it fails, nothing is left.
pub(super) fn build(place: &Place, format: ImageFormat, fill: impl FnOnce(&File) -> Result<()>) -> Result<Done> {
    let fill = |file: &File| {
        fill(file)?;
        place::remember_format(file, format);
        Ok(())
    };
    whole(place, fill, |stat| {
        let facts = Layer::open(place.beside(&place.path)?, Some(format), false)?.facts()?;
        Ok(Outcome::ImageMade { facts, path: place.absolute(), device: stat.dev(), inode: stat.ino() })
    })
}

/// Makes a file, lets `fill` write it, gives it its name, and has `told` say what it is.
pub(super) fn whole(
    place: &Place,
    fill: impl FnOnce(&File) -> Result<()>,
    told: impl FnOnce(&Metadata) -> Result<Outcome>,
) -> Result<Done> {
    let saying = format!("cannot make {}", place.path);
    let name = Aside::New.fresh(&place.leaf)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    let file = beneath::open(&place.folder, &name, flags, Mode::from_raw_mode(0o600))
        .map(File::from)
        .map_err(|error| place::refuse(error, &saying))?;
    let filled = place
        .own(&file)
        .map_err(|error| place::refuse(error, &saying))
        .and_then(|()| fill(&file))
        .and_then(|()| publish(place, &file, &name, &saying, told));
    if filled.is_err() {
        // The first failure is the one to tell.
        let _ = beneath::remove(&place.folder, &name);
    }
    filled
}

fn publish(
    place: &Place,
    file: &File,
    name: &str,
    saying: &str,
    told: impl FnOnce(&Metadata) -> Result<Outcome>,
) -> Result<Done> {
    file.sync_all().map_err(|error| place::refuse(error, saying))?;
    let stat = file.metadata().map_err(|error| place::refuse(error, saying))?;
    // By the descriptor, not by `name`: who may write into the folder could have put another file there.
    let by_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    let named = match rustix::fs::linkat(CWD, by_descriptor, &place.folder, &place.leaf, AtFlags::SYMLINK_FOLLOW) {
        // File systems without second names: an interrupted change may then leave a whole image behind.
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
            rustix::fs::renameat_with(&place.folder, name, &place.folder, &place.leaf, RenameFlags::NOREPLACE)
        }
        other => other,
    };
    match named {
        Err(Errno::EXIST) => return Err(Failure::conflict(format!("{} already exists", place.path))),
        other => other.map_err(|error| place::refuse(error.into(), saying))?,
    }
    let finish = || -> Result<Done> {
        place.sync()?;
        Ok(Done { outcome: told(&stat)?, descriptors: Vec::new() })
    };
    finish().inspect_err(|_| {
        let _ = beneath::remove(&place.folder, &place.leaf);
    })
}

/// Takes an image back: by what was recorded of it, else by the first name that it still has.
pub(super) fn undo(place: &Place, outcome: Option<&Outcome>) -> Result<()> {
    let saying = || format!("cannot remove the image {}", place.path);
    let building = Aside::New.all(place)?;
    let ours = |device: u64, inode: u64| match outcome {
        Some(Outcome::ImageMade { device: d, inode: i, .. } | Outcome::DiskFile { device: d, inode: i, .. }) => {
            (device, inode) == (*d, *i)
        }
        _ => building.iter().any(|(_, stat)| (stat.st_dev, stat.st_ino) == (device, inode)),
    };
    if let Some(stat) = beneath::look(&place.folder, &place.leaf).context(saying)?
        && ours(stat.st_dev, stat.st_ino)
    {
        beneath::remove(&place.folder, &place.leaf).context(saying)?;
    }
    for (name, stat) in &building {
        if ours(stat.st_dev, stat.st_ino) {
            beneath::remove(&place.folder, name).context(saying)?;
        }
    }
    place.sync()
}

/// Lets go of the first name; the image stands.
pub(super) fn seal(place: &Place, outcome: Option<&Outcome>) -> Result<()> {
    let Some(Outcome::ImageMade { device, inode, .. } | Outcome::DiskFile { device, inode, .. }) = outcome else {
        return Ok(());
    };
    for (name, stat) in Aside::New.all(place)? {
        if (stat.st_dev, stat.st_ino) == (*device, *inode) {
            beneath::remove(&place.folder, &name).context(|| format!("cannot finish the image {}", place.path))?;
        }
    }
    place.sync()
}
