//! Calls into the other room's floor, in one place while that floor is laid.

use std::path::Path;

use crate::error::{Failure, Result};
use crate::gate::Gate;
use crate::layout::Layout;
use crate::plugin::Installed;
use crate::types::PluginId;

/// Checks, stores and compiles a plugin.
pub(super) fn install_plugin(gate: &Gate, file: &Path) -> Result<Installed> {
    let _ = gate;
    Err(Failure::other(format!("cannot install {}: this fief runs no plugins", file.display())))
}

/// Forgets an installed plugin.
pub(super) fn remove_plugin(layout: &Layout, id: &PluginId) -> Result<()> {
    let _ = layout;
    Err(Failure::other(format!("cannot remove {id}: this fief runs no plugins")))
}

/// Serves one plugin; gives the exit code.
pub(super) fn sandbox() -> u8 {
    2
}
