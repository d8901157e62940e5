//! How far a long act has come, for whoever waits for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::interrupt;

/// Shared by the act, which moves it on, and by whoever looks at it. In bytes of what is copied.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    done: AtomicU64,
    total: AtomicU64,
}

impl Meter {
    /// So many bytes are to be gone through, from now on.
    pub fn begin(&self, total: u64) {
        self.0.done.store(0, Ordering::Relaxed);
        self.0.total.store(total, Ordering::Relaxed);
    }

    /// All before this place is done.
    ///
    /// # Errors
    /// Where the operator has broken it off: the act fails with this.
    pub fn at(&self, done: u64) -> io::Result<()> {
        self.0.done.store(done, Ordering::Relaxed);
        interrupt::check()
    }

    /// Both at once, where another process does the work.
    pub fn tell(&self, done: u64, total: u64) {
        self.0.done.store(done, Ordering::Relaxed);
        self.0.total.store(total, Ordering::Relaxed);
    }

    /// The same, told in hundredths of a percent.
    pub fn share(&self, parts: u64) {
        let total = self.0.total.load(Ordering::Relaxed);
        let done = u128::from(total) * u128::from(parts.min(10_000)) / 10_000;
        self.0.done.store(u64::try_from(done).unwrap_or(total), Ordering::Relaxed);
    }

    /// What is done, and of how much; none where nothing has begun.
    pub fn read(&self) -> Option<(u64, u64)> {
        let total = self.0.total.load(Ordering::Relaxed);
        (total > 0).then(|| (self.0.done.load(Ordering::Relaxed).min(total), total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_the_whole_and_nothing_is_past_its_end() {
        let meter = Meter::default();
        assert_eq!(meter.read(), None);
        meter.begin(u64::MAX);
        meter.share(5_000);
        assert_eq!(meter.read(), Some((u64::MAX / 2, u64::MAX)));
        meter.begin(1000);
        assert_eq!(meter.read(), Some((0, 1000)));
        meter.at(2000).unwrap();
        assert_eq!(meter.read(), Some((1000, 1000)));
    }
}
