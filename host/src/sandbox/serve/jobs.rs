//! Work for threads that are made before the sandbox shuts itself off, since none can be made later. They own nothing but a
//! stack: what a job needs comes with it and goes back.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, mpsc};

/// All that they do is read and write files.
const STACK: usize = 64 << 10;

/// What waits for a thread.
pub(super) struct Jobs<J>(Arc<Queue<J>>);

struct Queue<J> {
    /// No longer than there are requests.
    jobs: Mutex<VecDeque<J>>,
    news: Condvar,
}

impl<J> Clone for Jobs<J> {
    fn clone(&self) -> Self {
        Jobs(self.0.clone())
    }
}

impl<J: Send + 'static> Jobs<J> {
    /// Threads that wait for work until the process ends, each doing one job after the other.
    ///
    /// # Errors
    /// Where one cannot be made.
    pub(super) fn of(threads: usize, name: &str, work: impl Fn(J) + Clone + Send + 'static) -> std::io::Result<Self> {
        let queue = Arc::new(Queue { jobs: Mutex::default(), news: Condvar::new() });
        let (begun, begins) = mpsc::sync_channel(threads);
        for _ in 0..threads {
            let (queue, begun, work) = (queue.clone(), begun.clone(), work.clone());
            std::thread::Builder::new().name(name.into()).stack_size(STACK).spawn(move || {
                // Fails only where nobody waits any more.
                let _ = begun.send(());
                drop(begun);
                while let Some(job) = queue.next() {
                    work(job);
                }
            })?;
        }
        // What a thread does to come to life is not among the system calls that are allowed later.
        for _ in 0..threads {
            begins.recv().map_err(|_| std::io::Error::other("a thread ended at once"))?;
        }
        Ok(Jobs(queue))
    }

    /// Begun in the order in which they come. Dropped where a thread panicked.
    pub(super) fn add(&self, job: J) {
        if let Ok(mut jobs) = self.0.jobs.lock() {
            jobs.push_back(job);
            self.0.news.notify_one();
        }
    }
}

impl<J> Queue<J> {
    fn next(&self) -> Option<J> {
        let mut jobs = self.jobs.lock().ok()?;
        loop {
            match jobs.pop_front() {
                Some(job) => return Some(job),
                None => jobs = self.news.wait(jobs).ok()?,
            }
        }
    }
}
