//! Calls into the plugin floor, in one place.

use crate::error::Result;
use crate::gate::Gate;
use crate::layout::Layout;
use crate::plugin::source::{self, FetchOptions, Fetched, Source};
use crate::plugin::{Installed, package};
use crate::types::PluginId;

/// The bytes that a source gives.
pub(super) fn fetch_plugin(gate: &Gate, source: &Source, options: &FetchOptions) -> Result<Fetched> {
    source::fetch(gate, source, options)
}

/// Checks, stores and compiles a plugin.
pub(super) fn install_plugin(gate: &Gate, fetched: &Fetched) -> Result<Installed> {
    package::install(gate, fetched)
}

/// Looks whether a plugin is still what was installed.
pub(super) fn verify_plugin(gate: &Gate, id: &PluginId) -> Result<()> {
    package::verify(gate, id)
}

/// What a source gave, as a plugin; nothing of it runs.
pub(super) fn inspect_plugin(fetched: &Fetched) -> Result<Installed> {
    package::inspect(fetched)
}

/// Forgets an installed plugin, unless `may` says no.
pub(super) fn remove_plugin(layout: &Layout, id: &PluginId, may: impl FnOnce() -> Result<()>) -> Result<()> {
    package::remove(layout, id, may)
}

/// Serves one plugin; gives the exit code.
pub(super) fn sandbox() -> u8 {
    crate::sandbox::run()
}
