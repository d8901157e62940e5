//! `fief plugin pack`

use std::path::{Path, PathBuf};

use super::build;
use crate::cli::Context;
use crate::cli::output::failure::note;
use crate::error::{Failure, Result};
use crate::gate::Mode;
use crate::plugin::project::{self, Project};

/// Make a plugin of a component that other tools built: its manifest is put into it
///
///     fief plugin pack zig-out/disks.wasm --project my-disks
///
/// The manifest is that of the project's fief-plugin.toml (language = "other"). A core module that says of which world it is
/// becomes a component first. What comes of it is held against the interfaces, as an installation does.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// What was built (.wasm)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The directory with the fief-plugin.toml
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    project: PathBuf,
    /// Where the plugin goes; build/ID.wasm of the project unless said
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let directory: &Path = &args.project;
    let project = Project::read(directory)?.ok_or_else(|| {
        Failure::not_found(format!("{} has no {}", directory.display(), project::FILE))
            .hint("it holds the plugin's manifest; docs/plugins-languages.md tells what that says")
    })?;
    let place = || directory.join(project::BUILT).join(format!("{}.wasm", project.manifest.id));
    let to = args.to.clone().unwrap_or_else(place);
    if context.mode() == Mode::DryRun {
        note(&format!("would write {}", to.display()));
        return Ok(());
    }
    let packed = build::pack(&args.file, &project, &to)?;
    build::tell(context, &build::taken(context, packed)?, "packed")
}
