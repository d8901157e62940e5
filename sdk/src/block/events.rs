//! What a device tells the host, kept until it is asked for.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use super::Event;

/// The events of a volume, for [`next_event`](super::BlockDevice::next_event). Those that nobody has asked for yet are few: of
/// each kind the last counts.
///
/// What is degraded has *parts*, named by the device, since one may be well while another is not: the server may answer
/// again, and have another volume.
#[derive(Debug, Default)]
pub struct Events {
    queue: RefCell<VecDeque<Event>>,
    degraded: RefCell<Vec<&'static str>>,
    waiting: RefCell<Option<Waker>>,
}

impl Events {
    pub fn tell(&self, event: Event) {
        let kind = std::mem::discriminant(&event);
        let mut queue = self.queue.borrow_mut();
        queue.retain(|waiting| std::mem::discriminant(waiting) != kind);
        queue.push_back(event);
        drop(queue);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// Tells it once, until this part is [`restored`](Self::restored).
    pub fn degraded(&self, part: &'static str, why: impl Into<String>) {
        if !self.degraded.borrow().contains(&part) {
            self.degraded.borrow_mut().push(part);
            self.tell(Event::Degraded(why.into()));
        }
    }

    /// Tells it where this part was the last that was not well.
    pub fn restored(&self, part: &'static str) {
        let mut degraded = self.degraded.borrow_mut();
        let before = degraded.len();
        degraded.retain(|other| *other != part);
        let last = before > 0 && degraded.is_empty();
        drop(degraded);
        if last {
            self.tell(Event::Restored);
        }
    }

    /// Waits for the next one. One caller at a time.
    pub async fn next(&self) -> Event {
        poll_fn(|context| match self.queue.borrow_mut().pop_front() {
            Some(event) => Poll::Ready(event),
            None => {
                self.waiting.replace(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::block_on;

    async fn told(events: &Events) -> Option<Event> {
        tokio::select! {
            biased;
            event = events.next() => Some(event),
            () = crate::timer::wait(1) => None,
        }
    }

    #[test]
    fn a_long_outage_is_told_once() {
        block_on(async {
            let events = Events::default();
            events.degraded("answers", "it is frozen");
            events.degraded("answers", "still");
            assert_eq!(told(&events).await, Some(Event::Degraded("it is frozen".into())));
            assert_eq!(told(&events).await, None);
            events.restored("answers");
            events.restored("answers");
            assert_eq!(told(&events).await, Some(Event::Restored));
            assert_eq!(told(&events).await, None);
        });
    }

    #[test]
    fn it_is_well_again_once_no_part_is_degraded_any_more() {
        block_on(async {
            let events = Events::default();
            events.degraded("answers", "it is frozen");
            events.degraded("volume", "another file is there");
            assert_eq!(told(&events).await, Some(Event::Degraded("another file is there".into())));
            events.restored("volume");
            assert_eq!(told(&events).await, None);
            events.restored("answers");
            assert_eq!(told(&events).await, Some(Event::Restored));
        });
    }

    #[test]
    fn whoever_waits_is_woken() {
        block_on(async {
            let events = std::rc::Rc::new(Events::default());
            let later = events.clone();
            crate::spawn(async move {
                crate::timer::wait(5).await;
                later.tell(Event::Resized(512));
            });
            assert_eq!(events.next().await, Event::Resized(512));
        });
    }
}
