//! A guest's memory on its way to another host: the figures that hypervisor and strategy both speak of.

use serde::{Deserialize, Serialize};

/// Of memory that goes over while its guest runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MoveLimits {
    /// Bytes a second; none: as policy says.
    pub bandwidth: Option<u64>,
    /// How long the guest may stand still for the last round, in milliseconds.
    pub downtime_ms: u32,
    /// Slow the guest down where it writes faster than can be sent.
    pub auto_converge: bool,
    /// Connections side by side, 1 to 16.
    pub channels: u8,
    pub compress: bool,
}
