//! What is done again and again has a few lines in the audit file, and then a count: a plugin that connects in a loop
//! does not fill the disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::Operation;

/// Lines of one kind in a minute.
const LINES: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
struct Count {
    since: Instant,
    lines: u32,
    left_out: u32,
}

/// Counts by kind: some lines in a minute for each.
#[derive(Debug)]
pub struct FewLines<K> {
    most: u32,
    counts: BTreeMap<K, Count>,
}

impl<K: Ord> FewLines<K> {
    pub const fn new(most: u32) -> Self {
        FewLines { most, counts: BTreeMap::new() }
    }

    /// Whether this one is to have a line: then, how many like it were left out before. None: it has none.
    pub fn line(&mut self, kind: K, now: Instant) -> Option<u32> {
        let new = Count { since: now, lines: 0, left_out: 0 };
        let count = self.counts.entry(kind).or_insert(new);
        if now.duration_since(count.since) >= MINUTE {
            *count = Count { left_out: count.left_out, ..new };
        }
        if count.lines == self.most {
            count.left_out = count.left_out.saturating_add(1);
            return None;
        }
        count.lines += 1;
        Some(std::mem::take(&mut count.left_out))
    }
}

/// Of one operation with one result. Shared by all copies of one gate.
#[derive(Debug, Clone)]
pub(super) struct Repeats(Arc<Mutex<FewLines<(String, &'static str)>>>);

impl Default for Repeats {
    fn default() -> Self {
        Repeats(Arc::new(Mutex::new(FewLines::new(LINES))))
    }
}

impl Repeats {
    /// Whether this one is to have a line: then, how many like it were left out before. None: it has none.
    pub(super) fn line(&self, operation: &Operation, result: &'static str) -> Option<u32> {
        let words = serde_json::to_string(operation).unwrap_or_default();
        self.line_at(words, result, Instant::now())
    }

    fn line_at(&self, words: String, result: &'static str, now: Instant) -> Option<u32> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).line((words, result), now)
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
