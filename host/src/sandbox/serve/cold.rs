//! Reads and writes of files, lent or the plugin's own, that other threads do: a read whose bytes are not in memory would hold
//! up the one thread that serves all requests, and so would the copying of much data, which its client waits for to send or to
//! take more.
//!
//! ```text
//!   read ─▸ at_once: what the page cache has, one system call ─▸ answer
//!              │ not there, or much
//!              ▾
//!           a queue, threads that read and wait ─▸ answer, if the file is lent as it was
//!
//!   write of much ─▸ a queue, one thread ─▸ answer; the file is not taken back or closed before
//! ```
//! Buffers are taken and given back by the one who asks.

use std::fs::File;
use std::io::ErrorKind;
use std::sync::Arc;

use rustix::io::Errno;
use tokio::sync::oneshot;

use super::jobs::Jobs;
use crate::sandbox::interface::files;
use crate::sandbox::lent::{UnderWay, Way};
use crate::sys::page_cache;

/// Reads that wait for storage at a time: as many as a disk makes use of, and few enough to be there for nothing.
const READERS: usize = 16;
/// Of this many bytes are reads that the threads do, in memory or not, and writes: they copy, while the thread that serves
/// sends or receives.
pub(super) const LARGE: usize = 128 << 10;

type Outcome = Result<Vec<u8>, Errno>;
/// And the data, which is given back where it was taken.
type Written = (Result<(), Errno>, Arc<Vec<u8>>);
/// Fills the free room of a buffer with what lies at a place, or with less at the end of the file.
type Fill = fn(&File, u64, &mut Vec<u8>) -> Result<(), Errno>;

struct Read {
    file: Arc<File>,
    offset: u64,
    bytes: Vec<u8>,
    done: oneshot::Sender<Outcome>,
}

struct Write {
    file: Arc<File>,
    offset: u64,
    data: Arc<Vec<u8>>,
    under_way: UnderWay,
    done: oneshot::Sender<Written>,
}

/// The threads beside the one that serves.
#[derive(Clone)]
pub(in crate::sandbox) struct Threads {
    reads: Jobs<Read>,
    /// One thread's, so that data is written in the order in which it came.
    writes: Jobs<Write>,
}

/// What was there without waiting.
pub(super) enum AtOnce {
    Done(Outcome),
    /// So much of it; the rest has to be waited for.
    Begun(Vec<u8>),
}

/// Reads as far as nothing has to be waited for, and nothing that is much.
pub(super) fn at_once(file: &File, way: Way, offset: u64, length: usize) -> AtOnce {
    let mut bytes = Vec::with_capacity(length);
    if length >= LARGE {
        return AtOnce::Begun(bytes);
    }
    match way {
        Way::NeverWaits => return AtOnce::Done(files::fill(file, offset, &mut bytes).map(|()| bytes)),
        Way::MayWait => return AtOnce::Begun(bytes),
        Way::Tells => {}
    }
    while bytes.len() < length {
        match page_cache::read_now(file, offset + bytes.len() as u64, &mut bytes) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return AtOnce::Begun(bytes),
            Err(error) => return AtOnce::Done(Err(Errno::from_io_error(&error).unwrap_or(Errno::IO))),
        }
    }
    AtOnce::Done(Ok(bytes))
}

impl Threads {
    /// # Errors
    /// Where one cannot be made.
    pub(in crate::sandbox) fn start() -> std::io::Result<Threads> {
        Threads::that(READERS, files::fill)
    }

    fn that(readers: usize, fill: Fill) -> std::io::Result<Threads> {
        let reads = Jobs::of(readers, "reader", move |Read { file, offset, mut bytes, done }| {
            let at = offset + bytes.len() as u64;
            let filled = fill(&file, at, &mut bytes);
            // Whoever asked may be gone.
            let _ = done.send(filled.map(|()| bytes));
        })?;
        let writes = Jobs::of(1, "writer", |Write { file, offset, data, under_way, done }| {
            let written = files::write(&file, offset, &data);
            drop(under_way);
            let _ = done.send((written, data));
        })?;
        Ok(Threads { reads, writes })
    }

    /// Reads so much, or less at the end of the file; by this thread where there are no others.
    pub(in crate::sandbox) async fn read(
        threads: Option<&Threads>,
        file: Arc<File>,
        way: Way,
        offset: u64,
        length: usize,
    ) -> Outcome {
        match (threads, at_once(&file, way, offset, length)) {
            (_, AtOnce::Done(outcome)) => outcome,
            (Some(threads), AtOnce::Begun(begun)) => threads.fill(file, offset, begun).await,
            (None, AtOnce::Begun(mut begun)) => {
                let at = offset + begun.len() as u64;
                files::fill(&file, at, &mut begun).map(|()| begun)
            }
        }
    }

    /// Fills the free room of `bytes`, or less at the end of the file.
    pub(super) async fn fill(&self, file: Arc<File>, offset: u64, bytes: Vec<u8>) -> Outcome {
        let (done, outcome) = oneshot::channel();
        self.reads.add(Read { file, offset, bytes, done });
        outcome.await.unwrap_or(Err(Errno::IO))
    }

    /// Writes all of it; by this thread where there are no others, or where it is little.
    pub(in crate::sandbox) async fn write(
        threads: Option<&Threads>,
        file: Arc<File>,
        offset: u64,
        data: Arc<Vec<u8>>,
        under_way: UnderWay,
    ) -> Result<(), Errno> {
        match threads.filter(|_| data.len() >= LARGE) {
            Some(threads) => threads.store(file, offset, data, under_way).await,
            None => files::write(&file, offset, &data),
        }
    }

    /// Writes all of it; until that is done it is `under_way`.
    pub(super) async fn store(
        &self,
        file: Arc<File>,
        offset: u64,
        data: Arc<Vec<u8>>,
        under_way: UnderWay,
    ) -> Result<(), Errno> {
        let (done, outcome) = oneshot::channel();
        self.writes.add(Write { file, offset, data, under_way, done });
        outcome.await.map_or(Err(Errno::IO), |(written, _)| written)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::FileExt;
    use std::os::unix::net::UnixStream;

    use futures_util::FutureExt;

    use super::*;
    use crate::sandbox::lent::Lent;

    /// A stand-in for slow storage: a stream, which is read when something comes.
    fn slow() -> (Arc<File>, UnixStream) {
        let (here, there) = UnixStream::pair().unwrap();
        (Arc::new(File::from(OwnedFd::from(here))), there)
    }

    fn fill(file: &File, offset: u64, bytes: &mut Vec<u8>) -> Result<(), Errno> {
        if file.metadata().unwrap().is_file() {
            return files::fill(file, offset, bytes);
        }
        bytes.resize(bytes.capacity(), 0);
        (&*file).read_exact(bytes).map_err(|_| Errno::IO)
    }

    #[tokio::test]
    async fn a_file_that_has_to_be_waited_for_holds_up_no_other() {
        let threads = Threads::that(2, fill).unwrap();
        let quick = Arc::new(tempfile::tempfile().unwrap());
        quick.write_all_at(&[7; 8192], 0).unwrap();
        let (file, mut storage) = slow();
        let mut waiting = Box::pin(threads.fill(file, 0, Vec::with_capacity(16)));
        assert!(waiting.as_mut().now_or_never().is_none());
        for _ in 0..100 {
            let bytes = Vec::with_capacity(4096);
            assert_eq!(threads.fill(quick.clone(), 4096, bytes).await.unwrap(), [7; 4096]);
        }
        assert!(waiting.as_mut().now_or_never().is_none());
        storage.write_all(&[9; 16]).unwrap();
        assert_eq!(waiting.await.unwrap(), [9; 16]);
    }

    #[tokio::test]
    async fn more_reads_than_there_are_threads_wait_for_their_turn_and_all_are_done() {
        let threads = Threads::that(2, fill).unwrap();
        let slow: Vec<_> = (0..8).map(|_| slow()).collect();
        let reads = slow.iter().map(|(file, _)| threads.fill(file.clone(), 0, Vec::with_capacity(1)));
        let write = async {
            for (number, (_, storage)) in slow.iter().enumerate() {
                tokio::task::yield_now().await;
                (&*storage).write_all(&[number as u8]).unwrap();
            }
        };
        let (read, ()) = futures_util::join!(futures_util::future::join_all(reads), write);
        let read: Vec<u8> = read.into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(read, [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[tokio::test]
    async fn what_is_begun_at_once_is_gone_on_with() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let bytes: Vec<u8> = (0..100_u8).collect();
        file.write_all_at(&bytes, 0).unwrap();
        let mut begun = Vec::with_capacity(50);
        begun.extend_from_slice(&bytes[20..40]);
        let threads = Threads::that(1, files::fill).unwrap();
        assert_eq!(threads.fill(file.clone(), 20, begun).await.unwrap(), bytes[20..70]);
        // At the end of the file there is less.
        assert_eq!(threads.fill(file.clone(), 90, Vec::with_capacity(50)).await.unwrap(), bytes[90..]);
        for way in [Way::NeverWaits, Way::MayWait] {
            match at_once(&file, way, 90, 50) {
                AtOnce::Done(all) => assert_eq!((way, all.unwrap()), (Way::NeverWaits, bytes[90..].to_vec())),
                AtOnce::Begun(none) => assert_eq!((way, none), (Way::MayWait, Vec::new())),
            }
        }
    }

    #[tokio::test]
    async fn what_is_much_is_written_by_another_thread_before_its_part_is_taken_back() {
        let mut lent = Lent::default();
        let file = Arc::new(tempfile::tempfile().unwrap());
        lent.add((1, file.clone(), Way::NeverWaits, true), 0, 4096, 1 << 20).unwrap();
        let threads = Threads::that(1, files::fill).unwrap();
        let data: Vec<u8> = (0..LARGE).map(|place| (place % 251) as u8).collect();
        let writes: Vec<_> = (0..4)
            .map(|number| {
                let at = number * LARGE as u64;
                let (part, at) = lent.find(at..at + LARGE as u64, true).unwrap();
                let (file, under_way) = (part.file.clone(), part.begin_write());
                let (threads, data) = (threads.clone(), Arc::new(data.clone()));
                let mut write = Box::pin(async move { threads.store(file, at, data, under_way).await });
                // Begun, and nobody waits for it yet.
                assert!(write.as_mut().now_or_never().is_none_or(|written| written.is_ok()));
                write
            })
            .collect();
        lent.end(1);
        for number in 0..4 {
            let mut there = vec![0; LARGE];
            file.read_exact_at(&mut there, 4096 + number * LARGE as u64).unwrap();
            assert!(there == data, "{number}");
        }
        drop(writes);
    }

    #[tokio::test]
    async fn a_write_that_fails_says_so() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "a").unwrap();
        // Opened for reading, whatever the plugin says.
        let file = Arc::new(File::open(folder.path().join("a")).unwrap());
        let mut lent = Lent::default();
        lent.add((1, file.clone(), Way::NeverWaits, true), 0, 0, 1 << 20).unwrap();
        let threads = Threads::that(1, files::fill).unwrap();
        let under_way = lent.find(0..1, true).unwrap().0.begin_write();
        assert_eq!(threads.store(file, 0, Arc::new(vec![7; LARGE]), under_way).await, Err(Errno::BADF));
        lent.end(1);
    }
}
