//! A strategy that uses all that `fief:migration@0.1.0` has.

use fief_sdk::migration::{Facts, Finding, Limits, Migration, MigrationStrategy, Outcome, Power, Severity};
use fief_sdk::{Interface, Permission, Result};

fief_sdk::plugin! {
    migration: Frozen;
    id: "frozen-migration",
    summary: "was built for version 0.1.0 of the interfaces, and goes on working",
    permissions: [
        Permission::interface(Interface::Session, "says when each step of the move is done"),
    ],
}

fief_sdk::settings! {
    /// Of a move.
    pub struct Settings {
        /// Whether a guest that runs goes on where not all of it is yet.
        postcopy: bool = "false",
    }
}

struct Frozen;

impl MigrationStrategy for Frozen {
    type Settings = Settings;

    fn check(facts: &Facts, settings: &Settings) -> Vec<Finding> {
        let asks = settings.postcopy && !facts.postcopy;
        let finding = || Finding {
            severity: Severity::Blocker,
            code: "no-postcopy".into(),
            object: facts.domain.clone(),
            message: "policy grants no postcopy".into(),
            remedy: Some("set postcopy = false".into()),
        };
        asks.then(finding).into_iter().collect()
    }

    fn run(migration: &dyn Migration, settings: &Settings) -> Result<Outcome> {
        let facts = migration.facts();
        migration.reserve()?;
        migration.copy_volumes()?;
        if facts.power == Power::Off {
            return migration.restore();
        }
        if facts.power == Power::Paused {
            migration.save()?;
            migration.copy_state()?;
            return migration.restore();
        }
        let limits =
            Limits { bandwidth: None, downtime_ms: 500, auto_converge: true, channels: 1, compress: false };
        migration.precopy(&limits)?;
        while let Some(sample) = migration.next_sample()? {
            migration.progress(sample.transferred, sample.transferred + sample.remaining, "memory");
            if settings.postcopy {
                migration.postcopy()?;
                break;
            }
            if sample.round > 20 {
                migration.pause()?;
            }
            migration.adjust(&limits)?;
        }
        migration.switch_over()
    }
}
