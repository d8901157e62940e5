//! What a strategy may ask of its host while it moves a domain, step by step, and what it hears back: the host's half of
//! `fief:migration/session`. A strategy says *when*; what each step does, and whether it may be done now, is the host's.
//!
//! ```text
//!   live     reserve ─▸ precopy ─▸ (sample │ adjust)… ─▸ switch-over
//!   static   reserve ─▸ copy-volumes… ─▸ pause ─▸ copy-volumes ─▸ save ─▸ copy-state ─▸ restore      running, paused
//!            reserve ─▸ copy-volumes ─▸ restore                                                         off
//! ```
//! `phases.rs` has all that may follow each other, `limits.rs` what becomes of limits that are absurd, `bounds.rs` how much
//! asking is too much.
//!
//! Whatever a strategy does, or does not do, the domain ends up on one host: until `switch-over` or `restore` has ceded it,
//! an error, a trap or silence of the strategy's gives the attempt up and its guest goes on; after that it is not asked any more.

use std::time::Duration;

use crate::error::Result;
pub use crate::sandbox::protocol::{Outcome, Sample};
pub use crate::types::MoveLimits as Limits;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// The target makes ready: memory, name, networks, volumes. Answered by `Done`, or the target's reasons.
    Reserve,
    /// The guest stands still, and goes on where the move is given up.
    Pause,
    /// Volumes that the target does not reach, to it; again: what was written since. Answered by `Copied`. Once memory goes
    /// over, the host keeps both sides the same.
    CopyVolumes,
    /// Memory and devices into a file of this host's. The guest stands still from then on.
    Save,
    /// What was saved to the target. Answered by `Copied`.
    CopyState,
    /// Ownership goes over; the target goes on with what was copied. Answered by `Outcome`.
    Restore,
    /// Memory begins to go over while the guest runs.
    Precopy(Limits),
    /// Waits for the next measurement. Answered by `Sample`: none once what is left fits the pause that is allowed.
    NextSample,
    /// Another bandwidth and downtime for what is under way; the rest is as it was.
    Adjust(Limits),
    /// Nothing more has to go over before the guest: with `SwitchOver` it goes on at the target, and fetches what is missing from
    /// here. By explicit grant only: neither host has the whole guest then.
    Postcopy,
    /// The guest stands still, the last of it and ownership go over, the target goes on. Answered by `Outcome`.
    SwitchOver,
    /// For people: how far the strategy says that it is. The note is escaped and short.
    Progress { done: u64, total: u64, note: String },
}

impl Ask {
    /// The function's name in the WIT package.
    pub const fn name(&self) -> &'static str {
        match self {
            Ask::Reserve => "reserve",
            Ask::Pause => "pause",
            Ask::CopyVolumes => "copy-volumes",
            Ask::Save => "save",
            Ask::CopyState => "copy-state",
            Ask::Restore => "restore",
            Ask::Precopy(_) => "precopy",
            Ask::NextSample => "next-sample",
            Ask::Adjust(_) => "adjust",
            Ask::Postcopy => "postcopy",
            Ask::SwitchOver => "switch-over",
            Ask::Progress { .. } => "progress",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Done,
    /// Bytes that went over.
    Copied(u64),
    Sample(Option<Sample>),
    Outcome(Outcome),
}

/// How a strategy asks. Each call waits until the step is done, however long it takes.
pub type Asking<'a> = dyn FnMut(Ask) -> Result<Answer> + Send + 'a;

/// Who says how a domain moves: a plugin, or a test's own.
pub trait Strategy: Send {
    /// Runs the move to its end; what it gives is not believed, the handover knows what came about.
    ///
    /// # Errors
    /// A step's, passed on; its own; `PluginFault` where it trapped or took longer than `within` between two steps.
    fn run(&mut self, within: Duration, ask: &mut Asking<'_>) -> Result<()>;
}
