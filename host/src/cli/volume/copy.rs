//! `fief volume copy`

use super::create::Format;
use crate::cli::Context;
use crate::cli::output::Row;
use crate::domain::volume::{Copy, Wanted};
use crate::error::Result;
use crate::types::{SnapshotName, VolumeRef};

/// Copy a volume to a pool of any kind
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  fief volume copy default/web1 nas/web1
  fief volume copy default/web1 fast/web1 --format raw
  fief volume copy default/web1 san/lun-3 --onto

Of a domain that runs, its disk is copied as it is at one moment. Within a pool, `fief volume clone` may be quicker, and
makes linked clones. Holes stay holes. A copy that fails or is broken off leaves nothing.")]
pub(crate) struct Args {
    #[arg(value_name = "POOL/SOURCE")]
    source: VolumeRef,
    #[arg(value_name = "POOL/NEW")]
    target: VolumeRef,
    /// As it was in this snapshot
    #[arg(long)]
    snapshot: Option<SnapshotName>,
    /// How the new volume is written; else as the source
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write over a volume that is there: for pools that cannot make volumes, as those of LUNs
    #[arg(long, conflicts_with = "format")]
    onto: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    let wanted = Wanted {
        snapshot: args.snapshot.clone(),
        format: args.format.map(Format::image),
        onto: args.onto,
        moves: None,
        speed: 0,
    };
    let plan = Copy::plan(&gate, &args.source, &args.target, &wanted)?;
    let row = super::filled(context, &gate, &plan, (&args.source, &args.target), "copying", args.onto)?;
    context.changed("volume", &args.target, "copied", row.json())
}
