//! What a server is told while it serves, and what it tells.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use crate::Geometry;

/// Says things to a server that serves. All of it may be said at any time, and takes effect at once.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Rc<Shared>,
}

/// What a server has done since it began. `clients`: connections that have come through their handshake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    pub clients: usize,
    pub requests_in_flight: usize,
    pub connections_seen: u64,
    pub reads: u64,
    pub writes: u64,
    pub flushes: u64,
    /// Trims, zeroes, block status and the like.
    pub others: u64,
    pub errors: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
}

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// New requests are answered with ESHUTDOWN.
    Soft,
    /// New requests are left unread: a client that reconnects puts them to whoever listens then.
    HandOver,
}

/// What all connections of a server look at.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// In bytes, and whole blocks.
    pub(crate) size: Cell<u64>,
    pub(crate) block_size: u64,
    pub(crate) ending: Cell<Option<Ending>>,
    pub(crate) fenced: RefCell<Option<Rc<str>>>,
    /// Grows with each `drop_clients`: connections of an earlier number end.
    pub(crate) round: Cell<u64>,
    /// Connections that share memory and calls at the moment.
    pub(crate) busy: Cell<usize>,
    /// Connections that go away, and of which something is still being done.
    pub(crate) leaving: Cell<usize>,
    pub(crate) statistics: Cell<Statistics>,
    wakers: RefCell<Vec<Option<Waker>>>,
}

impl Handle {
    pub(crate) fn new(shared: Rc<Shared>) -> Self {
        Handle { shared }
    }

    /// The device has another size now, in bytes. NBD cannot tell a client of it: connections made from now on see it. A
    /// client that is there goes on within what it was told, or less where the device shrank.
    pub fn resized(&self, size: u64) {
        self.shared.size.set(size - size % self.shared.block_size);
    }

    /// Ends all connections, each when what it began is done and answered; requests that were not read yet are not. A
    /// client that reconnects puts them again, and sees what is true then (such as a new size).
    pub fn drop_clients(&self) {
        self.shared.round.set(self.shared.round.get() + 1);
        self.shared.wake_all();
    }

    /// Another host holds the volume: every request from now on fails with `reason`, and nobody is let in.
    pub fn fenced(&self, reason: &str) {
        *self.shared.fenced.borrow_mut() = Some(reason.into());
        self.shared.wake_all();
    }

    /// Ends serving: nobody is let in, new requests are answered with ESHUTDOWN, and each connection ends when what it
    /// began is done and answered. A guest sees an error for each request that comes in between.
    pub fn shut_down_softly(&self) {
        self.end(Ending::Soft);
    }

    /// Ends serving as [`drop_clients`](Self::drop_clients) does, for the one who listens on the same socket next: no
    /// request is refused.
    pub fn hand_over(&self) {
        self.end(Ending::HandOver);
    }

    pub fn statistics(&self) -> Statistics {
        self.shared.statistics.get()
    }

    fn end(&self, ending: Ending) {
        self.shared.ending.set(Some(ending));
        self.shared.wake_all();
    }
}

impl Shared {
    pub(crate) fn new(geometry: &Geometry) -> Self {
        Shared { size: Cell::new(geometry.size), block_size: geometry.block_size.into(), ..Shared::default() }
    }

    /// Wakes everyone who waits for bytes, to look at what was said.
    pub(crate) fn wake_all(&self) {
        for waker in self.wakers.borrow().iter().flatten() {
            waker.wake_by_ref();
        }
    }

    pub(crate) fn no_longer_leaving(&self) {
        self.leaving.set(self.leaving.get() - 1);
        self.wake_all();
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Statistics)) {
        let mut statistics = self.statistics.get();
        change(&mut statistics);
        self.statistics.set(statistics);
    }
}

/// A place in the list of those who are woken; given back when dropped.
#[derive(Debug)]
pub(crate) struct Listening<'s> {
    shared: &'s Shared,
    place: usize,
}

impl<'s> Listening<'s> {
    pub(crate) fn new(shared: &'s Shared) -> Self {
        let mut wakers = shared.wakers.borrow_mut();
        let free = wakers.iter().position(Option::is_none);
        let place = free.unwrap_or(wakers.len());
        if free.is_none() {
            wakers.push(None);
        }
        // Taken, by a waker that wakes nobody, until the first `register`.
        wakers[place] = Some(Waker::noop().clone());
        drop(wakers);
        Listening { shared, place }
    }

    /// Whoever waits says so before it looks.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut wakers = self.shared.wakers.borrow_mut();
        if !wakers[self.place].as_ref().is_some_and(|known| known.will_wake(waker)) {
            wakers[self.place] = Some(waker.clone());
        }
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.shared.wakers.borrow_mut()[self.place] = None;
    }
}
