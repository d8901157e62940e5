//! Rust: cargo knows how, and the SDK has written the manifest.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::error::{Failure, Result};

/// Gives the component that comes of a project.
pub(super) fn build(directory: &Path) -> Result<PathBuf> {
    let shown = directory.display();
    if !directory.join("Cargo.toml").is_file() {
        return Err(Failure::usage(format!("{shown} holds no project: it has no Cargo.toml and no fief-plugin.toml"))
            .hint("fief plugin new NAME --kind storage begins one"));
    }
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--target", "wasm32-wasip2", "--message-format", "json-render-diagnostics"]);
    let built =
        cargo.current_dir(directory).stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(|error| {
            Failure::other("cannot start cargo").because(error).hint("is Rust installed, and is cargo on PATH?")
        })?;
    if !built.status.success() {
        return Err(Failure::other(format!("{shown} does not build"))
            .hint("see what the compiler says above; where it misses core or std: rustup target add wasm32-wasip2"));
    }
    match &components(&built.stdout)[..] {
        [one] => Ok(one.clone()),
        [] => Err(Failure::usage(format!("{shown} builds no component"))
            .hint("a plugin's Cargo.toml has [lib] and crate-type = [\"cdylib\"]")),
        several => {
            let causes = several.iter().map(|path| path.display().to_string()).collect();
            Err(Failure { causes, ..Failure::usage(format!("{shown} builds several components")) }
                .hint("name the directory of one of them"))
        }
    }
}

/// What of the messages of cargo (JSON, a line each) is a component that was made. Pure.
fn components(messages: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in messages.split(|&byte| byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<Value>(line) else { continue };
        if message["reason"] == "compiler-artifact" {
            let files = message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
            found.extend(files.filter(|file| file.ends_with(".wasm")).map(PathBuf::from));
        }
    }
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_is_known_by_what_cargo_says_of_it() {
        let said = br#"
{"reason":"compiler-artifact","filenames":["/t/release/libfief_sdk.rlib"]}
not json
{"reason":"compiler-artifact","filenames":["/t/release/mine.wasm"],"fresh":true}
{"reason":"build-finished","success":true}"#;
        assert_eq!(components(said), [PathBuf::from("/t/release/mine.wasm")]);
        assert!(components(b"").is_empty());
    }
}
