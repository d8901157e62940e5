//! What a thread that serves a volume does when nothing is left to do: it looks on for a moment before it sleeps.
//!
//! To sleep and to be woken costs a request more than the request itself, on this side and on whoever wakes it; and what
//! is waited for, at one request at a time, is there within some 50 µs. So the thread asks for events without sleeping,
//! for as long as that paid lately and no longer than policy says, as QEMU's `poll-max-ns` and the kernel's haltpoll do.
//! Between two looks the processor is offered to others. Where one of them keeps it for longer, which shows in the time
//! that passed, it is left to them for a while, longer each time.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;

/// The window after one that was closed.
const FIRST: Duration = Duration::from_micros(10);
/// Two looks are at most this far apart where nobody else, or somebody for a short while only, was let in between.
const TAKEN: Duration = Duration::from_micros(100);
/// How long it then sleeps at once: at first, and at most.
const YIELDS_FOR: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(256));

/// The runtime's hooks, and the task that keeps it awake.
pub(in crate::sandbox) struct Looking {
    clock: Instant,
    /// Of a task that does nothing: while it is woken, the runtime only looks for events.
    awake: AtomicWaker,
    idle: Mutex<Idle>,
}

impl Looking {
    /// `most`: how long one look may last.
    pub(in crate::sandbox) fn new(most: Duration) -> Arc<Self> {
        Arc::new(Looking { clock: Instant::now(), awake: AtomicWaker::new(), idle: Mutex::new(Idle::new(most)) })
    }

    /// Within the runtime.
    pub(super) fn begin(self: &Arc<Self>) {
        let looking = self.clone();
        tokio::spawn(poll_fn(move |context| {
            looking.awake.register(context.waker());
            Poll::<()>::Pending
        }));
    }

    /// Something was there to be done.
    pub(super) fn busy(&self) {
        if let Ok(mut idle) = self.idle.lock() {
            idle.since = None;
        }
    }

    /// The thread is about to sleep.
    pub(in crate::sandbox) fn about_to_sleep(&self) {
        let Ok(mut idle) = self.idle.lock() else { return };
        if idle.looks_on(self.clock.elapsed()) {
            // Whoever waits for this very processor may be what is waited for: a thread of the server's, say.
            std::thread::yield_now();
            self.awake.wake();
        }
    }

    /// It has slept, or looked.
    pub(in crate::sandbox) fn is_back(&self) {
        if let Ok(mut idle) = self.idle.lock()
            && idle.sleeps
        {
            idle.slept(self.clock.elapsed());
        }
    }
}

/// The judgement, in times of a clock that begins anywhere.
#[derive(Debug)]
struct Idle {
    most: Duration,
    /// How long it looks on.
    window: Duration,
    /// When there was nothing left to do.
    since: Option<Duration>,
    looked: Duration,
    sleeps: bool,
    not_before: Duration,
    yields_for: Duration,
}

impl Idle {
    fn new(most: Duration) -> Self {
        Idle {
            most,
            window: FIRST.min(most),
            since: None,
            looked: Duration::ZERO,
            sleeps: false,
            not_before: Duration::ZERO,
            yields_for: YIELDS_FOR.0,
        }
    }

    /// Whether it looks once more, and does not sleep.
    fn looks_on(&mut self, now: Duration) -> bool {
        match self.since {
            Some(_) if now.saturating_sub(self.looked) > TAKEN => self.give_way(now),
            Some(_) => {}
            None => self.since = Some(now),
        }
        self.looked = now;
        let idle = now.saturating_sub(self.since.unwrap_or(now));
        self.sleeps = idle >= self.window || now < self.not_before;
        !self.sleeps
    }

    fn give_way(&mut self, now: Duration) {
        // Soon after the last time: they want it still.
        let again = !self.not_before.is_zero() && now.saturating_sub(self.not_before) < self.yields_for;
        self.yields_for = if again { (self.yields_for * 2).min(YIELDS_FOR.1) } else { YIELDS_FOR.0 };
        self.not_before = now + self.yields_for;
    }

    /// A sleep has ended. One that was short should have been none; one that was long is worth no look before the next.
    fn slept(&mut self, now: Duration) {
        let idle = now.saturating_sub(self.since.unwrap_or(now));
        self.window = if idle <= self.most { (self.window * 2).max(FIRST).min(self.most) } else { self.window / 2 };
        (self.since, self.sleeps) = (None, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_micros(100);

    const fn us(time: u64) -> Duration {
        Duration::from_micros(time)
    }

    /// Is idle from `begin` on until `end`, looking every µs; whether it slept.
    fn waits(idle: &mut Idle, begin: Duration, end: Duration) -> bool {
        idle.since = None;
        let mut now = begin;
        while now < end {
            if !idle.looks_on(now) {
                idle.slept(end);
                return true;
            }
            now += us(1);
        }
        false
    }

    #[test]
    fn what_comes_soon_is_looked_for_until_it_comes() {
        let mut idle = Idle::new(MOST);
        let slept: Vec<bool> =
            (0..6).map(|round| waits(&mut idle, us(round * 1_000), us(round * 1_000 + 60))).collect();
        // The window grows: 10, 20, 40, 80.
        assert_eq!(slept, [true, true, true, false, false, false]);
    }

    #[test]
    fn what_is_long_away_is_slept_for_at_once() {
        let mut idle = Idle::new(MOST);
        for round in 0..10 {
            assert!(waits(&mut idle, us(round * 10_000), us(round * 10_000 + 5_000)));
        }
        assert!(idle.window < us(1), "{idle:?}");
        // And is learnt again.
        assert!(waits(&mut idle, us(200_000), us(200_005)));
        assert!(!waits(&mut idle, us(201_000), us(201_005)));
    }

    #[test]
    fn a_processor_that_others_want_is_left_to_them() {
        let mut idle = Idle::new(MOST);
        idle.window = MOST;
        assert!(idle.looks_on(us(0)) && idle.looks_on(us(1)));
        assert!(!idle.looks_on(us(140)), "somebody else was let in");
        idle.slept(us(145));
        assert!(!idle.looks_on(us(1_000)));
        idle.slept(us(1_010));
        assert!(idle.looks_on(us(3_000)));
        // And once more: they want it still.
        assert!(!idle.looks_on(us(4_000)));
        idle.slept(us(4_001));
        assert!(!idle.looks_on(us(7_900)), "twice as long");
        idle.slept(us(7_901));
        assert!(idle.looks_on(us(8_100)));
    }

    #[test]
    fn a_policy_of_none_never_looks() {
        let mut idle = Idle::new(Duration::ZERO);
        for round in 0..5 {
            assert!(waits(&mut idle, us(round * 1_000), us(round * 1_000 + 1)));
        }
    }
}
