//! The guest runs while its memory goes over, and stands still for the last of it.
//!
//! ```text
//!   reserve ─▸ (copy volumes) ─▸ precopy ─▸ sample ─┬─ converged ─▸ switch over
//!                                             ▴     ├─ no closer: a longer pause ─┐
//!                                             └─────┴─────────────────────────────┘
//!                                                   └─ out of time: give up │ switch over │ post-copy
//! ```

mod check;
mod pace;

use fief_sdk::migration::{Facts, Finding, Migration, MigrationStrategy, Outcome};
use fief_sdk::{Error, Interface, Permission, Result, Size};

use crate::pace::{AtTimeOut, Next, Pace};

fief_sdk::plugin! {
    migration: Live;
    id: "migration-live",
    summary: "the guest runs while its memory goes over",
    permissions: [
        Permission::interface(Interface::Session, "says when each step of the move is done"),
    ],
}

fief_sdk::settings! {
    /// Of a move.
    pub struct Settings {
        /// Milliseconds that the guest may stand still for the last round; less is tried first.
        downtime: u32 = "300",
        /// Milliseconds that it may stand still at most, where it writes faster than can be sent.
        most_downtime: u32 = "2000",
        /// Bytes a second at most, as in "100MiB"; what policy lets moves have where nothing is written.
        bandwidth: Option<Size>,
        /// Connections side by side, 1 to 16: more where one does not fill the network, and both hosts have processors to spare.
        channels: u8 = "1",
        /// Whether a guest that writes faster than can be sent is slowed down.
        auto_converge: bool = "true",
        /// Whether memory is compressed on its way.
        compress: bool = "false",
        /// Whether volumes that the target does not reach go along.
        disks: bool = "true",
        /// Seconds that the memory of any guest may take.
        seconds: u32 = "60",
        /// And those besides for each GiB of it.
        seconds_per_gib: u32 = "120",
        /// What happens then: "give-up", "switch-over" (however long the guest stands still) or "postcopy" (where policy
        /// grants it).
        at_time_out: AtTimeOut = "give-up",
    }
}

struct Live;

impl MigrationStrategy for Live {
    type Settings = Settings;

    fn check(facts: &Facts, settings: &Settings) -> Vec<Finding> {
        check::findings(facts, settings)
    }

    fn run(migration: &dyn Migration, settings: &Settings) -> Result<Outcome> {
        let facts = migration.facts();
        migration.reserve()?;
        if facts.to_copy().next().is_some() {
            migration.progress(0, 0, "volumes");
            migration.copy_volumes()?;
        }
        let mut pace = Pace::new(settings, facts.memory);
        migration.precopy(&pace.limits)?;
        while let Some(sample) = migration.next_sample()? {
            migration.progress(sample.transferred, sample.transferred.saturating_add(sample.remaining), "memory");
            match pace.next(&sample) {
                Next::Wait => {}
                Next::Adjust => migration.adjust(&pace.limits)?,
                Next::SwitchOver => break,
                Next::Postcopy => migration.postcopy()?,
                Next::GiveUp(why) => return Err(Error::timeout(why)),
            }
        }
        migration.switch_over()
    }
}

#[cfg(test)]
mod tests;
