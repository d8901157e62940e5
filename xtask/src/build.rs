//! Binaries: the host for this machine, the plugins as components.

use std::path::PathBuf;

use crate::command::{Result, command, run};
use crate::place;
use crate::setup;

/// The plugins of the tree, the examples among them.
pub(crate) const PLUGINS: &[&str] = &[
    "storage-file",
    "storage-iscsi",
    "storage-nfs",
    "network-bridge",
    "network-host-only",
    "network-user",
    "migration-live",
    "migration-static",
    "catalogue-http",
    "store-s3",
    "crypt",
];

/// `cargo build` of the host; gives its binary.
pub(crate) fn host(profile: &str) -> Result<PathBuf> {
    let mut build = command("cargo", ["build", "--quiet", "--package", "fief", "--bins", "--profile"]);
    build.arg(if profile == "debug" { "dev" } else { profile });
    run(build.current_dir(place::workspace()))?;
    Ok(place::fief(profile))
}

/// The plugins, optimised: an unoptimised one is ten times as large, and compiled on each install.
pub(crate) fn plugins() -> Result<()> {
    setup::wasm_target()?;
    let mut build = for_wasm();
    for package in PLUGINS {
        build.args(["--package", package]);
    }
    run(&mut build)
}

/// The plugins that misbehave: examples of the crate `hostile`.
pub(crate) fn hostile() -> Result<()> {
    run(for_wasm().args(["--package", "hostile", "--examples"]))
}

fn for_wasm() -> std::process::Command {
    let mut build = command("cargo", ["build", "--quiet", "--release", "--target", "wasm32-wasip2"]);
    build.current_dir(place::workspace());
    build
}

/// The fault points (`host/src/fault.rs`), which builds that people use leave out. One set of features for all that
/// is tested, always of the whole workspace: cargo then builds the engine once.
const FOR_TESTS: [&str; 3] = ["--workspace", "--features", "fief/faults"];

/// All that the tests are and run.
pub(crate) fn for_tests() -> Result<()> {
    // The NBD server on its own is an example, which cargo builds for tests only where it is named.
    let mut build = command("cargo", ["build", "--bins", "--tests", "--example", "serve"]);
    run(build.args(FOR_TESTS).current_dir(place::workspace()))
}

/// `cargo test` of what [`for_tests`] built; `words` say which.
pub(crate) fn cargo_test(words: &[&str]) -> std::process::Command {
    let mut test = command("cargo", ["test", "--no-fail-fast"]);
    test.args(FOR_TESTS).args(words).current_dir(place::workspace());
    test
}
