//! Disks whose storage fails: what an operator sees of it, and the guest that goes on by itself.
//!
//! ```text
//!   running ── a request fails ─▸ paused, waits ── 1, 2, 4 … 30 s, or told that it is back ─▸ tried ── quiet ─▸ all is well
//!                                   ▴     │ pause, by an operator: it waits no longer           │
//!                                   │     ▾                                                     │
//!                                   │   paused                                                  │
//!                                   └──────────────────── fails again ──────────────────────────┘
//! ```

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::connect::Connected;
use super::watch::Loop;
use crate::domain::State;
use crate::error::Result;
use crate::hypervisor::qemu::qmp::RunState;
use crate::types::VolumeRef;

/// The first wait before a guest is let go on again, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A guest that was let go and for which nothing fails this long has its storage back.
const QUIET: Duration = Duration::from_secs(3);

/// A guest that runs on, and was told of no failure for this long, has its storage back.
const TOLD_QUIET: Duration = Duration::from_secs(20);

/// What is amiss with a running domain's disks, in its record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Storage {
    /// The guest stands still because of it, and not because somebody paused it: it goes on by itself.
    #[serde(default)]
    pub waits: bool,
    #[serde(default)]
    pub troubles: Vec<Trouble>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Trouble {
    /// None where the hypervisor did not say which.
    pub volume: Option<VolumeRef>,
    pub why: String,
    pub since: Timestamp,
    /// The guest runs on, and is told of each request that fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub told: bool,
}

impl Storage {
    pub fn is_well(&self) -> bool {
        *self == Storage::default()
    }

    /// `default/node1: Input/output error, since …`, for each.
    pub fn words(&self) -> Option<String> {
        let words = self.troubles.iter().map(|Trouble { volume, why, since, told: _ }| match volume {
            Some(volume) => format!("{volume}: {why}, since {since:.0}"),
            None => format!("a disk: {why}, since {since:.0}"),
        });
        let words: Vec<String> = words.collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// The same of what the guest is told; what is known of that disk by other ways stays.
    fn note_told(&mut self, volume: Option<VolumeRef>, why: String) -> bool {
        if self.troubles.iter().any(|trouble| trouble.volume == volume && !trouble.told) {
            return false;
        }
        let news = self.note(volume.clone(), why);
        self.troubles.iter_mut().filter(|trouble| trouble.volume == volume).for_each(|trouble| trouble.told = true);
        news
    }

    /// Whether that is news.
    fn note(&mut self, volume: Option<VolumeRef>, why: String) -> bool {
        match self.troubles.iter_mut().find(|trouble| trouble.volume == volume) {
            Some(known) if known.why == why => false,
            Some(known) => {
                known.why = why;
                true
            }
            None => {
                self.troubles.push(Trouble { volume, why, since: Timestamp::now(), told: false });
                true
            }
        }
    }
}

/// When something is next done for a guest whose storage failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    pub(super) at: Instant,
    /// How long it was, or would be, waited.
    wait: Duration,
    tried: bool,
}

impl Retry {
    fn first() -> Self {
        Retry { at: Instant::now() + FIRST_WAIT, wait: FIRST_WAIT, tried: false }
    }

    fn later(self) -> Self {
        let wait = (self.wait * 2).min(LONGEST_WAIT);
        Retry { at: Instant::now() + wait, wait, tried: false }
    }
}

impl Loop<'_> {
    /// The hypervisor stopped the guest: it is let go on again later, unless an operator had paused it.
    pub(super) fn storage_failed(&mut self, disk: Option<usize>, why: String) {
        let volume = self.volume_at(disk);
        let runs = self.record.state == State::Running;
        let Ok(run) = self.run() else { return };
        let mut news = run.storage.note(volume.clone(), why.clone());
        if runs && !run.storage.waits {
            run.storage.waits = true;
            news = true;
        }
        if run.storage.waits {
            // Of the many requests that fail at once, the first counts.
            self.retry = match self.retry {
                Some(retry) if retry.tried => Some(retry.later()),
                Some(retry) => Some(retry),
                None => Some(Retry::first()),
            };
        }
        if news {
            tracing::error!(?volume, why, "the guest stands still: its storage failed");
            self.note_storage();
        }
    }

    /// A request failed, and the guest was told.
    pub(super) fn storage_told(&mut self, disk: Option<usize>, why: String) {
        let volume = self.volume_at(disk);
        let Ok(run) = self.run() else { return };
        let news = run.storage.note_told(volume.clone(), why.clone());
        self.told = Some(Instant::now() + TOLD_QUIET);
        if news {
            tracing::error!(?volume, why, "the guest is told that its storage failed");
            self.note_storage();
        }
    }

    /// It was not told of any for a while.
    pub(super) fn forget_told(&mut self) {
        self.told = None;
        let Ok(run) = self.run() else { return };
        let before = run.storage.troubles.len();
        run.storage.troubles.retain(|trouble| !trouble.told);
        if run.storage.troubles.len() != before {
            self.note_storage();
        }
    }

    /// The volume of the disk in that place.
    fn volume_at(&self, disk: Option<usize>) -> Option<VolumeRef> {
        let disk = disk?;
        self.places().disks.into_iter().find(|(_, at)| *at == disk).map(|(volume, _)| volume)
    }

    /// The guest that waits is let go on, or has been for long enough.
    pub(super) async fn retry_storage(&mut self, connected: &Connected) {
        let Some(retry) = self.retry else { return };
        let waits = self.record.run.as_ref().is_some_and(|run| run.storage.waits);
        if !waits || self.record.state == State::Preserved {
            self.retry = None;
            return;
        }
        if retry.tried {
            tracing::info!("the guest goes on: its storage is back");
            self.storage_is_well();
            return;
        }
        // What goes on beside may need it to stand still.
        if self.job.is_some() {
            self.retry = Some(retry.later());
            return;
        }
        match connected.monitor.resume().await {
            Ok(()) => self.retry = Some(Retry { at: Instant::now() + QUIET, tried: true, ..retry }),
            Err(failure) => {
                tracing::debug!(%failure, "the guest could not be let go on");
                self.retry = Some(retry.later());
            }
        }
    }

    /// A disk waits for storage that does not answer; the guest may not have noticed yet.
    pub(super) fn storage_degraded(&mut self, volume: VolumeRef, why: String) {
        let Ok(run) = self.run() else { return };
        if run.storage.note(Some(volume.clone()), why.clone()) {
            tracing::warn!(%volume, why, "its storage does not answer");
            self.note_storage();
        }
    }

    /// A disk's storage answers again: a guest that waits for it need not wait longer.
    pub(super) fn storage_restored(&mut self, volume: &VolumeRef) {
        tracing::info!(%volume, "its storage answers");
        let waits = self.record.run.as_ref().is_some_and(|run| run.storage.waits);
        match self.retry {
            Some(retry) if waits && !retry.tried => self.retry = Some(Retry { at: Instant::now(), ..retry }),
            Some(_) | None => self.forget_trouble(volume),
        }
    }

    /// Somebody paused the guest, or lets it go on: from here on it does as it is told.
    pub(super) fn storage_is_left_to(&mut self, pauses: bool) {
        let Ok(run) = self.run() else { return };
        if run.storage.is_well() {
            return;
        }
        run.storage.waits = false;
        if pauses {
            self.retry = None;
        } else {
            run.storage.waits = true;
            self.retry = Some(Retry { at: Instant::now() + QUIET, wait: FIRST_WAIT, tried: true });
        }
        self.note_storage();
    }

    /// After a supervisor was away: what it missed.
    pub(super) async fn settle_storage(&mut self, connected: &Connected) -> Result<()> {
        let stopped = connected.monitor.status().await? == RunState::IoError;
        let ran = self.record.state == State::Running;
        let run = self.run()?;
        if stopped && ran {
            run.storage.waits = true;
            run.storage.note(None, "it failed while no supervisor was there".to_owned());
        }
        let waits = run.storage.waits;
        if run.storage.troubles.iter().any(|trouble| trouble.told) {
            self.told = Some(Instant::now() + TOLD_QUIET);
        }
        if waits {
            self.retry = Some(Retry::first());
            self.note_storage();
        }
        Ok(())
    }

    fn forget_trouble(&mut self, volume: &VolumeRef) {
        let Ok(run) = self.run() else { return };
        let before = run.storage.troubles.len();
        run.storage.troubles.retain(|trouble| trouble.volume.as_ref() != Some(volume));
        if run.storage.troubles.len() != before {
            self.note_storage();
        }
    }

    fn storage_is_well(&mut self) {
        self.retry = None;
        if let Ok(run) = self.run() {
            run.storage = Storage::default();
            self.note_storage();
        }
    }

    fn note_storage(&mut self) {
        if let Err(failure) = self.record.save(self.layout) {
            tracing::error!(%failure, "the record does not say how the storage is");
        }
    }
}

/// That moment, or never.
pub(super) async fn due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_let_go_on_later_and_later() {
        let mut retry = Retry::first();
        let mut waits = Vec::new();
        for _ in 0..7 {
            waits.push(retry.wait.as_secs());
            retry = retry.later();
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn the_same_trouble_again_is_no_news() {
        let mut storage = Storage::default();
        let volume: VolumeRef = "p/a".parse().unwrap();
        assert!(storage.note(Some(volume.clone()), "no room is left".into()));
        assert!(!storage.note(Some(volume.clone()), "no room is left".into()));
        assert!(storage.note(None, "Input/output error".into()));
        assert!(storage.note(Some(volume), "Input/output error".into()));
        assert!(!storage.note_told("p/a".parse().ok(), "Bad address".into()), "the guest stood still because of it");
        assert!(storage.note_told("p/b".parse().ok(), "Bad address".into()));
        assert!(!storage.note_told("p/b".parse().ok(), "Bad address".into()));
        storage.troubles.retain(|trouble| !trouble.told);
        let words = storage.words().unwrap();
        assert!(words.starts_with("p/a: Input/output error, since ") && words.contains("; a disk: "), "{words}");
    }
}
