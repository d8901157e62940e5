//! A strategy that misbehaves as its settings say. What the host answers is in `host/tests/strategies`.

use std::hint::black_box;

use fief_sdk::migration::{Facts, Finding, Limits, Migration, MigrationStrategy, Outcome, Severity};
use fief_sdk::{Error, Interface, Permission, Result};

fief_sdk::plugin! {
    migration: Hostile;
    id: "hostile-strategy",
    summary: "misbehaves, for a test",
    permissions: [Permission::interface(Interface::Session, "misuses it")],
}

fief_sdk::settings! {
    pub struct Settings {
        /// What it does.
        attack: String = "none",
        /// The step after which it does that.
        after: String = "",
    }
}

struct Hostile;

const LIMITS: Limits = Limits { bandwidth: None, downtime_ms: 300, auto_converge: true, channels: 1, compress: false };
const ABSURD: Limits =
    Limits { bandwidth: Some(u64::MAX), downtime_ms: 3_600_000, auto_converge: true, channels: 255, compress: true };
const NOTHING: Limits =
    Limits { bandwidth: Some(0), downtime_ms: 0, auto_converge: false, channels: 0, compress: false };

impl MigrationStrategy for Hostile {
    type Settings = Settings;

    fn check(_: &Facts, settings: &Settings) -> Vec<Finding> {
        match settings.attack.as_str() {
            "check-traps" => panic!("in a check"),
            "check-lies" => vec![Finding {
                severity: Severity::Note,
                code: "all\x1b[2Jwell".into(),
                object: "node1\nerror: none".into(),
                message: "x".repeat(1 << 16),
                remedy: None,
            }],
            _ => Vec::new(),
        }
    }

    fn run(migration: &dyn Migration, settings: &Settings) -> Result<Outcome> {
        let attack = settings.attack.as_str();
        match attack {
            "out-of-order" => return out_of_order(migration),
            "lies" => return Ok(claimed()),
            "saves-early" => return saves_early(migration),
            "fails" => return Err(Error::other("own\x1b[2J", "it has had enough")),
            _ => {}
        }
        let at = |step: &str| settings.after == step;
        if at("") {
            strike(attack, migration)?;
        }
        migration.reserve()?;
        if at("reserve") {
            strike(attack, migration)?;
        }
        migration.precopy(if attack == "absurd" { &ABSURD } else { &LIMITS })?;
        if at("precopy") {
            strike(attack, migration)?;
        }
        let mut turn = false;
        while migration.next_sample()?.is_some() {
            turn = !turn;
            if attack == "flips" {
                migration.adjust(if turn { &NOTHING } else { &ABSURD })?;
            }
            if at("next-sample") {
                strike(attack, migration)?;
            }
        }
        if attack == "postcopy" {
            migration.postcopy()?;
        }
        let outcome = migration.switch_over()?;
        if at("switch-over") {
            strike(attack, migration)?;
        }
        Ok(if attack == "exaggerates" { claimed() } else { outcome })
    }
}

/// What did not happen.
fn claimed() -> Outcome {
    Outcome { downtime_ms: 0, total_ms: 0, transferred: u64::MAX }
}

fn strike(attack: &str, migration: &dyn Migration) -> Result<()> {
    match attack {
        "traps" => panic!("in the middle of a move"),
        "spins" => loop {
            black_box(0);
        },
        "floods" => loop {
            migration.progress(u64::MAX, 0, "so far, so good");
        },
        "adjusts" => loop {
            migration.adjust(&ABSURD)?;
            migration.adjust(&NOTHING)?;
        },
        "never-ends" => loop {
            migration.next_sample()?;
        },
        "insists" => loop {
            // Refused each time.
            let _ = migration.restore();
        },
        "grows" => {
            let mut all = Vec::new();
            loop {
                all.push(Vec::<u8>::with_capacity(8 << 20));
                black_box(&all);
            }
        }
        "goes-on" => {
            for _ in 0..3 {
                let _ = (migration.reserve(), migration.pause(), migration.switch_over(), migration.restore());
                migration.progress(1, 1, "and on");
            }
            Err(Error::other("undone", "the domain is back where it was"))
        }
        "long-note" => {
            migration.progress(0, 0, &"x".repeat(1 << 20));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Every step that may not come first, each of them twice.
fn out_of_order(migration: &dyn Migration) -> Result<Outcome> {
    for _ in 0..2 {
        let refused = [
            migration.switch_over().map(drop),
            migration.restore().map(drop),
            migration.save(),
            migration.copy_state().map(drop),
            migration.copy_volumes().map(drop),
            migration.pause(),
            migration.precopy(&LIMITS),
            migration.adjust(&LIMITS),
            migration.next_sample().map(drop),
            migration.postcopy(),
        ];
        if refused.iter().any(Result::is_ok) {
            return Ok(claimed());
        }
    }
    Err(Error::wrong_state("nothing may be done"))
}

/// Memory before the volumes are whole.
fn saves_early(migration: &dyn Migration) -> Result<Outcome> {
    migration.reserve()?;
    migration.copy_volumes()?;
    migration.save()?;
    migration.copy_state()?;
    migration.restore()
}
