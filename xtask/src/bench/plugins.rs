//! What an author waits for, and what many plugins cost whoever has them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::fief::Fief;
use super::figure::Figure;
use super::{median, timed};
use crate::command::{Doing, Result, quietly};
use crate::place;

/// Rounds of what takes a moment; odd.
pub(super) const ROUNDS: usize = 7;
/// From nothing to a volume, with what a plugin stands on compiled too.
const FIRST_VOLUME: Duration = Duration::from_secs(60);
const PLUGINS: usize = 10;
const POOLS_OF_EACH: usize = 10;

pub(super) fn measure(fief: &Fief, root: &Path) -> Result<Vec<Figure>> {
    let first = first_volume(fief, root)?;
    let (mut compiled, mut cached) = (Vec::new(), Vec::new());
    let verify = || fief.quietly(&["plugin", "verify", "storage-file"]);
    for _ in 0..ROUNDS {
        fs::remove_dir_all(fief.root().join("cache"))?;
        compiled.push(timed(verify)?);
        cached.push(timed(verify)?);
    }
    many(fief, root)?;
    let mut lists = Vec::new();
    for _ in 0..ROUNDS {
        lists.push(timed(|| fief.quietly(&["pool", "list"]))?);
    }
    Ok(vec![
        Figure::alone(
            "`fief plugin new`, `build`, `install`, `grant`, `pool create`, `volume create`: to the first volume of the Rust template, dependencies fetched and not compiled",
            first,
            FIRST_VOLUME,
        ),
        Figure::seen("`fief plugin verify storage-file`, compiled anew", median(&compiled)),
        Figure::seen("the same, its compiled form taken from the cache", median(&cached)),
        Figure::seen(
            &format!(
                "`fief pool list` of {} pools of {PLUGINS} plugins, each asked in a sandbox",
                PLUGINS * POOLS_OF_EACH + 1
            ),
            median(&lists),
        ),
    ])
}

/// The way of an author's first afternoon, by its commands.
fn first_volume(fief: &Fief, root: &Path) -> Result<Duration> {
    let (work, volumes) = (root.join("work"), root.join("acme"));
    fs::create_dir_all(&work)?;
    let project = work.join("acme-disks").to_string_lossy().into_owned();
    let directory = format!("volumes={}:rw", volumes.display());
    let steps: [&[&str]; 6] = [
        &["plugin", "new", "acme-disks", "--kind", "storage"],
        &["plugin", "build", &project],
        &["plugin", "install", &project],
        &["plugin", "grant", "acme-disks", "--all-asked", "--directory", &directory, "--serve", "acme"],
        &["pool", "create", "acme", "--kind", "acme", "--set", "directory=volumes"],
        &["volume", "create", "acme/disk1", "--size", "1GiB", "--format", "raw"],
    ];
    println!("a plugin from nothing");
    timed(|| steps.iter().try_for_each(|words| quietly(at_work(fief.command(words).current_dir(&work)))))
}

/// A target directory of its own: what a project stands on is compiled for it alone. A bench has no network, and what it
/// stands on was fetched for the workspace.
pub(super) fn at_work(command: &mut Command) -> &mut Command {
    command.env_remove("CARGO_TARGET_DIR").env("CARGO_NET_OFFLINE", "true")
}

/// The plugin of files under other ids, each with a kind and pools of its own.
fn many(fief: &Fief, root: &Path) -> Result<()> {
    println!("{PLUGINS} plugins with {POOLS_OF_EACH} pools each");
    let bytes = fs::read(place::plugin("storage-file")).doing(|| "cannot read a plugin".into())?;
    for plugin in 0..PLUGINS {
        let id = format!("storage-fi{plugin:02}");
        let file = root.join(format!("{id}.wasm"));
        fs::write(&file, renamed(&bytes, b"storage-file", id.as_bytes()))?;
        fief.quietly(&["plugin", "install", &file.to_string_lossy()])?;
        let folder = root.join(&id);
        let directory = format!("images={}:rw", folder.display());
        fief.quietly(&["plugin", "grant", &id, "--all-asked", "--directory", &directory, "--serve", &id])?;
        for pool in 0..POOLS_OF_EACH {
            let name = format!("{id}-{pool}");
            fief.quietly(&["pool", "create", &name, "--kind", &id, "--set", "directory=images"])?;
        }
    }
    Ok(())
}

/// Each occurrence of one text replaced by another of its length.
fn renamed(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut all = bytes.to_vec();
    let mut at = 0;
    while let Some(part) = all.get_mut(at..at + from.len()) {
        if *part == *from {
            part.copy_from_slice(to);
        }
        at += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_name_in_a_plugin_is_the_other_one_then() {
        assert_eq!(super::renamed(b"ab-ab-aab", b"ab", b"xy"), b"xy-xy-axy");
    }
}
