//! The parts of a served volume that its plugin has lent: bytes that lie in a file of its own as they are, which the host
//! reads and writes without a call.
//!
//! The plugin could reach nothing less: each part is of a file that it opened beneath a granted directory, as it opened it.
//! What is little, and in memory, is read and written between two steps of the plugin's code; what other threads write
//! (serve/cold.rs) is waited for where the part is taken back. So once a call that does that has returned, nothing is written there
//! any more. A read by another thread may be under way: what comes of it counts only where the part is lent as it was.

use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::sys::page_cache;

/// Most parts at a time: a request looks through them one by one.
const MOST: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Lent(Vec<Part>);

/// How it is told whether a read has to wait for storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By trying.
    Tells,
    /// It never does.
    NeverWaits,
    /// It cannot be told, and may.
    MayWait,
}

impl Way {
    pub(super) fn of(file: &File) -> Way {
        match page_cache::read_now(file, 0, &mut Vec::with_capacity(1)) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Way::Tells,
            Err(_) if page_cache::is_in_memory(file).unwrap_or(false) => Way::NeverWaits,
            Err(_) => Way::MayWait,
            Ok(_) => Way::Tells,
        }
    }
}

#[derive(Debug)]
pub(super) struct Part {
    /// The plugin's handle.
    handle: u32,
    pub(super) file: Arc<File>,
    pub(super) way: Way,
    writable: bool,
    /// In the volume.
    bytes: Range<u64>,
    /// Where they begin in the file.
    offset: u64,
    writes: Arc<Writes>,
}

/// How many writes of a part, or of a plugin's file, are under way.
#[derive(Debug, Default)]
pub(super) struct Writes {
    count: Mutex<usize>,
    none: Condvar,
}

/// A write that another thread does. Until it is dropped, the part is not taken back, nor the file closed.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Writes>);

impl Part {
    pub(super) fn begin_write(&self) -> UnderWay {
        self.writes.begin()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        *self.0.count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.none.notify_all();
    }
}

impl Writes {
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        UnderWay(self.clone())
    }

    /// Waits until there are none.
    pub(super) fn ended(&self) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.none.wait_while(count, |count| *count > 0));
    }
}

/// Why a part is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The bytes are none, or past what a file has.
    Impossible,
    Overlaps,
    TooMany,
}

impl Lent {
    pub(super) fn add(
        &mut self,
        (handle, file, way, writable): (u32, Arc<File>, Way, bool),
        at: u64,
        offset: u64,
        length: u64,
    ) -> Result<(), Refused> {
        let ends = at.checked_add(length).zip(offset.checked_add(length));
        let Some((end, _)) = ends.filter(|(end, last)| length > 0 && (*end).max(*last) <= i64::MAX.cast_unsigned())
        else {
            return Err(Refused::Impossible);
        };
        if self.0.iter().any(|part| part.bytes.start < end && at < part.bytes.end) {
            return Err(Refused::Overlaps);
        }
        if self.0.len() >= MOST {
            return Err(Refused::TooMany);
        }
        self.0.push(Part { handle, file, way, writable, bytes: at..end, offset, writes: Arc::default() });
        Ok(())
    }

    /// Takes back all that was lent of a handle, and waits for what is written there.
    pub(super) fn end(&mut self, handle: u32) {
        for part in self.0.extract_if(.., |part| part.handle == handle) {
            part.writes.ended();
        }
    }

    /// The part that has all of the volume's `bytes`, and where in its file they begin.
    pub(super) fn find(&self, bytes: Range<u64>, to_write: bool) -> Option<(&Part, u64)> {
        let holds = |part: &&Part| part.bytes.start <= bytes.start && bytes.end <= part.bytes.end;
        let part = self.0.iter().find(holds).filter(|part| part.writable || !to_write)?;
        Some((part, part.offset + (bytes.start - part.bytes.start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(handle: u32, writable: bool) -> (u32, Arc<File>, Way, bool) {
        (handle, Arc::new(tempfile::tempfile().unwrap()), Way::NeverWaits, writable)
    }

    #[test]
    fn a_request_is_found_where_one_part_has_all_of_it() {
        let mut lent = Lent::default();
        lent.add(file(1, true), 4096, 0, 4096).unwrap();
        lent.add(file(2, false), 8192, 512, 4096).unwrap();
        assert_eq!(lent.find(4096..8192, true).unwrap().1, 0);
        assert_eq!(lent.find(5000..5001, false).unwrap().1, 904);
        assert_eq!(lent.find(8192..12288, false).unwrap().1, 512);
        assert!(lent.find(8192..12288, true).is_none(), "it was opened for reading");
        for beyond in [0..4096, 4095..4097, 8000..8200, 12287..12289] {
            assert!(lent.find(beyond.clone(), false).is_none(), "{beyond:?}");
        }
        lent.end(1);
        assert!(lent.find(4096..8192, false).is_none());
        assert!(lent.find(8192..12288, false).is_some());
    }

    #[test]
    fn a_part_is_taken_back_once_nothing_is_written_there() {
        let mut lent = Lent::default();
        lent.add(file(1, true), 0, 0, 4096).unwrap();
        lent.add(file(2, true), 4096, 0, 4096).unwrap();
        let begin = |lent: &Lent, at| lent.find(at..at + 1, true).unwrap().0.begin_write();
        let (first, second, other) = (begin(&lent, 0), begin(&lent, 1), begin(&lent, 4096));
        let ended = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for write in [first, second] {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    assert!(!ended.load(std::sync::atomic::Ordering::SeqCst));
                    drop(write);
                }
            });
            lent.end(1);
            ended.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        assert!(lent.find(0..1, true).is_none());
        drop(other);
        lent.end(2);
    }

    #[test]
    fn parts_that_overlap_or_are_impossible_or_too_many_are_refused() {
        let mut lent = Lent::default();
        lent.add(file(1, true), 10, 0, 10).unwrap();
        for (at, length) in [(9, 2), (19, 1), (10, 10), (0, 100), (12, 2)] {
            assert_eq!(lent.add(file(1, true), at, 0, length), Err(Refused::Overlaps));
        }
        for (at, offset, length) in [(0, 0, 0), (u64::MAX, 0, 1), (0, u64::MAX, 2), (0, 0, u64::MAX), (1 << 63, 0, 1)] {
            assert_eq!(lent.add(file(1, true), at, offset, length), Err(Refused::Impossible));
        }
        for at in 0..MOST as u64 - 1 {
            lent.add(file(1, true), 20 + at, 0, 1).unwrap();
        }
        assert_eq!(lent.add(file(1, true), 1000, 0, 1), Err(Refused::TooMany));
    }
}
