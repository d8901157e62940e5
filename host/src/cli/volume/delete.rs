//! `fief volume delete`

use super::{Pools, refuse_in_use};
use crate::cli::Context;
use crate::cli::each::{each, or_absent};
use crate::domain::hold;
use crate::error::Result;
use crate::gate::Gate;
use crate::types::VolumeRef;

/// Delete volumes and all that is on them
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "POOL/NAME")]
    volumes: Vec<VolumeRef>,
    /// A volume that is not there counts as deleted
    #[arg(long)]
    if_exists: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    let mut pools = Pools::new(&gate);
    each(context, "volume", &args.volumes, |volume| {
        or_absent(args.if_exists, delete(context, &gate, &mut pools, volume).map(|()| "deleted"))
    })
}

fn delete(context: &Context, gate: &Gate, pools: &mut Pools<'_>, volume: &VolumeRef) -> Result<()> {
    refuse_in_use(context, volume, "delete")?;
    let pool = pools.of(volume)?;
    // Nobody is asked about what is not there.
    pool.volume(&volume.volume)?;
    hold::refuse_elsewhere(gate, pool, volume, "delete")?;
    context.confirm(&format!("delete volume {volume} and all that is on it"))?;
    pool.delete_volume(&volume.volume)
}
