//! Domains that move between two hosts: `tests/tests/moves`, with the binary that has fault points.

use crate::command::Result;
use crate::crash::{self, Sample};

/// The tests that this runs, by the beginnings of their names: `cargo xtask test` passes them by, for they are slow.
pub(crate) const TESTS: &[&str] = &[
    "channels::",
    "claims::",
    "debian::a_connection_",
    "fetches::",
    "hostile::",
    "matrix::",
    "points::whatever_",
    "rivals::",
    "wires::",
];

/// How much is tried.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    all: bool,
    seed: Option<u64>,
    /// What the sampled test may take.
    seconds: Option<u64>,
    /// Of one test; else all run.
    test: Option<String>,
    /// Of cases, by a part of their names.
    only: Option<String>,
}

impl Scope {
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut scope = Scope::default();
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            let mut next = || words.next().ok_or_else(|| format!("{word} wants a word after it"));
            match word {
                "--all" => scope.all = true,
                "--seed" => scope.seed = Some(number(next()?)?),
                "--seconds" => scope.seconds = Some(number(next()?)?),
                "--only" => scope.only = Some((*next()?).to_owned()),
                _ if word.starts_with('-') || scope.test.is_some() => {
                    return Err(format!("cargo xtask moving does not take {word:?}; see cargo xtask help").into());
                }
                _ => scope.test = Some(word.to_owned()),
            }
        }
        Ok(scope)
    }
}

fn number(text: &str) -> Result<u64> {
    text.parse().map_err(|_| format!("{text:?} is no number").into())
}

pub(crate) fn run(scope: &Scope) -> Result<()> {
    let Scope { all, seed, seconds, test, only } = scope;
    let sample = Sample { all: *all, seed: *seed, seconds: *seconds, only: only.clone() };
    crash::sample("moves", test.as_deref(), sample)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place;

    #[test]
    fn words_say_how_much_is_tried() {
        let scope = Scope::parse(&["--seed", "7", "--only", "Live Nfs", "points"]).unwrap();
        let wanted =
            Scope { seed: Some(7), only: Some("Live Nfs".into()), test: Some("points".into()), ..Scope::default() };
        assert_eq!(scope, wanted);
        for wrong in [&["--seed"][..], &["--seed", "x"], &["--nonsense"], &["a", "b"]] {
            assert!(Scope::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn each_of_the_slow_tests_is_known_as_slow() {
        let folder = place::workspace().join("tests/tests/moves");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            for part in text.split("#[test]\n").skip(1) {
                let name = part.trim_start().trim_start_matches("fn ").split('(').next().unwrap();
                let name = format!("{}::{name}", path.file_stem().unwrap().to_string_lossy());
                assert!(TESTS.iter().any(|known| name.starts_with(known)), "{name}");
            }
        }
    }
}
