//! JavaScript, by componentize-js, which brings the engine along.

use std::path::{Path, PathBuf};

use super::{folder, tool};
use crate::error::{Failure, Result};
use crate::plugin::project::BUILT;

const INSTALL: &str = "Node.js 20 or newer, and npm";
/// Where the project's own tool lies.
const TOOL: &str = "node_modules/@bytecodealliance/componentize-js";

/// Gives the component that comes of `src/app.js`.
pub(super) fn build(directory: &Path) -> Result<PathBuf> {
    if !directory.join(TOOL).exists() {
        return Err(Failure::other(format!("{} has no {TOOL}", directory.display())).hint("in it: npm install"));
    }
    let parts = Path::new(BUILT).join("parts");
    folder(&directory.join(&parts))?;
    let made = parts.join("component.wasm");
    let words = ["fief/build.mjs".to_owned(), made.display().to_string()];
    tool(directory, "node", &words, INSTALL, "it names what is amiss in the code, or in wit")?;
    Ok(directory.join(made))
}
