//! `fief run`: create and start in one.

use super::{create, start};
use crate::cli::Context;
use crate::domain::store;
use crate::error::Result;
use crate::gate::Mode;

/// Define a domain and start it; where it does not start, it is not kept
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    definition: create::Definition,
    /// Attach to its console once it runs (Ctrl-] leaves)
    #[arg(long)]
    console: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let definition = create::create(context, &args.definition)?;
    if context.mode() == Mode::DryRun {
        return start::dry_run(context, &definition);
    }
    if let Err(failure) = start::start(context, &definition.name) {
        // The operator asked for a running domain, so half of that is not left behind. What it cannot be, says why.
        return match store::delete(context.layout(), &definition.name) {
            Ok(()) => Err(failure),
            Err(left) => {
                let mut failure = failure;
                failure.causes.push(format!("and its definition stays: {left}"));
                Err(failure)
            }
        };
    }
    context.changed("domain", &definition.name, "started", serde_json::json!({ "name": definition.name }))?;
    if args.console { super::console::attach(context, &definition.name) } else { Ok(()) }
}
