//! `fief reset`.

use super::tell::{Told, tell_each};
use crate::cli::Context;
use crate::domain::supervisor::control::Request;
use crate::error::Result;
use crate::types::DomainName;

/// Pull the reset line of guests: they start anew at once, and lose what they had not written
#[derive(Debug, clap::Args)]
#[command(
    after_help = "`fief reboot` asks the guest instead. What was changed in the definition since the start waits: \
                        a reset is no new start of the domain."
)]
pub(in crate::cli) struct Args {
    /// Names of domains
    #[arg(required = true)]
    names: Vec<DomainName>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let told = Told { done: "reset", already: "reset", dry: "would be reset" };
    tell_each(context, &args.names, &Request::Reset, &told)
}
