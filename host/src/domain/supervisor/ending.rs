//! How a run ended, and the answer to those who asked for its end.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::connect::Connected;
use super::control::{self, Asker};
use super::relocate::Handing;
use super::served::Served;
use crate::domain::State;
use crate::domain::record::EndReason;
use crate::domain::state::Happening;
use crate::error::Result;

/// How a run ended, and who waits to hear of it.
#[derive(Debug)]
pub struct Ending {
    pub reason: EndReason,
    pub happening: Happening,
    pub exit_code: Option<i32>,
    pub askers: Askers,
    /// The supervisor was asked to go and to leave its guest to the next one.
    pub left_running: bool,
    /// Its guest stands still for good, and is to be another host's.
    pub(super) handing: Option<Box<Handed>>,
}

impl Ending {
    pub fn new(reason: EndReason, happening: Happening) -> Self {
        Ending { reason, happening, exit_code: None, askers: Askers::default(), left_running: false, handing: None }
    }

    /// Its guest stands still, and the domain is to be another host's.
    pub(super) fn handing(handed: Handed) -> Self {
        Ending { handing: Some(Box::new(handed)), ..Ending::new(EndReason::Moved, Happening::StopAsked) }
    }
}

/// All that it takes to hand a domain over, or to go on with it.
pub(super) struct Handed {
    pub(super) handing: Handing,
    pub(super) connected: Option<Connected>,
    pub(super) served: Option<Served>,
}

impl std::fmt::Debug for Handed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handed").field("handing", &self.handing).finish_non_exhaustive()
    }
}

/// Those who wait for the end, and the loop that carries the answer to them.
#[derive(Debug, Default)]
pub struct Askers {
    pub waiting: Vec<Asker>,
    pub connections: Option<(tokio::runtime::Runtime, Arc<Semaphore>)>,
}

impl Askers {
    /// Waits until what was answered is written, but not for long.
    pub fn answered(self) {
        if let Some((runtime, clients)) = self.connections {
            runtime.block_on(control::all_answered(&clients));
        }
    }

    /// Answers them all with the state that they waited for, and waits until the answers are written.
    pub fn answer(self, outcome: &Result<State>) {
        let any = !self.waiting.is_empty();
        for asker in self.waiting {
            asker.answer(outcome.clone());
        }
        if any {
            Askers { waiting: Vec::new(), connections: self.connections }.answered();
        }
    }
}
