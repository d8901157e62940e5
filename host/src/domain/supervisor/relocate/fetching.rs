//! A guest that goes on at its target before all of its memory is there (post-copy).
//!
//! ```text
//!   source   stands still, its disks let go of ─▸ ceded ─▸ the target owns it ─▸ the last before it goes on ─▸ pages ─▸ forgotten
//!   target   owns it ─▸ it has come so far ─▸ it goes on ─▸ pages ─▸ all of it is here
//! ```
//! No host has the whole guest from the third of these on. Where the way between the hosts breaks then, its memory is lost: it
//! has crashed, on the target, which has its disks. The source never lets it go on again.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use super::super::connect::Connected;
use super::super::control::Asker;
use super::super::ending::Ending;
use super::super::job::{Job, JobEnd};
use super::super::watch::Loop;
use super::Shared;
use crate::domain::State;
use crate::domain::relocation::SILENCE;
use crate::error::Result;
use crate::fault;
use crate::hypervisor::qemu::qmp::{Live, Monitor};
use crate::migration::steps::Sample;

/// What it is being, for those who ask for something else meanwhile.
const DOING: &str = "sent the rest of its memory from another host";

/// Between two looks for whoever asks how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Memory that goes over after its guest.
pub(super) type Following = Pin<Box<dyn Future<Output = Followed>>>;

/// How that went.
pub(super) struct Followed {
    /// When all was there that it takes to go on.
    pub(super) went_on: Option<Instant>,
    pub(super) all: Result<Sample>,
}

/// The target owns the domain: the rest of it may go.
pub(super) fn follow(monitor: Monitor, progress: Shared) -> Following {
    Box::pin(async move {
        progress.phase("following");
        let begun = async {
            fault::point("hand.following")?;
            monitor.goes_first(SILENCE).await
        };
        match begun.await {
            Ok(Sample { transferred, remaining, .. }) => {
                tracing::info!(transferred, remaining, "the guest may go on there, and the rest of its memory follows");
                let went_on = Some(Instant::now());
                let looks = async || -> Infallible {
                    loop {
                        if let Ok(Live::Fetching(sample)) = monitor.live().await {
                            progress.change(|progress| progress.sample = Some(sample));
                        }
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                };
                tokio::select! {
                    biased;
                    all = monitor.over_within(SILENCE) => Followed { went_on, all },
                    never = looks() => match never {},
                }
            }
            Err(failure) => Followed { went_on: None, all: Err(failure) },
        }
    })
}

/// The end of that, or never where nothing follows.
pub(super) async fn followed(follows: &mut Option<Following>) -> Followed {
    match follows {
        Some(follows) => follows.await,
        None => std::future::pending().await,
    }
}

impl Loop<'_> {
    /// Lets a guest go on as soon as it has come so far, where it is one that runs, and waits for the rest of its memory: it is
    /// not over.
    pub(in super::super) fn fetches(&mut self, connected: &Connected) -> Option<Ending> {
        let (monitor, runs) = (connected.monitor.clone(), self.record.state == State::Running);
        let all = async move {
            monitor.arrived().await?;
            fault::point("take.arrived")?;
            if runs {
                monitor.resume().await?;
            }
            monitor.announce().await?;
            tracing::info!("the guest goes on, and fetches the rest of its memory");
            monitor.all_over().await.map(drop)
        };
        self.job = Some(Job::new(DOING, Asker::nobody(), async { Ok(JobEnd::Fetched(all.await.err())) }));
        None
    }
}
