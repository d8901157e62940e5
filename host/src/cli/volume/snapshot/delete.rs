//! `fief volume snapshot delete`

use crate::cli::Context;
use crate::cli::each::{each, or_absent};
use crate::cli::volume::refuse_in_use;
use crate::error::Result;
use crate::storage::Pool;
use crate::types::{SnapshotName, VolumeRef};

/// Delete snapshots of a volume; the volume itself stays as it is
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "POOL/NAME")]
    volume: VolumeRef,
    #[arg(required = true, value_name = "SNAPSHOT")]
    snapshots: Vec<SnapshotName>,
    /// A snapshot that is not there counts as deleted
    #[arg(long)]
    if_exists: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    refuse_in_use(context, &args.volume, "delete snapshots of")?;
    let mut pool = Pool::open(&gate, &args.volume.pool)?;
    let names = args.snapshots.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    context.confirm(&format!("delete of volume {} the snapshots {names}", args.volume))?;
    each(context, "snapshot", &args.snapshots, |snapshot| {
        or_absent(args.if_exists, pool.delete_snapshot(&args.volume.volume, snapshot).map(|()| "deleted"))
    })
}
