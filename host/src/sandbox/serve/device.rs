//! The plugin's device as the NBD server knows one: each request is a call into the instance, beside the others. What
//! the plugin answers is checked here, since the server believes its device.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use fief_nbd::{Device, Error, Extent, Kind};
use rustix::io::Errno;
use tokio::sync::Notify;
use wasmtime::component::{Accessor, ResourceAny};

use super::cold::{self, AtOnce, Threads};
use super::queue::{Asked, Queue};
use crate::sandbox::interface::files;
use crate::sandbox::lent::Part;
use crate::sandbox::log::Log;
use crate::sandbox::protocol::{Geometry, LogLevel};
use crate::sandbox::room::Room;
use crate::sandbox::version::v0_1::exports::fief::storage::block::{self, Event, GuestDevice};
use crate::sandbox::version::v0_1::exports::fief::storage::block_queue::Guest as Taker;
use crate::sandbox::version::v0_1::fief::types::types;

/// Most bytes of one read or write call, whatever the plugin says it takes: a buffer of that size is made in the plugin
/// and another here.
const MAXIMUM_IO: u32 = 1 << 20;
/// Most calls at a time.
const MAXIMUM_REQUESTS: u32 = 256;
/// Bytes of a write that go to a lent file before more of it is taken: they are in the processor's caches still.
const LENT_AT_ONCE: u32 = cold::LARGE as u32;
/// Largest block, in bytes (storage.wit).
const BLOCK_MAX: u32 = 64 << 10;
/// Largest volume: offsets are signed in the kernel's interfaces.
const SIZE_MAX: u64 = i64::MAX as u64;

/// # Errors
/// What is wrong with it.
pub(super) fn checked(said: block::Geometry) -> Result<Geometry, String> {
    let block = said.block_size;
    if !block.is_power_of_two() || block > BLOCK_MAX {
        return Err(format!("its blocks have {block} bytes"));
    }
    if said.size > SIZE_MAX {
        return Err(format!("it has {} bytes", said.size));
    }
    let maximum_io = said.maximum_io.clamp(block, MAXIMUM_IO) / block * block;
    Ok(Geometry {
        size: said.size / u64::from(block) * u64::from(block),
        block_size: block,
        preferred_io: said.preferred_io.clamp(block, maximum_io),
        maximum_io,
        maximum_requests: said.maximum_requests.clamp(1, MAXIMUM_REQUESTS),
        can_discard: said.can_discard,
        can_write_zeroes: said.can_write_zeroes,
        can_extents: said.can_extents,
        rotational: said.rotational,
        read_only: said.read_only,
    })
}

/// An open device of the plugin's.
pub(super) struct Served<'a> {
    pub(super) accessor: &'a Accessor<Room>,
    pub(super) calls: &'a GuestDevice<'a>,
    pub(super) handle: ResourceAny,
    pub(super) geometry: Cell<Geometry>,
    /// Where the plugin takes reads and writes from.
    pub(super) queue: Option<&'a Queue>,
    /// No writes are let through, whatever the device could do.
    pub(super) read_only: bool,
    /// Of a domain that another host is about to hand over: it looks as it will be, and nothing is written yet.
    pub(super) inactive: bool,
    /// Read what has to be waited for, and write what is much.
    pub(super) threads: Option<&'a Threads>,
    pub(super) log: Log,
    /// A call that the engine could not carry out: the first reason why, and whoever waits for it.
    pub(super) broken: Rc<Cell<Option<wasmtime::Error>>>,
    pub(super) told: Rc<Notify>,
}

impl Served<'_> {
    fn may_write(&self) -> Result<(), Error> {
        match self.inactive {
            true => Err(Error::new(Kind::NotPermitted, "another host has the volume still")),
            false => Ok(()),
        }
    }

    /// Waits for it; none where there will be no more.
    pub(super) async fn next_event(&self) -> Option<Event> {
        match self.calls.call_next_event(self.accessor, self.handle).await {
            Ok(event) => Some(event),
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    /// Lets the plugin take what is asked of it, which it does for as long as it lives.
    pub(super) async fn taken(&self, taker: &Taker) {
        let ended = taker.call_serve(self.accessor).await;
        self.fail(ended.err().unwrap_or_else(|| wasmtime::Error::msg("the plugin takes no more requests")));
    }

    /// The geometry after it changed; none where it is not one.
    pub(super) async fn look_again(&self) -> Option<Geometry> {
        let said = match self.calls.call_geometry(self.accessor, self.handle).await {
            Ok(said) => said,
            Err(error) => {
                self.fail(error);
                return None;
            }
        };
        match checked(said) {
            // What clients were told of the rest stays true for them.
            Ok(now) => {
                let geometry = Geometry { size: now.size, ..self.geometry.get() };
                self.geometry.set(geometry);
                Some(geometry)
            }
            Err(what) => {
                self.wrong(&format!("the size that it says it has now is impossible: {what}"));
                None
            }
        }
    }

    fn fail(&self, error: wasmtime::Error) {
        self.broken.set(Some(error));
        self.told.notify_one();
    }

    /// Outside: the engine's error, which is the instance's end, and then nothing is answered: the connection ends with the
    /// sandbox, and the client puts its request again to the one that takes its place. Inside: the plugin's, for the client.
    async fn answer<T>(&self, answered: wasmtime::Result<Result<T, types::Error>>) -> Result<T, Error> {
        match answered {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                self.log.write(LogLevel::Debug, &format!("a request failed: {}", error.message), Vec::new());
                Err(of_plugin(error))
            }
            Err(error) => {
                self.fail(error);
                std::future::pending().await
            }
        }
    }

    /// What `act` does with the file that has these bytes, where the plugin has lent them.
    fn lent<T>(&self, offset: u64, length: u64, to_write: bool, act: impl FnOnce(&Part, u64) -> T) -> Option<T> {
        let bytes = offset..offset.checked_add(length)?;
        self.accessor.with(|mut access| {
            let (part, at) = access.get().lent.find(bytes, to_write)?;
            Some(act(part, at))
        })
    }

    /// The same bytes read by another thread, of which `begun` are there; none where the plugin has taken the file back
    /// meanwhile: what lies there now may be something else.
    async fn read_cold(&self, offset: u64, length: u32, begun: Vec<u8>) -> Option<Result<Vec<u8>, Errno>> {
        let place = |part: &Part, at: u64| (part.file.clone(), at);
        let (file, at) = self.lent(offset, length.into(), false, place)?;
        let read = self.threads?.fill(file.clone(), at, begun).await;
        let same = |part: &Part, now: u64| Arc::ptr_eq(&part.file, &file) && now == at;
        self.lent(offset, length.into(), false, same).filter(|same| *same).map(|_| read)
    }

    /// Outside: the data, where it is for the plugin to write.
    async fn write_lent(&self, offset: u64, data: Vec<u8>) -> Result<Result<(), Errno>, Vec<u8>> {
        let length = data.len() as u64;
        if let Some(threads) = self.threads.filter(|_| data.len() >= cold::LARGE) {
            let place = |part: &Part, at: u64| (part.file.clone(), at, part.begin_write());
            let Some((file, at, under_way)) = self.lent(offset, length, true, place) else { return Err(data) };
            return Ok(threads.store(file, at, Arc::new(data), under_way).await);
        }
        self.lent(offset, length, true, |part, at| files::write(&part.file, at, &data)).ok_or(data)
    }

    fn wrong(&self, what: &str) -> Error {
        self.log.write(LogLevel::Error, what, Vec::new());
        Error::new(Kind::Io, what)
    }
}

fn of_plugin(error: types::Error) -> Error {
    use types::ErrorCode;
    let kind = match error.code {
        ErrorCode::Denied | ErrorCode::InUse(_) => Kind::NotPermitted,
        ErrorCode::Exhausted => Kind::NoSpace,
        ErrorCode::Invalid => Kind::Invalid,
        ErrorCode::Unsupported => Kind::Unsupported,
        ErrorCode::NotFound
        | ErrorCode::AlreadyExists
        | ErrorCode::WrongState
        | ErrorCode::Unreachable
        | ErrorCode::Timeout
        | ErrorCode::Corrupt
        | ErrorCode::Io
        | ErrorCode::Other(_) => Kind::Io,
    };
    Error::new(kind, error.message)
}

impl Device for Served<'_> {
    fn geometry(&self) -> fief_nbd::Geometry {
        let geometry = self.geometry.get();
        fief_nbd::Geometry {
            size: geometry.size,
            block_size: geometry.block_size,
            preferred_io: geometry.preferred_io,
            maximum_io: geometry.maximum_io,
            maximum_requests: geometry.maximum_requests,
            can_discard: geometry.can_discard,
            can_write_zeroes: geometry.can_write_zeroes,
            can_extents: geometry.can_extents,
            rotational: geometry.rotational,
            read_only: !self.inactive && (geometry.read_only || self.read_only),
        }
    }

    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        let at_once = |part: &Part, at: u64| cold::at_once(&part.file, part.way, at, length as usize);
        let lent = match self.lent(offset, length.into(), false, at_once) {
            Some(AtOnce::Begun(begun)) => self.read_cold(offset, length, begun).await,
            Some(AtOnce::Done(read)) => Some(read),
            None => None,
        };
        match lent {
            Some(Ok(bytes)) if bytes.len() == length as usize => return Ok(bytes),
            Some(Err(errno)) => return Err(of_plugin(files::failed(errno))),
            // What is past the end of a file is for the plugin to say.
            Some(Ok(_)) | None => {}
        }
        let read = match self.queue {
            Some(queue) => Ok(queue.ask(Asked::Read { offset, length }).await),
            None => self.calls.call_read(self.accessor, self.handle, offset, length).await,
        };
        let bytes = self.answer(read).await?;
        if bytes.len() != length as usize {
            return Err(self.wrong("the plugin read another number of bytes than it was asked for"));
        }
        Ok(bytes)
    }

    async fn write(&self, offset: u64, data: Vec<u8>, durable: bool) -> Result<(), Error> {
        self.may_write()?;
        // What is to be durable is the plugin's: whether a flush failed before is told by it alone.
        let data = match durable {
            false => match self.write_lent(offset, data).await {
                Ok(written) => return written.map_err(|errno| of_plugin(files::failed(errno))),
                Err(data) => data,
            },
            true => data,
        };
        let written = match self.queue {
            Some(queue) => Ok(queue.ask(Asked::Write { offset, data, durable }).await.map(drop)),
            None => self.calls.call_write(self.accessor, self.handle, offset, data, durable).await,
        };
        self.answer(written).await
    }

    fn piece_of_write(&self, offset: u64, length: u32) -> u32 {
        match self.lent(offset, length.into(), true, |_, _| ()) {
            Some(()) => length.min(LENT_AT_ONCE),
            None => length,
        }
    }

    async fn flush(&self) -> Result<(), Error> {
        self.answer(self.calls.call_flush(self.accessor, self.handle).await).await
    }

    async fn discard(&self, offset: u64, length: u64) -> Result<(), Error> {
        self.may_write()?;
        self.answer(self.calls.call_discard(self.accessor, self.handle, offset, length).await).await
    }

    async fn write_zeroes(&self, offset: u64, length: u64, keep: bool, durable: bool) -> Result<(), Error> {
        self.may_write()?;
        self.answer(self.calls.call_write_zeroes(self.accessor, self.handle, offset, length, keep, durable).await).await
    }

    async fn extents(&self, offset: u64, length: u64) -> Result<Vec<Extent>, Error> {
        let said = self.answer(self.calls.call_extents(self.accessor, self.handle, offset, length).await).await?;
        let mut left = length;
        let mut found = Vec::new();
        for extent in said {
            let length = extent.length.min(left);
            if length == 0 {
                break;
            }
            found.push(Extent { length, hole: extent.hole, zero: extent.zero });
            left -= length;
        }
        if found.is_empty() {
            return Err(self.wrong("the plugin told of no extent where one was asked for"));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> block::Geometry {
        block::Geometry {
            size: 1_000_000,
            block_size: 512,
            preferred_io: 4096,
            maximum_io: 256 << 10,
            maximum_requests: 32,
            can_discard: true,
            can_write_zeroes: true,
            can_extents: true,
            rotational: false,
            read_only: false,
        }
    }

    #[test]
    fn a_geometry_is_brought_within_bounds_or_refused() {
        let geometry = checked(said()).unwrap();
        assert_eq!((geometry.size, geometry.maximum_io), (999_936, 256 << 10));
        let huge = checked(block::Geometry { maximum_io: u32::MAX, maximum_requests: 0, preferred_io: 0, ..said() });
        let huge = huge.unwrap();
        assert_eq!((huge.maximum_io, huge.maximum_requests, huge.preferred_io), (MAXIMUM_IO, 1, 512));
        for block_size in [0, 3, 513, 128 << 10] {
            assert!(checked(block::Geometry { block_size, ..said() }).is_err(), "{block_size}");
        }
        assert!(checked(block::Geometry { size: u64::MAX, ..said() }).is_err());
    }
}
