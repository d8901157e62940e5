//! A strategy that looks at the clock, and so would do something else at each run: it is not installed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fief_sdk::migration::{Facts, Finding, Migration, MigrationStrategy, Outcome};
use fief_sdk::{Interface, Permission, Result};

fief_sdk::plugin! {
    migration: Moody;
    id: "hostile-clock",
    summary: "misbehaves, for a test",
    permissions: [Permission::interface(Interface::Session, "misuses it")],
}

struct Moody;

impl MigrationStrategy for Moody {
    type Settings = ();

    fn check(_: &Facts, (): &()) -> Vec<Finding> {
        Vec::new()
    }

    fn run(migration: &dyn Migration, (): &()) -> Result<Outcome> {
        migration.reserve()?;
        let odd = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs() % 2 == 1;
        if odd { migration.switch_over() } else { migration.restore() }
    }
}
