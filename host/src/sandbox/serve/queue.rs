//! Reads and writes that the plugin takes itself, many at a time (`block-queue`): one call of the plugin runs on and on, and
//! the engine is paid once for all that it takes and once for all that came to it meanwhile.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use tokio::sync::oneshot;

use crate::sandbox::version::v0_1::fief::types::types::Error;

/// Most that are taken at a time: while they are done, the client is to have something to do with those before.
const MOST_TAKEN: usize = 8;
/// Most bytes of them, past the first: what is read or written is to be in the processor's caches still when it is passed on.
const MOST_BYTES: usize = 128 << 10;

/// What is to be done.
pub(in crate::sandbox) enum Asked {
    Read { offset: u64, length: u32 },
    Write { offset: u64, data: Vec<u8>, durable: bool },
}

/// What was read, or no bytes for what was written.
pub(in crate::sandbox) type Outcome = Result<Vec<u8>, Error>;

#[derive(Clone, Default)]
pub(in crate::sandbox) struct Queue(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    last: u64,
    /// No longer than there are requests.
    waiting: VecDeque<(u64, Asked)>,
    open: HashMap<u64, oneshot::Sender<Outcome>>,
    taker: Option<Waker>,
}

impl Queue {
    /// Has it done. Waits for ever where the plugin ended.
    pub(super) async fn ask(&self, asked: Asked) -> Outcome {
        let (answer, answered) = oneshot::channel();
        if let Ok(mut inner) = self.0.lock() {
            inner.last += 1;
            let number = inner.last;
            inner.waiting.push_back((number, asked));
            inner.open.insert(number, answer);
            if let Some(taker) = inner.taker.take() {
                taker.wake();
            }
        }
        match answered.await {
            Ok(outcome) => outcome,
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits for something to do. What is there already waits for a moment too: what was answered before is sent first.
    pub(in crate::sandbox) async fn take(&self) -> Vec<(u64, Asked)> {
        let mut waited = false;
        poll_fn(|context| {
            let Ok(mut inner) = self.0.lock() else { return Poll::Pending };
            let first = !std::mem::replace(&mut waited, true);
            if inner.waiting.is_empty() {
                inner.taker = Some(context.waker().clone());
                return Poll::Pending;
            }
            if first {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let mut bytes = 0;
            let fits = |(_, asked): &&(u64, Asked)| {
                bytes += asked.weight();
                bytes <= MOST_BYTES
            };
            let count = inner.waiting.iter().take(MOST_TAKEN).take_while(fits).count();
            Poll::Ready(inner.waiting.drain(..count.max(1)).collect())
        })
        .await
    }

    /// False where nothing of this number is open.
    pub(in crate::sandbox) fn answer(&self, number: u64, outcome: Outcome) -> bool {
        let open = self.0.lock().ok().and_then(|mut inner| inner.open.remove(&number));
        // Whoever asked may be gone.
        open.map(|answer| drop(answer.send(outcome))).is_some()
    }
}

impl Asked {
    /// In bytes of data.
    fn weight(&self) -> usize {
        match self {
            Asked::Read { length, .. } => *length as usize,
            Asked::Write { data, .. } => data.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn read(offset: u64) -> Asked {
        Asked::Read { offset, length: 1 }
    }

    fn write(bytes: usize) -> Asked {
        Asked::Write { offset: 0, data: vec![0; bytes], durable: false }
    }

    #[tokio::test]
    async fn what_waits_is_taken_in_order_and_answered_in_any() {
        let queue = Queue::default();
        let mut taking = Box::pin(queue.take());
        assert!(taking.as_mut().now_or_never().is_none() && taking.as_mut().now_or_never().is_none());
        let (mut first, mut second) = (Box::pin(queue.ask(read(1))), Box::pin(queue.ask(read(2))));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        let taken = taking.await;
        let offsets: Vec<_> =
            taken.iter().map(|(_, asked)| matches!(asked, Asked::Read { offset, .. } if *offset == 1)).collect();
        assert_eq!(offsets, [true, false]);
        assert!(queue.answer(taken[1].0, Ok(vec![2])));
        assert!(first.as_mut().now_or_never().is_none());
        assert_eq!(second.await.unwrap(), [2]);
        assert!(!queue.answer(taken[1].0, Ok(vec![2])), "once is enough");
        assert!(queue.answer(taken[0].0, Ok(vec![1])));
        assert_eq!(first.await.unwrap(), [1]);
    }

    #[tokio::test]
    async fn no_more_is_taken_at_a_time_than_suits_and_something_always() {
        let queue = Queue::default();
        let mut asking: Vec<_> = (0..MOST_TAKEN as u64 + 1).map(|offset| Box::pin(queue.ask(read(offset)))).collect();
        asking.extend([MOST_BYTES / 2, MOST_BYTES, MOST_BYTES * 2, 1].map(|bytes| Box::pin(queue.ask(write(bytes)))));
        asking.iter_mut().for_each(|asked| assert!(asked.as_mut().now_or_never().is_none()));
        let mut counts = Vec::new();
        for _ in 0..5 {
            counts.push(queue.take().await.len());
        }
        assert_eq!(counts, [MOST_TAKEN, 2, 1, 1, 1]);
    }
}
