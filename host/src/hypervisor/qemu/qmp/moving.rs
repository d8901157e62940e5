//! A running guest's disk that moves to another image: mirrored there, and then the device stands on that one.
//!
//! ```text
//!   blockdev-add disk0-moved ─▸ blockdev-mirror … ready: a write goes to both ─▸ [guest stands still, all is flushed]
//!                                  │ given up: cancelled, the new nodes go       └▸ block-job-complete ─▸ the old nodes go
//! ```

use std::time::Duration;

use tokio::time::Instant;

use super::Monitor;
use super::command::{self, JobStatus};
use crate::error::{Failure, Kind, Result};
use crate::hypervisor::qemu::arguments::{is_under, top_nodes};
use crate::storage::BlockSource;

/// Between two looks at how far QEMU is; and where its guest stands still.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOK_QUICKLY: Duration = Duration::from_millis(1);
/// How long QEMU has to hand the device over: nothing is left to be copied then.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(30);

/// At the end of a node's name: the mirror that stands on it.
const FILTER: &str = "-moving";

/// What becomes of the target of a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Taken,
    GivenUp,
}

fn job(place: usize) -> String {
    format!("move{place}")
}

impl Monitor {
    /// The node that the disk in a place has now, and that which it gets when it is moved.
    pub async fn nodes_of_move(&self, place: usize) -> Result<(String, String)> {
        let top = self.top_node(place).await?;
        // While it is mirrored, what does that stands on top of it.
        let now = top.strip_suffix(FILTER).unwrap_or(&top).to_owned();
        let [usual, moved] = top_nodes(place);
        Ok(if now == usual { (usual, moved) } else { (moved, usual) })
    }

    /// Whether the disk in a place is to get the name of one that was moved.
    pub async fn moves_away(&self, place: usize) -> Result<bool> {
        let [usual, _] = top_nodes(place);
        Ok(self.nodes_of_move(place).await?.0 == usual)
    }

    /// Opens the target and copies the disk to it, until every write of the guest's goes to both. At most `speed` bytes a
    /// second; 0: as fast as it goes.
    pub async fn begin_move(&self, place: usize, target: BlockSource, speed: u64) -> Result<()> {
        let (now, next) = self.nodes_of_move(place).await?;
        self.add_nodes_as(place, target, &next).await?;
        let mirror = command::BlockdevMirror {
            job_id: job(place),
            filter_node_name: format!("{now}{FILTER}"),
            device: now,
            target: next,
            sync: "full",
            copy_mode: "write-blocking",
            auto_dismiss: false,
            speed,
        };
        self.execute(&mirror, None).await?;
        loop {
            match self.job_of(place).await? {
                None => return Err(Failure::other("the hypervisor gave up moving the disk")),
                Some(job) => match (job.error, job.status) {
                    (Some(error), _) => return Err(failed(&error)),
                    (None, JobStatus::Ready) => return Ok(()),
                    (None, JobStatus::Concluded) => {
                        return Err(Failure::other("the hypervisor gave up moving the disk"));
                    }
                    (None, JobStatus::Other) => {}
                },
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Lets the device stand on the target. The guest stands still meanwhile, so that both hold the same.
    pub async fn end_move(&self, place: usize) -> Result<()> {
        let until = Instant::now() + HANDED_OVER_WITHIN;
        if self.job_of(place).await?.is_some_and(|job| job.status == JobStatus::Ready) {
            self.execute(&command::BlockJobComplete { device: job(place) }, None).await?;
        }
        while let Some(running) = self.job_of(place).await? {
            match (running.error, running.status) {
                (Some(error), JobStatus::Concluded) => return Err(failed(&error)),
                (None, JobStatus::Concluded) => break,
                (_, JobStatus::Ready | JobStatus::Other) if Instant::now() >= until => {
                    return Err(Failure::new(Kind::TimedOut, "the hypervisor does not let go of the disk's old place"));
                }
                (_, JobStatus::Ready | JobStatus::Other) => tokio::time::sleep(LOOK_QUICKLY).await,
            }
        }
        self.clear(place, Target::Taken).await
    }

    /// Takes away all that a move has in QEMU beside what the device stands on, whatever became of it.
    pub async fn clear_move(&self, place: usize) -> Result<()> {
        self.clear(place, Target::GivenUp).await
    }

    async fn clear(&self, place: usize, target: Target) -> Result<()> {
        let (_, other) = self.nodes_of_move(place).await?;
        match target {
            Target::Taken => {}
            // Before anything that waits for what is under way, and QEMU with it: the target may not answer any more.
            Target::GivenUp => self.yank(|name| is_under(name, place, &other)).await?,
        }
        let until = Instant::now() + HANDED_OVER_WITHIN;
        while let Some(running) = self.job_of(place).await? {
            match running.status {
                JobStatus::Concluded => {
                    self.execute(&command::JobDismiss { id: running.id }, None).await?;
                }
                JobStatus::Ready | JobStatus::Other => {
                    // One that concluded meanwhile cannot be cancelled.
                    let _ = self.execute(&command::BlockJobCancel { device: running.id, force: true }, None).await;
                    if Instant::now() >= until {
                        return Err(Failure::new(Kind::TimedOut, "the hypervisor does not give up moving the disk"));
                    }
                    tokio::time::sleep(LOOK_QUICKLY).await;
                }
            }
        }
        let (_, other) = self.nodes_of_move(place).await?;
        self.forget_nodes_where(|name| is_under(name, place, &other)).await?;
        // Most disks have none.
        self.forget_secret(&other).await;
        self.forget_sets(|opaque| opaque == other).await
    }

    /// What is copied, and of how much: for a bar.
    pub async fn copied(&self) -> Result<(u64, u64)> {
        let jobs = self.execute(&command::QueryJobs {}, None).await?;
        let mirrors = jobs.iter().filter(|job| job.kind == "mirror");
        Ok(mirrors.fold((0, 0), |(done, all), job| (done + job.current_progress, all + job.total_progress)))
    }

    async fn job_of(&self, place: usize) -> Result<Option<command::Job>> {
        let jobs = self.execute(&command::QueryJobs {}, None).await?;
        Ok(jobs.into_iter().find(|running| running.id == job(place)))
    }
}

fn failed(error: &str) -> Failure {
    if error.contains("different sizes") {
        return Failure::conflict("the disk's new place is of another size, which a guest that runs would not know of")
            .hint("make both of the same size first, or move it while the domain is off");
    }
    let kind = if error.contains("No space left") { Kind::NoRoom } else { Kind::Other };
    Failure::new(kind, "the hypervisor cannot write to the disk's new place")
        .because(std::io::Error::other(error.to_owned()))
}
