//! Calls into the plugin floor, in one place.

use std::path::Path;

use crate::error::Result;
use crate::gate::Gate;
use crate::layout::Layout;
use crate::plugin::{Installed, package};
use crate::types::PluginId;

/// Checks, stores and compiles a plugin.
pub(super) fn install_plugin(gate: &Gate, file: &Path) -> Result<Installed> {
    package::install(gate, file)
}

/// Looks whether a plugin is still what was installed.
pub(super) fn verify_plugin(gate: &Gate, id: &PluginId) -> Result<()> {
    package::verify(gate, id)
}

/// What a plugin file holds; nothing of it runs.
pub(super) fn inspect_plugin(file: &Path) -> Result<Installed> {
    package::inspect(file)
}

/// The same, with its bytes.
pub(super) fn read_plugin(file: &Path) -> Result<(Installed, Vec<u8>)> {
    package::read(file)
}

/// Forgets an installed plugin, unless `may` says no.
pub(super) fn remove_plugin(layout: &Layout, id: &PluginId, may: impl FnOnce() -> Result<()>) -> Result<()> {
    package::remove(layout, id, may)
}

/// Serves one plugin; gives the exit code.
pub(super) fn sandbox() -> u8 {
    crate::sandbox::run()
}
