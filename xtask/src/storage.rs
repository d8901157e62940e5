//! Whole machines on real storage: `tests/tests/storage`.

use crate::command::{Result, is_root, run as run_command};
use crate::setup::{self, Purpose};
use crate::{build, guest, place};

/// The tests that this runs, by the beginnings of their names: `cargo xtask test` passes them by, for they are slow.
pub(crate) const TESTS: &[&str] = &[
    "bad_servers::",
    "conformance::",
    "cuts::",
    "debian::",
    "fences::",
    "growing::",
    "iscsi_trouble::",
    "moving::",
    "nfs_trouble::",
    "objects::",
];

/// All of them, or those that have `filter` in their names; two at a time, for most of its time one waits for a server that is
/// in trouble.
///
/// # Errors
/// Where one fails, or something that they need cannot be had.
pub(crate) fn run(filter: Option<&str>) -> Result<()> {
    if !is_root() {
        return Err("these tests make network namespaces and run servers, which needs root".into());
    }
    setup::all(Purpose::Test)?;
    guest::fio::ready()?;
    setup::object_store()?;
    build::plugins()?;
    build::for_tests()?;
    let mut test = build::cargo_test(&["--test", "storage", "--", "--test-threads=2", "--nocapture"]);
    run_command(test.args(filter).env("FIEF", place::fief("debug")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_slow_tests_is_known_as_slow() {
        let parts = std::fs::read_to_string(place::workspace().join("tests/tests/storage/main.rs")).unwrap();
        let parts = parts.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
        let tested = parts.filter(|part| {
            let file = place::workspace().join(format!("tests/tests/storage/{part}.rs"));
            std::fs::read_to_string(file).unwrap().contains("#[test]")
        });
        assert_eq!(tested.map(|part| format!("{part}::")).collect::<Vec<_>>(), TESTS);
    }
}
