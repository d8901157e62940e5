//! The end of a run, as the loop comes to it: the hypervisor is told to end, or has ended.

use std::time::Duration;

use super::connect::{Connected, LAST_WORDS};
use super::ending::{Askers, Ending};
use super::heard::heard;
use super::watch::Loop;
use crate::domain::record::EndReason;
use crate::domain::state::{Happening, Task, step};
use crate::error::Result;
use crate::sys::process;

/// How long the hypervisor has to end by itself once it was told to, before it is killed.
const QUIT_PATIENCE: Duration = Duration::from_secs(2);

impl Loop<'_> {
    /// A guest that powers off because it was asked to for a new start does not end the domain.
    pub(super) fn meant(&self, happening: Happening) -> Happening {
        match happening {
            Happening::PoweredOff if self.start_again => Happening::PoweredOffToStart,
            other => other,
        }
    }

    pub(super) fn ending(&mut self, happening: Happening, exit_code: Option<i32>) -> Ending {
        let reason = match happening {
            Happening::PoweredOff | Happening::PoweredOffToStart => EndReason::PoweredOff,
            Happening::Rebooted => EndReason::Rebooted,
            Happening::Crashed => EndReason::Crashed,
            Happening::HypervisorGone => EndReason::HypervisorGone,
            Happening::Saved => EndReason::Saved,
            Happening::Fenced => EndReason::Fenced,
            Happening::StopAsked
            | Happening::Launched
            | Happening::LaunchFailed
            | Happening::Paused
            | Happening::Resumed
            | Happening::Undone => EndReason::Stopped,
        };
        let askers = Askers { waiting: std::mem::take(&mut self.askers), connections: None };
        Ending { exit_code, askers, ..Ending::new(reason, happening) }
    }

    /// Tells the hypervisor to end, so that it writes out what it holds; the ledger's undo kills one that does not.
    pub(super) async fn quit(&mut self, connected: &mut Connected) -> Option<i32> {
        // One that is ending already may not answer.
        let _ = tokio::time::timeout(QUIT_PATIENCE, connected.monitor.quit()).await;
        match tokio::time::timeout(QUIT_PATIENCE, connected.exit.readable()).await {
            Ok(Ok(_)) => self.hypervisor.and_then(process::exit_code),
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// The hypervisor process ended. What it said just before may still be on its way.
    pub(super) async fn gone(&mut self, mut connected: Connected) -> Result<Ending> {
        let exit_code = self.hypervisor.and_then(process::exit_code);
        let mut happening = Happening::HypervisorGone;
        while let Ok(Some(event)) = tokio::time::timeout(LAST_WORDS, connected.events.recv()).await {
            if let Some(last @ (Happening::PoweredOff | Happening::Crashed | Happening::Rebooted)) = heard(&event) {
                happening = last;
            }
        }
        connected.last_said().await;
        // isa-debug-exit ends the hypervisor with (value << 1) | 1: always odd.
        if self.definition.debug_exit
            && happening == Happening::HypervisorGone
            && exit_code.is_some_and(|code| code & 1 == 1)
        {
            happening = Happening::PoweredOff;
        }
        if !self.askers.is_empty() && happening == Happening::HypervisorGone {
            happening = Happening::StopAsked;
        }
        let mut happening = self.meant(happening);
        let (_, task) = step(self.record.state, happening, self.rules);
        // A hypervisor that is gone cannot be kept.
        if let Task::Keep | Task::Nothing = task {
            happening = Happening::HypervisorGone;
        }
        Ok(self.ending(happening, exit_code))
    }
}
