//! The fault points of `host/src/fault.rs`, and how much of them is tried.

use std::path::Path;
use std::time::{Duration, Instant};

/// What one test may take where nobody says.
const BUDGET: Duration = Duration::from_secs(120);

/// The names in the registry.
///
/// # Panics
/// Where the registry is not understood.
pub fn points() -> Vec<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src/fault.rs");
    let text = std::fs::read_to_string(source).expect("the registry");
    let names = text.lines().filter_map(|line| {
        let (name, after) = line.trim().strip_prefix('"')?.split_once("\" \"")?;
        (after.ends_with('"') && name.contains('.')).then(|| name.to_owned())
    });
    let names: Vec<String> = names.collect();
    assert!(names.len() > 20, "the registry was not understood: {names:?}");
    names
}

/// What a process has in its environment that is to pass a point so: `NAME:HOW`; the file tells when it has.
pub fn armed(point: &str, reached: &Path) -> [(String, String); 2] {
    let reached = reached.to_string_lossy().into_owned();
    [("FIEF_FAULT".to_owned(), point.to_owned()), ("FIEF_FAULT_REACHED".to_owned(), reached)]
}

/// Whether `FIEF_CRASH_ONLY` is in the name of a case, or nothing is asked for.
pub fn wanted(name: &str) -> bool {
    std::env::var("FIEF_CRASH_ONLY").map_or(true, |only| name.contains(&only))
}

/// Until when cases are sampled: `FIEF_CRASH_SECONDS` from now; none with `FIEF_CRASH_ALL`.
pub fn until() -> Option<Instant> {
    if std::env::var_os("FIEF_CRASH_ALL").is_some() {
        return None;
    }
    let given = std::env::var("FIEF_CRASH_SECONDS").ok().map(|text| text.parse().expect("seconds"));
    Some(Instant::now() + given.map_or(BUDGET, Duration::from_secs))
}
