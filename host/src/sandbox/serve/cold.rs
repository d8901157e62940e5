//! Reads of lent files whose bytes are not in memory. A read that has to wait for storage would hold up the one thread
//! that serves all requests, so it is done by one of a few others, and that thread goes on.
//!
//! ```text
//!   request ─▸ at_once: what the page cache has, one system call ─▸ answer
//!                 │ not there
//!                 ▾
//!              Readers: a queue, threads that read and wait ─▸ answer, if the file is lent as it was
//! ```
//! The threads are made before the sandbox shuts itself off, since none can be made later, and own nothing: buffers are
//! taken and given back by the one who asks.

use std::collections::VecDeque;
use std::fs::File;
use std::io::ErrorKind;
use std::sync::{Arc, Condvar, Mutex, mpsc};

use rustix::io::Errno;
use tokio::sync::oneshot;

use crate::sandbox::interface::files;
use crate::sandbox::lent::Way;
use crate::sys::page_cache;

/// Reads that wait for storage at a time: as many as a disk makes use of, and few enough to be there for nothing.
pub(in crate::sandbox) const THREADS: usize = 16;
/// Reads of this many bytes are done by the threads, in memory or not: they copy one while the thread that serves sends another.
const LARGE: usize = 128 << 10;
/// All that they do is call `pread`.
const STACK: usize = 64 << 10;

type Outcome = Result<Vec<u8>, Errno>;
/// Fills the free room of a buffer with what lies at a place, or with less at the end of the file.
type Fill = fn(&File, u64, &mut Vec<u8>) -> Result<(), Errno>;

struct Job {
    file: Arc<File>,
    offset: u64,
    bytes: Vec<u8>,
    done: oneshot::Sender<Outcome>,
}

#[derive(Default)]
struct Queue {
    /// No longer than there are requests.
    jobs: Mutex<VecDeque<Job>>,
    news: Condvar,
}

/// They wait for work until the process ends.
#[derive(Clone)]
pub(in crate::sandbox) struct Readers(Arc<Queue>);

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

impl Readers {
    pub(in crate::sandbox) fn start() -> std::io::Result<Readers> {
        Readers::that(THREADS, files::fill)
    }

    fn that(threads: usize, fill: Fill) -> std::io::Result<Readers> {
        let queue = Arc::new(Queue::default());
        let (begun, begins) = mpsc::sync_channel(threads);
        for _ in 0..threads {
            let (queue, begun) = (queue.clone(), begun.clone());
            std::thread::Builder::new().name("reader".into()).stack_size(STACK).spawn(move || {
                // Fails only where nobody waits any more.
                let _ = begun.send(());
                drop(begun);
                queue.work(fill);
            })?;
        }
        // What a thread does to come to life is not among the system calls that are allowed later.
        for _ in 0..threads {
            begins.recv().map_err(|_| std::io::Error::other("a thread ended at once"))?;
        }
        Ok(Readers(queue))
    }

    /// Reads so much, or less at the end of the file; by this thread where there are no others.
    pub(in crate::sandbox) async fn read(
        readers: Option<&Readers>,
        file: Arc<File>,
        way: Way,
        offset: u64,
        length: usize,
    ) -> Outcome {
        match (readers, at_once(&file, way, offset, length)) {
            (_, AtOnce::Done(outcome)) => outcome,
            (Some(readers), AtOnce::Begun(begun)) => readers.fill(file, offset, begun).await,
            (None, AtOnce::Begun(mut begun)) => {
                let at = offset + begun.len() as u64;
                files::fill(&file, at, &mut begun).map(|()| begun)
            }
        }
    }

    /// Fills the free room of `bytes`, or less at the end of the file.
    pub(super) async fn fill(&self, file: Arc<File>, offset: u64, bytes: Vec<u8>) -> Outcome {
        let (done, outcome) = oneshot::channel();
        {
            let Ok(mut jobs) = self.0.jobs.lock() else { return Err(Errno::IO) };
            jobs.push_back(Job { file, offset, bytes, done });
        }
        self.0.news.notify_one();
        outcome.await.unwrap_or(Err(Errno::IO))
    }
}

impl Queue {
    fn work(&self, fill: Fill) {
        while let Some(Job { file, offset, mut bytes, done }) = self.next() {
            let at = offset + bytes.len() as u64;
            let filled = fill(&file, at, &mut bytes);
            // Whoever asked may be gone.
            let _ = done.send(filled.map(|()| bytes));
        }
    }

    fn next(&self) -> Option<Job> {
        let mut jobs = self.jobs.lock().ok()?;
        loop {
            match jobs.pop_front() {
                Some(job) => return Some(job),
                None => jobs = self.news.wait(jobs).ok()?,
            }
        }
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
        let readers = Readers::that(2, fill).unwrap();
        let quick = Arc::new(tempfile::tempfile().unwrap());
        quick.write_all_at(&[7; 8192], 0).unwrap();
        let (file, mut storage) = slow();
        let mut waiting = Box::pin(readers.fill(file, 0, Vec::with_capacity(16)));
        assert!(waiting.as_mut().now_or_never().is_none());
        for _ in 0..100 {
            let bytes = Vec::with_capacity(4096);
            assert_eq!(readers.fill(quick.clone(), 4096, bytes).await.unwrap(), [7; 4096]);
        }
        assert!(waiting.as_mut().now_or_never().is_none());
        storage.write_all(&[9; 16]).unwrap();
        assert_eq!(waiting.await.unwrap(), [9; 16]);
    }

    #[tokio::test]
    async fn more_reads_than_there_are_threads_wait_for_their_turn_and_all_are_done() {
        let readers = Readers::that(2, fill).unwrap();
        let slow: Vec<_> = (0..8).map(|_| slow()).collect();
        let reads = slow.iter().map(|(file, _)| readers.fill(file.clone(), 0, Vec::with_capacity(1)));
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
        let readers = Readers::that(1, files::fill).unwrap();
        assert_eq!(readers.fill(file.clone(), 20, begun).await.unwrap(), bytes[20..70]);
        // At the end of the file there is less.
        assert_eq!(readers.fill(file.clone(), 90, Vec::with_capacity(50)).await.unwrap(), bytes[90..]);
        for way in [Way::NeverWaits, Way::MayWait] {
            match at_once(&file, way, 90, 50) {
                AtOnce::Done(all) => assert_eq!((way, all.unwrap()), (Way::NeverWaits, bytes[90..].to_vec())),
                AtOnce::Begun(none) => assert_eq!((way, none), (Way::MayWait, Vec::new())),
            }
        }
    }
}
