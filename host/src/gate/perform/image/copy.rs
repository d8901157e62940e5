//! Full copies of what a guest sees in an image, holes kept.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Gid, SeekFrom, Uid};
use rustix::io::Errno;

use super::open::{self, Layer};
use super::place::Place;
use super::{Done, create, qcow2, snapshot, tool};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::operation::ImageFormat;
use crate::gate::perform::directory;
use crate::gate::{Gate, Meter};
use crate::sys::confined::Confined;
use crate::types::{ByteSize, DiskFormat, RelativePath, SnapshotName};

/// Bytes that one call copies.
const STEP: u64 = 64 << 20;

/// A file that a copy goes to.
pub(super) struct To<'a> {
    pub file: &'a File,
    pub format: DiskFormat,
    /// Whose it is; a tool may need it to be another's meanwhile.
    pub owner: Option<u32>,
    /// What it is called in messages.
    pub name: &'a str,
}

pub(super) fn copy(
    gate: &Gate,
    source: Place,
    snapshot: Option<&SnapshotName>,
    target: &RelativePath,
    format: ImageFormat,
) -> Result<Done> {
    let target = source.beside(target)?;
    target.must_be_free()?;
    let layers = open::chain(source, None, false)?;
    let snapshot = snapshot.map(|name| snapshot::find(&layers[0], name)).transpose()?;
    create::build(&target, format, |file| {
        let to = To { file, format: format.into(), owner: target.owner, name: target.path.as_str() };
        all(gate, &layers, snapshot.as_ref(), &Sink::File(to))
    })
}

/// What a tool writes to.
pub(super) enum Sink<'a> {
    File(To<'a>),
    /// A raw disk that is there, by a connection to what serves it.
    Served {
        socket: &'a OwnedFd,
        export: &'a str,
        blank: bool,
        name: &'a str,
    },
}

/// Runs `qemu-img` as `user` from what `hand` hands it to the sink.
pub(super) fn tool_run(
    gate: &Gate,
    user: Option<u32>,
    size: ByteSize,
    to: &Sink<'_>,
    doing: &str,
    hand: impl FnOnce(&mut Confined) -> Result<String>,
) -> Result<()> {
    match to {
        Sink::File(to) => {
            let mut run = tool::convert(gate, user, to.format, size);
            let from = hand(&mut run)?;
            let word = run.hand(to.file).context(|| "cannot copy a descriptor".into())?;
            run.argument(from).argument(word);
            lent(to, user, || tool::run(gate, run, doing))
        }
        Sink::Served { socket, export, blank, .. } => {
            let mut run = tool::convert_onto(gate, user, *blank, size);
            let from = hand(&mut run)?;
            let word = tool::hand_served(&mut run, socket, export, true)?;
            run.argument(from).argument(word);
            tool::run(gate, run, doing)
        }
    }
}

/// Copies all that a guest sees in a chain of images, or in a snapshot inside of the top one.
pub(super) fn all(gate: &Gate, layers: &[Layer], snapshot: Option<&qcow2::Snapshot>, to: &Sink<'_>) -> Result<()> {
    match (layers, snapshot, to) {
        ([only], None, Sink::File(to)) if only.format == ImageFormat::Raw && to.format == DiskFormat::Raw => {
            copy_raw(gate.meter(), only, to)
        }
        _ => convert(gate, layers, snapshot, to),
    }
}

fn convert(gate: &Gate, layers: &[Layer], snapshot: Option<&qcow2::Snapshot>, to: &Sink<'_>) -> Result<()> {
    let name = match to {
        Sink::File(to) => to.name,
        Sink::Served { name, .. } => name,
    };
    let saying = format!("cannot copy the image {} to {name}", layers[0].place.path);
    tool_run(gate, layers[0].place.owner, layers[0].facts()?.virtual_size, to, &saying, |run| {
        if let Some(snapshot) = snapshot {
            run.argument("-l").argument(format!("snapshot.id={},snapshot.name={}", snapshot.id, snapshot.name));
        }
        tool::hand(run, layers, false)
    })
}

/// Has the file belong to `user` while `act` writes to it.
fn lent(to: &To<'_>, user: Option<u32>, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let (Some(user), Some(owner)) = (user, to.owner) else { return act() };
    let give = |uid: u32| {
        rustix::fs::fchown(to.file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(uid)))
            .context(|| format!("cannot give {} to another user", to.name))
    };
    if user == owner {
        return act();
    }
    give(user)?;
    let done = act();
    give(owner).and(done)
}

fn copy_raw(meter: &Meter, source: &Layer, to: &To<'_>) -> Result<()> {
    let saying = || format!("cannot copy the image {} to {}", source.place.path, to.name);
    let facts = source.facts()?;
    // What was made for it may be a little larger, by the rest of a sector.
    let size = to.file.metadata().context(saying)?.len().max(facts.virtual_size.bytes());
    // Shared blocks, where the file system can (btrfs, XFS): at once, and without room.
    if rustix::fs::ioctl_ficlone(to.file, &source.file).is_ok() {
        return to.file.set_len(size).context(saying);
    }
    let (_, available) = directory::space(to.file).context(saying)?;
    if facts.allocated > available {
        return Err(Failure::new(
            Kind::NoRoom,
            format!("{}: it takes {}, and {} are left", saying(), facts.allocated.human(), available.human()),
        ));
    }
    to.file.set_len(size).context(saying)?;
    copy_data(meter, &source.file, to.file, facts.virtual_size.bytes()).context(saying)
}

/// Copies the parts of `from` that hold data, up to `size`, to a file of that size that is all hole.
pub(super) fn copy_data(meter: &Meter, from: &File, to: &File, size: u64) -> io::Result<()> {
    meter.begin(size);
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            // No more data.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(start))?.min(size);
        copy_range(meter, from, to, start, end)?;
        at = end.max(start);
    }
    meter.at(size)
}

fn copy_range(meter: &Meter, from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
    let mut at = start;
    while at < end {
        meter.at(at)?;
        let (mut read, mut write) = (at, at);
        let step = usize::try_from((end - at).min(STEP)).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut write), step) {
            // The source was cut shorter meanwhile; what is left is hole, as it reads there.
            Ok(0) => return Ok(()),
            Ok(count) => at += count as u64,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                return copy_bytes(meter, from, to, at, end);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_bytes(meter: &Meter, from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let mut buffer = vec![0; 1 << 20];
    let mut at = start;
    while at < end {
        let step = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        match from.read_at(&mut buffer[..step], at) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                to.write_all_at(&buffer[..count], at)?;
                at += count as u64;
                meter.at(at)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};

    #[test]
    fn data_is_copied_and_holes_stay_holes() {
        for by_bytes in [false, true] {
            let from = tempfile::tempfile().unwrap();
            let to = tempfile::tempfile().unwrap();
            let meter = Meter::default();
            let size = 40 << 20;
            from.set_len(size).unwrap();
            from.write_all_at(b"begin", 0).unwrap();
            from.write_all_at(b"middle", (20 << 20) + 3).unwrap();
            from.write_all_at(b"end", size - 3).unwrap();
            to.set_len(size).unwrap();
            if by_bytes {
                copy_bytes(&meter, &from, &to, 20 << 20, size).unwrap();
                copy_bytes(&meter, &from, &to, 0, 4096).unwrap();
            } else {
                copy_data(&meter, &from, &to, size).unwrap();
                assert_eq!(meter.read(), Some((size, size)));
                assert!(to.metadata().unwrap().blocks() * 512 < 1 << 20);
            }
            for (at, text) in [(0, "begin"), ((20 << 20) + 3, "middle"), (size - 3, "end")] {
                let mut buffer = vec![0; text.len()];
                to.read_exact_at(&mut buffer, at).unwrap();
                assert_eq!(buffer, text.as_bytes());
            }
            assert_eq!(to.metadata().unwrap().len(), size);
        }
    }
}
