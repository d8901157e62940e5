//! `fief plugin install`

use std::path::PathBuf;

use super::asks::asks;
use super::list::PluginRow;
use crate::cli::output::Row;
use crate::cli::output::failure::warn;
use crate::cli::output::progress::Progress;
use crate::cli::{Context, load};
use crate::error::Result;

/// Check a plugin, store it under its digest, and compile it
///
/// Installing grants nothing: policy.toml does. What the plugin asks for and has not been granted is said.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A component with a manifest in it (.wasm)
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    let progress = Progress::start(format!("compiling {}", args.file.display()));
    let installed = load::install_plugin(&gate, &args.file);
    drop(progress);
    let installed = installed?;
    let policy = context.policy()?;
    let row = PluginRow { installed: &installed, policy: &policy };
    let missing: Vec<String> = asks(&installed.manifest, row.grants())
        .into_iter()
        .filter(|ask| ask.granted.is_none())
        .map(|ask| ask.what)
        .collect();
    if !missing.is_empty() {
        let message = format!(
            "{} is not granted all that it asks for: {}; fief policy check says what to write",
            installed.manifest.id,
            missing.join(", ")
        );
        warn(&message, context.format());
    }
    context.changed("plugin", &installed.manifest.id, "installed", row.json())
}
