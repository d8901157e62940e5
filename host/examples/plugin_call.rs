//! What a control call into a plugin costs: `cargo xtask bench` runs it on a root that it made.
//!
//! `plugin_call POOL`, with `FIEF_ROOT` and `FIEF_EXECUTABLE` set. Prints one line a figure: name, and a number.

// Its figures are its output.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fief::error::{Failure, Result};
use fief::gate::{Gate, Mode};
use fief::layout::Layout;
use fief::storage::Pool;

/// Sandboxes started for the cold figure, calls made for the warm one: each takes about a second in all.
const COLD_ROUNDS: usize = 21;
const WARM_ROUNDS: usize = 2_000;

fn main() -> Result<()> {
    let absent = |what: &str| Failure::usage(format!("{what} is not given"));
    let pool = std::env::args().nth(1).ok_or_else(|| absent("POOL"))?;
    let pool = pool.parse().map_err(|error| Failure::usage(format!("{error}")))?;
    let root = std::env::var_os("FIEF_ROOT").map(PathBuf::from).ok_or_else(|| absent("FIEF_ROOT"))?;
    let layout = Layout::new(root);
    let policy = fief::config::policy::load(&layout.policy())?;
    let gate = Gate::new(layout, Arc::new(policy), Mode::Perform);

    let mut cold = Vec::new();
    for _ in 0..COLD_ROUNDS {
        let started = Instant::now();
        Pool::open(&gate, &pool)?.info()?;
        cold.push(started.elapsed());
    }
    let mut open = Pool::open(&gate, &pool)?;
    open.info()?;
    let mut warm = Vec::new();
    for _ in 0..WARM_ROUNDS {
        let started = Instant::now();
        open.info()?;
        warm.push(started.elapsed());
    }
    println!("cold-us {}", median(cold).as_micros());
    println!("warm-us {}", median(warm).as_micros());
    for (name, kib) in idle_children() {
        println!("{name} {kib}");
    }
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Memory of our child processes, all idle now: `Rss` and `Pss` of /proc/PID/smaps_rollup (proc(5)), in KiB.
fn idle_children() -> Vec<(&'static str, u64)> {
    let me = std::process::id();
    let children = std::fs::read_to_string(format!("/proc/{me}/task/{me}/children")).unwrap_or_default();
    let mut found = Vec::new();
    for child in children.split_whitespace() {
        let rollup = std::fs::read_to_string(format!("/proc/{child}/smaps_rollup")).unwrap_or_default();
        for (key, name) in [("Rss:", "sandbox-rss-kib"), ("Pss:", "sandbox-pss-kib")] {
            let line = rollup.lines().find_map(|line| line.strip_prefix(key));
            found.extend(line.and_then(|rest| Some((name, rest.split_whitespace().next()?.parse().ok()?))));
        }
    }
    found
}
