//! A running guest's disk that is mirrored to the hypervisor that its memory goes to, over a connection that was handed over.
//!
//! ```text
//!   getfd, blockdev-add away0 ─▸ blockdev-mirror … ready: a write goes to both ─▸ [guest stands still] ─▸ cancel: both hold the same
//!                                  └ given up: cancelled by force; the guest never noticed ─────────────▸ away0 goes
//! ```

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::time::Instant;

use super::Monitor;
use super::command::{self, JobStatus};
use super::rounds::connected;
use crate::error::{Failure, Kind, Result};

/// Between two looks at how far QEMU is; and where its guest stands still.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOK_QUICKLY: Duration = Duration::from_millis(1);
/// How long QEMU may take to end a mirror that has nothing left to copy, or is broken off.
const ENDED_WITHIN: Duration = Duration::from_secs(30);
/// For the other hypervisor to greet.
const OPENED_WITHIN: Duration = super::device::OPENED_WITHIN;

/// Job, node and descriptor of a disk that is mirrored away.
fn away(place: usize) -> String {
    format!("away{place}")
}

impl Monitor {
    /// Begins to mirror the disk in a place to the export at the other end of `socket`, and waits until every write of the
    /// guest's goes to both. At most `speed` bytes a second; 0: as fast as it goes. Dropped, or failed, it is the caller's to
    /// [`clear`](Monitor::clear_away).
    pub async fn mirror_away(&self, place: usize, socket: OwnedFd, export: &str, speed: u64) -> Result<()> {
        let name = away(place);
        self.execute(&command::GetNamedFd { fdname: name.clone() }, Some(socket)).await?;
        let node = connected(&name, &name, export);
        self.execute_within(&command::BlockdevAdd { node }, None, OPENED_WITHIN).await?;
        let device = self.top_node(place).await?;
        let mirror = command::BlockdevMirror {
            job_id: name.clone(),
            filter_node_name: format!("{device}-away"),
            device,
            target: name,
            sync: "full",
            copy_mode: "write-blocking",
            auto_dismiss: false,
            speed,
        };
        self.execute(&mirror, None).await?;
        loop {
            match self.away_job(place).await? {
                None => return Err(Failure::other("the hypervisor gave up mirroring a disk")),
                Some(job) => match (job.error, job.status) {
                    (Some(error), _) => return Err(failed(&error)),
                    (None, JobStatus::Ready) => return Ok(()),
                    (None, JobStatus::Concluded) => {
                        return Err(Failure::other("the hypervisor gave up mirroring a disk"));
                    }
                    (None, JobStatus::Other) => {}
                },
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The guest stands still for good: both hold the same, on stable storage, and the connection is let go.
    pub async fn end_away(&self, place: usize) -> Result<()> {
        self.execute(&command::BlockJobCancel { device: away(place), force: false }, None).await?;
        let until = Instant::now() + ENDED_WITHIN;
        loop {
            match self.away_job(place).await? {
                None => return Err(Failure::other("the hypervisor gave up mirroring a disk")),
                Some(job) => match (job.error, job.status) {
                    (Some(error), _) => return Err(failed(&error)),
                    (None, JobStatus::Concluded) => break,
                    (None, JobStatus::Ready | JobStatus::Other) if Instant::now() >= until => {
                        return Err(Failure::new(Kind::TimedOut, "the hypervisor does not end mirroring a disk"));
                    }
                    (None, JobStatus::Ready | JobStatus::Other) => {}
                },
            }
            tokio::time::sleep(LOOK_QUICKLY).await;
        }
        self.clear_mirror(place).await
    }

    /// Takes away all that a mirror has in QEMU, whatever became of it. Twice is once.
    pub async fn clear_away(&self, place: usize) -> Result<()> {
        // The other side may not answer any more: nothing is to wait for it.
        self.yank(|node| node == away(place)).await?;
        self.clear_mirror(place).await
    }

    async fn clear_mirror(&self, place: usize) -> Result<()> {
        let name = away(place);
        let until = Instant::now() + ENDED_WITHIN;
        while let Some(job) = self.away_job(place).await? {
            match job.status {
                JobStatus::Concluded => {
                    self.execute(&command::JobDismiss { id: job.id }, None).await?;
                }
                JobStatus::Ready | JobStatus::Other => {
                    // One that concluded meanwhile cannot be cancelled.
                    let _ = self.execute(&command::BlockJobCancel { device: job.id, force: true }, None).await;
                    if Instant::now() >= until {
                        return Err(Failure::new(Kind::TimedOut, "the hypervisor does not give up mirroring a disk"));
                    }
                    tokio::time::sleep(LOOK_QUICKLY).await;
                }
            }
        }
        self.forget_nodes_where(|node| node == name).await?;
        // One that was handed over and not used.
        let _ = self.execute(&command::CloseNamedFd { fdname: name }, None).await;
        Ok(())
    }

    async fn away_job(&self, place: usize) -> Result<Option<command::Job>> {
        let jobs = self.execute(&command::QueryJobs {}, None).await?;
        Ok(jobs.into_iter().find(|job| job.id == away(place)))
    }
}

fn failed(error: &str) -> Failure {
    let kind = if error.contains("No space left") { Kind::NoRoom } else { Kind::Other };
    Failure::new(kind, "a disk cannot be mirrored to the other host").because(std::io::Error::other(error.to_owned()))
}
