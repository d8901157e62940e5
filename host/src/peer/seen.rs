//! What a peer was when it was asked the last time: `peers/NAME/seen.json`. Whoever only looks does not wait twice for
//! one that is away.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Reached, now_seconds};
use crate::error::{Failure, Kind, Result};
use crate::gate::{Gate, Mode};
use crate::layout::Layout;
use crate::sys::durable;
use crate::types::PeerName;

/// So long one that did not answer is taken for away.
const REMEMBERED: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub struct Seen {
    /// The last time that it answered, and when that was, in seconds since 1970-01-01T00:00:00Z.
    #[serde(default)]
    pub reached: Option<(u64, Reached)>,
    /// Why it did not the last time, and when that was; none where it did.
    #[serde(default)]
    pub away: Option<(u64, Failure)>,
}

/// None known where it was never asked.
pub fn read(layout: &Layout, peer: &PeerName) -> Seen {
    let bytes = std::fs::read(file(layout, peer)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Only saves time: what cannot be kept is not.
pub(super) fn remember(gate: &Gate, peer: &PeerName, reached: &Result<Reached>) {
    let layout = gate.layout();
    let mut seen = read(layout, peer);
    let now = now_seconds();
    match (gate.mode(), reached) {
        (Mode::DryRun, _) => return,
        (Mode::Perform, Ok(reached)) => seen = Seen { reached: Some((now, reached.clone())), away: None },
        (Mode::Perform, Err(failure)) if matches!(failure.kind, Kind::Unreachable | Kind::TimedOut) => {
            seen.away = Some((now, failure.clone()));
        }
        // It is there, and says no.
        (Mode::Perform, Err(_)) => return,
    }
    // One that was removed meanwhile is not brought back.
    if layout.peer(peer).join("peer.json").exists()
        && let Ok(bytes) = serde_json::to_vec(&seen)
        && let Err(failure) = durable::write(&file(layout, peer), &bytes)
    {
        tracing::debug!(%failure, "what a peer is like is not remembered");
    }
}

/// Why it did not answer a moment ago.
pub(super) fn away(layout: &Layout, peer: &PeerName) -> Option<Failure> {
    recent(read(layout, peer), now_seconds())
}

/// A clock that was set back makes nothing last for ever.
fn recent(seen: Seen, now: u64) -> Option<Failure> {
    let (at, failure) = seen.away?;
    now.checked_sub(at).filter(|ago| *ago < REMEMBERED.as_secs()).map(|_| failure)
}

fn file(layout: &Layout, peer: &PeerName) -> PathBuf {
    layout.peer(peer).join("seen.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_did_not_answer_is_away_for_a_while() {
        let seen = Seen { reached: None, away: Some((100, Failure::other("away"))) };
        assert!(recent(seen.clone(), 109).is_some() && recent(seen.clone(), 110).is_none());
        assert!(recent(seen, 99).is_none() && recent(Seen::default(), 100).is_none());
    }
}
