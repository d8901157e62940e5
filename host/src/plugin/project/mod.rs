//! The project of a plugin that is not written in Rust: `fief-plugin.toml`.
//!
//! ```toml
//! language = "c"                # "python", or "other": built by means of its own, and then `fief plugin pack`
//!
//! [manifest]                    # what goes into the plugin as its manifest (plugin/manifest.rs), in TOML
//! schema = 1
//! id = "my-disks"
//! ```
//!
//! A project in Rust has none: cargo knows how it is built, and the SDK writes the manifest.

mod bindings;
mod finish;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde::Deserialize;

use crate::config::reader;
use crate::error::{Failure, Result};
use crate::plugin::{Manifest, printable};

pub use bindings::c as c_bindings;
pub use finish::finish;

/// The file that makes a folder a project.
pub const FILE: &str = "fief-plugin.toml";
/// Where the plugin lies once it is built, in the project's folder: the only `.wasm` file there.
pub const BUILT: &str = "build";
/// Where the interfaces lie, with those of fief's below `deps`.
pub const WIT: &str = "wit";
/// The world that a project's interfaces make up, as bindings and components are asked for it.
pub const WORLD: &str = "plugin";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    pub language: Language,
    pub manifest: Manifest,
}

/// What a project's own file may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    C,
    JavaScript,
    Python,
    Other,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Written {
    language: Language,
    manifest: Manifest,
}

impl Project {
    /// The project in a directory; none where it has no [`FILE`].
    ///
    /// # Errors
    /// As [`Project::parse`].
    pub fn read(directory: &Path) -> Result<Option<Project>> {
        let path = directory.join(FILE);
        if !path.is_file() {
            return Ok(None);
        }
        Project::parse(&reader::read_file(&path)?, &path.display().to_string()).map(Some)
    }

    /// `source` names the text in messages.
    ///
    /// # Errors
    /// `Usage` with the place and what is wrong there.
    pub fn parse(bytes: &[u8], source: &str) -> Result<Project> {
        let wrong = |place: &str, what: &str| {
            Failure::usage(format!("{}{place}: {}", printable(source), printable(what)))
                .hint("fief plugin new NAME --kind storage --lang c makes a project to look at")
        };
        let text = reader::toml_text("project of a plugin", source, bytes)?;
        let Written { language, manifest } = toml::from_str(text).map_err(|error| {
            let place = error.span().map_or_else(String::new, |span| place(text, span.start));
            wrong(&place, error.message().lines().next().unwrap_or_default())
        })?;
        manifest.check().map_err(|reason| wrong("", &format!("in [manifest], {reason}")))?;
        Ok(Project { language, manifest })
    }
}

/// `:LINE:COLUMN` of a byte.
fn place(text: &str, at: usize) -> String {
    let before = &text[..text.floor_char_boundary(at)];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!(":{line}:{column}")
}
