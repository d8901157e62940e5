//! `fief start`.

use std::time::Duration;

use crate::cli::output::failure::warn;
use crate::cli::{Context, each::each};
use crate::config::domain::DomainDefinition;
use crate::domain::state::{Admission, Request, admit};
use crate::domain::supervisor::Report;
use crate::domain::{Record, autostart, client, steps, store};
use crate::error::{Failure, Result};
use crate::gate::{Ledger, Mode};
use crate::hypervisor::Places;
use crate::types::DomainName;

/// Start domains; one that runs already stays as it is
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Names of domains
    #[arg(required_unless_present = "autostart")]
    names: Vec<DomainName>,
    /// Those whose definitions have [autostart], in their order: what fief@.service runs when this machine starts
    #[arg(long, conflicts_with = "names")]
    autostart: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    if !args.autostart {
        return each(context, "domain", &args.names, |name| one(context, name));
    }
    let all = autostart::all(context.layout())?;
    let names: Vec<DomainName> = all.iter().map(|(name, _)| name.clone()).collect();
    each(context, "domain", &names, |name| {
        let said = one(context, name)?;
        let delay = all.iter().find(|(other, _)| other == name).map_or(Duration::ZERO, |(_, start)| start.delay.0);
        if context.mode() == Mode::Perform && names.last() != Some(name) {
            std::thread::sleep(delay);
        }
        Ok(said)
    })
}

fn one(context: &Context, name: &DomainName) -> Result<&'static str> {
    match context.mode() {
        Mode::Perform => start(context, name),
        Mode::DryRun => dry_run(context, &store::load(context.layout(), name)?).map(|()| "would start"),
    }
}

/// Starts one domain; says what became of it.
pub(super) fn start(context: &Context, name: &DomainName) -> Result<&'static str> {
    let layout = context.layout();
    if !layout.domain(name).exists() {
        return Err(store::no_such(layout, name));
    }
    match admit(client::settled_start(layout, name)?, Request::Start) {
        Admission::Already => return Ok("runs already"),
        Admission::Deny { kind, because, hint } => {
            return Err(Failure::new(kind, format!("cannot start domain {name}: {because}")).hint(hint));
        }
        Admission::Accept => {}
    }
    if let Some(saved) = Record::load(layout, name)?.saved.filter(|file| file.exists()) {
        let file = saved.display();
        context
            .confirm(&format!("start domain {name} afresh and lose what its guest held in memory (in {file})"))
            .map_err(|failure| {
                failure.hint(format!("`fief restore {file}` goes on where it was saved; --yes starts it afresh"))
            })?;
    }
    // Policy is read here too, so that a mistake in it is told at its place and not by the supervisor's log.
    context.policy()?;
    match client::start(layout, name)? {
        Report::Running { warning, .. } => {
            if let Some(warning) = warning {
                warn(&format!("domain {name}: {warning}"), context.format());
            }
            Ok("started")
        }
        Report::Off | Report::Expecting | Report::Handing => {
            Err(Failure::other(format!("domain {name} was off again at once"))
                .hint(format!("`fief logs {name}` shows what its guest said")))
        }
        Report::Failed(failure) => Err(failure),
    }
}

/// Prints what a start would do.
pub(super) fn dry_run(context: &Context, definition: &DomainDefinition) -> Result<()> {
    let gate = context.gate()?;
    steps::launch(&gate, &mut Ledger::volatile(), definition, &Places::new(definition), 0, steps::Begins::Fresh, None)
        .map(|_| ())
}
