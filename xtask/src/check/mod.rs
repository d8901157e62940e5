//! The tree's own rules, beside those of the compiler.

mod imports;
mod length;
mod words;

use std::path::{Path, PathBuf};

use crate::command::{self, Result, capture, command, output};
use crate::{build, place};

/// Whether dependencies are looked at with cargo-deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deny {
    Yes,
    No,
}

/// A file of ours, as git knows it.
pub(crate) struct Source {
    /// Relative to the workspace.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// Runs every check, and then says how many failed.
pub(crate) fn run(deny: Deny) -> Result<()> {
    let sources = sources()?;
    let mut failed = Vec::new();
    let mut check = |name: &'static str, outcome: Result<()>| match outcome {
        Ok(()) => println!("check: {name}: ok"),
        Err(trouble) => {
            eprintln!("check: {name}: failed\n{trouble}");
            failed.push(name);
        }
    };
    check("length of files", length::check(&sources));
    check("direction of imports", imports::check(&sources));
    check("unsafe below host/src/sys alone", words::no_unsafe(&sources));
    check("no unfinished marks", words::no_unfinished(&sources));
    check("format", cargo(&["fmt", "--all", "--check"]));
    check("format of fuzz targets", cargo(&["fmt", "--manifest-path", "tests/fuzz/Cargo.toml", "--check"]));
    if deny == Deny::Yes {
        check("dependencies", dependencies());
    }
    check("lints of plugins", lint_plugins());
    check("fuzz targets compile", crate::fuzz::check());
    check("lints", cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"]));
    if failed.is_empty() { Ok(()) } else { Err(format!("these checks failed: {}", failed.join(", ")).into()) }
}

fn cargo(words: &[&str]) -> Result<()> {
    command::run(command("cargo", words).current_dir(place::workspace()))
}

fn lint_plugins() -> Result<()> {
    crate::setup::wasm_target()?;
    let mut clippy = command("cargo", ["clippy", "--quiet", "--release", "--target", "wasm32-wasip2"]);
    for package in build::PLUGINS {
        clippy.args(["--package", package]);
    }
    command::run(clippy.args(["--", "--deny", "warnings"]).current_dir(place::workspace()))
}

/// Licences, bans and sources as `deny.toml` says. The advisories need a database from the network; where it is to be
/// had, `cargo deny check advisories` is the command.
fn dependencies() -> Result<()> {
    const WORDS: [&str; 6] = ["--log-level", "error", "check", "bans", "licenses", "sources"];
    if output(&mut command("cargo", ["deny", "--version"])).is_ok_and(|output| output.status.success()) {
        return cargo(&[&["deny"], &WORDS[..]].concat());
    }
    let deny = crate::setup::cargo_deny()?;
    command::run(command(&deny.to_string_lossy(), WORDS).current_dir(place::workspace()))
}

/// All text files that git tracks, and those that it would.
fn sources() -> Result<Vec<Source>> {
    let list = capture(
        command("git", ["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(place::workspace()),
    )?;
    Ok(list
        .lines()
        .filter_map(|name| {
            let text = std::fs::read_to_string(place::workspace().join(name)).ok()?;
            Some(Source { path: PathBuf::from(name), text })
        })
        .collect())
}

/// Whether it is Rust.
fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}
