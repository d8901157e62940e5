//! What crosses where a strategy moves a domain: what it is told, the steps that it asks for, and what they are answered.
//! A step takes as long as it takes; meanwhile the sandbox waits, and its plugin's clocks stand still.

use serde::{Deserialize, Serialize};

/// migration.wit, `strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MigrationCall {
    Check,
    Run,
}

/// migration.wit, `facts`. Bytes, and bytes a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MoveFacts {
    pub domain: String,
    pub power: MovePower,
    pub memory: u64,
    pub volumes: Vec<MoveVolume>,
    pub snapshots: Vec<String>,
    pub source: MoveHost,
    pub target: MoveHost,
    pub bandwidth: Option<u64>,
    pub postcopy: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MovePower {
    Running,
    Paused,
    Off,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MoveHost {
    pub name: String,
    pub architecture: String,
    pub hypervisor: String,
    pub hypervisor_version: String,
    pub memory_available: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MoveVolume {
    pub volume: String,
    pub disc: bool,
    pub size: u64,
    pub allocated: u64,
    pub sameness: MoveSameness,
    pub room_at_target: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MoveSameness {
    Proven,
    Claimed,
    Other,
    Unknown,
}

/// A function of `migration` that the plugin called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Step {
    Reserve,
    Pause,
    CopyVolumes,
    Save,
    CopyState,
    Restore,
    Precopy(RawLimits),
    NextSample,
    Adjust(RawLimits),
    Postcopy,
    SwitchOver,
    Progress { done: u64, total: u64, note: String },
}

/// As the plugin wants them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RawLimits {
    pub bandwidth: Option<u64>,
    pub downtime_ms: u32,
    pub auto_converge: bool,
    pub channels: u8,
    pub compress: bool,
}

/// What the host answers a [`Step`] with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepReply {
    Done,
    /// Bytes that went over.
    Copied(u64),
    Sample(Option<Sample>),
    Outcome(Outcome),
}

/// How far memory is. Bytes, bytes a second, milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sample {
    pub remaining: u64,
    pub transferred: u64,
    pub dirty_rate: u64,
    pub bandwidth: u64,
    pub elapsed_ms: u64,
    /// If the guest stood still now.
    pub expected_downtime_ms: u64,
    /// Times that memory was gone through.
    pub round: u32,
}

/// What came of a move. Milliseconds, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outcome {
    /// From the last instruction here to the first there.
    pub downtime_ms: u64,
    pub total_ms: u64,
    pub transferred: u64,
}
