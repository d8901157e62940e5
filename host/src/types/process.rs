//! The name of a process.

use serde::{Deserialize, Serialize};

/// A process that outlives the command, told from a later one with the same number by its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProcessId {
    pub pid: u32,
    /// Field 22 of /proc/PID/stat, in clock ticks since boot (proc(5)).
    pub start_time: u64,
}
