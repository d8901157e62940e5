//! `fief reboot`: asks the guest, then starts it again.

use super::tell::{Told, tell_each};
use crate::cli::Context;
use crate::domain::supervisor::control::Request;
use crate::error::Result;
use crate::types::{DomainName, Span};

/// Ask guests to power off and start them again, with what was changed in their definitions since
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Names of domains
    #[arg(required = true)]
    pub(in crate::cli) names: Vec<DomainName>,
    /// How long a guest may take to power off
    #[arg(long, value_name = "TIME", default_value = "120s")]
    pub(in crate::cli) timeout: Span,
    /// Pull the reset line of a guest that takes longer
    #[arg(long)]
    pub(in crate::cli) then_reset: bool,
}

pub(in crate::cli) fn run(context: &Context, args: &Args) -> Result<()> {
    let request =
        Request::Reboot { timeout_ms: u64::try_from(args.timeout.0.as_millis()).ok(), then_reset: args.then_reset };
    let told = Told { done: "rebooted", already: "rebooted", dry: "would be rebooted" };
    tell_each(context, &args.names, &request, &told)
}
