//! `fief:storage/files` and `directories`: positioned reads and writes, and lists of names, beneath granted directories, done here:
//! Landlock and the openat2 flags hold them there, and no other process is asked.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, HasSelf, Linker, Resource, WasmList};

use super::Payload;
use crate::sandbox::lent::{Refused, Way, Writes};
use crate::sandbox::room::{self, Room};
use crate::sandbox::serve::Threads;
use crate::sandbox::version::v0_1::fief::storage::directories;
use crate::sandbox::version::v0_1::fief::storage::files::{Host, HostFile, HostFileWithStore};
use crate::sandbox::version::v0_1::fief::storage::volumes::Extent;
use crate::sandbox::version::v0_1::fief::types::types::{Error, ErrorCode, Retry};
use crate::sys::beneath;
use crate::types::{Access, RelativePath};

type Answer<T> = wasmtime::Result<Result<T, Error>>;

/// Most bytes of one read: a buffer of that size is made for it.
const READ_MAX: usize = 4 << 20;
/// Most names of one folder: with the longest of names it is what may cross at all.
const NAMES_MAX: usize = 65536;
/// Most stretches that one look at a file gives.
const EXTENTS_MAX: usize = 256;

/// An open file.
pub struct Open {
    file: Arc<File>,
    way: Way,
    writable: bool,
    /// Those of the plugin's own that other threads do.
    writes: Arc<Writes>,
}

fn error(code: ErrorCode, message: impl Into<String>) -> Error {
    Error { code, message: message.into(), retry: Retry::AfterFix }
}

pub(in crate::sandbox) fn failed(errno: Errno) -> Error {
    let code = match errno {
        Errno::NOENT | Errno::NOTDIR => ErrorCode::NotFound,
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => ErrorCode::Exhausted,
        Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::XDEV | Errno::LOOP => ErrorCode::Denied,
        Errno::OPNOTSUPP => ErrorCode::Unsupported,
        // Errors of the system, of which there are many more.
        _ => ErrorCode::Io,
    };
    error(code, std::io::Error::from(errno).to_string())
}

impl Room {
    fn file(&self, file: &Resource<Open>) -> wasmtime::Result<&File> {
        Ok(&self.table.get(file)?.file)
    }

    fn directory(&self, name: &str) -> Result<&(OwnedFd, Access), Error> {
        let denied = || error(ErrorCode::Denied, format!("the directory {name} is not granted"));
        self.directories.get(name).ok_or_else(denied)
    }

    fn names_beneath(&self, directory: &str, path: &str) -> Result<Vec<String>, Error> {
        let (folder, _) = self.directory(directory)?;
        let beneath_it = if path.is_empty() { None } else { Some(relative(path)?) };
        let path = beneath_it.as_ref().map_or(".", RelativePath::as_str);
        let names = beneath::names(folder, path, NAMES_MAX);
        names
            .map_err(of_system)?
            .ok_or_else(|| error(ErrorCode::Exhausted, format!("there are more than {NAMES_MAX} names")))
    }

    fn open_beneath(&self, directory: &str, path: &str, writable: bool) -> Result<File, Error> {
        let (folder, access) = self.directory(directory)?;
        match access {
            Access::ReadOnly if writable => {
                return Err(error(ErrorCode::Denied, format!("the directory {directory} is granted for reading only")));
            }
            Access::ReadOnly | Access::ReadWrite => {}
        }
        beneath::open_file(folder, relative(path)?.as_str(), writable).map_err(of_system)
    }
}

fn relative(path: &str) -> Result<RelativePath, Error> {
    path.parse().map_err(|cause| error(ErrorCode::Invalid, format!("{path:?} is no path: {cause}")))
}

fn of_system(cause: std::io::Error) -> Error {
    match cause.kind() {
        std::io::ErrorKind::InvalidInput => error(ErrorCode::Invalid, cause.to_string()),
        _ => failed(Errno::from_io_error(&cause).unwrap_or(Errno::IO)),
    }
}

impl Host for Room {}

impl directories::Host for Room {
    fn names(&mut self, directory: String, path: String) -> Answer<Vec<String>> {
        Ok(self.names_beneath(&directory, &path))
    }
}

impl HostFile for Room {
    fn open(&mut self, directory: String, path: String, writable: bool) -> Answer<Resource<Open>> {
        match self.open_beneath(&directory, &path, writable) {
            Ok(file) => {
                let way = Way::of(&file);
                Ok(Ok(self.table.push(Open { file: Arc::new(file), way, writable, writes: Arc::default() })?))
            }
            Err(error) => Ok(Err(error)),
        }
    }
    fn size(&mut self, file: Resource<Open>) -> Answer<u64> {
        let stat = rustix::fs::fstat(self.file(&file)?);
        Ok(stat.map(|stat| stat.st_size.cast_unsigned()).map_err(failed))
    }
    fn read(&mut self, file: Resource<Open>, offset: u64, length: u32) -> Answer<Vec<u8>> {
        Ok(read(self.file(&file)?, offset, length as usize).map_err(failed))
    }
    fn write(&mut self, file: Resource<Open>, offset: u64, data: Vec<u8>) -> Answer<()> {
        Ok(write(self.file(&file)?, offset, &data).map_err(failed))
    }
    fn write_payload(&mut self, file: Resource<Open>, offset: u64, data: Resource<Payload>) -> Answer<()> {
        let data = &self.table.get(&data)?.0;
        Ok(write(self.file(&file)?, offset, data).map_err(failed))
    }
    fn sync(&mut self, file: Resource<Open>) -> Answer<()> {
        Ok(rustix::fs::fdatasync(self.file(&file)?).map_err(failed))
    }
    fn punch(&mut self, file: Resource<Open>, offset: u64, length: u64) -> Answer<()> {
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(self.file(&file)?, how, offset, length).map_err(failed))
    }
    fn zero(&mut self, file: Resource<Open>, offset: u64, length: u64) -> Answer<()> {
        let how = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(self.file(&file)?, how, offset, length).map_err(failed))
    }
    fn extents(&mut self, file: Resource<Open>, offset: u64, length: u64) -> Answer<Vec<Extent>> {
        Ok(extents(self.file(&file)?, offset, length).map_err(failed))
    }
    fn lend(&mut self, file: Resource<Open>, at: u64, offset: u64, length: u64) -> Answer<()> {
        match self.host {
            room::Host::Serving(_) => {}
            room::Host::Call(_) => return Ok(Err(error(ErrorCode::Unsupported, "no volume is served in this call"))),
        }
        let Open { file: open, way, writable, .. } = self.table.get(&file)?;
        let lent = self.lent.add((file.rep(), open.clone(), *way, *writable), at, offset, length);
        Ok(lent.map_err(|refused| match refused {
            Refused::Impossible => error(ErrorCode::Invalid, "there are no such bytes"),
            Refused::Overlaps => error(ErrorCode::Invalid, "some of these bytes are lent already"),
            Refused::TooMany => error(ErrorCode::Exhausted, "too many parts of the volume are lent"),
        }))
    }
    fn drop(&mut self, file: Resource<Open>) -> wasmtime::Result<()> {
        self.lent.end(file.rep());
        // One that was cancelled may be under way.
        self.table.delete(file)?.writes.ended();
        Ok(())
    }
}

impl HostFileWithStore<Room> for HasSelf<Room> {
    async fn read_payload(
        accessor: &Accessor<Room, Self>,
        file: Resource<Open>,
        offset: u64,
        length: u32,
    ) -> Answer<Resource<Payload>> {
        let (file, way, threads) = accessor.with(|mut access| -> wasmtime::Result<_> {
            let room = access.get();
            let Open { file, way, .. } = room.table.get(&file)?;
            Ok((file.clone(), *way, room.threads.clone()))
        })?;
        match Threads::read(threads.as_ref(), file, way, offset, (length as usize).min(READ_MAX)).await {
            Ok(bytes) => Ok(Ok(accessor.with(|mut access| access.get().keep(bytes))?)),
            Err(errno) => Ok(Err(failed(errno))),
        }
    }
    async fn store_payload(
        accessor: &Accessor<Room, Self>,
        file: Resource<Open>,
        offset: u64,
        data: Resource<Payload>,
    ) -> Answer<()> {
        let (file, data, under_way, threads) = accessor.with(|mut access| -> wasmtime::Result<_> {
            let room = access.get();
            let Open { file, writes, .. } = room.table.get(&file)?;
            Ok((file.clone(), room.table.get(&data)?.0.clone(), writes.begin(), room.threads.clone()))
        })?;
        Ok(Threads::write(threads.as_ref(), file, offset, data, under_way).await.map_err(failed))
    }
}

/// `write` as the bindings have it makes a copy of the data; this one writes it where it lies in the plugin's memory.
pub(super) fn link_write(linker: &mut Linker<Room>) -> wasmtime::Result<()> {
    let in_place = |store: StoreContextMut<'_, Room>, (file, offset, data): (Resource<Open>, u64, WasmList<u8>)| {
        Ok((write(store.data().file(&file)?, offset, data.as_le_slice(&store)).map_err(failed),))
    };
    linker.allow_shadowing(true);
    linker.instance("fief:storage/files@0.1.0")?.func_wrap("[method]file.write", in_place)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Fewer than `length` at the end of the file only.
fn read(file: &File, offset: u64, length: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::with_capacity(length.min(READ_MAX));
    fill(file, offset, &mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Fills the free room of `bytes`, or less at the end of the file.
pub(in crate::sandbox) fn fill(file: &File, mut offset: u64, bytes: &mut Vec<u8>) -> Result<(), Errno> {
    while bytes.len() < bytes.capacity() {
        match rustix::io::pread(file, rustix::buffer::spare_capacity(bytes), offset) {
            Ok(0) => break,
            Ok(got) => offset = offset.saturating_add(got as u64),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(in crate::sandbox) fn write(file: &File, mut offset: u64, mut data: &[u8]) -> Result<(), Errno> {
    while !data.is_empty() {
        match rustix::io::pwrite(file, data, offset) {
            Ok(written) => {
                data = &data[written..];
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn extents(file: &File, offset: u64, length: u64) -> Result<Vec<Extent>, Errno> {
    let size = rustix::fs::fstat(file)?.st_size.cast_unsigned();
    let end = offset.saturating_add(length).min(size);
    let (mut at, mut found) = (offset, Vec::new());
    while at < end && found.len() < EXTENTS_MAX {
        let data = match seek(file, SeekFrom::Data(at)) {
            Ok(data) => data.min(end),
            // Nothing but a hole up to the end of the file.
            Err(Errno::NXIO) => end,
            Err(error) => return Err(error),
        };
        if data > at {
            found.push(Extent { length: data - at, hole: true, zero: true });
            at = data;
        } else {
            let hole = seek(file, SeekFrom::Hole(at))?.min(end);
            found.push(Extent { length: hole - at, hole: false, zero: false });
            at = hole;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_told_from_data_and_reads_end_with_the_file() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        write(&file, 256 << 10, &vec![7; 64 << 10]).unwrap();
        let found = extents(&file, 0, 2 << 20).unwrap();
        let told: Vec<_> = found.iter().map(|extent| (extent.length, extent.hole)).collect();
        assert_eq!(told, [(256 << 10, true), (64 << 10, false), (704 << 10, true)]);
        assert_eq!(read(&file, (1 << 20) - 3, 10).unwrap(), [0; 3]);
        assert_eq!(read(&file, (256 << 10) - 1, 2).unwrap(), [0, 7]);
    }
}
