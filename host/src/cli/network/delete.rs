//! `fief network delete`

use crate::cli::Context;
use crate::cli::each::{each, or_absent};
use crate::error::Result;
use crate::network::Network;
use crate::types::NetworkName;

/// Take networks down and forget them. Works without the plugin
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "NAME")]
    names: Vec<NetworkName>,
    /// A network that is not there counts as deleted
    #[arg(long)]
    if_exists: bool,
    /// Even where a running domain has a card on it
    #[arg(long)]
    force: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    each(context, "network", &args.names, |name| {
        or_absent(args.if_exists, Network::delete(&gate, name, args.force).map(|()| "deleted"))
    })
}
