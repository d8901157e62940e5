//! The commands that fief uses, as QEMU's schema has them (qapi/*.json of 7.2 to 10).

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A command: its fields are the arguments.
pub(super) trait Command: Serialize {
    const NAME: &'static str;
    type Answer: DeserializeOwned;
}

macro_rules! commands {
    ($($name:literal $command:ident { $($(#[$how:meta])* $field:ident: $type:ty),* } -> $answer:ty;)+) => {$(
        #[derive(Debug, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub(super) struct $command { $($(#[$how])* pub(super) $field: $type),* }
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
    "getfd" GetNamedFd { fdname: String } -> IgnoredAny;
    "closefd" CloseFd { fdname: &'static str } -> IgnoredAny;
    "add_client" AddClient { protocol: &'static str, fdname: &'static str, skipauth: bool } -> IgnoredAny;
    "add-fd" AddFd {} -> AddedFd;
    "remove-fd" RemoveFd { fdset_id: u32 } -> IgnoredAny;
    "blockdev-mirror" BlockdevMirror {
        job_id: String, device: String, target: String, sync: &'static str, copy_mode: &'static str,
        filter_node_name: String, auto_dismiss: bool, speed: u64
    } -> IgnoredAny;
    "block-job-complete" BlockJobComplete { device: String } -> IgnoredAny;
    "block-job-cancel" BlockJobCancel { device: String, force: bool } -> IgnoredAny;
    "query-jobs" QueryJobs {} -> Vec<Job>;
    "job-dismiss" JobDismiss { id: String } -> IgnoredAny;
    "transaction" Transaction { actions: Vec<Value> } -> IgnoredAny;
    "blockdev-snapshot-delete-internal-sync" SnapshotDelete { device: String, name: String } -> IgnoredAny;
    "migrate" Migrate { uri: &'static str } -> IgnoredAny;
    "migrate" MigrateTo { uri: String } -> IgnoredAny;
    "migrate-incoming" MigrateIncoming { uri: &'static str } -> IgnoredAny;
    "migrate-incoming" MigrateIncomingAt { uri: String } -> IgnoredAny;
    "migrate-set-parameters" SetChannels { multifd_channels: u8 } -> IgnoredAny;
    "migrate-set-parameters" MigrateSetParameters { max_bandwidth: u64 } -> IgnoredAny;
    "migrate_cancel" MigrateCancel {} -> IgnoredAny;
    "query-migrate" QueryMigrate {} -> Migration;
    "query-yank" QueryYank {} -> Vec<YankInstance>;
    "migrate-set-capabilities" SetCapabilities { capabilities: Vec<Capability> } -> IgnoredAny;
    "migrate-set-parameters" SetLimits { max_bandwidth: u64, downtime_limit: u64 } -> IgnoredAny;
    "migrate-start-postcopy" MigrateStartPostcopy {} -> IgnoredAny;
    "migrate-set-parameters" SetPostcopyBandwidth { max_postcopy_bandwidth: u64 } -> IgnoredAny;
    "blockdev-set-active" SetActive { active: bool } -> IgnoredAny;
    "migrate-continue" MigrateContinue { state: &'static str } -> IgnoredAny;
    "announce-self" AnnounceSelf { initial: u32, max: u32, rounds: u32, step: u32 } -> IgnoredAny;
    "qom-get" QomGet { path: &'static str, property: &'static str } -> Value;
    "qom-set" QomSet { path: String, property: &'static str, value: String } -> IgnoredAny;
    "balloon" SetBalloon { value: u64 } -> IgnoredAny;
    "query-balloon" QueryBalloon {} -> Balloon;
    "set-action" SetAction { reboot: &'static str, shutdown: &'static str } -> IgnoredAny;
    "qom-list" QomList { path: &'static str } -> Vec<Property>;
    "add-fd" AddNamedFd { opaque: String } -> AddedFd;
    "query-fdsets" QueryFdsets {} -> Vec<FdSet>;
    "query-block" QueryBlock {} -> Vec<Drive>;
    "query-named-block-nodes" QueryNodes { flat: bool } -> Vec<Node>;
    "blockdev-add" BlockdevAdd { #[serde(flatten)] node: Value } -> IgnoredAny;
    "blockdev-del" BlockdevDel { node_name: String } -> IgnoredAny;
    "blockdev-open-tray" OpenTray { id: String, force: bool } -> IgnoredAny;
    "blockdev-close-tray" CloseTray { id: String } -> IgnoredAny;
    "blockdev-remove-medium" RemoveMedium { id: String } -> IgnoredAny;
    "blockdev-insert-medium" InsertMedium { id: String, node_name: String } -> IgnoredAny;
    "object-add" ObjectAdd { #[serde(flatten)] object: Value } -> IgnoredAny;
    "object-del" ObjectDel { id: String } -> IgnoredAny;
    "block_resize" BlockResize { node_name: String, size: u64 } -> IgnoredAny;
    "yank" Yank { instances: Vec<Value> } -> IgnoredAny;
    "nbd-server-start" NbdServerStart { addr: Value, max_connections: u32 } -> IgnoredAny;
    "nbd-server-stop" NbdServerStop {} -> IgnoredAny;
    "block-export-add" BlockExportAdd { #[serde(flatten)] export: Value } -> IgnoredAny;
    "block-export-del" BlockExportDel { id: String, mode: &'static str } -> IgnoredAny;
    "query-block-exports" QueryBlockExports {} -> Vec<Export>;
    "block-dirty-bitmap-remove" BitmapRemove { node: String, name: String } -> IgnoredAny;
    "blockdev-reopen" BlockdevReopen { options: Vec<Value> } -> IgnoredAny;
    "netdev_add" NetdevAdd { #[serde(flatten)] netdev: Value } -> IgnoredAny;
    "netdev_del" NetdevDel { id: String } -> IgnoredAny;
    "device_add" DeviceAdd { #[serde(flatten)] device: Value } -> IgnoredAny;
    "device_del" DeviceDel { id: String } -> IgnoredAny;
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

/// `YankInstance` (qapi/yank.json).
#[derive(Debug, Deserialize)]
pub(super) struct YankInstance {
    #[serde(rename = "type")]
    pub(super) kind: String,
}

/// In bytes.
#[derive(Debug, Deserialize)]
pub(super) struct Balloon {
    pub(super) actual: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Property {
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct FdSet {
    pub(super) fdset_id: u32,
    pub(super) fds: Vec<FdInSet>,
}

#[derive(Debug, Deserialize)]
pub(super) struct FdInSet {
    pub(super) opaque: Option<String>,
}

/// `BlockInfo`: `qdev` names the device (its id, or a path that ends in it), `inserted` is what is in it.
#[derive(Debug, Deserialize)]
pub(super) struct Drive {
    pub(super) qdev: Option<String>,
    pub(super) tray_open: Option<bool>,
    pub(super) inserted: Option<Inserted>,
}

/// `BlockDeviceInfo`: the top node.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Inserted {
    pub(super) node_name: Option<String>,
    pub(super) image: Image,
}

/// `ImageInfo`; in bytes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Image {
    pub(super) virtual_size: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Node {
    pub(super) node_name: Option<String>,
    pub(super) ro: bool,
    pub(super) drv: String,
    #[serde(default)]
    pub(super) dirty_bitmaps: Vec<Bitmap>,
}

/// `BlockDirtyInfo`.
#[derive(Debug, Deserialize)]
pub(super) struct Bitmap {
    pub(super) name: Option<String>,
}

/// `BlockExportInfo` (qapi/block-export.json).
#[derive(Debug, Deserialize)]
pub(super) struct Export {
    pub(super) id: String,
}

/// `JobInfo` (qapi/job.json).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Job {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: JobStatus,
    pub(super) error: Option<String>,
    #[serde(default)]
    pub(super) current_progress: u64,
    #[serde(default)]
    pub(super) total_progress: u64,
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

/// `MigrationCapabilityStatus`.
#[derive(Debug, Serialize)]
pub(super) struct Capability {
    pub(super) capability: &'static str,
    pub(super) state: bool,
}

/// `MigrationInfo` (qapi/migration.json): empty before the first one. Milliseconds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Migration {
    pub(super) status: Option<MigrationStatus>,
    pub(super) error_desc: Option<String>,
    #[serde(default)]
    pub(super) total_time: u64,
    #[serde(default)]
    pub(super) expected_downtime: u64,
    pub(super) ram: Option<Ram>,
}

/// `MigrationStats`: bytes, pages a second, megabits a second.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Ram {
    pub(super) transferred: u64,
    pub(super) remaining: u64,
    #[serde(default)]
    pub(super) dirty_pages_rate: u64,
    #[serde(default)]
    pub(super) page_size: u64,
    #[serde(default)]
    pub(super) mbps: f64,
    #[serde(default)]
    pub(super) dirty_sync_count: u32,
}

/// How far a migration is (`MigrationStatus`); those that fief does not use are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum MigrationStatus {
    None,
    Setup,
    Active,
    PreSwitchover,
    Device,
    PostcopyActive,
    PostcopyPaused,
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
