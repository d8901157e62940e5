//! Writes that were answered and that the server may still lose: kept until it has committed them.
//!
//! Each is kept with the verifier under which it was written. A commit under the same verifier makes it safe; a commit
//! under another one says that the server has restarted in between, and that it must be written again (RFC 8881, 18.3.4).
//! What was written over since is not kept, so that writing again never brings back what is old.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::types::Verifier;

/// A stretch of one write's data.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    data: Rc<Vec<u8>>,
    from: usize,
    to: usize,
    verifier: Verifier,
    /// Counts writes in the order in which they were answered.
    number: u64,
}

impl Part {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.data.get(self.from..self.to).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// By offset; no two overlap.
    parts: BTreeMap<u64, Part>,
    bytes: usize,
    next: u64,
}

impl Kept {
    /// Bytes that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All that is kept by now has a lower number.
    pub(crate) fn mark(&self) -> u64 {
        self.next
    }

    /// `data[from..to]` was written at `offset`.
    pub(crate) fn keep(&mut self, offset: u64, data: &Rc<Vec<u8>>, from: usize, to: usize, verifier: Verifier) {
        self.forget(offset, (to - from) as u64);
        self.insert(offset, Part { data: data.clone(), from, to, verifier, number: self.next });
        self.next += 1;
    }

    fn insert(&mut self, offset: u64, part: Part) {
        if part.from < part.to {
            self.bytes += part.to - part.from;
            self.parts.insert(offset, part);
        }
    }

    fn remove(&mut self, offset: u64) -> Option<Part> {
        let part = self.parts.remove(&offset)?;
        self.bytes -= part.to - part.from;
        Some(part)
    }

    /// What lies there is no longer of interest: it was written over, or is safe.
    pub(crate) fn forget(&mut self, offset: u64, length: u64) {
        let end = offset.saturating_add(length);
        let before = self.parts.range(..offset).next_back().map(|(at, _)| *at);
        let touched: Vec<u64> = before.into_iter().chain(self.parts.range(offset..end).map(|(at, _)| *at)).collect();
        for at in touched {
            let Some(part) = self.remove(at) else { continue };
            let (start, stop) = (at, at + (part.to - part.from) as u64);
            if stop <= offset {
                self.insert(at, part);
                continue;
            }
            if start < offset {
                self.insert(start, cut(&part, 0, (offset - start) as usize));
            }
            if stop > end {
                self.insert(end, cut(&part, (end - start) as usize, part.to - part.from));
            }
        }
    }

    /// The server has committed under `verifier` what was written before `mark`.
    pub(crate) fn committed(&mut self, verifier: Verifier, mark: u64) {
        self.parts.retain(|_, part| part.verifier != verifier || part.number >= mark);
        self.bytes = self.parts.values().map(|part| part.to - part.from).sum();
    }

    /// What is kept from before `mark`, with where it belongs.
    pub(crate) fn before(&self, mark: u64) -> Vec<(u64, Part)> {
        let kept = self.parts.iter().filter(|(_, part)| part.number < mark);
        kept.map(|(offset, part)| (*offset, part.clone())).collect()
    }
}

/// A stretch of a part. A small one gets bytes of its own, so that it does not hold on to all of the large one's.
fn cut(part: &Part, from: usize, to: usize) -> Part {
    let (start, end) = (part.from + from, part.from + to);
    if (end - start) * 2 > part.data.len() {
        return Part { data: part.data.clone(), from: start, to: end, ..*part };
    }
    let data = Rc::new(part.data.get(start..end).unwrap_or_default().to_vec());
    Part { from: 0, to: data.len(), data, ..*part }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OLD: Verifier = [1; 8];
    const NEW: Verifier = [2; 8];

    fn keep(kept: &mut Kept, offset: u64, byte: u8, length: usize, verifier: Verifier) {
        kept.keep(offset, &Rc::new(vec![byte; length]), 0, length, verifier);
    }

    #[test]
    fn a_commit_makes_safe_what_came_before_it_under_its_verifier() {
        let mut kept = Kept::default();
        keep(&mut kept, 0, 1, 10, OLD);
        keep(&mut kept, 100, 2, 10, NEW);
        let mark = kept.mark();
        keep(&mut kept, 200, 3, 10, NEW);
        kept.committed(NEW, mark);
        assert_eq!(kept.before(mark).iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0], "lost with the old server");
        assert_eq!(kept.bytes(), 20);
    }

    proptest! {
        /// Written again, what is kept gives what was last written, and nothing that was safe or older.
        #[test]
        fn what_is_kept_is_what_was_last_written(
            steps in prop::collection::vec((0u64..64, 1usize..24, any::<u8>(), any::<bool>()), 1..40),
        ) {
            let mut kept = Kept::default();
            let mut expected: Vec<Option<u8>> = vec![None; 128];
            for (offset, length, byte, safe) in steps {
                let range = offset as usize..offset as usize + length;
                match safe {
                    true => kept.forget(offset, length as u64),
                    false => keep(&mut kept, offset, byte, length, OLD),
                }
                expected[range].fill((!safe).then_some(byte));
            }
            let mut actual: Vec<Option<u8>> = vec![None; 128];
            for (offset, part) in kept.before(u64::MAX) {
                for (at, byte) in part.bytes().iter().enumerate() {
                    prop_assert_eq!(actual[offset as usize + at].replace(*byte), None, "no two overlap");
                }
            }
            prop_assert_eq!(kept.bytes(), expected.iter().flatten().count());
            prop_assert_eq!(actual, expected);
        }
    }
}
