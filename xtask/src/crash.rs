//! Crash at every point: `tests/tests/crash`, with the binary that has fault points.

use crate::command::{Result, is_root, run as run_command};
use crate::setup::{self, Purpose};
use crate::{build, place};

/// The tests that this runs, by the beginnings of their names: `cargo xtask test` passes them by, for they are slow.
pub(crate) const TESTS: &[&str] = &["points::every_", "points::what_hangs_", "calls::any_call_", "plugins::every_"];

/// How much is tried.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    all: bool,
    seed: Option<u64>,
    /// What each of the sampled tests may take.
    seconds: Option<u64>,
    filter: Option<String>,
}

impl Scope {
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut scope = Scope::default();
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            let mut number = || -> Result<u64> {
                let text = words.next().ok_or_else(|| format!("{word} wants a number"))?;
                text.parse().map_err(|_| format!("{word} wants a number, not {text:?}").into())
            };
            match word {
                "--all" => scope.all = true,
                "--seed" => scope.seed = Some(number()?),
                "--seconds" => scope.seconds = Some(number()?),
                _ if word.starts_with('-') || scope.filter.is_some() => {
                    return Err(format!("cargo xtask crash does not take {word:?}; see cargo xtask help").into());
                }
                _ => scope.filter = Some(word.to_owned()),
            }
        }
        Ok(scope)
    }
}

pub(crate) fn run(scope: &Scope) -> Result<()> {
    let Scope { all, seed, seconds, filter } = scope;
    sample("crash", None, Sample { all: *all, seed: *seed, seconds: *seconds, only: filter.clone() })
}

/// How much of a test's cases is tried.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) all: bool,
    pub(crate) seed: Option<u64>,
    pub(crate) seconds: Option<u64>,
    pub(crate) only: Option<String>,
}

/// Runs a file of tests with the binary that has fault points; of those that `filter` names.
pub(crate) fn sample(test: &str, filter: Option<&str>, Sample { all, seed, seconds, only }: Sample) -> Result<()> {
    if !is_root() {
        return Err("these tests make network namespaces and run servers, which needs root".into());
    }
    setup::all(Purpose::Test)?;
    build::plugins()?;
    build::hostile()?;
    build::for_tests()?;
    let mut run = build::cargo_test(&["--test", test, "--", "--test-threads=1", "--nocapture"]);
    run.args(filter).env("FIEF", place::fief("debug").with_file_name("fief-faults"));
    if all {
        run.env("FIEF_CRASH_ALL", "1");
    }
    let set = [
        ("FIEF_CRASH_SEED", seed.map(|number| number.to_string())),
        ("FIEF_CRASH_SECONDS", seconds.map(|number| number.to_string())),
        ("FIEF_CRASH_ONLY", only),
    ];
    run.envs(set.into_iter().filter_map(|(name, value)| Some((name, value?))));
    run_command(&mut run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_how_much_is_tried() {
        let scope = Scope::parse(&["--seed", "7", "save."]).unwrap();
        assert_eq!(scope, Scope { seed: Some(7), filter: Some("save.".into()), ..Scope::default() });
        for wrong in [&["--seed"][..], &["--seed", "x"], &["--nonsense"], &["a", "b"]] {
            assert!(Scope::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
