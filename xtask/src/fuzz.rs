//! Fuzzing with libFuzzer: the targets of `tests/fuzz`, with the compiler that the tree is built with.
//!
//! rustc counts coverage by itself (`sancov-module`); no sanitizer, since what is fuzzed has no `unsafe`, and so no
//! other toolchain.

use std::path::PathBuf;
use std::process::Command;

use crate::command::{Doing, Result, command, output, run as run_command};
use crate::place;
use crate::setup;

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// For a target, where no other time is asked for.
const SECONDS: u64 = 60;
/// What counts as a hang, for one input.
const HANG_SECONDS: u64 = 20;
/// Memory that no input may need.
const MOST_MEGABYTES: u64 = 512;

/// Counters at each edge, and comparisons told to the fuzzer: what `cargo-fuzz` asks of rustc too.
const FLAGS: &str = "-Dwarnings -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    target: Option<String>,
    seconds: Option<u64>,
    /// One input, instead of a search.
    input: Option<PathBuf>,
}

impl Scope {
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut scope = Scope::default();
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            let mut value = || words.next().copied().ok_or_else(|| format!("{word} wants a value"));
            match word {
                "--seconds" => {
                    let text = value()?;
                    let seconds = text.parse().map_err(|_| format!("--seconds wants a number, not {text:?}"))?;
                    scope.seconds = Some(seconds);
                }
                "--input" => scope.input = Some(value()?.into()),
                _ if word.starts_with('-') || scope.target.is_some() => {
                    return Err(format!("cargo xtask fuzz does not take {word:?}; see cargo xtask help").into());
                }
                _ => scope.target = Some(word.to_owned()),
            }
        }
        if scope.input.is_some() && scope.target.is_none() {
            return Err("--input wants the name of the target too".into());
        }
        Ok(scope)
    }
}

pub(crate) fn run(scope: &Scope) -> Result<()> {
    let all = targets()?;
    let chosen: Vec<&String> = all.iter().filter(|name| scope.target.as_ref().is_none_or(|one| one == *name)).collect();
    if chosen.is_empty() {
        return Err(format!("no fuzz target has this name; there are: {}", all.join(", ")).into());
    }
    setup::install_cpp_compiler()?;
    println!("Building the fuzz targets …");
    cargo("build", &chosen)?;
    for name in chosen {
        match &scope.input {
            Some(input) => run_command(binary(name).arg(input))?,
            None => search(name, scope.seconds.unwrap_or(SECONDS))?,
        }
    }
    Ok(())
}

/// Every target is a file of its own.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder().join("targets"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Whether all of them compile: they take files of the host by themselves.
pub(crate) fn check() -> Result<()> {
    setup::install_cpp_compiler()?;
    cargo("check", &targets()?.iter().collect::<Vec<_>>())
}

fn cargo(verb: &str, names: &[&String]) -> Result<()> {
    let mut cargo = command("cargo", [verb, "--quiet", "--release", "--locked", "--target", TARGET]);
    for name in names {
        cargo.args(["--bin", name]);
    }
    run_command(cargo.env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", built()).current_dir(folder()))
}

/// Looks for an input that fails, from the seeds of the tree and what earlier searches found.
fn search(name: &str, seconds: u64) -> Result<()> {
    let found = built().join("corpus").join(name);
    let failing = built().join("failing").join(name);
    for directory in [&found, &failing] {
        std::fs::create_dir_all(directory).doing(|| format!("cannot make {}", directory.display()))?;
    }
    println!("Fuzzing {name} for {seconds} s …");
    let mut fuzzer = binary(name);
    fuzzer.arg(&found).arg(folder().join("seeds").join(name)).args([
        format!("-max_total_time={seconds}"),
        format!("-timeout={HANG_SECONDS}"),
        format!("-rss_limit_mb={MOST_MEGABYTES}"),
        format!("-artifact_prefix={}/", failing.display()),
        "-print_final_stats=1".into(),
        "-verbosity=0".into(),
    ]);
    let said = output(&mut fuzzer)?;
    let text = String::from_utf8_lossy(&said.stderr);
    if said.status.success() {
        let tried = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        println!("{name}: {} inputs, none failed", tried.unwrap_or("?").trim());
        return Ok(());
    }
    Err(format!(
        "{text}\n{name} failed\nhint: the input lies in {}; cargo xtask fuzz {name} --input FILE runs it alone. Once it \
         passes, put it into tests/fuzz/seeds/{name}",
        failing.display()
    )
    .into())
}

fn binary(name: &str) -> Command {
    Command::new(built().join(TARGET).join("release").join(name))
}

fn folder() -> PathBuf {
    place::workspace().join("tests/fuzz")
}

fn built() -> PathBuf {
    place::target().join("fuzz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_a_time_and_an_input_are_taken_and_nothing_else() {
        assert_eq!(Scope::parse(&[]).unwrap(), Scope::default());
        let scope = Scope::parse(&["nbd_requests", "--seconds", "5"]).unwrap();
        assert_eq!(scope, Scope { target: Some("nbd_requests".into()), seconds: Some(5), input: None });
        for words in [&["--input", "x"][..], &["a", "b"], &["--seconds"], &["--seconds", "x"], &["--fast"]] {
            assert!(Scope::parse(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn each_target_has_seeds_and_an_entry() {
        let manifest = std::fs::read_to_string(folder().join("Cargo.toml")).unwrap();
        for name in targets().unwrap() {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "tests/fuzz/Cargo.toml does not name {name}");
            let seeds = folder().join("seeds").join(&name);
            assert!(std::fs::read_dir(&seeds).is_ok_and(|mut seeds| seeds.next().is_some()), "{name} has no seeds");
        }
    }
}
