//! `fief secret delete`

use crate::cli::Context;
use crate::cli::each::{each, or_absent};
use crate::error::{Failure, Result};
use crate::gate::{Actor, Gate, Ledger, Operation, Outcome, secret};
use crate::storage;
use crate::types::{GrantName, PoolName};

/// Delete secrets; one that a pool names is kept
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "NAME")]
    names: Vec<GrantName>,
    /// Delete it even where a pool names it: what the pool does next will fail
    #[arg(long)]
    force: bool,
    /// A secret that is not there counts as deleted
    #[arg(long)]
    if_exists: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    each(context, "secret", &args.names, |name| {
        or_absent(args.if_exists, delete(&gate, name, args.force).map(|()| "deleted"))
    })
}

fn delete(gate: &Gate, name: &GrantName, force: bool) -> Result<()> {
    if !secret::names(gate.layout())?.contains(name) {
        return Err(secret::absent(name));
    }
    let pools = storage::pools_naming(gate, name)?;
    if !force && !pools.is_empty() {
        let pools: Vec<&str> = pools.iter().map(PoolName::as_str).collect();
        return Err(Failure::conflict(format!("the secret {name} is named by the pool {}", pools.join(", ")))
            .hint("delete the pool first; or say --force"));
    }
    let operation = Operation::SecretDelete { secret: name.clone() };
    let done = gate.perform(&Actor::Operator, &mut Ledger::volatile(), operation, Vec::new())?;
    match done.outcome {
        // Another command was faster.
        Outcome::Unchanged => Err(secret::absent(name)),
        _ => Ok(()),
    }
}
