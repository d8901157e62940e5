//! What a control call into a plugin costs: `cargo xtask bench` runs it on a root that it made.
//!
//! `plugin_call POOL [memory]`, with `FIEF_ROOT` and `FIEF_EXECUTABLE` set. Prints one line a figure: name, and a number. With `memory`
//! it makes what calls `fief pool show` makes, once, and prints what their sandbox took at most.

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

    if std::env::args().nth(2).as_deref() == Some("memory") {
        let mut shown = Pool::look(&gate, &pool)?;
        shown.info()?;
        shown.volumes()?;
        for child in children() {
            if let Some(kib) = kib(&format!("/proc/{child}/status"), "VmHWM:") {
                println!("sandbox-peak-kib {kib}");
            }
        }
        return Ok(());
    }
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
    let mut found = Vec::new();
    for child in children() {
        for (key, name) in [("Rss:", "sandbox-rss-kib"), ("Pss:", "sandbox-pss-kib")] {
            found.extend(kib(&format!("/proc/{child}/smaps_rollup"), key).map(|kib| (name, kib)));
        }
    }
    found
}

/// That this thread started, and that are there.
fn children() -> Vec<String> {
    let me = std::process::id();
    let children = std::fs::read_to_string(format!("/proc/{me}/task/{me}/children")).unwrap_or_default();
    children.split_whitespace().map(str::to_owned).collect()
}

/// The number behind a word of a file of proc(5).
fn kib(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}
