//! A volume that is served: the guest's reads and writes, many at a time.
//!
//! ```text
//!   open      the folder, the file, its lease ▸ opened and locked on the server ▸ all connections
//!   image     a qcow2 image, for reading
//!   io        read, write, discard, zeroes, extents
//!   flush     what the server may still lose is committed, or written again
//!   watch     the lease is renewed and looked at, the size is looked at; after each reconnect, too
//! ```

mod flush;
mod image;
mod io;
mod open;
mod watch;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use fief_sdk::block::{BlockDevice, Event, Extent, Geometry, Holder};
use fief_sdk::payload::Data;
use fief_sdk::storage::{Access, Pool};
use fief_sdk::{Error, Result};
use futures_util::lock::Mutex;

use crate::export::Export;
use crate::gate::Gate;
use crate::kept::Kept;
use crate::settings::Settings;
use crate::types::{FileId, Handle};
use crate::wire::events::Events;
use crate::wire::many::Many;

/// Guests speak in sectors of this.
const BLOCK: u64 = 512;
/// What the server may still lose, in bytes: past it, a write waits for a commit. Memory of a sandbox is scarce.
const MOST_KEPT: usize = 6 << 20;
/// Calls at a time.
const DEPTH: u32 = 32;

pub struct Device(Rc<Served>);

struct Served {
    export: Export<Many>,
    wire: Many,
    events: Rc<Events>,
    volume: String,
    file: Handle,
    id: FileId,
    /// Of the file, in bytes.
    size: Cell<u64>,
    /// A qcow2 image; of a raw volume, the file is what the guest sees.
    image: OnceCell<image::Image>,
    read_only: bool,
    holder: Option<Holder>,
    depth: u32,
    can_discard: Cell<bool>,
    can_extents: Cell<bool>,
    kept: RefCell<Kept>,
    gate: Gate,
    /// One commit, and one opening anew, at a time.
    committing: Mutex<()>,
    reopening: Mutex<()>,
    /// Data was lost: told at every flush from then on.
    lost: RefCell<Option<Error>>,
}

impl BlockDevice for Device {
    type Settings = Settings;

    async fn open(pool: &Pool<Settings>, volume: &str, access: Access, holder: Option<&Holder>) -> Result<Self> {
        open::open(&pool.settings, volume, access, holder).await.map(Device)
    }

    fn geometry(&self) -> Geometry {
        let served = &self.0;
        let limits = served.export.limits;
        Geometry {
            size: served.image.get().map_or(served.size.get(), |image| image.map.size).next_multiple_of(BLOCK),
            block_size: BLOCK as u32,
            preferred_io: 4096,
            maximum_io: limits.read.min(limits.write) / 4096 * 4096,
            maximum_requests: served.depth,
            can_discard: served.can_discard.get() && !served.read_only,
            can_write_zeroes: served.can_discard.get() && !served.read_only,
            can_extents: served.can_extents.get() || served.image.get().is_some(),
            rotational: false,
            read_only: served.read_only,
        }
    }

    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.0.read(offset, length).await.map(Data::into_bytes)
    }

    async fn read_data(&self, offset: u64, length: u32) -> Result<Data> {
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
        self.0.events.next().await
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}
