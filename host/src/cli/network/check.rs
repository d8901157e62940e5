//! `fief network check`

use crate::cli::{Context, findings};
use crate::error::Result;
use crate::network::Network;
use crate::types::NetworkName;

/// Ask a network's plugin whether all is well; exit code 6 where a blocker is found
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    name: NetworkName,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate()?;
    let found = Network::open(&gate, &args.name)?.check()?;
    findings::report(context, &format!("network {}", args.name), found)
}
