//! `fief network check`

use crate::cli::{Context, findings};
use crate::error::Result;
use crate::gate::Mode;
use crate::network::{Network, NetworkState};
use crate::types::NetworkName;

/// Find what is amiss with a network and what other tools undid of it; exit code 6 where a blocker is found
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    name: NetworkName,
    /// Put back what was lost, and finish what was cut off; then check again
    #[arg(long)]
    repair: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let subject = format!("network {}", args.name);
    if !args.repair {
        let found = Network::open(&context.gate()?, &args.name)?.check()?;
        return findings::report(context, &subject, found);
    }
    let gate = context.gate_for_change()?;
    let mut network = Network::open(&gate, &args.name)?;
    let before = Network::state(&gate, &args.name)?;
    match (before, context.mode()) {
        (NetworkState::Up | NetworkState::Trial, Mode::Perform | Mode::DryRun) => network.up()?,
        (NetworkState::Partial, Mode::Perform) => Network::down(&gate, &args.name, false)?,
        // A network that is down is not started by a check.
        (NetworkState::Partial, Mode::DryRun) | (NetworkState::Down, Mode::Perform | Mode::DryRun) => {}
    }
    let found = network.check()?;
    findings::report(context, &subject, found)
}
