//! A disk that is served: many commands in flight over a session that is made anew whenever it breaks.
//!
//! ```text
//!   request ─▸ submit ─▸ session ─▸ send            keep     connects, checks, hands over to `receive`; after a break
//!      ▴                    │                                keeps what had no answer, and begins again
//!      └──── answer ◂── receive                     watch    pings a silent target, looks for a new size
//! ```
//! Nothing of the guest's goes over a new session before the unit has been found to be the same and to be ours
//! ([`keep`]). Commands that had no answer are then sent again: reads, writes, UNMAP, WRITE SAME and SYNCHRONIZE CACHE
//! can all be done twice, and the target has ended those of the old session before it let the new one in (RFC 7143,
//! section 6.3.5).

mod event;
mod keep;
mod link;
mod perform;
mod ranges;
mod watch;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fief_sdk::block::{BlockDevice, Event, Extent, Geometry, Holder};
use fief_sdk::payload::Data;
use fief_sdk::storage::Access;
use fief_sdk::{Error, Result};
use futures_util::lock::Mutex;

use crate::fence::Key;
use crate::isid;
use crate::scsi::command;
use crate::settings::{IscsiPool, Settings};
use crate::unit::Unit;
use event::Events;
use link::Phase;
use ranges::pieces;

/// Most bytes of one command: enough for a target's full speed, little enough that thirty-two of them fit in memory.
const LONGEST: u32 = 256 << 10;
/// Commands that help; a target's window is about as large.
const MOST_REQUESTS: u32 = 64;
/// What guests should ask for at least.
const PREFERRED: u32 = 4096;
/// Blocks that one command frees or zeroes where the unit names no bound: a target should not be busy with it for long.
const STRETCH: u64 = 128 << 10;

/// A volume that is open.
pub struct Disk(Rc<Shared>);

struct Shared {
    pool: IscsiPool,
    volume: String,
    lun: [u8; 8],
    isid: [u8; 6],
    /// Who writes; none where nothing is written.
    ours: Option<Key>,
    read_only: bool,
    phase: RefCell<Phase>,
    unit: RefCell<Unit>,
    events: Events,
    /// Changes of the unit's keys that we know of.
    changes: Cell<Option<u32>>,
    /// Nobody had taken the unit for us: what `open` took, `close` lets go of.
    taken_here: bool,
    /// The unit said that something about it is new.
    look_again: Cell<bool>,
    /// A flush failed: what was written before may be lost, and no later flush may say otherwise.
    lost: RefCell<Option<Error>>,
    /// What the unit turned out not to have, whatever its pages say.
    lacks: Cell<Lacks>,
    /// The host was told that calls wait.
    away: Cell<bool>,
    /// The unit was not ready, or did not answer, for so long that the guest was told.
    given_up: Cell<bool>,
    /// The target had no such unit: what is there next has to be looked at before anything of the guest's goes to it.
    unknown: Cell<bool>,
    /// Somebody asks the unit what it is now.
    looking: Cell<bool>,
    /// How often the unit was found to be ours; one asks at a time.
    secured: Cell<u64>,
    securing: Mutex<()>,
    closing: Cell<bool>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Lacks {
    durable_writes: bool,
    write_same: bool,
    map: bool,
}

impl BlockDevice for Disk {
    type Settings = Settings;

    async fn open(pool: &IscsiPool, volume: &str, access: Access, holder: Option<&Holder>) -> Result<Self> {
        let (_, lun) = crate::control::unit_of(pool, volume)?;
        let isid = match holder {
            // The same for every sandbox that serves this attachment: the next one ends what the last left behind.
            Some(holder) => isid::for_words(&["block", &holder.host, &holder.domain, volume]),
            None => isid::new()?,
        };
        let read_only = access == Access::ReadOnly || holder.is_none();
        keep::open(pool.clone(), volume.to_owned(), lun, isid, holder.map(Key::of), read_only).await.map(Disk)
    }

    fn geometry(&self) -> Geometry {
        let shared = &self.0;
        let unit = shared.unit.borrow();
        let lacks = shared.lacks.get();
        let longest = match unit.limits.transfer {
            0 => LONGEST,
            blocks => LONGEST.min(blocks.saturating_mul(unit.capacity.block)),
        };
        Geometry {
            size: unit.capacity.bytes(),
            block_size: unit.capacity.block,
            preferred_io: PREFERRED.max(unit.capacity.block),
            maximum_io: longest,
            maximum_requests: MOST_REQUESTS,
            can_discard: unit.provisioning.unmap && unit.limits.unmap > 0,
            can_write_zeroes: !lacks.write_same,
            can_extents: unit.capacity.thin && !lacks.map,
            rotational: unit.rotates,
            read_only: shared.read_only || unit.mode.write_protected,
        }
    }

    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.read_data(offset, length).await.map(Data::into_bytes)
    }

    async fn read_data(&self, offset: u64, length: u32) -> Result<Data> {
        let (block, blocks) = self.0.blocks(offset, length.into())?;
        self.0.perform(command::read(self.0.lun, block, blocks, length), "cannot read").await
    }

    async fn write(&self, offset: u64, data: Vec<u8>, durable: bool) -> Result<()> {
        let (block, blocks) = self.0.blocks(offset, data.len() as u64)?;
        let how = self.0.durability(durable);
        let write = command::write(self.0.lun, block, blocks, data, how == Durability::Bit);
        self.0.perform(write, "cannot write").await?;
        match how {
            Durability::Flush => self.flush().await,
            Durability::Bit | Durability::Given => Ok(()),
        }
    }

    async fn flush(&self) -> Result<()> {
        self.0.flush().await
    }

    async fn discard(&self, offset: u64, length: u64) -> Result<()> {
        let limit = u64::from(self.0.unit.borrow().limits.unmap).min(STRETCH);
        for (block, blocks) in pieces(self.0.range(offset, length)?, limit) {
            self.0.perform(command::unmap(self.0.lun, block, blocks), "cannot discard").await?;
        }
        Ok(())
    }

    async fn write_zeroes(&self, offset: u64, length: u64, keep: bool, durable: bool) -> Result<()> {
        self.0.write_zeroes(offset, length, keep).await?;
        match self.0.durability(durable) {
            Durability::Given => Ok(()),
            Durability::Bit | Durability::Flush => self.flush().await,
        }
    }

    async fn extents(&self, offset: u64, length: u64) -> Result<Vec<Extent>> {
        self.0.extents(offset, length).await
    }

    async fn next_event(&self) -> Event {
        self.0.events.next().await
    }

    async fn close(&self) -> Result<()> {
        let flushed = if self.0.read_only { Ok(()) } else { self.flush().await };
        self.0.close().await;
        flushed
    }
}

/// How a write gets onto stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// It is by itself, or need not be.
    Given,
    /// By the command's bit FUA.
    Bit,
    /// By a flush after it.
    Flush,
}

impl Shared {
    fn durability(&self, durable: bool) -> Durability {
        let mode = self.unit.borrow().mode;
        if !(durable || self.pool.settings.durable_writes) || !mode.write_cache {
            return Durability::Given;
        }
        match mode.durable_writes && !self.lacks.get().durable_writes {
            true => Durability::Bit,
            false => Durability::Flush,
        }
    }

    async fn flush(self: &Rc<Self>) -> Result<()> {
        if let Some(lost) = &*self.lost.borrow() {
            return Err(lost.clone());
        }
        if !self.unit.borrow().mode.write_cache {
            return Ok(());
        }
        self.perform(command::synchronize(self.lun), "cannot flush").await.map(drop).inspect_err(|error| {
            // Others, like a unit that is away, say nothing about what was written.
            if error.code == fief_sdk::ErrorCode::Io {
                *self.lost.borrow_mut() = Some(error.clone());
            }
        })
    }

    async fn write_zeroes(self: &Rc<Self>, offset: u64, length: u64, keep: bool) -> Result<()> {
        if self.lacks.get().write_same {
            return Err(Error::unsupported("the unit does not zero blocks by itself"));
        }
        let unit = self.unit.borrow().clone();
        let limit = match unit.limits.write_same {
            0 => STRETCH,
            limit => limit.min(STRETCH),
        };
        let free = !keep && unit.provisioning.write_same && unit.capacity.zeroed;
        for (block, blocks) in pieces(self.range(offset, length)?, limit) {
            let zeroes = command::write_zeroes(self.lun, block, blocks, unit.capacity.block, free);
            self.perform(zeroes, "cannot write zeroes").await.inspect_err(|error| {
                if error.code == fief_sdk::ErrorCode::Unsupported {
                    self.lacks.set(Lacks { write_same: true, ..self.lacks.get() });
                }
            })?;
        }
        Ok(())
    }

    async fn extents(self: &Rc<Self>, offset: u64, length: u64) -> Result<Vec<Extent>> {
        let data = || vec![Extent { length, hole: false, zero: false }];
        let range = self.range(offset, length)?;
        let capacity = self.unit.borrow().capacity;
        if self.lacks.get().map || !capacity.thin {
            return Ok(data());
        }
        match self.perform(command::get_lba_status(self.lun, range.first), "cannot ask what is stored").await {
            Ok(map) => Ok(ranges::extents(&crate::scsi::capacity::stretches(&map.into_bytes()), range, &capacity)),
            Err(error) if error.code == fief_sdk::ErrorCode::Unsupported => {
                self.lacks.set(Lacks { map: true, ..self.lacks.get() });
                Ok(data())
            }
            Err(error) => Err(error),
        }
    }
}
