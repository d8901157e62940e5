//! `fief network stop`

use crate::cli::Context;
use crate::cli::each::each;
use crate::error::Result;
use crate::network::{Network, NetworkState};
use crate::types::NetworkName;

/// Take networks down; one that is down stays as it is. Works without the plugin
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "NAME")]
    names: Vec<NetworkName>,
    /// Even where a running domain has a card on it
    #[arg(long)]
    force: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    each(context, "network", &args.names, |name| {
        if Network::state(&gate, name)? == NetworkState::Down {
            return Ok("already down");
        }
        Network::down(&gate, name, args.force).map(|()| "stopped")
    })
}
