//! `fief host doctor`: everything on this machine that fief stands on, each with what to do where it is amiss.

mod forward;
mod kernel;
mod network;
mod state;
mod tools;

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::output::{Cell, Column, Row};
use crate::error::{Failure, Kind, Result};

/// Check this machine; exit code 6 where something fails. Remembers whether KVM runs a guest
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Health {
    Ok,
    /// fief works; something is slower, weaker or in the way of a part of it.
    Warn,
    /// Part of fief does not work.
    Fail,
}

/// One check, made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    /// Kebab-case; stays the same.
    pub name: &'static str,
    pub health: Health,
    pub found: String,
    pub remedy: Option<String>,
}

impl Check {
    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Check {
        Check { name, health: Health::Ok, found: found.into(), remedy: None }
    }
    pub(super) fn warn(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check { name, health: Health::Warn, found: found.into(), remedy: Some(remedy.into()) }
    }
    pub(super) fn fail(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check { name, health: Health::Fail, found: found.into(), remedy: Some(remedy.into()) }
    }
}

pub(super) fn run(context: &Context, _: &Args) -> Result<()> {
    // A policy that cannot be read is itself a finding; the rest is checked with the defaults.
    let policy = context.policy();
    let settings = policy.as_ref().map(|policy| policy.host.clone()).unwrap_or_default();
    let mut checks = state::checks(context.layout(), policy.as_ref().err());
    checks.extend(tools::checks(&settings));
    if let (true, Ok(gate)) = (settings.qemu.exists(), context.gate()) {
        checks.push(tools::clients(&gate));
    }
    checks.extend(kernel::checks(context));
    checks.extend(network::checks(&settings.nft));
    context.list(&checks)?;
    verdict(&checks)
}

fn verdict(checks: &[Check]) -> Result<()> {
    let failed: Vec<&str> = checks.iter().filter(|c| c.health == Health::Fail).map(|c| c.name).collect();
    match failed.len() {
        0 => Ok(()),
        count => {
            let message = format!("{count} of {} checks failed: {}", checks.len(), failed.join(", "));
            Err(Failure::new(Kind::Findings, message).hint("the table says what to do about each"))
        }
    }
}

impl Row for Check {
    const KIND: &'static str = "check";
    const COLUMNS: &'static [Column] =
        &[Column::left("CHECK"), Column::left("HEALTH"), Column::left("FOUND"), Column::left("REMEDY")];
    fn name(&self) -> String {
        self.name.to_owned()
    }
    fn cells(&self) -> Vec<Cell> {
        vec![
            self.name.into(),
            word(self.health).into(),
            self.found.as_str().into(),
            Cell::optional(self.remedy.as_deref()),
        ]
    }
    fn json(&self) -> Value {
        json!({ "name": self.name, "health": word(self.health), "found": self.found, "remedy": self.remedy })
    }
}

const fn word(health: Health) -> &'static str {
    match health {
        Health::Ok => "ok",
        Health::Warn => "warn",
        Health::Fail => "fail",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_no_failure_and_a_failed_check_is_named() {
        let ok = Check::ok("qemu", "7.2.22");
        let warn = Check::warn("kvm", "not usable", "enable it");
        let fail = Check::fail("nft", "absent", "install it");
        assert!(verdict(&[ok.clone(), warn.clone()]).is_ok());
        let failure = verdict(&[ok, warn, fail]).unwrap_err();
        assert_eq!((failure.kind, failure.message.as_str()), (Kind::Findings, "1 of 3 checks failed: nft"));
    }
}
