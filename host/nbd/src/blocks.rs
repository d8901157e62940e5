//! Whose turn it is where a part of a block is written: reading the block, changing it and writing it back must not be
//! crossed by another write to the same block.
//!
//! A queue: each write takes a place, and goes on once nobody before it is in its way. Two whole writes are never in each
//! other's; that is for the client to order.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ops::Range;
use std::task::{Poll, Waker};

#[derive(Debug, Default)]
pub(crate) struct Blocks {
    queue: RefCell<Vec<Place>>,
    next: Cell<u64>,
}

#[derive(Debug)]
struct Place {
    number: u64,
    bytes: Range<u64>,
    /// Reads what it writes back.
    partial: bool,
    waker: Option<Waker>,
}

/// A turn; the next ones go on when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'b> {
    blocks: &'b Blocks,
    number: u64,
}

impl Blocks {
    /// Waits until nobody who came before is in the way. `bytes` are whole blocks.
    pub(crate) async fn turn(&self, bytes: Range<u64>, partial: bool) -> Turn<'_> {
        let number = self.next.get();
        self.next.set(number + 1);
        self.queue.borrow_mut().push(Place { number, bytes, partial, waker: None });
        let turn = Turn { blocks: self, number };
        poll_fn(|context| {
            let mut queue = self.queue.borrow_mut();
            let Some(at) = queue.iter().position(|place| place.number == number) else { return Poll::Ready(()) };
            let (before, rest) = queue.split_at_mut(at);
            let Some(own) = rest.first_mut() else { return Poll::Ready(()) };
            if before.iter().any(|place| place.in_the_way_of(own)) {
                own.waker = Some(context.waker().clone());
                Poll::Pending
            } else {
                own.waker = None;
                Poll::Ready(())
            }
        })
        .await;
        turn
    }
}

impl Place {
    fn in_the_way_of(&self, other: &Place) -> bool {
        (self.partial || other.partial) && self.bytes.start < other.bytes.end && other.bytes.start < self.bytes.end
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queue = self.blocks.queue.borrow_mut();
        queue.retain(|place| place.number != self.number);
        for place in queue.iter_mut() {
            if let Some(waker) = place.waker.take() {
                waker.wake();
            }
        }
    }
}
