//! `docs/PROMISES.md` names tests as `FILE::NAME`; each has to exist, so that no promise leans on a test that is gone.

use std::path::Path;

#[test]
fn every_test_that_a_promise_names_exists() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let promises = std::fs::read_to_string(workspace.join("docs/PROMISES.md")).unwrap();
    let named: Vec<(&str, &str)> = promises.split('`').filter_map(|words| words.split_once(".rs::")).collect();
    assert!(named.len() > 50, "the table was not understood: {named:?}");
    let missing: Vec<String> = named
        .into_iter()
        .filter(|(file, name)| !has_test(&workspace.join(format!("{file}.rs")), name))
        .map(|(file, name)| format!("{file}.rs::{name}"))
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

/// Targets of fuzzing are named by their files.
#[test]
fn every_file_that_a_promise_names_exists() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let promises = std::fs::read_to_string(workspace.join("docs/PROMISES.md")).unwrap();
    let named: Vec<&str> = promises.split('`').filter(|words| words.ends_with(".rs")).collect();
    assert!(named.len() >= 8, "the table was not understood: {named:?}");
    let missing: Vec<&str> = named.into_iter().filter(|file| !workspace.join(file).is_file()).collect();
    assert!(missing.is_empty(), "no such files: {missing:#?}");
}

/// Whether the file has a function of that name with `#[test]` (or `#[tokio::test]`) next above it. A property is one too.
fn has_test(file: &Path, name: &str) -> bool {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut marked = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            marked |= line.contains("test]");
        } else if let Some((before, function)) = line.split_once("fn ") {
            if marked
                && before.split_whitespace().all(|word| word == "async")
                && function.starts_with(&format!("{name}("))
            {
                return true;
            }
            marked = false;
        }
    }
    false
}
