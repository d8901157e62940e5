//! What the host is told of a volume while it is open, and who waits for a change of something.

use std::cell::RefCell;
use std::collections::VecDeque;

use fief_sdk::block::Event;
use futures_channel::oneshot;

/// Wakes all who wait.
#[derive(Default)]
pub(crate) struct Bell {
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
}

impl Bell {
    pub(crate) fn ring(&self) {
        for waiter in self.waiting.take() {
            let _ = waiter.send(());
        }
    }

    /// Until the next ring. Whoever looks at something and then waits misses none: nothing runs in between.
    pub(crate) async fn wait(&self) {
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().push(sender);
        let _ = receiver.await;
    }
}

/// What the storage is degraded in. One of them may be well while another is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum In {
    /// The server does not answer, or not as it should.
    Answers,
    /// The volume is not what it was.
    Volume,
}

/// Events that nobody has asked for yet are few: of each kind the last counts.
#[derive(Default)]
pub(crate) struct Events {
    queue: RefCell<VecDeque<Event>>,
    degraded: RefCell<Vec<In>>,
    bell: Bell,
}

impl Events {
    pub(crate) fn tell(&self, event: Event) {
        let kind = std::mem::discriminant(&event);
        let mut queue = self.queue.borrow_mut();
        queue.retain(|waiting| std::mem::discriminant(waiting) != kind);
        queue.push_back(event);
        drop(queue);
        self.bell.ring();
    }

    /// Tells it once, until it is restored.
    pub(crate) fn degraded(&self, what: In, why: impl Into<String>) {
        if !self.degraded.borrow().contains(&what) {
            self.degraded.borrow_mut().push(what);
            self.tell(Event::Degraded(why.into()));
        }
    }

    /// Tells it where nothing else is wrong.
    pub(crate) fn restored(&self, what: In) {
        let mut degraded = self.degraded.borrow_mut();
        let before = degraded.len();
        degraded.retain(|other| *other != what);
        let last = before > 0 && degraded.is_empty();
        drop(degraded);
        if last {
            self.tell(Event::Restored);
        }
    }

    pub(crate) async fn next(&self) -> Event {
        loop {
            let next = self.queue.borrow_mut().pop_front();
            match next {
                Some(event) => return event,
                None => self.bell.wait().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_long_outage_is_told_once() {
        let events = Events::default();
        events.degraded(In::Answers, "it is frozen");
        events.degraded(In::Answers, "still");
        assert_eq!(events.next().now_or_never(), Some(Event::Degraded("it is frozen".into())));
        assert_eq!(events.next().now_or_never(), None);
        events.restored(In::Answers);
        events.restored(In::Answers);
        assert_eq!(events.next().now_or_never(), Some(Event::Restored));
        assert_eq!(events.next().now_or_never(), None);
    }

    #[test]
    fn it_is_well_again_once_nothing_is_wrong_any_more() {
        let events = Events::default();
        events.degraded(In::Answers, "it is frozen");
        events.degraded(In::Volume, "another file is there");
        assert_eq!(events.next().now_or_never(), Some(Event::Degraded("another file is there".into())));
        events.restored(In::Volume);
        assert_eq!(events.next().now_or_never(), None);
        events.restored(In::Answers);
        assert_eq!(events.next().now_or_never(), Some(Event::Restored));
    }
}
