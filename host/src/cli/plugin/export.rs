//! `fief plugin export`

use std::path::PathBuf;

use crate::cli::{Context, load};
use crate::error::{Failure, Result};
use crate::gate::Mode;
use crate::sys::durable;
use crate::types::PluginId;

/// Write plugins into one archive, for hosts that reach no network
///
///     fief plugin export plugins.tar
///     (on the other host)  fief plugin import plugins.tar
///
/// It is a tar file with their lock (fief plugin lock) and their bytes. Grants are not in it.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// A new file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// These plugins (else all that are installed)
    #[arg(value_name = "ID")]
    plugins: Vec<PluginId>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let shown = args.file.display().to_string();
    if args.file.symlink_metadata().is_ok() {
        return Err(Failure::conflict(format!("there is a {shown} already")).hint("name another file, or remove it"));
    }
    let (lock, archive) = load::export_plugins(context.layout(), &args.plugins)?;
    if lock.plugins.is_empty() {
        return Err(Failure::usage("no plugin is installed, so there is none to export"));
    }
    if context.mode() == Mode::Perform {
        durable::write(&args.file, &archive)?;
    }
    context.changed(
        "archive",
        &shown,
        &format!("written, with {} plugins", lock.plugins.len()),
        super::transfer::json(&lock),
    )
}
