//! Calls into the plugin floor, in one place.

use std::path::Path;

use crate::config::lock::Lock;
use crate::error::Result;
use crate::gate::Gate;
use crate::layout::Layout;
use crate::plugin::bundle::{self, Set};
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

/// What is installed, to the byte.
pub(super) fn lock_plugins(layout: &Layout, only: &[PluginId]) -> Result<Lock> {
    bundle::lock_of(layout, only)
}

/// An archive of plugins, with its lock.
pub(super) fn export_plugins(layout: &Layout, only: &[PluginId]) -> Result<(Lock, Vec<u8>)> {
    bundle::export(layout, only)
}

/// The plugins of an archive, checked.
pub(super) fn import_plugins(gate: &Gate, file: &Path) -> Result<Set> {
    bundle::import(gate, file)
}

/// The plugins of a lock, fetched and checked.
pub(super) fn locked_plugins(gate: &Gate, file: &Path, options: &FetchOptions) -> Result<Set> {
    bundle::locked(gate, file, options)
}

/// Installs all of a set, or none.
pub(super) fn install_plugins(gate: &Gate, set: &Set) -> Result<()> {
    set.install(gate)
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

/// Fetches one plugin for the fief that started this process; gives the exit code.
pub(super) fn fetch() -> u8 {
    source::room::run()
}
