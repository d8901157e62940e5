//! What crosses between the two rooms: frames of JSON on a unix stream socket, each a little-endian `u32` length
//! and that many bytes (at most [`FRAME_MAX`]); descriptors ride on the `Load` frame and on answers (SCM_RIGHTS, unix(7)).
//!
//! ```text
//!   host                                         sandbox
//!    Load + descriptors ───────────────────────▸  drops what is left, loads
//!                        ◂───────────────────────  Ready
//!    Call ─────────────────────────────────────▸  a fresh instance
//!                        ◂───────────────────────  Ask        (a host interface function)
//!    Answer ───────────────────────────────────▸
//!                        ◂───────────────────────  Log …      (any time)
//!                        ◂───────────────────────  Return     (the store is dropped)
//! ```
//!
//! `serving.rs` has the same for a volume that is served.
//!
//! All that comes from the sandbox is untrusted: texts are raw here and become checked words on the host's side.

mod ask;
mod moving;
mod serving;
pub mod wire;

pub use ask::{Ask, RawDhcp, RawReach, Reply};
pub use moving::{
    MigrationCall, MoveFacts, MoveHost, MovePower, MoveSameness, MoveVolume, Outcome, RawLimits, Sample, Step,
    StepReply,
};
pub use serving::{Geometry, Serve, ServingEvent, Tell};

use serde::{Deserialize, Serialize};

use crate::config::policy::{HostInterface, Limits};
use crate::gate::operation::{ImageFormat, Preallocation, SnapshotFacts};
use crate::types::{Access, PluginId};

/// Longest frame, in bytes: a list of 10,000 volumes fits.
pub const FRAME_MAX: usize = 4 << 20;
/// Grows with each change of the engine's settings that compiled code depends on (`engine.rs`): it is part of a cache
/// file's name.
pub const ENGINE_SETTINGS: u32 = 2;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToSandbox {
    /// Descriptors: the compiled component, one for each of `directories`, and where it `serves` the listening socket.
    Load {
        plugin: PluginId,
        kind: PluginKind,
        serves: bool,
        interfaces: Vec<HostInterface>,
        directories: Vec<Preopen>,
        limits: Limits,
        /// How long a plain `read` of a stream waits, in milliseconds.
        silence_ms: u32,
        /// What the plugin's clock on the wall shows when a call begins, in milliseconds since 1970-01-01T00:00:00Z; none:
        /// the time that it is.
        clock_ms: Option<u64>,
    },
    /// Compile the component (descriptor 0) and write the result to descriptor 1, then end.
    Compile {
        limits: Limits,
    },
    Call(Call),
    /// Descriptors: the stream or the secret that was asked for.
    Answer(Result<Reply, PluginError>),
    Serve(Serve),
    /// As `Answer`, to the ask of that number.
    AnswerTo(u64, Result<Reply, PluginError>),
    Tell(Tell),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromSandbox {
    Ready {
        exports: Vec<Ability>,
    },
    Compiled,
    Ask(Ask),
    /// An ask of a sandbox that serves; others may be under way.
    AskAs(u64, Ask),
    Serving(Geometry),
    Event(ServingEvent),
    Log {
        level: LogLevel,
        message: String,
        fields: Vec<(String, String)>,
    },
    Return(Result<Return, CallError>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginKind {
    Storage,
    Network,
    Migration,
}

/// An optional interface that a plugin exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ability {
    Snapshots,
    Clones,
    Renames,
    Fences,
    Notes,
    Block,
}

/// A directory that the sandbox finds as `/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Preopen {
    pub name: String,
    pub access: Access,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

pub type Settings = Vec<(String, String)>;

/// A function of the plugin's exports (storage.wit, network.wit, migration.wit).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    Storage { pool: String, settings: Settings, function: StorageCall },
    Network { network: String, bridge: String, settings: Settings, function: NetworkCall },
    Migration { facts: Box<MoveFacts>, settings: Settings, function: MigrationCall },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum StorageCall {
    Info,
    All,
    Find { name: String },
    Create { name: String, size: u64, format: ImageFormat, preallocation: Preallocation },
    Delete { name: String },
    Resize { name: String, size: u64 },
    Attach { name: String, access: AttachAccess },
    Detach { name: String },
    SnapshotCreate { volume: String, name: String },
    SnapshotDelete { volume: String, name: String },
    SnapshotRevert { volume: String, name: String },
    Snapshots { volume: String },
    Clone { source: String, snapshot: Option<String>, target: String, style: CloneStyle },
    Rename { name: String, to: String },
    Notes { volume: String },
    NoteLeave { volume: String, note: u64 },
    NoteRemove { volume: String, note: u64 },
    FenceShow { volume: String },
    FenceTake { volume: String, holder: Holder, force: bool },
    FenceRelease { volume: String, holder: Holder },
}

/// storage.wit, `holder`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Holder {
    pub host: String,
    pub name: String,
    pub domain: String,
    pub generation: u64,
}

/// storage.wit, `fence`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fence {
    pub kind: FenceKind,
    pub holder: Option<Holder>,
    pub generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FenceKind {
    None,
    Lease,
    Registration,
    Reservation,
}

impl FenceKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            FenceKind::None => "none",
            FenceKind::Lease => "lease",
            FenceKind::Registration => "registration",
            FenceKind::Reservation => "reservation",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachAccess {
    ReadOnly,
    Exclusive,
    Handover,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CloneStyle {
    Linked,
    Full,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum NetworkCall {
    Up,
    Plug { domain: String, index: u32, mac: String, address: Option<String> },
    Check,
}

/// What a plugin's function gave back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Return {
    Nothing,
    PoolInfo {
        identity: String,
        capacity: Option<u64>,
        available: Option<u64>,
        reachable_from_peers: bool,
        max_name: u32,
    },
    Volume(VolumeFacts),
    Volumes(Vec<VolumeFacts>),
    Attachment(Attachment),
    Snapshot(SnapshotFacts),
    Snapshots(Vec<SnapshotFacts>),
    Fence(Fence),
    Notes(Vec<u64>),
    Port(Port),
    Findings(Vec<Finding>),
    Outcome(Outcome),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VolumeFacts {
    pub name: String,
    pub size: u64,
    pub allocated: Option<u64>,
    pub format: ImageFormat,
    pub backing: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Attachment {
    File {
        directory: String,
        path: String,
        format: ImageFormat,
    },
    Nfs {
        server: String,
        port: Option<u16>,
        share: String,
        path: String,
        format: ImageFormat,
    },
    Iscsi {
        portal: String,
        target: String,
        lun: u32,
        initiator: Option<String>,
        header_digest: bool,
        user: Option<String>,
        password: Option<String>,
    },
    Nbd {
        address: String,
        export: String,
    },
    Served,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Port {
    Bridge { bridge: String, admit_address: Option<String>, mtu: Option<u32>, vlan: Option<u16> },
    User { network: Option<String>, forwards: Vec<Forward>, restricted: bool },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Forward {
    pub protocol: Protocol,
    pub host_address: String,
    pub host_port: u16,
    pub guest_port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    Tcp,
    Udp,
}

/// types.wit, `finding`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    pub severity: Severity,
    pub code: String,
    pub object: String,
    pub message: String,
    pub remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    Blocker,
    Warning,
    Note,
}

/// types.wit, `error`: the plugin's own word to the host, or the host's to the plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PluginError {
    pub code: ErrorCode,
    pub message: String,
    pub retry: Retry,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    NotFound,
    AlreadyExists,
    InUse(String),
    WrongState,
    Invalid,
    Denied,
    Exhausted,
    Unreachable,
    Timeout,
    Unsupported,
    Corrupt,
    Io,
    Other(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retry {
    Never,
    AfterFix,
    AfterMs(u32),
}

/// Why a call gave no answer of the plugin's, or the plugin's own error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallError {
    Plugin(PluginError),
    /// The plugin's code trapped; the text is the engine's.
    Trapped(String),
    /// Past a limit: which.
    Limit(Limit),
    /// The plugin does not export the interface that was called.
    Missing(Ability),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    Memory,
    Tables,
    Handles,
    Cpu,
    Wall,
    HostCallBytes,
    Stack,
}
