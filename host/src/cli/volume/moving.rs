//! `fief volume move`

use serde_json::json;

use super::create::Format;
use crate::cli::Context;
use crate::cli::output::Row;
use crate::domain::volume::fill::Moves;
use crate::domain::volume::{Copy, Wanted};
use crate::error::Result;
use crate::types::{ByteSize, VolumeRef};

/// Move a volume to a pool of any kind; domains that have it, have it there
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  fief volume move default/web1 nas/web1
  fief volume move default/web1 san/lun-3 --onto --keep

Of a domain that runs, the disk is mirrored to the new place while the guest goes on, and then stands still for a moment;
^C before that leaves it where it is.

The volume is copied, then the definitions of its domains name the new place, then the old one is deleted. At no moment
are both gone. What is killed before the definitions change is taken back by the next command, what is killed after is
finished by it.")]
pub(crate) struct Args {
    #[arg(value_name = "POOL/SOURCE")]
    source: VolumeRef,
    #[arg(value_name = "POOL/NEW")]
    target: VolumeRef,
    /// Leave the source where it is, as a copy of what was
    #[arg(long)]
    keep: bool,
    /// How the new volume is written; else as the source
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write over a volume that is there: for pools that cannot make volumes, as those of LUNs
    #[arg(long, conflicts_with = "format")]
    onto: bool,
    /// At most so much a second, with a unit (50MiB), while its domain runs
    #[arg(long)]
    bandwidth: Option<ByteSize>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    let wanted = Wanted {
        snapshot: None,
        format: args.format.map(Format::image),
        onto: args.onto,
        moves: Some(Moves { keep: args.keep }),
        speed: args.bandwidth.map_or(0, ByteSize::bytes),
    };
    let plan = Copy::plan(&gate, &args.source, &args.target, &wanted)?;
    let row = super::filled(context, &gate, &plan, (&args.source, &args.target), "moving", args.onto)?;
    let mut item = row.json();
    item["domains"] = json!(plan.named());
    context.changed("volume", &args.target, "moved", item)
}
