//! All tests, with what they need; the end-to-end ones in two rows side by side, each a test at a time: most of its time one
//! waits for a guest or a server.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::command::{Doing, Result, is_root, line, output};
use crate::setup::{self, Purpose};
use crate::{build, crash, moving, place, plugins, storage};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    Fast,
    Slow,
}

#[derive(Debug)]
pub(crate) struct Selection {
    which: Which,
    filter: Option<String>,
}

impl Selection {
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut selection = Selection { which: Which::All, filter: None };
        for &word in words {
            match word {
                "--fast-only" => selection.which = Which::Fast,
                "--slow-only" => selection.which = Which::Slow,
                _ if word.starts_with('-') || selection.filter.is_some() => {
                    return Err(format!("cargo xtask test does not take {word:?}; see cargo xtask help").into());
                }
                _ => selection.filter = Some(word.to_owned()),
            }
        }
        Ok(selection)
    }
}

/// Counts of tests, as the runner says them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
    names_of_failed: Vec<String>,
    /// A run of cargo that failed for another reason than a test.
    broken: bool,
}

pub(crate) fn run(selection: &Selection) -> Result<()> {
    if selection.which != Which::Fast && !is_root() {
        return Err("the end-to-end tests make network namespaces and bridges, which needs root\n\
                    hint: run this as root, or leave them out: cargo xtask test --fast-only"
            .into());
    }
    setup::all(Purpose::Test)?;
    println!("Building fief, its plugins and the hostile ones …");
    build::plugins()?;
    build::hostile()?;
    build::for_tests()?;

    let mut tally = Tally::default();
    if selection.which != Which::Slow {
        let mut fast = build::cargo_test(&["--lib", "--bins"]);
        follow(fast.args(selection.filter.iter()), &mut tally)?;
    }
    if selection.which != Which::Fast {
        slow(selection, &mut tally)?;
    }
    close(&tally)
}

/// The end-to-end tests: what the second row said is shown once the first is through.
fn slow(selection: &Selection, tally: &mut Tally) -> Result<()> {
    let suites = plugins::others()?;
    let [mut first, mut second] = rows(&suites).map(|suites| {
        let mut cargo = build::cargo_test(&[]);
        cargo.args(suites.iter().flat_map(|name| ["--test", name]));
        cargo.args(selection.filter.iter()).args(["--", "--test-threads=1"]);
        cargo.args(crash::TESTS.iter().chain(storage::TESTS).chain(moving::TESTS).flat_map(|name| ["--skip", name]));
        cargo.env("FIEF", place::fief("debug"));
        cargo
    });
    let shown = format!("\n$ {}", line(&second));
    std::thread::scope(|scope| {
        let beside = scope.spawn(|| output(&mut second).map_err(|error| error.to_string()));
        let followed = follow(&mut first, tally);
        let said = beside.join().map_err(|_| "the second row of tests was not run to its end")??;
        println!("{shown}\n{}", String::from_utf8_lossy(&said.stderr).trim_end());
        let failed_before = tally.failed;
        for line in String::from_utf8_lossy(&said.stdout).lines() {
            println!("{line}");
            tally.count(line);
        }
        tally.broken |= !said.status.success() && tally.failed == failed_before;
        followed
    })
}

/// Every other suite.
fn rows(suites: &[String]) -> [Vec<&String>; 2] {
    [0, 1].map(|row| suites.iter().skip(row).step_by(2).collect())
}

/// Runs cargo, shows its output, and counts.
fn follow(cargo: &mut Command, tally: &mut Tally) -> Result<()> {
    cargo.env("FIEF", place::fief("debug"));
    println!("\n$ {}", line(cargo));
    let mut child = cargo.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().doing(|| "cannot start cargo".into())?;
    let failed_before = tally.failed;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            tally.count(&line);
        }
    }
    let status = child.wait()?;
    tally.broken |= !status.success() && tally.failed == failed_before;
    Ok(())
}

impl Tally {
    fn count(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            let of = |word: &str| {
                counts
                    .split(['.', ';'])
                    .filter_map(|part| part.trim().strip_suffix(word))
                    .find_map(|n| n.trim().parse().ok())
            };
            self.passed += of("passed").unwrap_or(0);
            self.failed += of("failed").unwrap_or(0);
            self.skipped += of("ignored").unwrap_or(0);
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.names_of_failed.push(name.to_owned());
        }
    }
}

fn close(tally: &Tally) -> Result<()> {
    println!();
    for name in &tally.names_of_failed {
        println!("failed: {name}");
    }
    println!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped);
    match tally {
        Tally { broken: true, .. } => Err("a part of the tests did not run; see above".into()),
        Tally { failed: 1.., .. } => Err("tests failed".into()),
        Tally { passed: 0, .. } => Err("no test matched".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_suite_is_in_one_row() {
        let suites = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(rows(&suites), [vec!["a", "c"], vec!["b"]]);
    }

    #[test]
    fn counts_are_summed_over_all_binaries() {
        let mut tally = Tally::default();
        for line in [
            "test life::stop_twice ... FAILED",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s",
        ] {
            tally.count(line);
        }
        assert_eq!((tally.passed, tally.failed, tally.skipped), (7, 1, 1));
        assert_eq!(tally.names_of_failed, ["life::stop_twice"]);
    }
}
