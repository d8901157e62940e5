//! The domain stands still, and all of it is copied: for a domain that is off, and where no storage is shared. A guest that
//! runs goes on while its volumes are copied, round after round, and stands still for the last of them and its memory.
//!
//! ```text
//!   off      reserve ─▸ copy volumes ─▸ restore
//!   else     reserve ─▸ copy volumes… ─▸ pause ─▸ copy what is left ─▸ save ─▸ copy the state ─▸ restore
//! ```

mod check;

use fief_sdk::migration::{Facts, Finding, Migration, MigrationStrategy, Outcome, Power};
use fief_sdk::{Interface, Permission, Result, Size};

fief_sdk::plugin! {
    migration: Static;
    id: "migration-static",
    summary: "the domain stands still while it is copied, with its volumes where they are not shared",
    permissions: [
        Permission::interface(Interface::Session, "says when each step of the move is done"),
    ],
}

fief_sdk::settings! {
    /// Of a move.
    pub struct Settings {
        /// Times that volumes are copied at most while the guest runs. From the second on, only what was written meanwhile.
        rounds: u32 = "5",
        /// A round of fewer bytes is small enough: what is left is copied while the guest stands still.
        small: Size = "16MiB",
    }
}

struct Static;

impl MigrationStrategy for Static {
    type Settings = Settings;

    fn check(facts: &Facts, _: &Settings) -> Vec<Finding> {
        check::findings(facts)
    }

    fn run(migration: &dyn Migration, settings: &Settings) -> Result<Outcome> {
        let facts = migration.facts();
        migration.reserve()?;
        if facts.power == Power::Running && facts.to_copy().next().is_some() {
            copy_while_it_runs(migration, settings)?;
        }
        if facts.power != Power::Off {
            migration.pause()?;
        }
        migration.progress(0, 0, "volumes");
        migration.copy_volumes()?;
        if facts.power != Power::Off {
            migration.progress(0, facts.memory, "memory");
            migration.save()?;
            migration.copy_state()?;
        }
        migration.restore()
    }
}

/// Each round copies what was written during the one before it; once they do not get shorter, more of them bring nothing.
fn copy_while_it_runs(migration: &dyn Migration, settings: &Settings) -> Result<()> {
    let mut last = u64::MAX;
    for round in 1..=settings.rounds {
        migration.progress(0, 0, &format!("volumes, round {round}"));
        let copied = migration.copy_volumes()?;
        if round > 1 && (copied <= settings.small.0 || copied >= last) {
            break;
        }
        last = copied;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
