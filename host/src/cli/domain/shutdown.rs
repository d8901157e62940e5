//! `fief shutdown`: asks the guest.

use crate::cli::{Context, each::each};
use crate::domain::supervisor::control::Request;
use crate::domain::{client, store};
use crate::error::Result;
use crate::gate::Mode;
use crate::types::{DomainName, Span};

/// Ask guests to power off, and wait until they have
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Names of domains
    #[arg(required = true)]
    names: Vec<DomainName>,
    /// How long a guest may take
    #[arg(long, value_name = "TIME", default_value = "120s")]
    timeout: Span,
    /// Pull the plug of a guest that takes longer
    #[arg(long)]
    then_stop: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let request =
        Request::Shutdown { timeout_ms: u64::try_from(args.timeout.0.as_millis()).ok(), then_stop: args.then_stop };
    each(context, "domain", &args.names, |name| {
        let layout = context.layout();
        if !layout.domain(name).exists() {
            return Err(store::no_such(layout, name));
        }
        match context.mode() {
            Mode::DryRun => Ok("would be asked to power off"),
            Mode::Perform => match client::ask(layout, name, &request)? {
                Some(_) => Ok("shut down"),
                None => Ok("is off"),
            },
        }
    })
}
