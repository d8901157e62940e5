//! The commands that fief uses, as QEMU's schema has them (qapi/*.json of 7.2 to 10).

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

/// A command: its fields are the arguments.
pub(super) trait Command: Serialize {
    const NAME: &'static str;
    type Answer: DeserializeOwned;
}

macro_rules! commands {
    ($($name:literal $command:ident { $($field:ident: $type:ty),* } -> $answer:ty;)+) => {$(
        #[derive(Debug, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub(super) struct $command { $(pub(super) $field: $type),* }
        impl Command for $command {
            const NAME: &'static str = $name;
            type Answer = $answer;
        }
    )+};
}

commands! {
    "qmp_capabilities" Capabilities {} -> IgnoredAny;
    "query-status" QueryStatus {} -> Status;
    "query-version" QueryVersion {} -> VersionAnswer;
    "cont" Cont {} -> IgnoredAny;
    "stop" Stop {} -> IgnoredAny;
    "system_powerdown" SystemPowerdown {} -> IgnoredAny;
    "system_reset" SystemReset {} -> IgnoredAny;
    "quit" Quit {} -> IgnoredAny;
    "getfd" GetFd { fdname: &'static str } -> IgnoredAny;
    "add_client" AddClient { protocol: &'static str, fdname: &'static str, skipauth: bool } -> IgnoredAny;
    "add-fd" AddFd {} -> AddedFd;
    "add-fd" AddFdMarked { opaque: &'static str } -> AddedFd;
    "query-fdsets" QueryFdsets {} -> Vec<Fdset>;
    "remove-fd" RemoveFd { fdset_id: u32 } -> IgnoredAny;
    "blockdev-del" BlockdevDel { node_name: String } -> IgnoredAny;
    "blockdev-mirror" BlockdevMirror {
        job_id: String, device: String, target: String, sync: &'static str, copy_mode: &'static str,
        filter_node_name: String, auto_dismiss: bool
    } -> IgnoredAny;
    "block-job-cancel" BlockJobCancel { device: String, force: bool } -> IgnoredAny;
    "query-jobs" QueryJobs {} -> Vec<Job>;
    "job-dismiss" JobDismiss { id: String } -> IgnoredAny;
    "transaction" Transaction { actions: Vec<serde_json::Value> } -> IgnoredAny;
    "blockdev-snapshot-delete-internal-sync" SnapshotDelete { device: String, name: String } -> IgnoredAny;
    "migrate" Migrate { uri: &'static str } -> IgnoredAny;
    "migrate-incoming" MigrateIncoming { uri: &'static str } -> IgnoredAny;
    "migrate-set-parameters" MigrateSetParameters { max_bandwidth: u64 } -> IgnoredAny;
    "migrate_cancel" MigrateCancel {} -> IgnoredAny;
    "query-migrate" QueryMigrate {} -> Migration;
    "qom-get" QomGet { path: &'static str, property: &'static str } -> serde_json::Value;
    "screendump" Screendump { filename: String, format: &'static str } -> IgnoredAny;
}

#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) status: RunState,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct AddedFd {
    pub(super) fdset_id: u32,
}

/// Its arguments are a node, whose shape depends on its driver.
#[derive(Debug, Serialize)]
pub(super) struct BlockdevAdd(pub(super) serde_json::Value);

impl Command for BlockdevAdd {
    const NAME: &'static str = "blockdev-add";
    type Answer = IgnoredAny;
}

/// `FdsetInfo` (qapi/misc.json).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Fdset {
    pub(super) fdset_id: u32,
    pub(super) fds: Vec<FdsetFd>,
}

#[derive(Debug, Deserialize)]
pub(super) struct FdsetFd {
    pub(super) opaque: Option<String>,
}

/// `JobInfo` (qapi/job.json).
#[derive(Debug, Deserialize)]
pub(super) struct Job {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: JobStatus,
    pub(super) error: Option<String>,
}

/// How far a job is (`JobStatus`); those on the way are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum JobStatus {
    Ready,
    Concluded,
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
pub(super) struct VersionAnswer {
    pub(super) qemu: Version,
}

/// `MigrationInfo` (qapi/migration.json): empty before the first one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Migration {
    pub(super) status: Option<MigrationStatus>,
    pub(super) error_desc: Option<String>,
}

/// How far a migration is (`MigrationStatus`); those that fief does not use are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum MigrationStatus {
    None,
    Setup,
    Active,
    Device,
    Cancelling,
    Cancelled,
    Completed,
    Failed,
    #[serde(other)]
    Other,
}

/// QEMU's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub micro: u32,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// What the guest does (`RunState` in qapi/run-state.json).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Started with `-S` and not let go yet.
    Prelaunch,
    Running,
    Paused,
    /// The guest powered off (or was made to instead of a reboot), and is kept.
    Shutdown,
    GuestPanicked,
    /// Stopped by an error of a disk.
    IoError,
    InternalError,
    Suspended,
    Watchdog,
    Debug,
    Inmigrate,
    Postmigrate,
    FinishMigrate,
    SaveVm,
    RestoreVm,
    Colo,
    /// A state that this version of fief does not know.
    #[serde(other)]
    Other,
}
