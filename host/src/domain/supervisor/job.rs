//! Work that a request began and that takes longer than the loop may stand still: saving memory, copying disks. One
//! at a time; the console and the guest's events go on beside it, and `stop` ends it.

use std::future::Future;
use std::pin::Pin;

use super::control::{Answer, Asker};
use crate::error::Result;

/// How a job ended well.
#[derive(Debug)]
pub enum JobEnd {
    /// The domain goes on.
    #[expect(dead_code, reason = "copies of a running domain end so")]
    GoOn(Answer),
    /// The guest's state is in a file, and it must not go on here.
    Saved,
}

pub struct Job {
    /// Completes "it is being …", for those who ask for something else meanwhile.
    pub doing: &'static str,
    pub asker: Asker,
    /// Dropped where the domain is stopped meanwhile: it then leaves nothing half done.
    pub work: Pin<Box<dyn Future<Output = Result<JobEnd>>>>,
}

impl Job {
    pub fn new(doing: &'static str, asker: Asker, work: impl Future<Output = Result<JobEnd>> + 'static) -> Self {
        Job { doing, asker, work: Box::pin(work) }
    }
}

/// The end of the job, or never where there is none.
pub async fn ended(job: &mut Option<Job>) -> Result<JobEnd> {
    match job {
        Some(job) => job.work.as_mut().await,
        None => std::future::pending().await,
    }
}
