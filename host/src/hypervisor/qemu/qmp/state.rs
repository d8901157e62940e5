//! A guest's state out of QEMU and into it again: its migration stream, through a descriptor.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::Monitor;
use super::command::{self, MigrationStatus};
use crate::error::{Failure, Result};

/// Between two looks at how far QEMU is. A small guest is done in 40 ms.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// No limit: QEMU's own is 128 MiB/s, and the guest stands still meanwhile. In bytes a second.
const BANDWIDTH: u64 = 1 << 40;

impl Monitor {
    /// `qom-get /machine type`: the machine type that runs, with its version (`pc-q35-7.2`).
    pub async fn machine(&self) -> Result<String> {
        let answer = self.execute(&command::QomGet { path: "/machine", property: "type" }, None).await?;
        let text = answer.as_str().unwrap_or_default();
        Ok(text.strip_suffix("-machine").unwrap_or(text).to_owned())
    }

    /// `migrate` into `target`, which is closed behind it. The guest should stand still; afterwards it may be let go
    /// again ([`Monitor::resume`]) or QEMU be ended.
    pub async fn write_state(&self, target: OwnedFd) -> Result<()> {
        // A file gives no answers: one that came from another host was ready for those.
        self.will_not_send().await?;
        self.execute(&command::MigrateSetParameters { max_bandwidth: BANDWIDTH }, None).await?;
        self.execute(&command::GetFd { fdname: "state" }, Some(target)).await?;
        self.execute(&command::Migrate { uri: "fd:state" }, None).await?;
        self.moved().await
    }

    /// `migrate_cancel`: a state that is being written is given up.
    pub async fn cancel_state(&self) -> Result<()> {
        self.execute(&command::MigrateCancel {}, None).await.map(drop)
    }

    /// `migrate-incoming` from `source`, of a QEMU that was started for that. The guest is not let go.
    pub async fn read_state(&self, source: OwnedFd) -> Result<()> {
        self.execute(&command::GetFd { fdname: "state" }, Some(source)).await?;
        self.execute(&command::MigrateIncoming { uri: "fd:state" }, None).await?;
        self.moved().await
    }

    /// Until the stream is through. It takes as long as the guest is large; whoever waits can give up.
    async fn moved(&self) -> Result<()> {
        loop {
            let now = self.execute(&command::QueryMigrate {}, None).await?;
            match now.status {
                Some(MigrationStatus::Completed) => return Ok(()),
                Some(MigrationStatus::Failed | MigrationStatus::Cancelled) => {
                    let mut failure = Failure::other("the hypervisor could not move the guest's state");
                    failure.causes.extend(now.error_desc);
                    return Err(failure);
                }
                None
                | Some(
                    MigrationStatus::None
                    | MigrationStatus::Setup
                    | MigrationStatus::Active
                    | MigrationStatus::PreSwitchover
                    | MigrationStatus::Device
                    | MigrationStatus::PostcopyActive
                    | MigrationStatus::PostcopyPaused
                    | MigrationStatus::Cancelling
                    | MigrationStatus::Other,
                ) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }
}
