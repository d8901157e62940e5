//! Volumes that the plugin serves itself: every read and write of the guest is a call of [`BlockDevice`].
//!
//! # What happens when
//!
//! ```text
//!   open ──▸ geometry ──▸ read  write  flush  discard  write-zeroes  extents        many at a time
//!                │        next-event                                                one at a time, waits
//!                │           │ resized
//!                └───────────┘
//!   close                                                                           the last call
//! ```
//! **One instance for one volume**, from `open` to `close`, unlike control calls, which have a fresh one each. It may
//! live for months. It has one thread: while a function waits (`await`), others run; while it computes, none does.
//!
//! **A crash is survived.** Where your code panics, or is killed with its sandbox, the host starts another within a
//! second and calls `open` again, with the same `holder`. The guest waits meanwhile, and what had not been answered is
//! asked again. So keep nothing that is not in the storage by the time that `flush` has answered.
//!
//! **A server that is away is waited for.** Calls wait, they do not fail: tell `degraded` through
//! [`next_event`](BlockDevice::next_event) ([`Events`] keeps what is to be told), connect again with growing pauses, send again what was not answered and is
//! safe to send twice, then tell `restored`. What becomes of a guest that waits too long is the operator's choice
//! (`on-storage-error`) and the host's work. An error is for what waiting does not cure.
//!
//! | function | when | an error means |
//! | --- | --- | --- |
//! | [`open`](BlockDevice::open) | a domain starts, a disk is attached, a sandbox is replaced | final: the volume is not attached. Check here that it is the right one, and that `holder` is not older than one that was seen (`wrong-state`) |
//! | [`geometry`](BlockDevice::geometry) | after `open`, and after each `resized` | — |
//! | [`read`](BlockDevice::read) | as the guest reads; exactly `length` bytes | the guest sees an I/O error, or is paused |
//! | [`write`](BlockDevice::write) | as the guest writes; with `durable`, answer when it is on stable storage | the same; `exhausted` is told as "no space" |
//! | [`read_data`](BlockDevice::read_data), [`write_data`](BlockDevice::write_data) | instead of these two, where you write them: for data that need not come into the plugin's memory ([`payload`](crate::payload)) | as for these two |
//! | [`flush`](BlockDevice::flush) | as the guest flushes | what was written since the last success may be lost. Tell it once and for all: later ones fail too, unless the data was written again |
//! | [`discard`](BlockDevice::discard) | the guest no longer needs what is there; only where `can_discard` | harmless |
//! | [`write_zeroes`](BlockDevice::write_zeroes) | only where `can_write_zeroes`; else the host writes zeroes | as for `write`; after `unsupported` the host writes zeroes instead |
//! | [`extents`](BlockDevice::extents) | copies that keep holes; only where `can_extents` | all is taken for data |
//! | [`next_event`](BlockDevice::next_event) | again at once after each event | — |
//! | [`close`](BlockDevice::close) | the volume is let go of; perhaps never, if the host dies | it is logged |
//!
//! Offsets and lengths are multiples of `block_size` and lie within the volume; a read or write has at most `maximum_io`
//! bytes. The code of an error becomes what the guest sees: `exhausted` no space, `denied` not permitted,
//! `invalid` invalid, everything else an I/O error.

mod events;
#[cfg(target_family = "wasm")]
mod queue;

use std::rc::Rc;

use crate::bindings::{block, block_queue, host};
use crate::error::{Error, Result};
use crate::payload::Data;
use crate::settings::Settings;
use crate::storage::{Access, Pool};

pub use block::exports::fief::storage::block::{Event, Geometry};
pub use events::Events;
pub use host::fief::storage::volumes::{Extent, Holder};

/// A volume that is open. [The module](self) says when each function is called and what an error means.
// One thread: the futures need not be `Send`.
#[allow(async_fn_in_trait)]
pub trait BlockDevice: Sized + 'static {
    type Settings: Settings;
    /// Takes up the volume. `holder` is none where nothing will be written.
    async fn open(pool: &Pool<Self::Settings>, volume: &str, access: Access, holder: Option<&Holder>) -> Result<Self>;
    /// What is true now.
    fn geometry(&self) -> Geometry;
    /// Exactly `length` bytes.
    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>>;
    /// `durable`: answered when the data is on stable storage.
    async fn write(&self, offset: u64, data: Vec<u8>, durable: bool) -> Result<()>;
    /// [`read`](BlockDevice::read), for a device that has much data without looking at it: such data does not pass through
    /// the plugin's memory. It is this that the host asks for.
    async fn read_data(&self, offset: u64, length: u32) -> Result<Data> {
        self.read(offset, length).await.map(Data::Bytes)
    }
    /// [`write`](BlockDevice::write), the same way.
    async fn write_data(&self, offset: u64, data: Data, durable: bool) -> Result<()> {
        self.write(offset, data.into_bytes(), durable).await
    }
    /// Answered when every write that was answered before is on stable storage.
    async fn flush(&self) -> Result<()>;
    /// The guest no longer needs what is there.
    async fn discard(&self, offset: u64, length: u64) -> Result<()> {
        let _ = (offset, length);
        Err(Error::unsupported("this volume cannot discard"))
    }
    /// `keep`: the blocks stay allocated.
    async fn write_zeroes(&self, offset: u64, length: u64, keep: bool, durable: bool) -> Result<()> {
        let _ = (offset, length, keep, durable);
        Err(Error::unsupported("this volume is zeroed by writing"))
    }
    /// Contiguous from `offset`; at least one; may cover less than `length`.
    async fn extents(&self, offset: u64, length: u64) -> Result<Vec<Extent>> {
        let _ = offset;
        Ok(vec![Extent { length, hole: false, zero: false }])
    }
    /// Waits for the next event; for ever where there is none.
    async fn next_event(&self) -> Event {
        std::future::pending().await
    }
    /// Flushes, and lets go of what `open` took.
    async fn close(&self) -> Result<()> {
        self.flush().await
    }
}

/// What the host's handle of a device stands for.
#[doc(hidden)]
pub struct Handle<T>(Rc<T>);

impl<T: BlockDevice> block::exports::fief::storage::block::Guest for T {
    type Device = Handle<T>;
}

impl<T: BlockDevice> block_queue::exports::fief::storage::block_queue::Guest for T {
    async fn serve() {
        #[cfg(target_family = "wasm")]
        queue::serve::<T>().await;
    }
}

impl<T: BlockDevice> block::exports::fief::storage::block::GuestDevice for Handle<T> {
    async fn open(
        pool: host::fief::storage::volumes::Pool,
        volume: String,
        access: Access,
        holder: Option<Holder>,
    ) -> Result<block::exports::fief::storage::block::Device> {
        let pool = crate::storage::read(pool)?;
        let device = Rc::new(<T as BlockDevice>::open(&pool, &volume, access, holder.as_ref()).await?);
        #[cfg(target_family = "wasm")]
        queue::opened(device.clone());
        Ok(block::exports::fief::storage::block::Device::new(Handle(device)))
    }
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }
    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.0.read(offset, length).await
    }
    async fn write(&self, offset: u64, data: Vec<u8>, durable: bool) -> Result<()> {
        self.0.write(offset, data, durable).await
    }
    async fn flush(&self) -> Result<()> {
        self.0.flush().await
    }
    async fn discard(&self, offset: u64, length: u64) -> Result<()> {
        self.0.discard(offset, length).await
    }
    async fn write_zeroes(&self, offset: u64, length: u64, keep: bool, durable: bool) -> Result<()> {
        self.0.write_zeroes(offset, length, keep, durable).await
    }
    async fn extents(&self, offset: u64, length: u64) -> Result<Vec<Extent>> {
        self.0.extents(offset, length).await
    }
    async fn next_event(&self) -> Event {
        self.0.next_event().await
    }
    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}
