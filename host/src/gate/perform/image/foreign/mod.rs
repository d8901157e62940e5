//! Disks of other hosts: a file, a part of a file or a block device of this host, copied into an image that was made
//! for it. The source is opened once, for reading, by a way without links.
//!
//! ```text
//!   raw    ─▸ raw      its bytes, holes kept, blocks shared where the file system can
//!   qcow2  ─▸ qcow2    its bytes, once the header says that it stands alone
//!   vmdk   ─▸ either   its bytes into a file without a name, checked there, then `qemu-img convert`
//! ```
//! A VMDK is staged for three reasons: `qemu-img` runs as the plugin's user, who may not read the source; what was
//! checked is what is converted, whoever may write to the source; and a file without a name needs no cleaning up.

mod stream;
mod vmdk;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use rustix::fs::{Mode, OFlags};
use serde_json::json;

use super::aside::Aside;
use super::open::Layer;
use super::place::{self, Place};
use super::qcow2;
use super::{Done, Outcome, copy, tool};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::Gate;
use crate::gate::operation::{ForeignImage, ImageFacts, ImageFormat};
use crate::gate::perform::directory;
use crate::sys::beneath;
use crate::types::{ByteSize, Checksum, DiskFormat, Sum};

/// The largest disk that is copied: what VMware and XFS hold too. A header's own word for it can be anything.
const SIZE_MAX: ByteSize = ByteSize::from_mib(64 << 20);

/// A source, open.
struct Source {
    file: File,
    offset: u64,
    length: u64,
    /// What of it takes room; of a device or a part, all.
    allocated: u64,
    /// Its holes can be asked for.
    sparse: bool,
}

pub(super) fn inspect(image: &ForeignImage) -> Result<Done> {
    let source = open(image)?;
    let facts = facts(image, &source)?;
    Ok(Done { outcome: Outcome::Image { facts }, descriptors: Vec::new() })
}

fn saying(image: &ForeignImage) -> String {
    format!("cannot read the disk {} as {}", image.path.display(), image.format.as_str())
}

fn refused(image: &ForeignImage, why: impl Into<String>) -> Failure {
    Failure { causes: vec![why.into()], ..Failure::usage(saying(image)) }
}

fn open(image: &ForeignImage) -> Result<Source> {
    let saying = || format!("cannot open the disk {}", image.path.display());
    let below = image
        .path
        .strip_prefix("/")
        .map_err(|_| Failure::usage(format!("{} is no absolute path", image.path.display())))?;
    let root = directory::open(std::path::Path::new("/")).context(saying)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file: OwnedFd =
        beneath::open(&root, below, flags, Mode::empty()).map_err(|error| place::refuse(error, &saying()))?;
    let file = File::from(file);
    let facts = file.metadata().context(saying)?;
    let kind = facts.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(Failure::denied(saying()).because(io::Error::other("it is neither a file nor a block device")));
    }
    let whole =
        if kind.is_file() { facts.len() } else { io::Seek::seek(&mut &file, io::SeekFrom::End(0)).context(saying)? };
    let (offset, length) = image.part.map_or((0, whole), |part| (part.offset, part.length));
    if offset.checked_add(length).is_none_or(|end| end > whole) {
        return Err(refused(image, "it ends past the end of the file: the archive is cut off"));
    }
    let alone = kind.is_file() && image.part.is_none();
    // st_blocks counts in units of 512 bytes, whatever the file system's own (stat(2)).
    let allocated = if alone { facts.blocks().saturating_mul(512).min(length) } else { length };
    Ok(Source { file, offset, length, allocated, sparse: alone })
}

/// What the disk would be as a volume.
fn facts(image: &ForeignImage, source: &Source) -> Result<ImageFacts> {
    let (format, bytes) = match image.format {
        DiskFormat::Raw => (ImageFormat::Raw, source.length),
        DiskFormat::Qcow2 => (ImageFormat::Qcow2, standing_alone(image, source)?),
        DiskFormat::Vmdk => {
            let bytes = vmdk::capacity(&source.file, source.offset, source.length);
            (ImageFormat::Qcow2, bytes.map_err(|why| refused(image, why.to_string()))?)
        }
    };
    let virtual_size = ByteSize::from_bytes(bytes);
    if bytes == 0 || virtual_size > SIZE_MAX {
        return Err(refused(
            image,
            format!("its size, {}, is not from 1B to {}", virtual_size.human(), SIZE_MAX.human()),
        ));
    }
    Ok(ImageFacts { format, virtual_size, allocated: ByteSize::from_bytes(source.allocated), backing: None })
}

/// The size of a qcow2 image that needs no other file.
fn standing_alone(image: &ForeignImage, source: &Source) -> Result<u64> {
    if source.offset != 0 {
        return Err(refused(image, "a qcow2 image in an archive is not read"));
    }
    let header = qcow2::header(&source.file).map_err(|unfit| refused(image, unfit.to_string()))?;
    if let Some(backing) = header.backing {
        return Err(refused(image, format!("it stands on another image, {:?}", backing.name))
            .hint("flatten it on the old host: qemu-img convert -O qcow2 OLD NEW"));
    }
    if header.corrupt {
        return Err(refused(image, "it is marked as damaged")
            .hint("look at it with `qemu-img check`, which can repair it (-r)"));
    }
    Ok(header.virtual_size)
}

/// Copies the disk into the image at `place`, which was made for it and is of the format that [`inspect`] said.
pub(super) fn fill(gate: &Gate, place: Place, format: ImageFormat, image: &ForeignImage) -> Result<Done> {
    let doing = format!("cannot copy the disk {} to {}", image.path.display(), place.path);
    let source = open(image)?;
    let before = facts(image, &source)?;
    if before.format != format {
        return Err(refused(image, format!("it would become {}, not {}", before.format.as_str(), format.as_str())));
    }
    let target = place.open(true)?;
    let filled = match image.format {
        DiskFormat::Raw => write(image, &source, &target, false),
        DiskFormat::Qcow2 => write(image, &source, &target, true),
        DiskFormat::Vmdk => convert(gate, &place, image, &source, &target, format, before.virtual_size),
    };
    filled.map_err(|failure| failure.while_doing(&doing))?;
    place::remember_format(&target, format);
    target.sync_all().map_err(|error| place::refuse(error, &doing))?;
    let after = Layer::open(place, Some(format), false)?.facts()?;
    if after.virtual_size < before.virtual_size
        || (format == ImageFormat::Qcow2 && after.virtual_size != before.virtual_size)
    {
        let sizes =
            format!("it has {} bytes, and {} were expected", after.virtual_size.bytes(), before.virtual_size.bytes());
        return Err(Failure::other(doing).because(io::Error::other(sizes)));
    }
    Ok(Done { outcome: Outcome::ImageFilled { facts: after }, descriptors: Vec::new() })
}

fn must_have_room(target: &File, source: &Source) -> Result<()> {
    let (_, available) = directory::space(target).context(|| "its room cannot be measured".to_owned())?;
    if source.allocated <= available.bytes() {
        return Ok(());
    }
    let takes = ByteSize::from_bytes(source.allocated).human();
    Err(Failure::new(Kind::NoRoom, format!("it takes {takes}, and {} are left", available.human()))
        .hint("remove something, or name another pool with --pool"))
}

/// The bytes as they are. `whole`: the file's length is part of what it holds, as a qcow2 image's is.
fn write(image: &ForeignImage, source: &Source, target: &File, whole: bool) -> Result<()> {
    let failed = |error| place::refuse(error, "the bytes cannot be copied");
    if whole {
        target.set_len(0).and_then(|()| target.set_len(source.length)).map_err(failed)?;
    }
    match &image.checksum {
        None if source.sparse => {
            // Shared blocks, where the file system can (btrfs, XFS): at once, and without room. The clone has the
            // source's length, which may be cut off in the middle of a sector.
            let length = target.metadata().map_err(failed)?.len();
            if rustix::fs::ioctl_ficlone(target, &source.file).is_ok() {
                return target.set_len(length).map_err(failed);
            }
            must_have_room(target, source)?;
            copy::copy_data(&source.file, target, source.length).map_err(failed)
        }
        checksum => {
            must_have_room(target, source)?;
            let sum = checksum.as_ref().map(Checksum::begin);
            let sum = stream::copy(&source.file, source.offset, source.length, target, sum).map_err(failed)?;
            verify(image, sum)
        }
    }
}

fn verify(image: &ForeignImage, sum: Option<Sum>) -> Result<()> {
    let (Some(checksum), Some(sum)) = (&image.checksum, sum) else { return Ok(()) };
    if checksum.is(sum) {
        return Ok(());
    }
    Err(Failure::usage(format!("its {} is not the one in the manifest: the package is damaged", checksum.kind()))
        .hint("export the guest again, or copy the package again"))
}

fn convert(
    gate: &Gate,
    place: &Place,
    image: &ForeignImage,
    source: &Source,
    target: &File,
    format: ImageFormat,
    size: ByteSize,
) -> Result<()> {
    let staged = nameless(place)?;
    write(image, source, &staged, true)?;
    // What was looked at may have changed since; what is staged cannot.
    let why = |unfit: vmdk::Unfit| refused(image, unfit.to_string());
    if vmdk::capacity(&staged, 0, source.length).map_err(why)? != size.bytes() {
        return Err(refused(image, "it changed while it was copied"));
    }
    vmdk::stands_alone(&staged, source.length).map_err(why)?;
    let mut run = tool::qemu_img(gate, place, size);
    run.argument("convert").argument("-q").argument("-O").argument(format.as_str());
    let from = run.hand(&staged).context(|| "cannot copy a descriptor".into())?;
    let from = json!({
        "driver": "vmdk",
        "read-only": true,
        // No other file is looked for, whatever the disk says.
        "backing": null,
        "file": { "driver": "file", "filename": from, "read-only": true },
    });
    let to = run.hand(target).context(|| "cannot copy a descriptor".into())?;
    run.argument(format!("json:{from}")).argument(to);
    tool::run(gate, run, "its format cannot be converted")
}

/// A file of the plugin's beside the image, whose name is gone before anything is in it.
fn nameless(place: &Place) -> Result<File> {
    let failed = |error| place::refuse(error, "there is no place to stage it");
    let name = Aside::New.fresh(&place.leaf)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    let file = File::from(beneath::open(&place.folder, &name, flags, Mode::from_raw_mode(0o600)).map_err(failed)?);
    beneath::remove(&place.folder, &name).map_err(failed)?;
    place.own(&file).map_err(failed)?;
    Ok(file)
}
