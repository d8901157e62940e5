//! Calls into the plugin floor, in one place.

use std::path::Path;

use crate::config::lock::Lock;
use crate::config::policy::edit::Edit;
use crate::conformance::{self, Brief};
use crate::domain;
use crate::error::{Failure, Result};
use crate::gate::{Gate, Mode};
use crate::layout::Layout;
use crate::plugin::bundle::{self, Set};
use crate::plugin::package::Replace;
use crate::plugin::source::{self, FetchOptions, Fetched, Source};
use crate::plugin::upgrade::{self, Staged};
use crate::plugin::{self, Installed, package};
use crate::types::PluginId;

/// The bytes that a source gives.
pub(super) fn fetch_plugin(gate: &Gate, source: &Source, options: &FetchOptions) -> Result<Fetched> {
    source::fetch(gate, source, options)
}

/// Whether a plugin may be installed, as far as policy and what is installed say.
pub(super) fn may_install_plugin(gate: &Gate, new: &Installed) -> Result<()> {
    package::may_install(gate, new, Replace::No)
}

/// Tries a plugin out, in a root of its own. That it passed is remembered.
pub(super) fn try_plugin(gate: &Gate, new: &Installed, fetched: &Fetched) -> Result<Brief> {
    let brief = conformance::brief(new, fetched, &gate.policy().host, gate.layout())?;
    if let Brief::Passed(_) = brief {
        plugin::note_tried(gate.layout(), new.digest)?;
    }
    Ok(brief)
}

/// Stores and compiles a plugin.
pub(super) fn install_plugin(gate: &Gate, new: &Installed, bytes: &[u8]) -> Result<()> {
    let installed = package::install_all(gate, &[(new.clone(), bytes)], Replace::No);
    if gate.mode() == Mode::Perform {
        tidy_plugins(gate.layout());
    }
    installed
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
pub(super) fn install_plugins(gate: &Gate, set: &Set, replace: Replace) -> Result<()> {
    let installed = set.install(gate, replace);
    if gate.mode() == Mode::Perform {
        tidy_plugins(gate.layout());
    }
    installed
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
    Staged::new(gate, &[(new, bytes)])
}

/// What a rollback would take away, and what it would bring.
pub(super) fn previous_plugin(gate: &Gate, id: &PluginId) -> Result<(Installed, Installed)> {
    upgrade::previous(gate, id)
}

/// Brings the previous version back.
pub(super) fn roll_back_plugin(
    gate: &Gate,
    id: &PluginId,
    edits: &[Edit],
    agree: impl FnOnce() -> Result<()>,
) -> Result<Installed> {
    upgrade::roll_back(gate, id, edits, agree)
}

/// Finishes, or takes back, what commands that were killed have begun.
pub(super) fn settle_plugins(layout: &Layout) -> Vec<Failure> {
    upgrade::settle(layout)
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

/// Fetches one plugin for the fief that started this process; gives the exit code.
pub(super) fn fetch() -> u8 {
    source::room::run()
}
