//! `fief network confirm`

use crate::cli::Context;
use crate::cli::each::each;
use crate::error::Result;
use crate::gate::Mode;
use crate::network::Network;
use crate::types::NetworkName;

/// Let networks stand that were started with --confirm-within
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "NAME")]
    names: Vec<NetworkName>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate()?;
    each(context, "network", &args.names, |name| match context.mode() {
        Mode::DryRun => Network::state(&gate, name).map(|_| "would be confirmed"),
        Mode::Perform => Network::confirm(&gate, name).map(|was| if was { "confirmed" } else { "is not on trial" }),
    })
}
