//! `fief plugin import`

use std::path::PathBuf;

use super::brief::BriefArgs;
use super::transfer;
use crate::cli::{Context, load};
use crate::error::Result;

/// Install the plugins of an archive: all of them, or none
///
/// Every plugin is held against the archive's lock, its own signature and policy's pins and trust before the first is
/// installed, and is tried as fief plugin install tries it. Nothing is granted.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What fief plugin export wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Take them in the place of other versions that are installed, which a rollback brings back
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    brief: BriefArgs,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    let set = load::import_plugins(&gate, &args.file)?;
    transfer::install(context, &gate, set, args.replace, args.brief)
}
