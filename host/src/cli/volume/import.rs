//! `fief volume import`

use std::path::PathBuf;

use super::create::Format;
use super::list::VolumeRow;
use crate::cli::Context;
use crate::cli::output::progress::Progress;
use crate::cli::output::{Row, text};
use crate::domain::volume::Import;
use crate::error::Result;
use crate::sys::interrupt;
use crate::types::{DiskFormat, VolumeRef};

/// Make a volume out of a disk image, or out of a block device of this host
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  fief volume import debian-12.qcow2 default/web1
  fief volume import web1.vmdk default/web1 --volume-format raw
  fief volume import /dev/vg0/web1 default/web1

Formats: raw, qcow2, vmdk, vhdx, vdi and vhd. Where --format is left out, the file's name and its content have to say the
same; a raw disk is never taken for something else by what a guest wrote into it. An image that needs other files (a
backing image, a list of extents) is refused.

Holes stay holes. An import that fails or is broken off leaves nothing.")]
pub(crate) struct Args {
    file: PathBuf,
    #[arg(value_name = "POOL/NAME")]
    volume: VolumeRef,
    /// What the file is; else its name and its content say so
    #[arg(long)]
    format: Option<DiskFormat>,
    /// How the volume is written; else raw for a raw file, qcow2 for any other
    #[arg(long, value_enum)]
    volume_format: Option<Format>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    let wanted = args.volume_format.map(Format::image);
    let plan = Import::plan(&gate, &args.file, args.format, &args.volume, wanted)?;
    let source = plan.source();
    let shown = format!("importing {} ({}) to {}", source.path.display(), source.format.as_str(), args.volume);
    context.say(&text::printable(&shown))?;
    interrupt::watch();
    let progress = Progress::metered(shown, gate.meter(), context.format());
    let facts = plan.perform(&gate);
    drop(progress);
    let row = VolumeRow::new(context, &args.volume.pool, facts?, false)?;
    let mut item = row.json();
    item["source"] = serde_json::json!({ "path": source.path, "format": source.format });
    context.changed("volume", &args.volume, "imported", item)
}
