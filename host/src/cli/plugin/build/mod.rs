//! `fief plugin build`
//!
//! ```text
//!   Cargo.toml        ─▸ cargo ────────────────────────────────────────▸ a plugin, manifest and all
//!   fief-plugin.toml  ─▸ bindings ─▸ the language's own tools ─▸ finish ─▸ build/ID.wasm
//! ```

mod c;
mod cargo;
mod javascript;
mod python;

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::fetching;
use super::list::PluginRow;
use crate::cli::output::{Row, Shown};
use crate::cli::{Context, load};
use crate::error::{Context as _, Failure, Result};
use crate::plugin::component::PLUGIN_MAX;
use crate::plugin::project::{self, Language, Project};
use crate::plugin::source::{FetchOptions, Fetched, Source};
use crate::sys::durable;

/// Build a plugin's project, and see that what comes of it is a plugin for this host
///
/// A project in Rust is built to where cargo puts it, one in another language to build/; fief plugin test, install and upgrade
/// take the directory.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The project: a directory with a Cargo.toml or a fief-plugin.toml, as fief plugin new makes it
    #[arg(value_name = "DIRECTORY", default_value = ".")]
    directory: PathBuf,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let fetched = built(context, &args.directory)?;
    tell(context, &fetched, "built")
}

/// Says what was made, as a plugin.
pub(super) fn tell(context: &Context, fetched: &Fetched, done: &str) -> Result<()> {
    let installed = load::inspect_plugin(fetched)?;
    let policy = context.policy()?;
    let row = PluginRow::of(context.layout(), &installed, &policy);
    let text = format!("{} {} {done}: {}\n", installed.manifest.id, installed.manifest.version, fetched.record.from);
    context.show(&Shown { kind: "plugin", name: row.name(), json: row.json(), text })
}

/// Builds the project, and takes what came of it. What the compiler says goes to standard error.
///
/// # Errors
/// `Usage` where it is no project, or what it builds is no one plugin; `Other` where it does not build.
pub(super) fn built(context: &Context, directory: &Path) -> Result<Fetched> {
    let file = match Project::read(directory)? {
        None => cargo::build(directory)?,
        Some(project) => {
            let made = match project.language {
                Language::C => c::build(directory)?,
                Language::JavaScript => javascript::build(directory)?,
                Language::Python => python::build(directory)?,
                Language::Other => {
                    return Err(Failure::usage(format!(
                        "{} says that it is built by other means",
                        directory.display()
                    ))
                    .hint("fief plugin pack FILE makes a plugin of what comes of that"));
                }
            };
            pack(&made, &project, &directory.join(project::BUILT).join(format!("{}.wasm", project.manifest.id)))?
        }
    };
    taken(context, file)
}

pub(super) fn taken(context: &Context, file: PathBuf) -> Result<Fetched> {
    fetching::fetch(&context.gate()?, &Source::Path(file), &FetchOptions::default())
}

/// Puts the project's manifest into what was made, and writes that as a plugin.
///
/// # Errors
/// As [`project::finish`].
pub(super) fn pack(made: &Path, project: &Project, to: &Path) -> Result<PathBuf> {
    let shown = made.display().to_string();
    let bytes = fs::read(made).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::not_found(format!("there is no file {shown}"))
            .hint("name what your tools built (.wasm); where fief knows them, fief plugin build runs them"),
        _ => Failure::other(format!("cannot read {shown}")).because(error),
    })?;
    let plugin = project::finish(&bytes, &project.manifest, &shown)?;
    if plugin.len() > PLUGIN_MAX {
        return Err(Failure::usage(format!(
            "the plugin has {} MiB, at most {} are allowed",
            plugin.len() >> 20,
            PLUGIN_MAX >> 20
        )));
    }
    if let Some(above) = to.parent() {
        folder(above)?;
    }
    durable::write(to, &plugin)?;
    Ok(to.to_owned())
}

fn folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).context(|| format!("cannot make the folder {}", path.display()))
}

/// Runs a tool in the project's folder; what it says goes to standard error. `install` is how one comes to have it, and
/// `lacking` what to look at where it fails.
fn tool<S: AsRef<OsStr>>(directory: &Path, name: &str, words: &[S], install: &str, lacking: &str) -> Result<()> {
    let mut command = Command::new(name);
    command.args(words).current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().map_err(|error| {
        Failure::other(format!("cannot start {name}")).because(error).hint(format!("install it: {install}"))
    })?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::other(format!("{} does not build", directory.display()))
        .hint(format!("see what {name} says above; {lacking}")))
}
