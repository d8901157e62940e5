//! A device that knows what a server owes it, and what it owes a client.

use std::cell::{Cell, RefCell};

use fief_nbd::{Device, Error, Extent, Geometry, Kind};

/// Bytes in memory, of which those that a flush has covered are durable. Every call is held against the contract.
pub struct Disk {
    pub geometry: Geometry,
    pub bytes: RefCell<Vec<u8>>,
    /// What would be there after a power cut.
    pub durable: RefCell<Vec<u8>>,
    pub flushes: Cell<u32>,
    pub durable_writes: RefCell<Vec<(usize, Vec<u8>)>>,
    /// Changes so far, and how many of them the latest state has that was flushed.
    pub changes: Cell<u64>,
    pub flushed_up_to: Cell<u64>,
    /// Calls that are under way, and the most there ever were.
    pub calls: Cell<usize>,
    pub most_calls: Cell<usize>,
    /// Each call fails with this.
    pub fails: RefCell<Option<Error>>,
    /// Reads answer with this many bytes too few.
    pub short: Cell<usize>,
    /// Each call gives way this often, at random up to it: 0 is done at once.
    pub gives_way: u32,
    /// Bytes of a write that it wants before the rest; as much as there is where it is none.
    pub eager: Option<u32>,
    /// Lengths of all writes.
    pub written: RefCell<Vec<usize>>,
    /// While set, no call comes to its end.
    pub held: Cell<bool>,
    pub random: Cell<u64>,
}

impl Disk {
    pub fn new(geometry: Geometry) -> Self {
        let size = usize::try_from(geometry.size).expect("a disk that fits into memory");
        Disk {
            geometry,
            bytes: RefCell::new(vec![0; size]),
            durable: RefCell::new(vec![0; size]),
            flushes: Cell::new(0),
            durable_writes: RefCell::default(),
            changes: Cell::new(0),
            flushed_up_to: Cell::new(0),
            calls: Cell::new(0),
            most_calls: Cell::new(0),
            fails: RefCell::new(None),
            short: Cell::new(0),
            gives_way: 0,
            eager: None,
            written: RefCell::default(),
            held: Cell::new(false),
            random: Cell::new(0x9e37_79b9_7f4a_7c15),
        }
    }

    pub fn of(size: u64, block_size: u32) -> Self {
        Disk::new(Geometry {
            size,
            block_size,
            preferred_io: 4096,
            maximum_io: 64 << 10,
            maximum_requests: 16,
            can_discard: true,
            can_write_zeroes: true,
            can_extents: true,
            rotational: false,
            read_only: false,
        })
    }

    async fn call(&self, offset: u64, length: u64) -> Result<Call<'_>, Error> {
        let block = u64::from(self.geometry.block_size);
        assert!(offset.is_multiple_of(block) && length.is_multiple_of(block), "not whole blocks: {offset}+{length}");
        assert!(offset + length <= self.geometry.size, "outside: {offset}+{length}");
        self.calls.set(self.calls.get() + 1);
        self.most_calls.set(self.most_calls.get().max(self.calls.get()));
        let call = Call(self);
        for _ in 0..self.random(self.gives_way) {
            tokio::task::yield_now().await;
        }
        while self.held.get() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        match &*self.fails.borrow() {
            Some(error) => Err(error.clone()),
            None => Ok(call),
        }
    }

    /// A number below `most` (xorshift: the same ones each time).
    fn random(&self, most: u32) -> u32 {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        if most == 0 { 0 } else { (x >> 32) as u32 % most }
    }

    fn change(&self, offset: u64, data: &[u8], durable: bool) {
        let at = offset as usize;
        self.bytes.borrow_mut()[at..at + data.len()].copy_from_slice(data);
        self.changes.set(self.changes.get() + 1);
        if durable {
            self.durable.borrow_mut()[at..at + data.len()].copy_from_slice(data);
            self.durable_writes.borrow_mut().push((at, data.to_vec()));
        }
    }
}

/// A call under way.
struct Call<'d>(&'d Disk);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.calls.set(self.0.calls.get() - 1);
    }
}

impl Device for Disk {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        assert!(length > 0 && length <= self.geometry.maximum_io);
        let _call = self.call(offset, length.into()).await?;
        let at = offset as usize;
        let length = (length as usize).saturating_sub(self.short.get());
        Ok(self.bytes.borrow()[at..at + length].to_vec())
    }

    async fn write(&self, offset: u64, data: Vec<u8>, durable: bool) -> Result<(), Error> {
        assert!(!data.is_empty() && data.len() <= self.geometry.maximum_io as usize && !self.geometry.read_only);
        let _call = self.call(offset, data.len() as u64).await?;
        self.written.borrow_mut().push(data.len());
        self.change(offset, &data, durable);
        Ok(())
    }

    fn piece_of_write(&self, _offset: u64, length: u32) -> u32 {
        self.eager.unwrap_or(length)
    }

    async fn flush(&self) -> Result<(), Error> {
        // No more is promised than what is there now.
        let now = self.bytes.borrow().clone();
        let (changes, since) = (self.changes.get(), self.durable_writes.borrow().len());
        let _call = self.call(0, 0).await?;
        // A later flush may have come to its end before this one, and durable writes too.
        if changes > self.flushed_up_to.get() {
            self.flushed_up_to.set(changes);
            let mut durable = self.durable.borrow_mut();
            *durable = now;
            for (at, data) in &self.durable_writes.borrow()[since..] {
                durable[*at..*at + data.len()].copy_from_slice(data);
            }
        }
        self.flushes.set(self.flushes.get() + 1);
        Ok(())
    }

    async fn discard(&self, offset: u64, length: u64) -> Result<(), Error> {
        assert!(length > 0 && self.geometry.can_discard && !self.geometry.read_only);
        let _call = self.call(offset, length).await?;
        self.change(offset, &vec![0; length as usize], false);
        Ok(())
    }

    async fn write_zeroes(&self, offset: u64, length: u64, keep: bool, durable: bool) -> Result<(), Error> {
        assert!(length > 0 && self.geometry.can_write_zeroes && !self.geometry.read_only);
        let _call = self.call(offset, length).await?;
        if keep {
            return Err(Error::new(Kind::Unsupported, "this disk cannot keep blocks that it zeroes"));
        }
        self.change(offset, &vec![0; length as usize], durable);
        Ok(())
    }

    /// Blocks that are all zeroes are holes.
    async fn extents(&self, offset: u64, length: u64) -> Result<Vec<Extent>, Error> {
        assert!(length > 0 && self.geometry.can_extents);
        let _call = self.call(offset, length).await?;
        let at = offset as usize;
        let bytes = self.bytes.borrow();
        let extents = bytes[at..at + length as usize].chunks(512).map(|block| {
            let zero = block.iter().all(|&byte| byte == 0);
            Extent { length: block.len() as u64, hole: zero, zero }
        });
        Ok(extents.collect())
    }
}
