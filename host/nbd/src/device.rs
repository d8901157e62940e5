//! What is served.

use std::rc::Rc;

use crate::{Error, Kind};

/// What a device is and can. Offsets and lengths of all calls are multiples of `block_size`; the server sees to that,
/// whatever clients ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// In bytes. What goes past the last whole block is not served.
    pub size: u64,
    /// In bytes; a power of two, 1 to 65536.
    pub block_size: u32,
    /// In bytes: reads and writes of this size, and so aligned, do best.
    pub preferred_io: u32,
    /// In bytes: bounds one `read` or `write`; the server splits longer ones.
    pub maximum_io: u32,
    /// The server has no more calls than about this many going at a time.
    pub maximum_requests: u32,
    /// `discard` does something.
    pub can_discard: bool,
    /// `write_zeroes` is done without the zeroes being sent. Otherwise the server writes them.
    pub can_write_zeroes: bool,
    /// `extents` can tell holes from data. Otherwise all is data.
    pub can_extents: bool,
    /// The storage seeks: the client may order its requests.
    pub rotational: bool,
    pub read_only: bool,
}

impl Geometry {
    /// What the server counts on: the size in whole blocks, and the rest as the comments above say.
    pub(crate) fn checked(mut self) -> Result<Self, Error> {
        let wrong = |message: String| Err(Error::new(Kind::Invalid, message));
        let block = self.block_size;
        if !block.is_power_of_two() || block > 1 << 16 {
            return wrong(format!(
                "a device cannot have blocks of {block} bytes: they are a power of two, up to 65536"
            ));
        }
        if self.maximum_io < block {
            return wrong(format!("a device cannot take {} bytes at most: its blocks have {block}", self.maximum_io));
        }
        self.size -= self.size % u64::from(block);
        Ok(self)
    }
}

/// A stretch of a device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub length: u64,
    /// Nothing is stored there.
    pub hole: bool,
    /// It reads as zeroes.
    pub zero: bool,
}

/// A block device. Many calls are under way at a time, from one thread.
///
/// Buffers change hands and are not copied: `read` makes the one that goes to the socket, `write` gets the one that came
/// from there. A call that was begun is seen to its end, even where the client went away.
#[allow(async_fn_in_trait, reason = "everything is on one thread; nothing asks for Send")]
pub trait Device {
    /// Asked once, when serving begins; a [`Handle`](crate::Handle) is told of a new size.
    fn geometry(&self) -> Geometry;

    /// Exactly `length` bytes, at most `maximum_io`.
    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error>;

    /// At most `maximum_io` bytes. `durable`: answered when they are on stable storage (FUA).
    async fn write(&self, offset: u64, data: Vec<u8>, durable: bool) -> Result<(), Error>;

    /// Most bytes of a write at `offset`, of `length` bytes, that are worth a call of their own before the rest has come:
    /// where a call costs nearly nothing, data is passed on while it is in the processor's caches. Rounded to whole blocks;
    /// less than one stands for all of it.
    fn piece_of_write(&self, _offset: u64, length: u32) -> u32 {
        length
    }

    /// Answered when every write that was answered before, whichever connection it came from, is on stable storage.
    async fn flush(&self) -> Result<(), Error>;

    /// The bytes are of no more use. Called only where `can_discard`.
    async fn discard(&self, offset: u64, length: u64) -> Result<(), Error>;

    /// `keep`: the blocks stay allocated. Called only where `can_write_zeroes`; [`Kind::Unsupported`](crate::Kind) makes
    /// the server write the zeroes.
    async fn write_zeroes(&self, offset: u64, length: u64, keep: bool, durable: bool) -> Result<(), Error>;

    /// Contiguous from `offset`; at least one; may cover less than `length`. Called only where `can_extents`.
    async fn extents(&self, offset: u64, length: u64) -> Result<Vec<Extent>, Error>;
}

/// A device is served through whatever points at it.
macro_rules! through {
    ($($pointer:ty),*) => {$(
        impl<D: Device> Device for $pointer {
            fn geometry(&self) -> Geometry {
                (**self).geometry()
            }
            async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
                (**self).read(offset, length).await
            }
            async fn write(&self, offset: u64, data: Vec<u8>, durable: bool) -> Result<(), Error> {
                (**self).write(offset, data, durable).await
            }
            fn piece_of_write(&self, offset: u64, length: u32) -> u32 {
                (**self).piece_of_write(offset, length)
            }
            async fn flush(&self) -> Result<(), Error> {
                (**self).flush().await
            }
            async fn discard(&self, offset: u64, length: u64) -> Result<(), Error> {
                (**self).discard(offset, length).await
            }
            async fn write_zeroes(&self, offset: u64, length: u64, keep: bool, durable: bool) -> Result<(), Error> {
                (**self).write_zeroes(offset, length, keep, durable).await
            }
            async fn extents(&self, offset: u64, length: u64) -> Result<Vec<Extent>, Error> {
                (**self).extents(offset, length).await
            }
        }
    )*};
}
through!(&D, Rc<D>);
