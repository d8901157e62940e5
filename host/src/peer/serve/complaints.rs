//! What is refused has a few lines in the log, and then a count: whoever knocks without end does not fill the disk.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Lines of one kind in a minute.
const LINES: u32 = 5;
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Count {
    since: Instant,
    lines: u32,
    left_out: u32,
}

/// By kind, of which there are a dozen.
#[derive(Debug, Default)]
pub(super) struct Complaints(BTreeMap<&'static str, Count>);

impl Complaints {
    /// Whether this one is to have a line: then, how many of its kind were left out before. None: it has none.
    pub(super) fn line(&mut self, kind: &'static str, now: Instant) -> Option<u32> {
        let count = self.0.entry(kind).or_insert(Count { since: now, lines: 0, left_out: 0 });
        if now.duration_since(count.since) >= MINUTE {
            count.since = now;
            count.lines = 0;
        }
        if count.lines == LINES {
            count.left_out = count.left_out.saturating_add(1);
            return None;
        }
        count.lines += 1;
        Some(std::mem::take(&mut count.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_lines_and_a_count() {
        let (mut complaints, start) = (Complaints::default(), Instant::now());
        let lines = (0..100).filter(|_| complaints.line("junk", start).is_some()).count();
        assert_eq!(lines, 5);
        assert_eq!(complaints.line("other", start), Some(0));
        assert_eq!(complaints.line("junk", start + MINUTE), Some(95));
        assert_eq!(complaints.line("junk", start + MINUTE), Some(0));
    }
}
