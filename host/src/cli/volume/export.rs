//! `fief volume export`

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::Context;
use crate::cli::output::progress::Progress;
use crate::cli::output::stdout;
use crate::domain::volume::Export;
use crate::error::Result;
use crate::gate::Gate;
use crate::sys::interrupt;
use crate::types::{DiskFormat, SnapshotName, VolumeRef};

/// Write a volume to a new file
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  fief volume export default/web1 web1.qcow2
  fief volume export default/web1 /srv/out/web1.img --snapshot before-upgrade
  fief volume export default/web1 - --format qcow2 | ssh backup 'cat > web1.qcow2'

The file gets its name once it is whole and on disk; one that is there is never written over. Holes stay holes.

To standard output (-), a raw volume goes as it lies there. All else is written to a file in TMPDIR (/var/tmp) first, which
is gone afterwards.")]
pub(crate) struct Args {
    #[arg(value_name = "POOL/NAME")]
    volume: VolumeRef,
    /// A new file, or - for standard output
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
    if args.file == Path::new("-") {
        return to_reader(context, &gate, args);
    }
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

fn to_reader(context: &Context, gate: &Gate, args: &Args) -> Result<()> {
    let mut reader = stdout::bytes()?;
    let folder = std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    let format = args.format.unwrap_or(DiskFormat::Raw);
    let plan = Export::plan_to_reader(gate, &args.volume, args.snapshot.as_ref(), &folder, format)?;
    interrupt::watch();
    let progress = Progress::metered(format!("exporting {}", args.volume), gate.meter(), context.format());
    let done = plan.perform_to_reader(gate, &mut reader);
    drop(progress);
    done
}
