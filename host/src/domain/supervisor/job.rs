//! Work that a request began and that takes longer than the loop may stand still: saving memory, copying disks. One
//! at a time; the console and the guest's events go on beside it, and `stop` ends it.

use std::future::Future;
use std::pin::Pin;

use tokio::sync::oneshot;

use super::change::Stage;
use super::control::{Answer, Asker};
use super::relocate::Handing;
use crate::domain::keeper::Keeper;
use crate::error::{Failure, Result};

/// How a job ended well.
#[derive(Debug)]
pub enum JobEnd {
    /// The domain goes on.
    GoOn(Answer),
    /// The guest's state is in a file, and it must not go on here.
    Saved,
    /// A disk that moves is at its new place too; the guest writes to both. And who keeps it served there.
    Mirrored(Option<Keeper>),
    /// All of the guest is at another host, and stands still here.
    Handing(Box<Handing>),
    /// All of a guest's memory is here that went on before it was; or why it is not.
    Fetched(Option<Failure>),
    /// A step of a change is done, and the next one is due.
    Changed(Stage),
}

pub struct Job {
    /// Completes "it is being …", for those who ask for something else meanwhile.
    pub doing: &'static str,
    pub asker: Asker,
    /// Dropped where the domain is stopped meanwhile: it then leaves nothing half done.
    pub work: Pin<Box<dyn Future<Output = Result<JobEnd>>>>,
    /// Tells the work, where that is for its asker alone, that the asker went away.
    given_up: Option<oneshot::Sender<()>>,
    /// It lets the guest stand still for a moment, which is not the guest's pause.
    pub stills: bool,
}

impl Job {
    pub fn new(doing: &'static str, asker: Asker, work: impl Future<Output = Result<JobEnd>> + 'static) -> Self {
        Job { doing, asker, work: Box::pin(work), given_up: None, stills: false }
    }

    /// One that only its asker wants: `given_up` tells the work that it may stop, in good order.
    pub fn of_asker(
        doing: &'static str,
        asker: Asker,
        given_up: oneshot::Sender<()>,
        work: impl Future<Output = Result<JobEnd>> + 'static,
    ) -> Self {
        Job { given_up: Some(given_up), stills: true, ..Job::new(doing, asker, work) }
    }
}

/// The end of the job, or never where there is none.
pub async fn ended(job: &mut Option<Job>) -> Result<JobEnd> {
    let Some(job) = job else { return std::future::pending().await };
    if job.given_up.is_some() {
        tokio::select! {
            biased;
            end = job.work.as_mut() => return end,
            () = job.asker.gone() => {}
        }
        if let Some(given_up) = job.given_up.take() {
            // Work that has just ended needs no telling.
            let _ = given_up.send(());
        }
    }
    job.work.as_mut().await
}
