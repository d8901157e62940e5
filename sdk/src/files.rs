//! Positioned reads and writes of files beneath granted directories, for [`block`](crate::block): WASI, behind
//! `std::fs`, has neither holes nor a map of them.
//!
//! These functions wait for the file system, which a local one answers at once; [`read_payload`](File::read_payload) and
//! [`write_data`](File::write_data) alone let others go on meanwhile.

use crate::error::Result;
use crate::payload::{Data, Payload};
use crate::settings::Directory;

#[cfg(target_family = "wasm")]
use crate::bindings::host::fief::storage::files as half;
#[cfg(not(target_family = "wasm"))]
use crate::native::files as half;

pub use crate::bindings::host::fief::storage::volumes::Extent;

/// An open file; closed when it is dropped.
#[derive(Debug)]
pub struct File(half::File);

impl File {
    /// Opens what lies at `path` beneath the directory. No link on the way leads out of it.
    ///
    /// # Errors
    /// `not-found`; `denied` where the directory is not granted, or not for writing; `invalid` for what is no file.
    pub fn open(directory: &Directory, path: &str, writable: bool) -> Result<Self> {
        half::File::open(directory.name(), path, writable).map(File)
    }

    /// In bytes.
    ///
    /// # Errors
    /// `io`.
    pub fn size(&self) -> Result<u64> {
        self.0.size()
    }

    /// Up to `length` bytes, fewer at the end of the file only.
    ///
    /// # Errors
    /// `io`.
    pub fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.0.read(offset, length)
    }

    /// All of it.
    ///
    /// # Errors
    /// `exhausted` where there is no room left, `io`.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.0.write(offset, data)
    }

    /// [`read`](Self::read) of bytes that need not be seen: they stay with the host. Where they have to be waited for, others
    /// go on.
    ///
    /// # Errors
    /// `io`.
    pub async fn read_payload(&self, offset: u64, length: u32) -> Result<Payload> {
        self.0.read_payload(offset, length).await.map(Payload::from_host)
    }

    /// [`write`](Self::write) of what is wherever it is. While much of it is written that the host keeps, others go on.
    ///
    /// # Errors
    /// `exhausted` where there is no room left, `io`.
    pub async fn write_data(&self, offset: u64, data: &Data) -> Result<()> {
        match data {
            Data::Bytes(bytes) => self.0.write(offset, bytes),
            Data::Within(bytes, range) => self.0.write(offset, bytes.get(range.clone()).unwrap_or_default()),
            Data::Payload(payload) => self.0.store_payload(offset, payload.half()).await,
        }
    }

    /// fdatasync(2): after it, all that was written before is on stable storage.
    ///
    /// # Errors
    /// `io`: what was written since the last success may be lost, and a later success says nothing about it.
    pub fn sync(&self) -> Result<()> {
        self.0.sync()
    }

    /// Makes a hole.
    ///
    /// # Errors
    /// `unsupported` where the file system has none, `io`.
    pub fn punch(&self, offset: u64, length: u64) -> Result<()> {
        self.0.punch(offset, length)
    }

    /// Zeroes that stay allocated.
    ///
    /// # Errors
    /// `unsupported` where the file system cannot, `exhausted`, `io`.
    pub fn zero(&self, offset: u64, length: u64) -> Result<()> {
        self.0.zero(offset, length)
    }

    /// Within [`block`](crate::block): from now on the host itself reads and writes, at `offset` of this file, the volume's
    /// bytes from `at` on, `length` of them, where it would have called
    /// [`read`](crate::block::BlockDevice::read) or [`write`](crate::block::BlockDevice::write). That is several times as
    /// fast, and right where a volume lies in a file as it is.
    ///
    /// A write that is `durable`, and all else, is still called for;
    /// [`flush`](crate::block::BlockDevice::flush) covers what the host wrote. It ends, at once, when this file is dropped:
    /// drop it before anything moves, and before telling that another host holds the volume.
    ///
    /// # Errors
    /// `unsupported` outside of `block`, and in native tests; `invalid` where some of the bytes are lent already;
    /// `exhausted` where too many parts are.
    pub fn lend(&self, at: u64, offset: u64, length: u64) -> Result<()> {
        self.0.lend(at, offset, length)
    }

    /// What lies there: contiguous, from `offset`; may cover less than `length`.
    ///
    /// # Errors
    /// `io`.
    pub fn extents(&self, offset: u64, length: u64) -> Result<Vec<Extent>> {
        self.0.extents(offset, length)
    }
}
