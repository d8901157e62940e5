//! `fief volume clone`

use super::list::VolumeRow;
use crate::cli::Context;
use crate::cli::output::Row;
use crate::cli::output::progress::Progress;
use crate::error::{Failure, Result};
use crate::sandbox::protocol::CloneStyle;
use crate::storage::Pool;
use crate::types::{SnapshotName, VolumeRef};

/// Make a volume from another one of the same pool
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "POOL/SOURCE")]
    source: VolumeRef,
    #[arg(value_name = "POOL/NEW")]
    target: VolumeRef,
    /// Share blocks with the source, which must then stay as it is; else a full copy
    #[arg(long, conflicts_with = "snapshot")]
    linked: bool,
    /// From this snapshot of the source
    #[arg(long)]
    snapshot: Option<SnapshotName>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    if args.source.pool != args.target.pool {
        return Err(Failure::usage(format!(
            "cannot clone {} to {}: a clone stays in its pool",
            args.source, args.target
        ))
        .hint(format!("name it {}/{}", args.source.pool, args.target.volume)));
    }
    if args.source == args.target {
        return Err(
            Failure::usage(format!("cannot clone {} to itself", args.source)).hint("give the new volume a name")
        );
    }
    let gate = context.gate_for_change()?;
    if args.snapshot.is_none() {
        super::refuse_in_use(context, &args.source, "clone")?;
    }
    let style = if args.linked { CloneStyle::Linked } else { CloneStyle::Full };
    let mut pool = Pool::open(&gate, &args.source.pool)?;
    let progress = Progress::start(format!("cloning {} to {}", args.source, args.target));
    let facts = pool.clone_volume(&args.source.volume, args.snapshot.as_ref(), &args.target.volume, style, || Ok(()));
    drop(progress);
    let row = VolumeRow::new(context, &args.target.pool, facts?, false)?;
    context.changed("volume", &args.target, "cloned", row.json())
}
