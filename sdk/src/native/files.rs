//! Files for tests: those below a directory that the test granted.

use std::os::unix::fs::FileExt;
use std::path::{Component, Path};

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

use super::grants;
use crate::bindings::host::fief::storage::volumes::Extent;
use crate::error::{Error, Result};

#[derive(Debug)]
pub struct File(std::fs::File);

impl File {
    pub fn open(directory: &str, path: &str, writable: bool) -> Result<Self> {
        let below = grants::directory(directory);
        let below = below.ok_or_else(|| Error::denied(format!("the test grants no directory {directory}")))?;
        if !Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(Error::invalid(format!("{path:?} is no path below a directory")));
        }
        let opened = std::fs::OpenOptions::new().read(true).write(writable).open(below.join(path));
        opened.map(File).map_err(failed)
    }

    pub fn size(&self) -> Result<u64> {
        self.0.metadata().map(|metadata| metadata.len()).map_err(failed)
    }

    pub fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        let mut have = 0;
        while have < bytes.len() {
            match self.0.read_at(&mut bytes[have..], offset + have as u64).map_err(failed)? {
                0 => break,
                got => have += got,
            }
        }
        bytes.truncate(have);
        Ok(bytes)
    }

    pub fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.0.write_all_at(data, offset).map_err(failed)
    }

    #[allow(clippy::unused_async, reason = "as the host's")]
    pub async fn read_payload(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.read(offset, length)
    }

    #[allow(clippy::unused_async, reason = "as the host's")]
    pub async fn store_payload(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.write(offset, data)
    }

    pub fn sync(&self) -> Result<()> {
        self.0.sync_data().map_err(failed)
    }

    pub fn punch(&self, offset: u64, length: u64) -> Result<()> {
        self.allocate(FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, length)
    }

    pub fn zero(&self, offset: u64, length: u64) -> Result<()> {
        self.allocate(FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE, offset, length)
    }

    fn allocate(&self, how: FallocateFlags, offset: u64, length: u64) -> Result<()> {
        fallocate(&self.0, how, offset, length).map_err(|errno| match errno {
            Errno::OPNOTSUPP => Error::unsupported("the file system has no such thing"),
            other => failed(other.into()),
        })
    }

    /// There is no host here that could.
    pub fn lend(&self, _at: u64, _offset: u64, _length: u64) -> Result<()> {
        Err(Error::unsupported("a test serves all of a volume itself"))
    }

    /// One extent a call: data, or the hole that is there.
    pub fn extents(&self, offset: u64, length: u64) -> Result<Vec<Extent>> {
        let end = offset.saturating_add(length).min(self.size()?);
        let data = match seek(&self.0, SeekFrom::Data(offset)) {
            Ok(data) => data.min(end),
            Err(Errno::NXIO) => end,
            Err(error) => return Err(failed(error.into())),
        };
        if data > offset {
            return Ok(vec![Extent { length: data - offset, hole: true, zero: true }]);
        }
        let hole = seek(&self.0, SeekFrom::Hole(offset)).map_err(|error| failed(error.into()))?.min(end);
        Ok(vec![Extent { length: hole.saturating_sub(offset), hole: false, zero: false }])
    }
}

#[allow(clippy::needless_pass_by_value)]
fn failed(error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::not_found(error.to_string()),
        std::io::ErrorKind::StorageFull => Error::exhausted(error.to_string()),
        std::io::ErrorKind::PermissionDenied => Error::denied(error.to_string()),
        _ => Error::io(error.to_string()),
    }
}
