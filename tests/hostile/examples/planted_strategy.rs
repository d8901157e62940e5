//! Moves domains rightly, but for one mistake that the setting `mistake` names: what `fief plugin test` has to find.

use fief_sdk::migration::{Facts, Finding, Limits, Migration, MigrationStrategy, Outcome, Power, Severity};
use fief_sdk::{Error, Interface, Permission, Result};

fief_sdk::plugin! {
    migration: Planted;
    id: "hostile-planted-strategy",
    summary: "makes one mistake, for a test",
    permissions: [Permission::interface(Interface::Session, "moves domains")],
}

fief_sdk::settings! {
    pub struct Settings {
        /// The mistake; none.
        mistake: String = "",
        /// How many times; none.
        times: String = "7",
    }
}

struct Planted;

/// Samples that are waited for.
const SAMPLES: u32 = 10;

fn finding(message: &str) -> Finding {
    Finding {
        severity: Severity::Blocker,
        code: "planted".into(),
        object: "domain".into(),
        message: message.into(),
        remedy: None,
    }
}

impl MigrationStrategy for Planted {
    type Settings = Settings;

    fn check(facts: &Facts, settings: &Settings) -> Vec<Finding> {
        match settings.mistake.as_str() {
            "settings-trap" => {
                (0..settings.times.parse().expect("a number")).map(|_: u8| finding("no")).take(0).collect()
            }
            "check-counts-on-volumes" => {
                let _ = facts.volumes.first().expect("a domain has a volume").size;
                Vec::new()
            }
            "check-mute" => vec![finding("")],
            "check-blocks-all" => vec![finding("not today")],
            _ => Vec::new(),
        }
    }

    fn run(migration: &dyn Migration, settings: &Settings) -> Result<Outcome> {
        let mistake = settings.mistake.as_str();
        let moved = match mistake {
            "out-of-order" => migration.save().and_then(|()| moves(migration, mistake)),
            "gives-up" => Err(Error::other("tired", "it has had enough")),
            _ => moves(migration, mistake),
        };
        match mistake {
            "errors-trap" => Ok(moved.expect("every step is done")),
            "errors-are-success" => Ok(moved.unwrap_or(Outcome { downtime_ms: 0, total_ms: 1, transferred: 0 })),
            "outcome-invented" => moved.map(|outcome| Outcome { total_ms: 1, ..outcome }),
            _ => moved,
        }
    }
}

fn moves(migration: &dyn Migration, mistake: &str) -> Result<Outcome> {
    let facts = migration.facts();
    if mistake == "errors-passed-over" {
        let _ = migration.reserve();
    } else {
        migration.reserve()?;
    }
    if facts.power == Power::Running && facts.to_copy().next().is_none() {
        migration.precopy(&Limits { downtime_ms: 300, ..Limits::default() })?;
        let mut samples = 0;
        while migration.next_sample()?.is_some() && (samples < SAMPLES || mistake == "waits-for-ever") {
            samples += 1;
        }
        return migration.switch_over();
    }
    if facts.power == Power::Running {
        migration.pause()?;
    }
    migration.copy_volumes()?;
    if facts.power != Power::Off {
        migration.save()?;
        migration.copy_state()?;
    }
    migration.restore()
}
