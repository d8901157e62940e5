//! Domains that move: what the example `bench_moving` of the tests says of each round, as figures.
//!
//! The example makes two hosts out of namespaces as the tests do; here is no more than what to run, and what is aimed at.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::figure::{Figure, Kind};
use super::median;
use crate::command::{Result, capture, command};
use crate::place;

/// Odd, so that the median is one that was seen.
pub(super) const ROUNDS: usize = 9;
const QUICK: usize = 3;

/// What was measured in each round, by work, who and what.
type Rounds = BTreeMap<(String, String, String), Vec<Duration>>;

/// One line of the table.
struct Row {
    work: &'static str,
    what: &'static str,
    told: &'static str,
    peers: &'static [&'static str],
    beside: &'static str,
    /// Ours over theirs, at the most.
    aim: f64,
}

const HAND: &str = "the same by hand with QMP, not encrypted";
const VIRSH: &str = "`virsh migrate --live`, not encrypted";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { work: "live-idle", what: "total", told: "live move, idle guest: in all", peers: &["hand"], beside: HAND, aim: 1.15 },
    Row { work: "live-idle", what: "pause", told: "the same: the guest's pause", peers: &["hand"], beside: HAND, aim: 1.1 },
    Row { work: "live-idle", what: "total", told: "live move, idle guest: in all", peers: &["virsh"], beside: VIRSH, aim: 1.0 },
    Row { work: "live-idle", what: "pause", told: "the same: the guest's pause", peers: &["virsh"], beside: VIRSH, aim: 1.0 },
    Row { work: "live-dirtying", what: "total", told: "live move, writing guest: in all", peers: &["hand"], beside: HAND, aim: 1.15 },
    Row { work: "live-dirtying", what: "pause", told: "the same: the guest's pause", peers: &["hand"], beside: HAND, aim: 1.1 },
    Row { work: "live-dirtying", what: "total", told: "live move, writing guest: in all", peers: &["virsh"], beside: VIRSH, aim: 1.0 },
    Row { work: "live-dirtying", what: "pause", told: "the same: the guest's pause", peers: &["virsh"], beside: VIRSH, aim: 1.0 },
    Row { work: "static", what: "total", told: "static move, a disk of 2 GiB with 200 MiB in it",
          peers: &["rsync", "qemu-img"], beside: "the quicker of `rsync -S` and `qemu-img convert` through NBD, not encrypted", aim: 1.0 },
];

/// # Errors
/// Where the example fails, or says less than was asked for.
pub(super) fn measure(quick: bool) -> Result<Vec<Figure>> {
    let rounds = if quick { QUICK } else { ROUNDS };
    let example = place::target().join("release/examples/bench_moving");
    let mut bench = command(&example.to_string_lossy(), [rounds.to_string()]);
    let said = capture(bench.env("FIEF", place::fief("release")).current_dir(tests()))?;
    figures(&parse(&said)?)
}

fn tests() -> impl AsRef<Path> {
    place::workspace().join("tests")
}

fn parse(said: &str) -> Result<Rounds> {
    let mut rounds = Rounds::new();
    for line in said.lines().filter_map(|line| line.strip_prefix("round ")) {
        let words: Vec<&str> = line.split(' ').collect();
        let [work, who, what, micros] = words[..] else { return Err(format!("what is {line:?}?").into()) };
        let micros: u64 = micros.parse().map_err(|_| format!("{line:?} does not end with a number"))?;
        let of = (work.to_owned(), who.to_owned(), what.to_owned());
        rounds.entry(of).or_default().push(Duration::from_micros(micros));
    }
    Ok(rounds)
}

fn figures(rounds: &Rounds) -> Result<Vec<Figure>> {
    let of = |row: &Row, who: &str| {
        let key = (row.work.to_owned(), who.to_owned(), row.what.to_owned());
        rounds.get(&key).ok_or_else(|| format!("the bench did not say {key:?}"))
    };
    let mut figures = Vec::new();
    for row in ROWS {
        let ours = of(row, "fief")?;
        let theirs = row.peers.iter().map(|peer| of(row, peer)).collect::<Result<Vec<_>, _>>()?;
        let Some(theirs) = theirs.into_iter().min_by_key(|times| median(times)) else { continue };
        figures.push(Figure::paired(row.told, row.beside, ours, theirs, Kind::Ratio(row.aim)));
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_become_figures_by_their_own_ratios() {
        let mut said = String::new();
        for work in ["live-idle", "live-dirtying"] {
            for (who, micros) in [("fief", [100, 200, 900]), ("hand", [100, 100, 1000]), ("virsh", [500, 500, 500])] {
                for micros in micros {
                    said += &format!("round {work} {who} total {micros}\nround {work} {who} pause {micros}\n");
                }
            }
        }
        for (who, micros) in [("fief", 90), ("rsync", 300), ("qemu-img", 100)] {
            said += &format!("round static {who} total {micros}\n");
        }
        let figures = figures(&parse(&said).unwrap()).unwrap();
        let rows: Vec<String> = figures.iter().map(Figure::row).collect();
        assert_eq!(rows.len(), ROWS.len());
        // 1, 2 and 0.9: the median of the rounds' ratios, not the ratio of the medians.
        assert!(rows[0].ends_with("| 1.00 | 1.15 | reached |\n"), "{}", rows[0]);
        assert!(rows[8].ends_with("| 0.90 | 1 | reached |\n"), "{}", rows[8]);
        assert!(parse("round a b c\n").is_err());
    }
}
