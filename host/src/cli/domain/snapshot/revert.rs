//! `fief snapshot revert`.

use serde_json::json;

use crate::cli::Context;
use crate::domain::snapshot;
use crate::error::Result;
use crate::types::{DomainName, SnapshotName};

/// Bring all disks of a domain that is off back to a snapshot; what was written since is lost
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of a domain
    name: DomainName,
    /// One of its snapshots
    snapshot: SnapshotName,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    let (name, snapshot) = (&args.name, &args.snapshot);
    let loses = format!("lose what was written to the disks of {name} since {snapshot}");
    snapshot::revert(&gate, name, snapshot, || context.confirm(&loses))?;
    let item = json!({ "name": snapshot, "domain": name });
    context.changed("domain", name, &format!("reverted to {snapshot}"), item)
}
