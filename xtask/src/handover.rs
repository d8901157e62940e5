//! The handover of a domain, looked at farther than each run of the tests has time for: every order of words, deaths and
//! claims, over the functions that hosts run by (`host/src/migration/handover/tests.rs`).

use crate::build;
use crate::command::{Result, run as run_command};

/// # Errors
/// Where a state is found that must never be, or from which the domain never runs at one place again.
pub(crate) fn run() -> Result<()> {
    let words = ["--lib", "handover::", "--", "--nocapture", "--test-threads=1"];
    run_command(build::cargo_test(&words).env("FIEF_HANDOVER_DEEP", "1"))
}
