//! Disks of other hosts: a file, a part of a file or a block device of this host, copied into an image that was made
//! for it. The source is opened once, for reading, by a way without links.
//!
//! ```text
//!   raw    ─▸ raw      its bytes, holes kept, blocks shared where the file system can
//!   qcow2  ─▸ qcow2    its bytes, once the header says that it stands alone
//!   any    ─▸ other    its bytes into a file without a name, checked there, then `qemu-img convert`
//! ```
//! What is converted is staged for three reasons: `qemu-img` runs as the plugin's user, who may not read the source; what
//! was checked is what is converted, whoever may write to the source; and a file without a name needs no cleaning up.

mod detect;
mod part;
mod stream;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};

use super::aside::Aside;
use super::copy::{Sink, To};
use super::place::{self, Place};
use super::qcow2;
use super::{Done, Outcome, copy, disk};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::operation::{ForeignImage, ImageFacts, ImageFormat};
use crate::gate::perform::directory;
use crate::gate::{Gate, Meter};
use crate::sys::beneath;
use crate::types::{ByteSize, Checksum, DiskFormat, Sum};
use part::Part;

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

impl Source {
    fn part(&self) -> Part<'_> {
        Part { file: &self.file, offset: self.offset, length: self.length }
    }
}

/// What a file is, where its name and its content agree.
pub(super) fn detect(path: &Path) -> Result<Done> {
    let image = ForeignImage { path: path.to_owned(), format: DiskFormat::Raw, part: None, checksum: None };
    let source = open(&image)?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let cannot_tell = || format!("cannot tell what {} is", path.display());
    let content = detect::looks_like(&source.part()).map_err(|unfit| Failure::other(cannot_tell()).because(unfit))?;
    let format = detect::agreed(&name, content).map_err(|failure| failure.while_doing(cannot_tell()))?;
    Ok(Done { outcome: Outcome::Format { format }, descriptors: Vec::new() })
}

/// What the disk would be as a volume, where nobody wants it otherwise.
fn facts(image: &ForeignImage, source: &Source) -> Result<ImageFacts> {
    let bytes = capacity(image, source)?;
    let format = match image.format {
        DiskFormat::Raw => ImageFormat::Raw,
        DiskFormat::Qcow2 | DiskFormat::Vmdk | DiskFormat::Vhdx | DiskFormat::Vdi | DiskFormat::Vhd => {
            ImageFormat::Qcow2
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

/// The size of the disk as guests see it. One that needs another file, as far as its header says so, is refused.
fn capacity(image: &ForeignImage, source: &Source) -> Result<u64> {
    let part = source.part();
    let bytes = match image.format {
        DiskFormat::Raw => Ok(source.length),
        DiskFormat::Qcow2 => return standing_alone(image, source),
        DiskFormat::Vmdk => vmdk::capacity(&part),
        DiskFormat::Vhdx => vhdx::capacity(&part),
        DiskFormat::Vdi => vdi::capacity(&part),
        DiskFormat::Vhd => vhd::capacity(&part),
    };
    bytes.map_err(|unfit| refused(image, unfit.to_string()))
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

/// Copies the disk into the image at `place`, which was made for it in this format and of the size that [`inspect`] said.
pub(super) fn fill(gate: &Gate, place: Place, format: ImageFormat, image: &ForeignImage) -> Result<Done> {
    let doing = format!("cannot copy the disk {} to {}", image.path.display(), place.path);
    let source = open(image)?;
    let size = facts(image, &source)?.virtual_size;
    let target = place.open(true)?;
    let filled = match (image.format, format) {
        (DiskFormat::Raw, ImageFormat::Raw) => write(gate.meter(), image, &source, &target, false),
        (DiskFormat::Qcow2, ImageFormat::Qcow2) => write(gate.meter(), image, &source, &target, true),
        (_, format) => convert(gate, &place, image, &source, &target, format, size),
    };
    filled.map_err(|failure| failure.while_doing(&doing))?;
    place::remember_format(&target, format);
    target.sync_all().map_err(|error| place::refuse(error, &doing))?;
    disk::copied(place, format, size, &doing)
}

/// What is left to do with a file that `qemu-img` has made in this format, and that is to be called `name`.
pub(super) fn finish(file: &File, format: DiskFormat, name: &str) -> io::Result<()> {
    match format {
        DiskFormat::Vmdk => vmdk::name_extent(file, file.metadata()?.len(), name),
        DiskFormat::Raw | DiskFormat::Qcow2 | DiskFormat::Vhdx | DiskFormat::Vdi | DiskFormat::Vhd => Ok(()),
    }
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
fn write(meter: &Meter, image: &ForeignImage, source: &Source, target: &File, whole: bool) -> Result<()> {
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
            copy::copy_data(meter, &source.file, target, source.length).map_err(failed)
        }
        checksum => {
            must_have_room(target, source)?;
            let sum = checksum.as_ref().map(Checksum::begin);
            let sum = stream::copy(meter, &source.part(), target, sum).map_err(failed)?;
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
    let sink = Sink::File(To { file: target, format: format.into(), owner: place.owner, name: place.path.as_str() });
    convert_to(gate, place, image, source, &sink, size)
}

/// Copies the disk to what a plugin serves, whose user is `user`. It is staged in the root, where only fief writes.
pub(super) fn pour(gate: &Gate, image: &ForeignImage, user: Option<u32>, to: &Sink<'_>) -> Result<Done> {
    let source = open(image)?;
    let size = facts(image, &source)?.virtual_size;
    let mut staging = Place::of_operator(&gate.layout().root().join("staged"))?;
    staging.owner = user;
    convert_to(gate, &staging, image, &source, to, size)
        .map_err(|failure| failure.while_doing(format!("cannot copy the disk {}", image.path.display())))?;
    Ok(Done { outcome: Outcome::DiskCopied { size, allocated: size }, descriptors: Vec::new() })
}

/// By way of a file without a name at `place`.
fn convert_to(
    gate: &Gate,
    place: &Place,
    image: &ForeignImage,
    source: &Source,
    to: &Sink<'_>,
    size: ByteSize,
) -> Result<()> {
    let staged = staged(gate, place, image, source)?;
    // What was looked at may have changed since; what is staged cannot.
    if capacity(image, &staged)? != size.bytes() {
        return Err(refused(image, "it changed while it was copied"));
    }
    if image.format == DiskFormat::Vmdk {
        vmdk::stands_alone(&staged.part()).map_err(|unfit| refused(image, unfit.to_string()))?;
    }
    copy::tool_run(gate, place.owner, size, to, "its format cannot be converted", |run| {
        let from = run.hand(&staged.file).context(|| "cannot copy a descriptor".into())?;
        Ok(format!("json:{}", node(image.format, &from)))
    })
}

/// A disk that stands alone, as QEMU opens it: no other file is looked for, whatever the disk says.
fn node(format: DiskFormat, file: &str) -> Value {
    let file = json!({ "driver": "file", "filename": file, "read-only": true });
    let alone = |driver: &str| json!({ "driver": driver, "read-only": true, "backing": null, "file": file });
    match format {
        DiskFormat::Qcow2 | DiskFormat::Vmdk => alone(format.as_str()),
        DiskFormat::Raw | DiskFormat::Vhdx | DiskFormat::Vdi => {
            json!({ "driver": format.as_str(), "read-only": true, "file": file })
        }
        // The size in the footer, not that of cylinders, heads and sectors.
        DiskFormat::Vhd => {
            json!({ "driver": "vpc", "read-only": true, "force_size_calc": "current_size", "file": file })
        }
    }
}

/// The disk's bytes in a file of the plugin's that has no name.
fn staged(gate: &Gate, place: &Place, image: &ForeignImage, source: &Source) -> Result<Source> {
    let file = nameless(place)?;
    write(gate.meter(), image, source, &file, true)?;
    Ok(Source { file, offset: 0, length: source.length, allocated: source.allocated, sparse: true })
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
