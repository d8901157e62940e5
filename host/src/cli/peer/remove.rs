//! `fief peer remove`

use crate::cli::Context;
use crate::cli::each::{each, or_absent};
use crate::error::Result;
use crate::gate::{Actor, Gate, Ledger, Mode, Operation, Outcome, peers};
use crate::types::PeerName;

/// Trust hosts no more, from this moment on; one that a domain is on its way to or from is kept
///
/// The other host still trusts this one: remove it there too.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "NAME")]
    names: Vec<PeerName>,
    /// One that is not there counts as removed
    #[arg(long)]
    if_exists: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    each(context, "peer", &args.names, |name| or_absent(args.if_exists, remove(&gate, name).map(|()| "removed")))
}

fn remove(gate: &Gate, name: &PeerName) -> Result<()> {
    if gate.mode() == Mode::DryRun && !gate.layout().peer(name).exists() {
        return Err(peers::absent(name));
    }
    let operation = Operation::PeerForget { peer: name.clone() };
    match gate.perform(&Actor::Operator, &mut Ledger::volatile(), operation, Vec::new())?.outcome {
        Outcome::Unchanged => Err(peers::absent(name)),
        _ => Ok(()),
    }
}
