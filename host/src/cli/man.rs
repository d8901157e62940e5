//! `fief man`

use std::path::PathBuf;

use super::output::stdout;
use crate::error::{Context as _, Result};

/// Print the manual page of fief, or write the pages of all verbs to a directory
///
///     fief man | man -l -
///     fief man /usr/local/share/man/man1
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// An existing directory
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let command = super::command();
    match &args.directory {
        Some(directory) => clap_mangen::generate_to(command, directory)
            .context(|| format!("cannot write manual pages to {}", directory.display()))
            .map_err(|failure| failure.hint("give a directory that is there and that you can write")),
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page).context(|| "cannot write the manual page".to_owned())?;
            stdout::write(&String::from_utf8_lossy(&page)).map(|_| ())
        }
    }
}
