//! What is told of plugins, tried at length: those that misbehave, those that strangers write, where they come from, and the kit that
//! tries them out. `cargo xtask test` passes these by, for they are slow.

use std::collections::BTreeSet;
use std::path::Path;

use crate::command::{Doing, Result, is_root, run as run_command};
use crate::setup::{self, Purpose};
use crate::{build, place};

/// Files of `tests/tests`.
pub(crate) const SUITES: &[&str] = &["authoring", "conformance", "examples", "hostile", "languages", "sources"];

/// Those whose tests wait for most of their time: two at a time.
const WAITS: &[&str] = &["conformance"];

/// All of them, or those tests that have `filter` in their names; `at_length`: those too that take minutes of compilation.
///
/// # Errors
/// Where one fails, or something that they need cannot be had.
pub(crate) fn run(filter: Option<&str>, at_length: bool) -> Result<()> {
    if !is_root() {
        return Err("these tests make network namespaces and run servers, which needs root".into());
    }
    setup::all(Purpose::Test)?;
    setup::other_languages()?;
    build::plugins()?;
    build::hostile()?;
    build::for_tests()?;
    let (waits, works): (Vec<&str>, Vec<&str>) = SUITES.iter().partition(|name| WAITS.contains(name));
    for (suites, threads) in [(waits, "--test-threads=2"), (works, "--test-threads=1")] {
        let mut test = build::cargo_test(&[]);
        test.args(suites.iter().flat_map(|name| ["--test", name]));
        test.args(filter).args(["--", threads]);
        if at_length {
            test.env("FIEF_LANGUAGES_ALL", "1");
        }
        run_command(test.env("FIEF", place::fief("debug")))?;
    }
    Ok(())
}

/// All other test targets of the workspace.
pub(crate) fn others() -> Result<Vec<String>> {
    let root = place::workspace();
    let mut folders =
        vec![root.join("host"), root.join("host/nbd"), root.join("sdk"), root.join("tests"), root.join("xtask")];
    for plugins in [root.join("plugins"), root.join("plugins/examples")] {
        folders.extend(entries(&plugins)?.into_iter().map(|name| plugins.join(name)));
    }
    let mut all = BTreeSet::new();
    for tests in folders.iter().map(|folder| folder.join("tests")).filter(|tests| tests.is_dir()) {
        for name in entries(&tests)? {
            match name.strip_suffix(".rs") {
                Some(name) => drop(all.insert(name.to_owned())),
                None if tests.join(&name).join("main.rs").exists() => drop(all.insert(name)),
                None => {}
            }
        }
    }
    all.retain(|name| !SUITES.contains(&name.as_str()));
    Ok(all.into_iter().collect())
}

fn entries(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).doing(|| format!("cannot read {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_target_is_run_by_one_command() {
        let others = others().unwrap();
        // Of each kind of place: the host's, the SDK's, a plugin's, an example's, and those of whole machines.
        for name in ["sandbox", "native", "device", "catalogue", "life", "crash", "moves", "storage"] {
            assert!(others.iter().any(|other| other == name), "{name}");
        }
        for suite in SUITES {
            assert!(!others.iter().any(|other| other == suite), "{suite}");
            let file = |end: &str| place::workspace().join(format!("tests/tests/{suite}{end}"));
            assert!(file(".rs").exists() || file("/main.rs").exists(), "{suite}");
        }
    }
}
