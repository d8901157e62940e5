//! What is refused has a few lines in the log, and then a count: whoever knocks without end does not fill the disk.

use std::time::Instant;

use crate::gate::FewLines;

/// Lines of one kind in a minute.
const LINES: u32 = 5;

/// By kind, of which there are a dozen.
#[derive(Debug)]
pub(super) struct Complaints(FewLines<&'static str>);

impl Default for Complaints {
    fn default() -> Self {
        Complaints(FewLines::new(LINES))
    }
}

impl Complaints {
    /// Whether this one is to have a line: then, how many of its kind were left out before. None: it has none.
    pub(super) fn line(&mut self, kind: &'static str, now: Instant) -> Option<u32> {
        self.0.line(kind, now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

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
