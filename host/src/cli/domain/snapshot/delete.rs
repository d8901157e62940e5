//! `fief snapshot delete`.

use crate::cli::Context;
use crate::cli::each::{each, or_absent};
use crate::domain::snapshot;
use crate::error::Result;
use crate::types::{DomainName, SnapshotName};

/// Delete snapshots of a domain; its disks stay as they are
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of a domain
    name: DomainName,
    #[arg(required = true, value_name = "SNAPSHOT")]
    snapshots: Vec<SnapshotName>,
    /// A snapshot that is not there counts as deleted
    #[arg(long)]
    if_exists: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    let names = args.snapshots.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    // Nothing to lose: nothing to ask.
    let there = snapshot::list(&gate, &args.name)?;
    if args.snapshots.iter().any(|name| there.iter().any(|standing| standing.name == name.as_str())) {
        context.confirm(&format!("delete of domain {} the snapshots {names}", args.name))?;
    }
    each(context, "snapshot", &args.snapshots, |name| {
        or_absent(args.if_exists, snapshot::delete(&gate, &args.name, name).map(|()| "deleted"))
    })
}
