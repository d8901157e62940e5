//! `fief volume export`

use std::path::PathBuf;

use serde_json::json;

use crate::cli::Context;
use crate::cli::output::progress::Progress;
use crate::domain::volume::Export;
use crate::error::Result;
use crate::sys::interrupt;
use crate::types::{DiskFormat, SnapshotName, VolumeRef};

/// Write a volume to a new file
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  fief volume export default/web1 web1.qcow2
  fief volume export default/web1 /srv/out/web1.img --snapshot before-upgrade

The file gets its name once it is whole and on disk; one that is there is never written over. Holes stay holes.")]
pub(crate) struct Args {
    #[arg(value_name = "POOL/NAME")]
    volume: VolumeRef,
    file: PathBuf,
    /// raw, qcow2, vmdk, vhdx, vdi or vhd; else what the file's name ends in, or raw
    #[arg(long)]
    format: Option<DiskFormat>,
    /// As it was in this snapshot
    #[arg(long)]
    snapshot: Option<SnapshotName>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    let name = args.file.file_name().unwrap_or_default().to_string_lossy();
    let format = args.format.unwrap_or_else(|| DiskFormat::of_name(&name));
    let plan = Export::plan(&gate, &args.volume, args.snapshot.as_ref(), &args.file, format)?;
    interrupt::watch();
    let doing = format!("exporting {} to {}", args.volume, plan.path().display());
    let progress = Progress::metered(doing, gate.meter(), context.format());
    let done = plan.perform(&gate);
    drop(progress);
    done?;
    let item = json!({ "name": args.volume, "file": plan.path(), "format": format });
    context.changed("volume", &args.volume, "exported", item)
}
