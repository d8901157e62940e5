//! What is done again and again has a few lines in the audit file, and then a count: a plugin that connects in a loop
//! does not fill the disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::Operation;

/// Lines of one kind in a minute.
const LINES: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// Of one operation with one result.
#[derive(Debug, Clone, Copy)]
struct Count {
    since: Instant,
    lines: u32,
    left_out: u32,
}

/// Shared by all copies of one gate.
#[derive(Debug, Clone, Default)]
pub(super) struct Repeats(Arc<Mutex<BTreeMap<(String, &'static str), Count>>>);

impl Repeats {
    /// Whether this one is to have a line: then, how many like it were left out before. None: it has none.
    pub(super) fn line(&self, operation: &Operation, result: &'static str) -> Option<u32> {
        let words = serde_json::to_string(operation).unwrap_or_default();
        self.line_at(words, result, Instant::now())
    }

    fn line_at(&self, words: String, result: &'static str, now: Instant) -> Option<u32> {
        let mut counts = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let new = Count { since: now, lines: 0, left_out: 0 };
        let count = counts.entry((words, result)).or_insert(new);
        if now.duration_since(count.since) >= MINUTE {
            *count = Count { left_out: count.left_out, ..new };
        }
        if count.lines == LINES {
            count.left_out += 1;
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
    fn the_same_again_and_again_is_a_few_lines_and_a_count() {
        let repeats = Repeats::default();
        let start = Instant::now();
        let told = |result, seconds| repeats.line_at("open".into(), result, start + Duration::from_secs(seconds));
        let lines = (0..100).filter_map(|_| told("failed", 1)).count();
        assert_eq!(lines, LINES as usize);
        assert_eq!(told("done", 2), Some(0), "another result is news");
        assert_eq!(told("failed", 62), Some(90));
        assert_eq!(told("failed", 63), Some(0));
    }
}
