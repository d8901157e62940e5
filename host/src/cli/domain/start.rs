//! `fief start`.

use crate::cli::output::failure::warn;
use crate::cli::{Context, each::each};
use crate::config::domain::DomainDefinition;
use crate::domain::state::{Admission, Request, admit};
use crate::domain::supervisor::Report;
use crate::domain::{client, steps, store};
use crate::error::{Failure, Result};
use crate::gate::{Ledger, Mode};
use crate::types::DomainName;

/// Start domains; one that runs already stays as it is
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Names of domains
    #[arg(required = true)]
    names: Vec<DomainName>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    each(context, "domain", &args.names, |name| match context.mode() {
        Mode::Perform => start(context, name),
        Mode::DryRun => dry_run(context, &store::load(context.layout(), name)?).map(|()| "would start"),
    })
}

/// Starts one domain; says what became of it.
pub(super) fn start(context: &Context, name: &DomainName) -> Result<&'static str> {
    let layout = context.layout();
    if !layout.domain(name).exists() {
        return Err(store::no_such(layout, name));
    }
    match admit(client::settled_start(layout, name)?, Request::Start) {
        Admission::Already => return Ok("runs already"),
        Admission::Deny { because, hint } => {
            return Err(Failure::conflict(format!("cannot start domain {name}: {because}")).hint(hint));
        }
        Admission::Accept => {}
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
        Report::Off => Err(Failure::other(format!("domain {name} was off again at once"))
            .hint(format!("`fief logs {name}` shows what its guest said"))),
        Report::Failed(failure) => Err(failure),
    }
}

/// Prints what a start would do.
pub(super) fn dry_run(context: &Context, definition: &DomainDefinition) -> Result<()> {
    let gate = context.gate()?;
    steps::launch(&gate, &mut Ledger::volatile(), definition, 0).map(|_| ())
}
