//! `fief volume resize`

use super::list::VolumeRow;
use crate::cli::Context;
use crate::cli::output::Row;
use crate::domain::supervisor::control::Request;
use crate::domain::{client, hold, lease, users_of_volume};
use crate::error::{Failure, Result};
use crate::gate::Mode;
use crate::storage::Pool;
use crate::types::{ByteSize, VolumeRef};

/// Make a volume larger, also while a domain uses it; the guest's file system is its own to grow
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "POOL/NAME")]
    volume: VolumeRef,
    /// The new size, with a unit
    size: ByteSize,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    let mut pool = Pool::open(&gate, &args.volume.pool)?;
    hold::refuse_elsewhere(&gate, &mut pool, &args.volume, "resize")?;
    let before = ByteSize::from_bytes(pool.volume(&args.volume.volume)?.size);
    if args.size < before {
        let message = format!("cannot resize volume {} to {}: it has {before}", args.volume, args.size);
        return Err(Failure::usage(message)
            .because(crate::types::Invalid::new("a smaller size would cut off what the guest has written"))
            .hint("make a smaller volume, and copy the files inside a guest"));
    }
    lease::refuse_held(context.layout(), &args.volume)
        .map_err(|failure| failure.while_doing(format!("cannot resize volume {}", args.volume)))?;
    let users = users_of_volume(context.layout(), &args.volume)?;
    let facts = match (users.first(), context.mode()) {
        (Some(user), Mode::Perform) => {
            let request = Request::Resize { volume: args.volume.clone(), size: args.size };
            match client::ask(context.layout(), user, &request)? {
                Some(_) => pool.volume(&args.volume.volume)?,
                // It went off meanwhile.
                None => pool.resize_volume(&args.volume.volume, args.size)?,
            }
        }
        (Some(_), Mode::DryRun) => pool.volume(&args.volume.volume)?,
        (None, Mode::Perform | Mode::DryRun) => pool.resize_volume(&args.volume.volume, args.size)?,
    };
    let row = VolumeRow::new(context, &args.volume.pool, facts, false)?;
    context.changed("volume", &args.volume, "resized", row.json())
}
