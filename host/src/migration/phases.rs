//! Which step of a move may follow which. Pure.
//!
//! ```text
//!             ┌ pause, copy-volumes ┐                             ┌ next-sample, adjust ┐
//!             ▾                     │                             ▾                     │
//!  Begun ─▸ Reserved ───────────────┴──▸ Sending ─────────────────┴──▸ switch-over ─▸ Over
//!  reserve    │   │ restore     precopy     │ postcopy                      ▴          ▴
//!             │   │ (off)                   └──▸ Fetching ─ next-sample ─────┘          │
//!             │   └──────────────────────────────────────────────────────────────────────┤
//!             └─ save ─▸ Saved ─ copy-state ─▸ Sent ─ restore ────────────────────────────┘
//! ```
//! A step that failed gives the move up: nothing may follow it. One that is refused changes nothing.

use super::message::Power;
use super::steps::Ask;
use crate::error::{Failure, Kind};
use crate::sandbox::protocol::{MoveFacts, MovePower, MoveSameness, MoveVolume};

/// What a move is about, as far as its steps hang on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    pub power: Power,
    /// The domain has volumes that the target does not reach.
    pub copies: bool,
    /// Policy lets the strategy go on by post-copy.
    pub postcopy: bool,
}

impl Terms {
    /// As the strategy is told of it.
    pub fn of(facts: &MoveFacts) -> Terms {
        let copies = |volume: &MoveVolume| match volume.sameness {
            MoveSameness::Proven | MoveSameness::Claimed => false,
            MoveSameness::Other | MoveSameness::Unknown => !volume.disc,
        };
        let power = match facts.power {
            MovePower::Running => Power::Running,
            MovePower::Paused => Power::Paused,
            MovePower::Off => Power::Off,
        };
        Terms { power, copies: facts.volumes.iter().any(copies), postcopy: facts.postcopy }
    }
}

/// Where a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Phase {
    Begun,
    Reserved,
    /// Memory and devices are in a file.
    Saved,
    /// The target has that file.
    Sent,
    /// Memory goes over while the guest runs.
    Sending,
    /// The guest goes to the target, and what is left of its memory follows.
    Fetching,
    Over,
    GivenUp,
}

/// What the target has of the volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Copied {
    Nothing,
    /// As they were while the guest wrote.
    Once,
    /// As they are: the guest stood still.
    Whole,
}

/// The automaton: one for each move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phases {
    terms: Terms,
    phase: Phase,
    /// The guest does not run, and so writes nothing.
    still: bool,
    copied: Copied,
}

/// Why a step may not be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("`{step}` may not be asked for now: {why}")]
    OutOfOrder { step: &'static str, why: &'static str },
    #[error("policy does not let this strategy go on by post-copy")]
    NotGranted,
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::OutOfOrder { .. } => Failure::new(Kind::Conflict, refused.to_string()),
            Refused::NotGranted => Failure::denied(refused.to_string())
                .hint("`postcopy = true` below [plugins.ID] in policy.toml grants it"),
        }
    }
}

impl Phases {
    pub const fn new(terms: Terms) -> Self {
        let still = match terms.power {
            Power::Running => false,
            Power::Paused | Power::Off => true,
        };
        Phases { terms, phase: Phase::Begun, still, copied: Copied::Nothing }
    }

    /// Whether the step may be done now. Changes nothing: [`Phases::done`] and [`Phases::failed`] say what became of it.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, ask: &Ask) -> Result<(), Refused> {
        match self.phase {
            Phase::Over => return out_of_order(ask, "the domain has moved"),
            Phase::GivenUp => return out_of_order(ask, "a step has failed, and the move was given up"),
            Phase::Begun | Phase::Reserved | Phase::Saved | Phase::Sent | Phase::Sending | Phase::Fetching => {}
        }
        let why = match ask {
            Ask::Progress { .. } => None,
            Ask::Reserve => (self.phase != Phase::Begun).then_some("the target has reserved already"),
            Ask::CopyVolumes => self.lacks_reserved(),
            Ask::Pause => self.lacks_guest().or_else(|| self.lacks_reserved()),
            Ask::Save => self.lacks_guest().or_else(|| self.lacks_reserved()).or_else(|| self.lacks_volumes()),
            Ask::CopyState => (self.phase != Phase::Saved).then_some("nothing was saved that is not sent"),
            Ask::Restore => match self.terms.power {
                Power::Off => self.lacks_reserved().or_else(|| self.lacks_volumes()),
                Power::Running | Power::Paused => (self.phase != Phase::Sent).then_some("no state was sent"),
            },
            Ask::Precopy(_) => self.lacks_guest().or_else(|| self.lacks_reserved()).or_else(|| self.lacks_mirrors()),
            Ask::Adjust(_) => (self.phase != Phase::Sending).then_some("no memory is under way"),
            Ask::NextSample | Ask::SwitchOver => {
                (!matches!(self.phase, Phase::Sending | Phase::Fetching)).then_some("no memory is under way")
            }
            Ask::Postcopy if !self.terms.postcopy => return Err(Refused::NotGranted),
            Ask::Postcopy if self.phase != Phase::Sending => Some("no memory is under way"),
            Ask::Postcopy => self.terms.copies.then_some("the target does not reach all volumes yet"),
        };
        why.map_or(Ok(()), |why| out_of_order(ask, why))
    }

    /// The step was done.
    pub fn done(&mut self, ask: &Ask) {
        match ask {
            Ask::Reserve => self.phase = Phase::Reserved,
            Ask::Pause => self.still = true,
            Ask::CopyVolumes => self.copied = if self.still { Copied::Whole } else { Copied::Once },
            Ask::Save => {
                self.still = true;
                self.phase = Phase::Saved;
            }
            Ask::CopyState => self.phase = Phase::Sent,
            Ask::Precopy(_) => self.phase = Phase::Sending,
            Ask::Postcopy => self.phase = Phase::Fetching,
            Ask::Restore | Ask::SwitchOver => self.phase = Phase::Over,
            Ask::NextSample | Ask::Adjust(_) | Ask::Progress { .. } => {}
        }
    }

    /// The step was begun, and not done: nothing may follow it.
    pub fn failed(&mut self, ask: &Ask) {
        match ask {
            Ask::Progress { .. } => {}
            Ask::Reserve
            | Ask::Pause
            | Ask::CopyVolumes
            | Ask::Save
            | Ask::CopyState
            | Ask::Restore
            | Ask::Precopy(_)
            | Ask::NextSample
            | Ask::Adjust(_)
            | Ask::Postcopy
            | Ask::SwitchOver => self.phase = Phase::GivenUp,
        }
    }

    /// The domain was handed over.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    fn lacks_guest(&self) -> Option<&'static str> {
        match self.terms.power {
            Power::Off => Some("the domain is off: no guest is there to go along"),
            Power::Running | Power::Paused => None,
        }
    }

    fn lacks_reserved(&self) -> Option<&'static str> {
        match self.phase {
            Phase::Begun => Some("`reserve` comes before all else"),
            Phase::Reserved => None,
            Phase::Saved | Phase::Sent | Phase::Sending | Phase::Fetching | Phase::Over | Phase::GivenUp => {
                Some("the guest is on its way already")
            }
        }
    }

    /// What the target goes on with has to be all that was written.
    fn lacks_volumes(&self) -> Option<&'static str> {
        let lacks = self.terms.copies && self.copied != Copied::Whole;
        lacks.then_some("the volumes have not been copied since the guest stands still")
    }

    /// From then on the host itself sees to it that both sides stay the same.
    fn lacks_mirrors(&self) -> Option<&'static str> {
        let lacks = self.terms.copies && self.copied == Copied::Nothing;
        lacks.then_some("the volumes have not been copied")
    }
}

fn out_of_order(ask: &Ask, why: &'static str) -> Result<(), Refused> {
    Err(Refused::OutOfOrder { step: ask.name(), why })
}

#[cfg(test)]
mod tests;
