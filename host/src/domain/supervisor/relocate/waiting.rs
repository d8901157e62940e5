//! What a source that still may go on waits for.

use super::sending::{Pending, Work};
use crate::error::Result;
use crate::hypervisor::qemu::qmp::Monitor;
use crate::migration::steps::Answer;

/// The end of what goes on beside all else, or never.
pub(super) async fn worked(pending: &mut Option<Pending>) -> Result<Answer> {
    match pending {
        Some(Pending::Work { work, .. }) => work.as_mut().await,
        Some(Pending::Reserve(_) | Pending::Sample { .. }) | None => std::future::pending().await,
    }
}

/// Until the hypervisor tells of memory that goes over.
pub(super) async fn moves(monitor: Option<&Monitor>) {
    match monitor {
        Some(monitor) => monitor.moves().await,
        None => std::future::pending().await,
    }
}

pub(super) async fn round(rounds: &mut Option<Work>) -> Result<Answer> {
    match rounds {
        Some(round) => round.as_mut().await,
        None => std::future::pending().await,
    }
}
