//! Migration plugins: how a domain moves from one host to another, as an operator would do it step by step.
//!
//! ```text
//!   live     reserve ─▸ precopy ─▸ (next_sample │ adjust)… ─▸ switch_over
//!   static   reserve ─▸ copy_volumes… ─▸ pause ─▸ copy_volumes ─▸ save ─▸ copy_state ─▸ restore      running, paused
//!            reserve ─▸ copy_volumes ─▸ restore                                                         off
//! ```
//! ```
//! use fief_sdk::migration::{Facts, Finding, Limits, Migration, MigrationStrategy, Outcome};
//! use fief_sdk::Result;
//!
//! struct Plain;
//!
//! impl MigrationStrategy for Plain {
//!     type Settings = ();
//!     fn check(_: &Facts, _: &()) -> Vec<Finding> {
//!         Vec::new()
//!     }
//!     fn run(migration: &dyn Migration, _: &()) -> Result<Outcome> {
//!         migration.reserve()?;
//!         migration.precopy(&Limits { downtime_ms: 300, ..Limits::default() })?;
//!         while let Some(sample) = migration.next_sample()? {
//!             migration.progress(sample.transferred, sample.transferred + sample.remaining, "memory");
//!         }
//!         migration.switch_over()
//!     }
//! }
//!
//! use fief_sdk::native::{FakeMigration, Step};
//! let fake = FakeMigration::running(512 << 20);
//! Plain::run(&fake, &()).unwrap();
//! assert_eq!(fake.steps().last(), Some(&Step::SwitchOver));
//! ```
//!
//! **Write the straight way.** Pass each error on with `?` and clean up nothing: until `switch_over` or `restore` has handed
//! the domain over, an error, a panic or silence gives the move up, the target lets go of what it has, and the guest goes on
//! where it is. What you give back after that changes nothing.
//!
//! **A step that may not be done now** is refused with `wrong-state`, and changes nothing: `reserve` comes first; a domain
//! whose volumes the target does not reach is saved only after `copy_volumes` with its guest paused; `restore` comes after
//! `copy_state`, or for a domain that is off after `copy_volumes`. **A step that failed** has given the move up.
//!
//! **Time.** Each step takes as long as it takes, and your own deadlines stand still meanwhile. Between two steps you have
//! what a call has. Telling [`progress`](Migration::progress) and [`adjust`](Migration::adjust)ing gives you no more of it,
//! and a move that goes through memory for ever, or takes longer than any move of that size, is ended.
//!
//! **Limits** that no host can keep become the nearest that can be: 1 to 16 channels, a downtime of 10 s at most, and no more
//! bandwidth than policy lets moves have.
//!
//! **No clock, no random numbers.** Elapsed time is in each [`Sample`]; the same samples lead to the same steps.

use crate::bindings::host::fief::migration::session;
use crate::bindings::strategy::exports::fief::migration::strategy;
use crate::error::{Error, Result};
use crate::settings::{Setting, Settings};

pub use crate::bindings::host::fief::types::types::{Finding, Severity};
pub use session::{Facts, HostFacts, Limits, Outcome, Power, Sameness, Sample, VolumeFacts};

/// One move of one domain: the steps that a strategy may ask for. What each does is in `wit/migration`.
pub trait Migration {
    fn facts(&self) -> Facts;
    /// The target makes ready: memory, name, networks, volumes.
    fn reserve(&self) -> Result<()>;
    /// The guest stands still, and goes on where the move is given up.
    fn pause(&self) -> Result<()>;
    /// Volumes that the target does not reach, to it; again: what was written since. Gives the bytes that went over.
    fn copy_volumes(&self) -> Result<u64>;
    /// Memory and devices into a file of the host's; the guest stands still from then on.
    fn save(&self) -> Result<()>;
    /// What was saved, to the target. Gives the bytes that went over.
    fn copy_state(&self) -> Result<u64>;
    /// Hands the domain over; the target goes on with what was copied.
    fn restore(&self) -> Result<Outcome>;
    /// Memory begins to go over while the guest runs.
    fn precopy(&self, limits: &Limits) -> Result<()>;
    /// Waits for the next measurement; none once what is left fits the pause that is allowed.
    fn next_sample(&self) -> Result<Option<Sample>>;
    /// Another bandwidth and downtime for what is under way; the rest stays as it was.
    fn adjust(&self, limits: &Limits) -> Result<()>;
    /// With `switch_over` the guest goes on at the target, and fetches what is missing: nothing more has to go over before.
    /// `denied` unless policy grants it; refused unless the move's setting `at-time-out` is `postcopy`.
    fn postcopy(&self) -> Result<()>;
    /// The guest stands still, the last of it goes over, and the domain is handed over.
    fn switch_over(&self) -> Result<Outcome>;
    /// For people: how far it is. More than a few a second are dropped.
    fn progress(&self, done: u64, total: u64, note: &str);
}

/// How a domain moves.
pub trait MigrationStrategy {
    type Settings: Settings;
    /// What stands in the way of this strategy, all at once, each with a code that stays the same between versions. What
    /// any move needs (processors, machines, networks, names) the host has checked itself.
    fn check(facts: &Facts, settings: &Self::Settings) -> Vec<Finding>;
    /// Moves the domain. Gives what [`Migration::switch_over`] or [`Migration::restore`] gave.
    ///
    /// # Errors
    /// Why the move is given up.
    fn run(migration: &dyn Migration, settings: &Self::Settings) -> Result<Outcome>;
}

/// No bandwidth of its own, no pause that is allowed, one channel, nothing else.
impl Default for Limits {
    fn default() -> Self {
        Limits { bandwidth: None, downtime_ms: 0, auto_converge: false, channels: 1, compress: false }
    }
}

impl Facts {
    /// The volumes that have to go along, because the target does not reach them.
    pub fn to_copy(&self) -> impl Iterator<Item = &VolumeFacts> {
        self.volumes.iter().filter(|volume| match volume.sameness {
            Sameness::Proven | Sameness::Claimed => false,
            Sameness::Other | Sameness::Unknown => !volume.disc,
        })
    }
}

impl Migration for session::Migration {
    fn facts(&self) -> Facts {
        session::Migration::facts(self)
    }
    fn reserve(&self) -> Result<()> {
        session::Migration::reserve(self)
    }
    fn pause(&self) -> Result<()> {
        session::Migration::pause(self)
    }
    fn copy_volumes(&self) -> Result<u64> {
        session::Migration::copy_volumes(self)
    }
    fn save(&self) -> Result<()> {
        session::Migration::save(self)
    }
    fn copy_state(&self) -> Result<u64> {
        session::Migration::copy_state(self)
    }
    fn restore(&self) -> Result<Outcome> {
        session::Migration::restore(self)
    }
    fn precopy(&self, limits: &Limits) -> Result<()> {
        session::Migration::precopy(self, *limits)
    }
    fn next_sample(&self) -> Result<Option<Sample>> {
        session::Migration::next_sample(self)
    }
    fn adjust(&self, limits: &Limits) -> Result<()> {
        session::Migration::adjust(self, *limits)
    }
    fn postcopy(&self) -> Result<()> {
        session::Migration::postcopy(self)
    }
    fn switch_over(&self) -> Result<Outcome> {
        session::Migration::switch_over(self)
    }
    fn progress(&self, done: u64, total: u64, note: &str) {
        session::Migration::progress(self, done, total, note);
    }
}

impl<T: MigrationStrategy> strategy::Guest for T {
    fn check(facts: Facts, settings: Vec<Setting>) -> Vec<Finding> {
        match T::Settings::read(&settings) {
            Ok(settings) => <T as MigrationStrategy>::check(&facts, &settings),
            Err(error) => vec![wrong_settings(&facts, error)],
        }
    }
    fn run(migration: &session::Migration, settings: Vec<Setting>) -> Result<Outcome> {
        <T as MigrationStrategy>::run(migration, &T::Settings::read(&settings)?)
    }
}

fn wrong_settings(facts: &Facts, error: Error) -> Finding {
    Finding {
        severity: Severity::Blocker,
        code: "settings".into(),
        object: facts.domain.clone(),
        message: error.message,
        remedy: Some("correct them".into()),
    }
}
