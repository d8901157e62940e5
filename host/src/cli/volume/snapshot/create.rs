//! `fief volume snapshot create`

use super::list::SnapshotRow;
use crate::cli::Context;
use crate::cli::output::Row;
use crate::cli::volume::refuse_in_use;
use crate::error::Result;
use crate::storage::Pool;
use crate::types::{SnapshotName, VolumeRef};

/// Keep the volume's present state under a name
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "POOL/NAME")]
    volume: VolumeRef,
    snapshot: SnapshotName,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    refuse_in_use(context, &args.volume, "take a snapshot of")?;
    let facts =
        Pool::open(&gate, &args.volume.pool)?.create_snapshot(&args.volume.volume, &args.snapshot, || Ok(()))?;
    let row = SnapshotRow { volume: args.volume.clone(), facts };
    context.changed("snapshot", &args.snapshot, "created", row.json())
}
