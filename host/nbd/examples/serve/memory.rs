//! Memory as a device. What was never written, or was discarded, is a hole.

use std::cell::RefCell;
use std::collections::HashMap;

use fief_nbd::{Device, Error, Extent, Geometry};

/// What is kept or not kept, in bytes.
const PAGE: u64 = 4096;

pub(crate) struct Memory {
    pub(crate) geometry: Geometry,
    pages: RefCell<HashMap<u64, Box<[u8; PAGE as usize]>>>,
}

impl Memory {
    pub(crate) fn new(size: u64) -> Self {
        let geometry = Geometry {
            size,
            block_size: 1,
            preferred_io: 4096,
            maximum_io: 1 << 20,
            maximum_requests: 64,
            can_discard: true,
            can_write_zeroes: true,
            can_extents: true,
            rotational: false,
            read_only: false,
        };
        Memory { geometry, pages: RefCell::default() }
    }

    /// The pages that hold a stretch, and the part of each: its number, where it begins, how long it is.
    fn parts(offset: u64, length: u64) -> impl Iterator<Item = (u64, usize, usize)> {
        let end = offset + length;
        (offset / PAGE..end.div_ceil(PAGE)).map(move |page| {
            let from = (page * PAGE).max(offset);
            let to = ((page + 1) * PAGE).min(end);
            (page, (from % PAGE) as usize, (to - from) as usize)
        })
    }
}

impl Device for Memory {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        let mut data = Vec::with_capacity(length as usize);
        let pages = self.pages.borrow();
        for (page, from, length) in Memory::parts(offset, length.into()) {
            match pages.get(&page) {
                Some(page) => data.extend_from_slice(&page[from..from + length]),
                None => data.resize(data.len() + length, 0),
            }
        }
        Ok(data)
    }

    async fn write(&self, offset: u64, data: Vec<u8>, _durable: bool) -> Result<(), Error> {
        let mut pages = self.pages.borrow_mut();
        let mut rest = &data[..];
        for (page, from, length) in Memory::parts(offset, data.len() as u64) {
            let (here, after) = rest.split_at(length);
            pages.entry(page).or_insert_with(|| Box::new([0; PAGE as usize]))[from..from + length]
                .copy_from_slice(here);
            rest = after;
        }
        Ok(())
    }

    async fn flush(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn discard(&self, offset: u64, length: u64) -> Result<(), Error> {
        self.write_zeroes(offset, length, false, false).await
    }

    async fn write_zeroes(&self, offset: u64, length: u64, keep: bool, _durable: bool) -> Result<(), Error> {
        let mut pages = self.pages.borrow_mut();
        for (page, from, length) in Memory::parts(offset, length) {
            if length as u64 == PAGE && !keep {
                pages.remove(&page);
            } else if keep {
                pages.entry(page).or_insert_with(|| Box::new([0; PAGE as usize]))[from..from + length].fill(0);
            } else if let Some(page) = pages.get_mut(&page) {
                page[from..from + length].fill(0);
            }
        }
        Ok(())
    }

    async fn extents(&self, offset: u64, length: u64) -> Result<Vec<Extent>, Error> {
        let pages = self.pages.borrow();
        let mut extents: Vec<Extent> = Vec::new();
        for (page, _, length) in Memory::parts(offset, length) {
            let hole = !pages.contains_key(&page);
            match extents.last_mut() {
                Some(last) if last.hole == hole => last.length += length as u64,
                _ => extents.push(Extent { length: length as u64, hole, zero: hole }),
            }
        }
        Ok(extents)
    }
}
