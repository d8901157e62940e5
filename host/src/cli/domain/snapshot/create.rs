//! `fief snapshot create`.

use serde_json::json;

use crate::cli::Context;
use crate::domain::snapshot;
use crate::error::Result;
use crate::types::{DomainName, SnapshotName};

/// Keep the disks of a domain, off or running, as they are now
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A snapshot is of all disks that the domain writes to, which must be qcow2 volumes, and not of its \
                  memory or UEFI variables: of a running domain it is what a pulled plug would leave."
)]
pub(in crate::cli) struct Args {
    /// Name of a domain
    name: DomainName,
    /// Name of the snapshot
    snapshot: SnapshotName,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    let volumes = snapshot::create(&gate, &args.name, &args.snapshot)?;
    let volumes: Vec<String> = volumes.iter().map(ToString::to_string).collect();
    let item = json!({ "name": args.snapshot, "domain": args.name, "volumes": volumes });
    context.changed("snapshot", &args.snapshot, "created", item)
}
