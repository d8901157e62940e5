//! `fief volume create`

use super::list::VolumeRow;
use crate::cli::Context;
use crate::cli::output::Row;
use crate::cli::output::progress::Progress;
use crate::error::Result;
use crate::gate::operation::{ImageFormat, Preallocation};
use crate::storage::{Pool, VolumeSpec};
use crate::types::{ByteSize, VolumeRef};

/// Make a volume; one of that name, size and format is left as it is
///
///     fief volume create default/node1 --size 20GiB
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[arg(value_name = "POOL/NAME")]
    volume: VolumeRef,
    /// What the guest sees, with a unit (512MiB, 20G)
    #[arg(long)]
    size: ByteSize,
    /// How the image is written; else qcow2 in a pool of files, and raw elsewhere
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Take all the room now, so that the guest's writes never lack it
    #[arg(long)]
    preallocate: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Qcow2,
    Raw,
}

impl Format {
    pub(super) fn image(self) -> ImageFormat {
        match self {
            Format::Qcow2 => ImageFormat::Qcow2,
            Format::Raw => ImageFormat::Raw,
        }
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    if args.size.bytes() == 0 {
        return Err(
            crate::error::Failure::usage("a volume cannot have the size 0").hint("give a size, as in --size 20GiB")
        );
    }
    let gate = context.gate_for_change()?;
    let mut pool = Pool::open(&gate, &args.volume.pool)?;
    let usual = if pool.keeps_formats() { ImageFormat::Qcow2 } else { ImageFormat::Raw };
    let spec = VolumeSpec {
        name: args.volume.volume.clone(),
        size: args.size,
        format: args.format.map_or(usual, Format::image),
        preallocation: if args.preallocate { Preallocation::Full } else { Preallocation::Sparse },
    };
    let progress = args.preallocate.then(|| Progress::start(format!("allocating {}", args.volume)));
    let facts = match pool.create_volume(&spec) {
        // Nothing in particular was asked for, and its plugin keeps raw volumes alone.
        Err(_) if args.format.is_none() && spec.format == ImageFormat::Qcow2 && pool.was_unsupported() => {
            pool.create_volume(&VolumeSpec { format: ImageFormat::Raw, ..spec })?
        }
        made => made?,
    };
    drop(progress);
    let row = VolumeRow::new(context, &args.volume.pool, facts, false)?;
    context.changed("volume", &args.volume, "created", row.json())
}
