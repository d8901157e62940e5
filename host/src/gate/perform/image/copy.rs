//! Full copies of what a guest sees in an image, holes kept.

use std::fs::File;
use std::io;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::open::{self, Layer};
use super::place::Place;
use super::{Done, create, snapshot, tool};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::Gate;
use crate::gate::operation::ImageFormat;
use crate::gate::perform::directory;
use crate::types::{RelativePath, SnapshotName};

/// Bytes that one call copies.
const STEP: u64 = 64 << 20;

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
    match (layers.as_slice(), snapshot, format) {
        ([only], None, ImageFormat::Raw) if only.format == ImageFormat::Raw => {
            create::build(&target, format, |file| copy_raw(only, &target, file))
        }
        _ => {
            let snapshot = snapshot.map(|name| snapshot::find(&layers[0], name)).transpose()?;
            create::build(&target, format, |file| convert(gate, &layers, snapshot.as_ref(), &target, file, format))
        }
    }
}

fn convert(
    gate: &Gate,
    layers: &[Layer],
    snapshot: Option<&super::qcow2::Snapshot>,
    target: &Place,
    file: &File,
    format: ImageFormat,
) -> Result<()> {
    let source = &layers[0].place;
    let mut run = tool::qemu_img(gate, source, layers[0].facts()?.virtual_size);
    run.argument("convert").argument("-q").argument("-O").argument(format.as_str());
    if let Some(snapshot) = snapshot {
        run.argument("-l").argument(format!("snapshot.id={},snapshot.name={}", snapshot.id, snapshot.name));
    }
    let from = tool::hand(&mut run, layers, false)?;
    let to = run.hand(file).context(|| "cannot copy a descriptor".into())?;
    run.argument(from).argument(to);
    tool::run(gate, run, &format!("cannot copy the image {} to {}", source.path, target.path))
}

fn copy_raw(source: &Layer, target: &Place, to: &File) -> Result<()> {
    let saying = || format!("cannot copy the image {} to {}", source.place.path, target.path);
    let facts = source.facts()?;
    // Shared blocks, where the file system can (btrfs, XFS): at once, and without room.
    if rustix::fs::ioctl_ficlone(to, &source.file).is_ok() {
        return Ok(());
    }
    let (_, available) = directory::space(to).context(saying)?;
    if facts.allocated > available {
        return Err(Failure::new(
            Kind::NoRoom,
            format!("{}: it takes {}, and {} are left", saying(), facts.allocated.human(), available.human()),
        ));
    }
    to.set_len(facts.virtual_size.bytes()).context(saying)?;
    copy_data(&source.file, to, facts.virtual_size.bytes()).context(saying)
}

/// Copies the parts of `from` that hold data, up to `size`, to a file of that size that is all hole.
pub(super) fn copy_data(from: &File, to: &File, size: u64) -> io::Result<()> {
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            // No more data.
            Err(Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(start))?.min(size);
        copy_range(from, to, start, end)?;
        at = end.max(start);
    }
    Ok(())
}

fn copy_range(from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
    let mut at = start;
    while at < end {
        let (mut read, mut write) = (at, at);
        let step = usize::try_from((end - at).min(STEP)).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut write), step) {
            // The source was cut shorter meanwhile; what is left is hole, as it reads there.
            Ok(0) => return Ok(()),
            Ok(count) => at += count as u64,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => return copy_bytes(from, to, at, end),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_bytes(from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
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
            let size = 40 << 20;
            from.set_len(size).unwrap();
            from.write_all_at(b"begin", 0).unwrap();
            from.write_all_at(b"middle", (20 << 20) + 3).unwrap();
            from.write_all_at(b"end", size - 3).unwrap();
            to.set_len(size).unwrap();
            if by_bytes {
                copy_bytes(&from, &to, 20 << 20, size).unwrap();
                copy_bytes(&from, &to, 0, 4096).unwrap();
            } else {
                copy_data(&from, &to, size).unwrap();
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
