//! A running guest's disks: copied to other images, all as at one moment, and snapshots inside of them.
//!
//! ```text
//!   copy_disks:  add-fd, blockdev-add ─▸ blockdev-mirror … ready, all of them ─▸ [guest stands still]
//!                                          a write goes to both     cancel = cut loose, flushed ─▸ [goes on]
//! ```
//!
//! A mirror and not a backup: a target that fails then fails the copy, and never a write of the guest's.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::Duration;

use serde_json::json;

use super::Monitor;
use super::command::{self, JobStatus};
use crate::error::{Context, Failure, Result};
use crate::gate::operation::ImageFormat;

/// Between two looks at how far QEMU is.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Once the guest stands still it matters.
const LOOK_QUICKLY: Duration = Duration::from_millis(1);
/// How long QEMU has to write down a snapshot: it goes through all of an image's tables.
const SNAPSHOT_WITHIN: Duration = Duration::from_secs(120);
/// Marks our sets of descriptors in QEMU, so that a later supervisor finds them.
const OPAQUE: &str = "copy";

/// A disk by its place in the machine, and the empty image that it is copied to.
#[derive(Debug)]
pub struct Target {
    pub disk: usize,
    pub format: ImageFormat,
    pub image: OwnedFd,
}

fn job(disk: usize) -> String {
    format!("copy{disk}")
}

impl Monitor {
    /// Opens the targets and copies the disks to them, until every write of the guest's goes to both.
    pub async fn begin_copies(&self, targets: Vec<Target>) -> Result<()> {
        let mut jobs = Vec::new();
        for Target { disk, format, image } in targets {
            let node = job(disk);
            let set = self.execute(&command::AddNamedFd { opaque: OPAQUE.to_owned() }, Some(image)).await?.fdset_id;
            let file = json!({
                "driver": "file", "node-name": format!("{node}-file"), "filename": format!("/dev/fdset/{set}"),
                "discard": "unmap", "aio": "threads", "locking": "auto",
            });
            self.execute(&command::BlockdevAdd { node: file }, None).await?;
            let mut top = json!({
                "driver": format.as_str(), "node-name": node, "file": format!("{node}-file"), "discard": "unmap",
            });
            match format {
                ImageFormat::Raw => {}
                ImageFormat::Qcow2 => top["backing"] = serde_json::Value::Null,
            }
            self.execute(&command::BlockdevAdd { node: top }, None).await?;
            jobs.push(disk);
        }
        for disk in jobs {
            let source = self.top_node(disk).await?;
            let mirror = command::BlockdevMirror {
                job_id: job(disk),
                filter_node_name: format!("{source}-copied"),
                device: source,
                target: job(disk),
                sync: "full",
                copy_mode: "write-blocking",
                auto_dismiss: false,
                speed: 0,
            };
            self.execute(&mirror, None).await?;
        }
        self.copies_are(JobStatus::Ready, LOOK_EVERY).await
    }

    /// Cuts the copies loose: they are on disk, and hold what the disks do now. The guest stands still meanwhile.
    pub async fn end_copies(&self, disks: &[usize]) -> Result<()> {
        for disk in disks {
            self.execute(&command::BlockJobCancel { device: job(*disk), force: false }, None).await?;
        }
        self.copies_are(JobStatus::Concluded, LOOK_QUICKLY).await
    }

    /// Takes away all that copies of these disks have in QEMU, whatever became of them. The images stay as they are.
    pub async fn clear_copies(&self, disks: &[usize]) -> Result<()> {
        let ours = |id: &str| disks.iter().any(|disk| job(*disk) == id);
        loop {
            let jobs = self.execute(&command::QueryJobs {}, None).await?;
            let left: Vec<_> = jobs.into_iter().filter(|job| ours(&job.id)).collect();
            if left.is_empty() {
                break;
            }
            for job in left {
                match job.status {
                    JobStatus::Concluded => {
                        self.execute(&command::JobDismiss { id: job.id }, None).await?;
                    }
                    JobStatus::Ready | JobStatus::Other => {
                        // One that concluded meanwhile cannot be cancelled.
                        let _ = self.execute(&command::BlockJobCancel { device: job.id, force: true }, None).await;
                    }
                }
            }
            tokio::time::sleep(LOOK_QUICKLY).await;
        }
        for disk in disks {
            for node_name in [job(*disk), format!("{}-file", job(*disk))] {
                // It may not have come to be.
                let _ = self.execute(&command::BlockdevDel { node_name }, None).await;
            }
        }
        for set in self.execute(&command::QueryFdsets {}, None).await? {
            if set.fds.iter().any(|fd| fd.opaque.as_deref() == Some(OPAQUE)) {
                self.execute(&command::RemoveFd { fdset_id: set.fdset_id }, None).await?;
            }
        }
        Ok(())
    }

    async fn copies_are(&self, wanted: JobStatus, look_every: Duration) -> Result<()> {
        loop {
            let jobs = self.execute(&command::QueryJobs {}, None).await?;
            let mut copies = jobs.into_iter().filter(|job| job.kind == "mirror").peekable();
            if copies.peek().is_none() {
                return Err(Failure::other("the hypervisor gave up copying the disks"));
            }
            let mut all = true;
            for job in copies {
                if let Some(error) = job.error {
                    return Err(failed(&error));
                }
                if job.status == JobStatus::Concluded && wanted != JobStatus::Concluded {
                    return Err(Failure::other("the hypervisor gave up copying a disk"));
                }
                all &= job.status == wanted;
            }
            if all {
                return Ok(());
            }
            tokio::time::sleep(look_every).await;
        }
    }

    /// A snapshot inside the image of each of these disks, all at one moment, or of none.
    pub async fn snapshot_disks(&self, disks: &[usize], name: &str) -> Result<()> {
        let mut actions = Vec::with_capacity(disks.len());
        for disk in disks {
            let device = self.top_node(*disk).await?;
            actions.push(json!({
                "type": "blockdev-snapshot-internal-sync", "data": {"device": device, "name": name},
            }));
        }
        self.execute_within(&command::Transaction { actions }, None, SNAPSHOT_WITHIN).await.map(drop)
    }

    /// Deletes the snapshot inside one disk's image; one that is not there is deleted.
    pub async fn delete_snapshot(&self, disk: usize, name: &str) -> Result<()> {
        let delete = command::SnapshotDelete { device: self.top_node(disk).await?, name: name.to_owned() };
        match self.execute_within(&delete, None, SNAPSHOT_WITHIN).await {
            Err(failure) if failure.causes.iter().any(|cause| cause.contains("does not exist")) => Ok(()),
            other => other.map(drop),
        }
    }
}

fn failed(error: &str) -> Failure {
    let mut failure = Failure::other("the hypervisor could not copy a disk");
    failure.causes.push(error.to_owned());
    match error.contains("No space left on device") {
        true => Failure { kind: crate::error::Kind::NoRoom, ..failure }.hint("make room where its volumes lie"),
        false => failure,
    }
}

/// Writes out what was copied so far, so that there is little left to wait for once the guest stands still.
pub fn write_out(images: &[File]) -> Result<()> {
    images.iter().try_for_each(|image| image.sync_data().context(|| "cannot write a copy to disk".to_owned()))
}
