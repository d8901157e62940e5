//! `fief completions`

use super::output::stdout;
use crate::error::Result;

/// Print a completion script for a shell
///
///     fief completions bash > /etc/bash_completion.d/fief
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    shell: clap_complete::Shell,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "fief", &mut script);
    stdout::write(&String::from_utf8_lossy(&script)).map(|_| ())
}
