//! What a plugin costs in each language: to compile, to take from the cache, and to ask; time, and memory.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::fief::Fief;
use super::figure::Figure;
use super::plugins::at_work;
use super::{median, timed};
use crate::command::{Doing, Result, quietly};
use crate::place;

/// Rounds of what takes seconds; odd.
const ROUNDS: usize = 3;
/// As `fief plugin new --lang` has them, and as people call them.
const LANGUAGES: [(&str, &str); 4] = [("rust", "Rust"), ("c", "C"), ("js", "JavaScript"), ("python", "Python")];

/// The template of storage in each language.
pub(super) fn measure(fief: &Fief, root: &Path) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (word, name) in LANGUAGES {
        println!("a plugin in {name}");
        let id = format!("in-{word}");
        let built = begin(fief, root, &id, word)?;
        let size = fs::metadata(&built).doing(|| format!("cannot look at {built}"))?.len();
        let (mut compiled, mut cached, mut asked) = (Vec::new(), Vec::new(), Vec::new());
        let mut peaks = Vec::new();
        let verify = || fief.quietly(&["plugin", "verify", &id]);
        for _ in 0..ROUNDS {
            fs::remove_dir_all(fief.root().join("cache"))?;
            compiled.push(timed(verify)?);
            cached.push(timed(verify)?);
            asked.push(timed(|| fief.quietly(&["pool", "show", &id]))?);
            peaks.push(fief.sandbox_peak(&id)?);
        }
        peaks.sort_unstable();
        let of = |what: &str, times: &[Duration]| Figure::seen(&format!("{name}: {what}"), median(times));
        figures.push(of(&format!("`fief plugin verify` of {} kB, compiled anew", size / 1000), &compiled));
        figures.push(of("the same, its compiled form taken from the cache", &cached));
        figures.push(of("`fief pool show`: a sandbox, and a call or two", &asked));
        figures.push(Figure::of_memory(&format!("{name}: the memory of that sandbox, at most"), peaks[ROUNDS / 2]));
    }
    Ok(figures)
}

/// From nothing to a pool; gives the plugin's file.
fn begin(fief: &Fief, root: &Path, id: &str, language: &str) -> Result<String> {
    let work = root.join("languages");
    let folder = work.join(id);
    fs::create_dir_all(&work)?;
    let tools = place::target().canonicalize()?.join("tools");
    let path = format!("{}:{}", tools.join("python/bin").display(), std::env::var("PATH").unwrap_or_default());
    let run = |words: &[&str]| {
        let mut command: Command = fief.command(words);
        quietly(at_work(command.current_dir(&work).env("PATH", &path)))
    };
    run(&["plugin", "new", id, "--kind", "storage", "--lang", language])?;
    if language == "js" {
        let there = tools.join("javascript/node_modules");
        std::os::unix::fs::symlink(&there, folder.join("node_modules")).doing(|| "cannot lend the tools".into())?;
    }
    let directory = format!("volumes={}:rw", root.join(format!("{id}-volumes")).display());
    run(&["plugin", "build", id])?;
    run(&["plugin", "install", &format!("./{id}")])?;
    run(&["plugin", "grant", id, "--all-asked", "--directory", &directory, "--serve", id])?;
    run(&["pool", "create", id, "--kind", id, "--set", "directory=volumes"])?;
    let built = match language {
        "rust" => folder.join(format!("target/wasm32-wasip2/release/{}.wasm", id.replace('-', "_"))),
        _ => folder.join(format!("build/{id}.wasm")),
    };
    Ok(built.to_string_lossy().into_owned())
}
