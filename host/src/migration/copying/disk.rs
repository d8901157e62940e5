//! A disk that is read or written: a raw image as it lies there, anything else by NBD.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use fief_nbd::{Client, Stretch};
use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

use crate::error::{Context, Failure, Kind, Result};

/// The metadata context that every server knows; what was written, if anything, is the next.
pub const ALLOCATION: &str = "base:allocation";
const WRITTEN: usize = 1;

#[derive(Debug)]
pub enum Disk {
    File {
        file: Arc<File>,
        size: u64,
    },
    /// Its first context is [`ALLOCATION`].
    Nbd(Client),
}

impl Disk {
    /// A raw image, all of it.
    pub fn file(file: File) -> Result<Disk> {
        let size = file.metadata().context(|| "cannot look at an image".to_owned())?.len();
        Ok(Disk::File { file: Arc::new(file), size })
    }

    pub fn size(&self) -> u64 {
        match self {
            Disk::File { size, .. } => *size,
            Disk::Nbd(client) => client.size(),
        }
    }

    pub async fn read(&self, at: Range<u64>) -> Result<Vec<u8>> {
        match self {
            Disk::File { file, .. } => {
                let file = file.clone();
                in_thread(READ, move || {
                    let mut bytes = vec![0; usize::try_from(at.end - at.start).unwrap_or_default()];
                    read_all(&file, &mut bytes, at.start).map(|()| bytes)
                })
                .await
            }
            Disk::Nbd(client) => {
                let mut bytes = Vec::new();
                let mut next = at.start;
                while next < at.end {
                    let length = (at.end - next).min(u64::from(client.most()));
                    let piece = client.read(next, length as u32).await.map_err(|error| failed(error, READ))?;
                    // Nearly always it is the only one.
                    if bytes.is_empty() {
                        bytes = piece;
                    } else {
                        bytes.extend(piece);
                    }
                    next += length;
                }
                Ok(bytes)
            }
        }
    }

    pub async fn write(&self, at: u64, bytes: Bytes) -> Result<()> {
        match self {
            Disk::File { file, .. } => {
                let file = file.clone();
                in_thread(WRITE, move || file.write_all_at(&bytes, at)).await
            }
            Disk::Nbd(client) => {
                for (place, piece) in bytes.chunks(client.most() as usize).enumerate() {
                    let offset = at + place as u64 * u64::from(client.most());
                    client.write(offset, piece.to_vec(), false).await.map_err(|error| failed(error, WRITE))?;
                }
                Ok(())
            }
        }
    }

    /// Has these bytes read as zeroes, with nothing stored for them where the storage can.
    pub async fn zero(&self, at: Range<u64>) -> Result<()> {
        match self {
            Disk::File { file, .. } => {
                let file = file.clone();
                in_thread(WRITE, move || punch(&file, &at)).await
            }
            Disk::Nbd(client) => {
                for (range, stretch) in stretches(client, 0, at).await? {
                    if !stretch.reads_zero() {
                        let length = range.end - range.start;
                        client.write_zeroes(range.start, length).await.map_err(|error| failed(error, WRITE))?;
                    }
                }
                Ok(())
            }
        }
    }

    /// All that is written is on stable storage.
    pub async fn flush(&self) -> Result<()> {
        match self {
            Disk::File { file, .. } => {
                let file = file.clone();
                in_thread("cannot write a volume to stable storage", move || file.sync_data()).await
            }
            Disk::Nbd(client) => {
                client.flush().await.map_err(|error| failed(error, "cannot write a volume to stable storage"))
            }
        }
    }

    /// Where it may hold more than zeroes.
    pub async fn data(&self) -> Result<Vec<Range<u64>>> {
        match self {
            Disk::File { file, size } => {
                let (file, size) = (file.clone(), *size);
                in_thread(READ, move || data_of(&file, size)).await
            }
            Disk::Nbd(client) => {
                let all = stretches(client, 0, 0..client.size()).await?;
                Ok(all.into_iter().filter(|(_, stretch)| !stretch.reads_zero()).map(|(range, _)| range).collect())
            }
        }
    }

    /// What its second context says was written.
    pub async fn written(&self) -> Result<Vec<Range<u64>>> {
        match self {
            Disk::File { .. } => Err(Failure::other("nobody notes what is written to an image file")),
            Disk::Nbd(client) => {
                let all = stretches(client, WRITTEN, 0..client.size()).await?;
                Ok(all.into_iter().filter(|(_, stretch)| stretch.is_dirty()).map(|(range, _)| range).collect())
            }
        }
    }
}

const READ: &str = "cannot read a volume";
const WRITE: &str = "cannot write to a volume";

/// Work that may block, beside everything else.
pub(super) async fn in_thread<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.context(|| doing.to_owned()),
        Err(_) => Err(Failure::other(doing)),
    }
}

fn failed(error: fief_nbd::Error, doing: &str) -> Failure {
    let kind = match error.kind {
        fief_nbd::Kind::NoSpace => Kind::NoRoom,
        fief_nbd::Kind::NotPermitted => Kind::Denied,
        fief_nbd::Kind::Io
        | fief_nbd::Kind::NoMemory
        | fief_nbd::Kind::Invalid
        | fief_nbd::Kind::TooLong
        | fief_nbd::Kind::Unsupported
        | fief_nbd::Kind::ShuttingDown => Kind::Other,
    };
    Failure::new(kind, doing).because(error)
}

/// What a context says of each part of a range.
async fn stretches(client: &Client, context: usize, at: Range<u64>) -> Result<Vec<(Range<u64>, Stretch)>> {
    let mut all = Vec::new();
    let mut next = at.start;
    while next < at.end {
        for stretch in client.status(context, next, at.end - next).await.map_err(|error| failed(error, READ))? {
            all.push((next..next + stretch.length, stretch));
            next += stretch.length;
        }
    }
    Ok(all)
}

/// Past the end of the file there are zeroes.
fn read_all(file: &File, bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    let mut left = bytes;
    while !left.is_empty() {
        match file.read_at(left, at) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                left = &mut left[count..];
                at += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn punch(file: &File, at: &Range<u64>) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(file, flags, at.start, at.end - at.start) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
        done => return Ok(done?),
    }
    let zeroes = vec![0; 1 << 20];
    let mut next = at.start;
    while next < at.end {
        let length = (at.end - next).min(zeroes.len() as u64);
        file.write_all_at(&zeroes[..length as usize], next)?;
        next += length;
    }
    Ok(())
}

fn data_of(file: &File, size: u64) -> io::Result<Vec<Range<u64>>> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // No more data.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(start))?.min(size);
        if start < end {
            all.push(start..end);
        }
        at = end.max(start + 1);
    }
    Ok(all)
}
