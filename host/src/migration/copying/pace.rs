//! How fast a copy goes, and how far it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What may be sent ahead after a pause, in time: less makes a slow link stutter, more makes it burst.
const AHEAD: Duration = Duration::from_millis(50);

/// A limit that several copies share.
#[derive(Debug, Default)]
pub struct Pace {
    /// Bytes a second; none: as fast as it goes.
    limit: Option<u64>,
    /// When the next byte may go.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub fn of(limit: Option<u64>) -> Pace {
        Pace { limit: limit.filter(|limit| *limit > 0), next: Mutex::default() }
    }

    /// Waits until so many bytes may go.
    pub async fn pass(&self, bytes: usize) {
        let Some(limit) = self.limit else { return };
        let until = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let (start, end) = turn(*next, now, bytes, limit);
            *next = Some(end);
            start
        };
        tokio::time::sleep_until(until).await;
    }
}

/// When it begins, and when the next may. Pure.
fn turn(next: Option<Instant>, now: Instant, bytes: usize, limit: u64) -> (Instant, Instant) {
    let start = next.map_or(now, |next| next.max(now.checked_sub(AHEAD).unwrap_or(now)));
    (start, start + Duration::from_secs_f64(bytes as f64 / limit as f64))
}

/// How far the copies of a move are, in bytes; shared by those who copy and those who look.
#[derive(Debug, Default)]
pub struct Progress {
    total: AtomicU64,
    done: AtomicU64,
    sent: AtomicU64,
}

impl Progress {
    /// So many bytes more are to be gone through.
    pub fn more(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }
    /// So many of them are.
    pub fn went(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }
    pub fn sends(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }
    /// What is gone through, and of how much.
    pub fn read(&self) -> (u64, u64) {
        let total = self.total.load(Ordering::Relaxed);
        (self.done.load(Ordering::Relaxed).min(total), total)
    }
    /// What went over: less than was gone through, where that was zeroes or there already.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_kept_over_time_and_what_was_not_used_is_not_saved_up() {
        let now = Instant::now() + Duration::from_secs(60);
        let (first, next) = turn(None, now, 500, 1000);
        assert_eq!((first, next), (now, now + Duration::from_millis(500)));
        let (second, next) = turn(Some(next), now, 500, 1000);
        assert_eq!((second, next), (now + Duration::from_millis(500), now + Duration::from_secs(1)));
        let later = now + Duration::from_secs(30);
        assert_eq!(turn(Some(next), later, 1000, 1000).0, later - AHEAD);
    }

    #[tokio::test]
    async fn without_a_limit_nobody_waits() {
        let before = Instant::now();
        Pace::of(None).pass(1 << 40).await;
        Pace::of(Some(0)).pass(1 << 40).await;
        assert!(before.elapsed() < Duration::from_secs(20));
        let (before, pace) = (Instant::now(), Pace::of(Some(10_000)));
        pace.pass(1000).await;
        pace.pass(1000).await;
        assert!(before.elapsed() >= Duration::from_millis(49));
    }
}
