//! Calls into the plugin floor, in one place.

use std::path::Path;

use crate::domain;
use crate::error::Result;
use crate::gate::{Gate, Mode};
use crate::layout::Layout;
use crate::plugin::upgrade::{self, Staged};
use crate::plugin::{Installed, package};
use crate::types::PluginId;

/// Checks, stores and compiles a plugin.
pub(super) fn install_plugin(gate: &Gate, file: &Path) -> Result<Installed> {
    let installed = package::install(gate, file);
    if gate.mode() == Mode::Perform {
        tidy_plugins(gate.layout());
    }
    installed
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
    package::remove(layout, id, may)?;
    tidy_plugins(layout);
    Ok(())
}

/// Whether policy lets these bytes run under their id.
pub(super) fn admit_plugin(gate: &Gate, new: &Installed) -> Result<()> {
    package::admitted(gate, new)
}

/// Stores a plugin and sees that it loads.
pub(super) fn stage_plugin<'a>(gate: &'a Gate, new: Installed, bytes: &[u8]) -> Result<Staged<'a>> {
    Staged::new(gate, new, bytes)
}

/// What a rollback would take away, and what it would bring.
pub(super) fn previous_plugin(gate: &Gate, id: &PluginId) -> Result<(Installed, Installed)> {
    upgrade::previous(gate, id)
}

/// Brings the previous version back.
pub(super) fn roll_back_plugin(gate: &Gate, id: &PluginId) -> Result<Installed> {
    upgrade::roll_back(gate, id)
}

/// Sweeps what nobody has any more. What stays for now is swept another time.
pub(super) fn tidy_plugins(layout: &Layout) {
    let swept = domain::kept_plugins(layout).and_then(|kept| package::tidy(layout, &kept));
    if let Err(failure) = swept {
        tracing::warn!(%failure, "what no plugin has any more is not removed");
    }
}

/// Serves one plugin; gives the exit code.
pub(super) fn sandbox() -> u8 {
    crate::sandbox::run()
}
