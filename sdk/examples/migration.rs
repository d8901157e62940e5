//! A domain that moves while its guest runs, without waiting for more than one round of its memory.
//!
//! What each step does, and which may follow which, is in the manual of the SDK (`cargo doc -p fief-sdk --open`).

use fief_sdk::migration::{Facts, Finding, Limits, Migration, MigrationStrategy, Outcome, Power, Severity};
use fief_sdk::{Interface, Permission, Result};

fief_sdk::plugin! {
    migration: Mine;
    id: "my-plugin",
    summary: "memory goes over once, and the guest stands still for the rest",
    permissions: [
        Permission::interface(Interface::Session, "says when each step of the move is done"),
    ],
}

fief_sdk::settings! {
    /// Of a move. The comments are what an operator reads.
    pub struct Settings {
        /// Milliseconds that the guest may stand still.
        downtime: u32 = "500",
    }
}

struct Mine;

impl MigrationStrategy for Mine {
    type Settings = Settings;

    fn check(facts: &Facts, _: &Settings) -> Vec<Finding> {
        let mut all = Vec::new();
        if facts.power != Power::Running {
            all.push(Finding {
                severity: Severity::Blocker,
                code: "not-running".into(),
                object: facts.domain.clone(),
                message: "its guest does not run".into(),
                remedy: Some("choose another strategy".into()),
            });
        }
        all
    }

    fn run(migration: &dyn Migration, settings: &Settings) -> Result<Outcome> {
        migration.reserve()?;
        if migration.facts().to_copy().next().is_some() {
            migration.copy_volumes()?;
        }
        let limits = Limits {
            bandwidth: None,
            downtime_ms: settings.downtime,
            auto_converge: true,
            channels: 1,
            compress: false,
        };
        migration.precopy(&limits)?;
        // None: what is left fits the downtime.
        while let Some(sample) = migration.next_sample()? {
            migration.progress(sample.transferred, sample.transferred + sample.remaining, "memory");
        }
        migration.switch_over()
    }
}

#[cfg(test)]
mod tests {
    use fief_sdk::native::{FakeMigration, Step};
    use fief_sdk::settings::Settings as _;

    use super::*;

    #[test]
    fn a_guest_is_sent_and_handed_over() {
        let settings = Settings::read(&[]).unwrap();
        let fake = FakeMigration::running(512 << 20);
        assert!(Mine::check(&fake.facts(), &settings).is_empty());
        Mine::run(&fake, &settings).unwrap();
        let steps = fake.steps();
        assert_eq!((steps.first(), steps.last()), (Some(&Step::Reserve), Some(&Step::SwitchOver)));
        assert_eq!(Mine::check(&FakeMigration::off().facts(), &settings).len(), 1);
    }
}
