//! `fief plugin lock`

use std::path::PathBuf;

use crate::cli::{Context, load};
use crate::config::lock;
use crate::config::reader;
use crate::error::{Failure, Result};
use crate::gate::Mode;
use crate::sys::durable;

/// Write down which plugins are installed, to the byte, so that another host can have the same
///
///     fief plugin lock plugins.lock
///     (on the other host)  fief plugin install --locked plugins.lock
///
/// It says of each its version, its digest, who signed it, and where it came from. Grants are not in it: those are policy's.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// A file, new or a lock that it takes the place of (else standard output)
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let lock = load::lock_plugins(context.layout(), &[])?;
    let text = lock::to_toml(&lock);
    let Some(file) = &args.file else { return context.print(&text) };
    let shown = file.display().to_string();
    if file.symlink_metadata().is_ok() && reader::read_file(file).and_then(|old| lock::parse(&old, &shown)).is_err() {
        return Err(Failure::conflict(format!("there is a {shown} already, and it is no lock"))
            .hint("name another file; one that is a lock is written over"));
    }
    if context.mode() == Mode::Perform {
        durable::write(file, text.as_bytes())?;
    }
    context.changed(
        "lock",
        &shown,
        &format!("written, with {} plugins", lock.plugins.len()),
        super::transfer::json(&lock),
    )
}
