//! `fief network start`

use crate::cli::Context;
use crate::cli::each::each;
use crate::error::Result;
use crate::network::{Network, NetworkState};
use crate::types::NetworkName;

/// Bring networks up; one that is up stays as it is, and what it lost is put back
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "NAME")]
    names: Vec<NetworkName>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    each(context, "network", &args.names, |name| {
        let mut network = Network::open(&gate, name)?;
        let before = Network::state(&gate, name)?;
        network.up()?;
        Ok(match before {
            NetworkState::Up => "already up",
            NetworkState::Down | NetworkState::Partial => "started",
        })
    })
}
