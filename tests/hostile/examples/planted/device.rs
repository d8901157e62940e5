//! A volume that is served. Where it errs, it does so as devices with a cache do.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use fief_sdk::block::{BlockDevice, Extent, Geometry, Holder};
use fief_sdk::files::File;
use fief_sdk::storage::Access;
use fief_sdk::{Error, Result};

use super::{Pool, Settings, existing, file, kept};

const BLOCK: u32 = 512;
const MAXIMUM: u32 = 64 << 10;
/// One write in so many is lost, where writes are.
const LOST: u32 = 23;

pub struct Device {
    file: File,
    size: u64,
    read_only: bool,
    mistake: String,
    /// What was written and is not in the file yet, by offset in blocks.
    cache: RefCell<BTreeMap<u64, Vec<u8>>>,
    writes: Cell<u32>,
    /// A sync has failed: what was written before may be lost.
    lost: Cell<bool>,
}

impl Device {
    fn errs(&self, mistake: &str) -> bool {
        self.mistake == mistake
    }

    /// Keeps in memory what ought to be written.
    fn caches(&self) -> bool {
        self.errs("flush-lies") || self.errs("durable-lies")
    }

    fn write_back(&self) -> Result<()> {
        for (block, bytes) in std::mem::take(&mut *self.cache.borrow_mut()) {
            self.file.write(block * u64::from(BLOCK), &bytes)?;
        }
        self.sync()
    }

    fn sync(&self) -> Result<()> {
        if self.lost.get() {
            return Err(Error::io("an earlier sync failed"));
        }
        match self.file.sync() {
            Err(_) if self.errs("sync-errors-swallowed") => Ok(()),
            Err(_) if self.errs("sync-tried-again") => self.file.sync(),
            Err(error) => {
                self.lost.set(!self.errs("sync-errors-forgotten"));
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    fn put(&self, offset: u64, data: &[u8]) -> Result<()> {
        match self.file.write(offset, data) {
            Err(_) if self.errs("write-errors-swallowed") => Ok(()),
            Err(error) if self.errs("write-errors-trap") => panic!("{}", error.message),
            Err(error) if self.errs("write-errors-stray") => {
                self.file.write(0, &[0; BLOCK as usize])?;
                Err(error)
            }
            other => other,
        }
    }

    fn forget(&self, offset: u64, length: u64) {
        let block = |at: u64| at / u64::from(BLOCK);
        self.cache.borrow_mut().retain(|at, _| *at < block(offset) || *at >= block(offset + length));
    }
}

impl BlockDevice for Device {
    type Settings = Settings;

    async fn open(pool: &Pool, volume: &str, access: Access, holder: Option<&Holder>) -> Result<Self> {
        let size = existing(pool, volume)?;
        let mistake = pool.settings.mistake.clone();
        let newest = kept::fence(pool, volume)?.generation;
        if holder.is_some_and(|holder| holder.generation < newest) && mistake != "opens-old" {
            return Err(Error::wrong_state("a newer generation was seen"));
        }
        let read_only = access == Access::ReadOnly || holder.is_none();
        let file = File::open(&pool.settings.directory, &file(pool, volume), !read_only)?;
        let (cache, writes, lost) = (RefCell::default(), Cell::new(0), Cell::new(false));
        Ok(Device { file, size, read_only, mistake, cache, writes, lost })
    }

    fn geometry(&self) -> Geometry {
        Geometry {
            size: if self.errs("geometry-small") { self.size / 2 } else { self.size },
            block_size: BLOCK,
            preferred_io: 4096,
            maximum_io: MAXIMUM,
            maximum_requests: 16,
            can_discard: true,
            can_write_zeroes: true,
            can_extents: false,
            rotational: false,
            read_only: self.read_only,
        }
    }

    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let mut bytes = match self.file.read(offset, length) {
            Err(_) if self.errs("read-errors-swallowed") => vec![0; length as usize],
            Err(error) if self.errs("read-errors-trap") => panic!("{}", error.message),
            read => read?,
        };
        let cache = self.cache.borrow();
        for (number, block) in bytes.chunks_mut(BLOCK as usize).enumerate() {
            if let Some(cached) = cache.get(&(offset / u64::from(BLOCK) + number as u64)) {
                block.copy_from_slice(cached);
            }
        }
        Ok(bytes)
    }

    async fn write(&self, offset: u64, mut data: Vec<u8>, durable: bool) -> Result<()> {
        self.writes.set(self.writes.get() + 1);
        if self.errs("writes-lost") && self.writes.get().is_multiple_of(LOST) {
            return Ok(());
        }
        if self.errs("seams") && data.len() == MAXIMUM as usize {
            data.truncate(data.len() - BLOCK as usize);
        }
        if self.caches() && !(durable && self.errs("flush-lies")) {
            let mut cache = self.cache.borrow_mut();
            for (number, block) in data.chunks(BLOCK as usize).enumerate() {
                cache.insert(offset / u64::from(BLOCK) + number as u64, block.to_vec());
            }
            return Ok(());
        }
        self.forget(offset, data.len() as u64);
        self.put(offset, &data)?;
        if durable { self.sync() } else { Ok(()) }
    }

    async fn flush(&self) -> Result<()> {
        if self.errs("flush-lies") { Ok(()) } else { self.write_back() }
    }

    async fn discard(&self, offset: u64, length: u64) -> Result<()> {
        self.forget(offset, length);
        let more = if self.errs("discard-strays") { (self.size - offset - length).min(u64::from(BLOCK)) } else { 0 };
        self.file.punch(offset, length + more)
    }

    async fn write_zeroes(&self, offset: u64, length: u64, _: bool, durable: bool) -> Result<()> {
        if self.errs("zeroes-lie") {
            return Ok(());
        }
        self.forget(offset, length);
        self.file.punch(offset, length)?;
        if durable { self.sync() } else { Ok(()) }
    }

    async fn extents(&self, _: u64, length: u64) -> Result<Vec<Extent>> {
        Ok(vec![Extent { length, hole: false, zero: false }])
    }

    async fn close(&self) -> Result<()> {
        self.write_back()
    }
}
