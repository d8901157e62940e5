//! Storage that did not answer, and what is taken for it.

use std::time::Duration;

use super::*;

/// Whoever looks at the pool.
fn looks(gate: &Gate) -> Pool {
    Pool { patience: Patience::Look, ..scripted(gate, Box::new(honest)) }
}

#[test]
fn whoever_looks_does_not_wait_again_for_a_server_that_was_silent() {
    let root = tempfile::tempdir().unwrap();
    let gate = gate(root.path(), Mode::Perform);
    let pool = defined(&gate);
    let silence = Failure::new(Kind::TimedOut, "nobody answers");

    pool.remember(Some(&silence), Duration::from_millis(900));
    looks(&gate).info().unwrap();
    pool.remember(Some(&silence), Duration::from_secs(1));
    let failure = looks(&gate).info().unwrap_err();
    assert_eq!(failure.kind, Kind::Unreachable, "{failure}");
    assert!(failure.to_string().ends_with(": nobody answers"), "{failure}");
    // Whoever wants something done asks anew, and then it is known to be there.
    defined(&gate).create_volume(&spec("new")).unwrap();
    looks(&gate).info().unwrap();
}
