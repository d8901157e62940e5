//! A file as a device, with plain system calls.

use std::path::Path;

use fief_nbd::{Device, Error, Extent, Geometry, Kind};
use rustix::fs::{FallocateFlags, SeekFrom, fallocate, fdatasync, seek};
use rustix::io::Errno;
use std::os::unix::fs::FileExt;

pub(crate) struct File {
    pub(crate) geometry: Geometry,
    file: std::fs::File,
}

impl File {
    pub(crate) fn open(path: &Path, read_only: bool) -> std::io::Result<Self> {
        let file = std::fs::File::options().read(true).write(!read_only).open(path)?;
        let geometry = Geometry {
            size: file.metadata()?.len(),
            block_size: 1,
            preferred_io: 4096,
            maximum_io: 1 << 20,
            maximum_requests: 64,
            can_discard: true,
            can_write_zeroes: true,
            can_extents: true,
            rotational: false,
            read_only,
        };
        Ok(File { geometry, file })
    }

    fn change(&self, how: FallocateFlags, offset: u64, length: u64) -> Result<(), Error> {
        fallocate(&self.file, how, offset, length).map_err(refused)
    }
}

fn refused(error: Errno) -> Error {
    match error {
        Errno::OPNOTSUPP => Error::new(Kind::Unsupported, "the file system has no such thing"),
        other => std::io::Error::from(other).into(),
    }
}

impl Device for File {
    fn geometry(&self) -> Geometry {
        let size = self.file.metadata().map_or(self.geometry.size, |metadata| metadata.len());
        Geometry { size, ..self.geometry }
    }

    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        let mut data = Vec::with_capacity(length as usize);
        while data.len() < length as usize {
            let at = offset + data.len() as u64;
            if rustix::io::pread(&self.file, rustix::buffer::spare_capacity(&mut data), at).map_err(refused)? == 0 {
                return Err(Error::new(Kind::Io, "the file has become shorter"));
            }
        }
        Ok(data)
    }

    async fn write(&self, offset: u64, data: Vec<u8>, durable: bool) -> Result<(), Error> {
        self.file.write_all_at(&data, offset)?;
        if durable { self.flush().await } else { Ok(()) }
    }

    async fn flush(&self) -> Result<(), Error> {
        fdatasync(&self.file).map_err(refused)
    }

    async fn discard(&self, offset: u64, length: u64) -> Result<(), Error> {
        self.change(FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, length)
    }

    async fn write_zeroes(&self, offset: u64, length: u64, keep: bool, durable: bool) -> Result<(), Error> {
        let how = if keep { FallocateFlags::ZERO_RANGE } else { FallocateFlags::PUNCH_HOLE };
        self.change(how | FallocateFlags::KEEP_SIZE, offset, length)?;
        if durable { self.flush().await } else { Ok(()) }
    }

    async fn extents(&self, offset: u64, length: u64) -> Result<Vec<Extent>, Error> {
        let mut extents = Vec::new();
        let end = offset + length;
        let mut at = offset;
        while at < end {
            let next = |what| match seek(&self.file, what) {
                Ok(there) => Ok(there.min(end)),
                // No more of it to the end of the file.
                Err(Errno::NXIO) => Ok(end),
                Err(error) => Err(refused(error)),
            };
            let data = next(SeekFrom::Data(at))?;
            if data > at {
                extents.push(Extent { length: data - at, hole: true, zero: true });
            }
            let hole = if data < end { next(SeekFrom::Hole(data))? } else { end };
            if hole > data {
                extents.push(Extent { length: hole - data, hole: false, zero: false });
            }
            at = hole;
        }
        Ok(extents)
    }
}
