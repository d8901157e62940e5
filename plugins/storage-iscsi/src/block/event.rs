//! Events on their way to the host, which asks for one at a time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use fief_sdk::block::Event;

/// Events that wait; a host that asks for none for so long only needs the latest.
const MOST: usize = 16;

#[derive(Default)]
pub(super) struct Events {
    waiting: RefCell<VecDeque<Event>>,
    asking: RefCell<Option<Waker>>,
}

impl Events {
    pub(super) fn tell(&self, event: Event) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() == MOST {
            waiting.pop_front();
        }
        waiting.push_back(event);
        if let Some(asking) = self.asking.borrow_mut().take() {
            asking.wake();
        }
    }

    pub(super) async fn next(&self) -> Event {
        poll_fn(|context| match self.waiting.borrow_mut().pop_front() {
            Some(event) => Poll::Ready(event),
            None => {
                *self.asking.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}
