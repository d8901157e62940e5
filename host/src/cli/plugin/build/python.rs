//! Python, by componentize-py, which brings the interpreter along.

use std::fs;
use std::path::{Path, PathBuf};

use super::{folder, tool};
use crate::error::{Context, Result};
use crate::plugin::project::{BUILT, WIT, WORLD};

/// What projects are made for; its bindings change from one version to the next.
const INSTALL: &str = "pip install componentize-py==0.25.0, in an environment (python3 -m venv) whose bin is on PATH";
/// The module that has the classes of the interfaces that the plugin gives: `src/app.py`.
const MODULE: &str = "app";

/// Gives the component that comes of `src` and `fief`.
pub(super) fn build(directory: &Path) -> Result<PathBuf> {
    let bindings = Path::new(BUILT).join("bindings");
    let parts = Path::new(BUILT).join("parts");
    folder(&directory.join(&parts))?;
    // The tool writes into no folder that has something.
    let old = directory.join(&bindings);
    if old.exists() {
        fs::remove_dir_all(&old).context(|| format!("cannot remove {}", old.display()))?;
    }
    let made = parts.join("component.wasm");
    let (bindings, output) = (bindings.display().to_string(), made.display().to_string());
    let world = ["-q", "-d", WIT, "-w", WORLD];
    // WASI is left out: fief's own interfaces are all that there is, and what a plugin may do shows in what it imports.
    let component = ["componentize", "--stub-wasi", "-p", "src", "-p", "fief", MODULE, "-o", &output];
    for words in [[&world[..], &["bindings", &bindings]].concat(), [&world[..], &component].concat()] {
        tool(directory, "componentize-py", &words, INSTALL, "the last line names what is amiss in the code")?;
    }
    Ok(directory.join(made))
}
