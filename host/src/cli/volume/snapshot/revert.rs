//! `fief volume snapshot revert`

use serde_json::json;

use crate::cli::Context;
use crate::cli::volume::refuse_in_use;
use crate::error::Result;
use crate::storage::Pool;
use crate::types::{SnapshotName, VolumeRef};

/// Bring the volume back to a snapshot; what was written since is lost
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "POOL/NAME")]
    volume: VolumeRef,
    snapshot: SnapshotName,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    refuse_in_use(context, &args.volume, "revert")?;
    let mut pool = Pool::open(&gate, &args.volume.pool)?;
    context.confirm(&format!("lose what was written to {} since {}", args.volume, args.snapshot))?;
    pool.revert_snapshot(&args.volume.volume, &args.snapshot)?;
    let item = json!({ "name": args.snapshot, "volume": args.volume });
    context.changed("volume", &args.volume, &format!("reverted to {}", args.snapshot), item)
}
