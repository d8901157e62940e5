//! `fief volume resize`

use super::list::VolumeRow;
use super::refuse_in_use;
use crate::cli::Context;
use crate::cli::output::Row;
use crate::domain::hold;
use crate::error::{Failure, Result};
use crate::storage::Pool;
use crate::types::{ByteSize, VolumeRef};

/// Make a volume larger; the guest's file system is its own to grow
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "POOL/NAME")]
    volume: VolumeRef,
    /// The new size, with a unit
    size: ByteSize,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    refuse_in_use(context, &args.volume, "resize")?;
    let mut pool = Pool::open(&gate, &args.volume.pool)?;
    hold::refuse_elsewhere(&gate, &mut pool, &args.volume, "resize")?;
    let before = ByteSize::from_bytes(pool.volume(&args.volume.volume)?.size);
    if args.size < before {
        let message = format!("cannot resize volume {} to {}: it has {before}", args.volume, args.size);
        return Err(Failure::usage(message)
            .because(crate::types::Invalid::new("a smaller size would cut off what the guest has written"))
            .hint("make a smaller volume, and copy the files inside a guest"));
    }
    let facts = pool.resize_volume(&args.volume.volume, args.size)?;
    let row = VolumeRow::new(context, &args.volume.pool, facts, false)?;
    context.changed("volume", &args.volume, "resized", row.json())
}
