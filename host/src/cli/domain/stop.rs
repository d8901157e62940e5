//! `fief stop`: pulls the plug.

use crate::cli::{Context, each::each};
use crate::domain::supervisor::control::Request;
use crate::domain::{client, store};
use crate::error::{Context as _, Result};
use crate::gate::{Ledger, Mode};
use crate::types::DomainName;

/// Pull the plug of domains; one that is off stays so. `fief shutdown` asks the guest instead
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Names of domains
    #[arg(required = true)]
    names: Vec<DomainName>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    each(context, "domain", &args.names, |name| match context.mode() {
        Mode::Perform => stop(context, name),
        Mode::DryRun => dry_run(context, name).map(|()| "would stop"),
    })
}

/// Stops one domain; says what became of it.
pub(super) fn stop(context: &Context, name: &DomainName) -> Result<&'static str> {
    let layout = context.layout();
    if !layout.domain(name).exists() {
        return Err(store::no_such(layout, name));
    }
    match client::ask(layout, name, &Request::Stop)? {
        Some(_) => Ok("stopped"),
        None => Ok("is off"),
    }
}

/// Prints what stopping would undo, newest first.
fn dry_run(context: &Context, name: &DomainName) -> Result<()> {
    let layout = context.layout();
    if !layout.domain(name).exists() {
        return Err(store::no_such(layout, name));
    }
    let ledger = Ledger::open(&layout.domain(name).join("ledger.jsonl"))?;
    for entry in ledger.entries().iter().rev() {
        let line = serde_json::to_string(&serde_json::json!({ "undo": entry.operation }))
            .context(|| "cannot print an operation".to_owned())?;
        context.print(&(line + "\n"))?;
    }
    Ok(())
}
