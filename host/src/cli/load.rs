//! Where the command line meets what the other floors know: definitions read, plugins put in place, and questions
//! that are asked before something is changed. One call each, so that a verb does not know whose answer it is.

use std::path::Path;

use crate::config::network::NetworkDefinition;
use crate::config::policy::Policy;
use crate::config::pool::PoolDefinition;
use crate::error::{Failure, Result};
use crate::gate::Gate;
use crate::layout::Layout;
use crate::plugin::Installed;
use crate::types::{DomainName, PluginId, VolumeRef};

/// No file is an empty policy.
pub(super) fn policy(layout: &Layout) -> Result<Policy> {
    if !layout.policy().exists() {
        return Ok(Policy::default());
    }
    Err(Failure::other("policy cannot be read yet"))
}

/// `from` is what mistakes are reported against: a path, or `standard input`.
pub(super) fn pool_definition(bytes: &[u8], from: &str) -> Result<PoolDefinition> {
    let _ = (bytes, from);
    Err(Failure::other("pool definitions cannot be read yet"))
}

pub(super) fn network_definition(bytes: &[u8], from: &str) -> Result<NetworkDefinition> {
    let _ = (bytes, from);
    Err(Failure::other("network definitions cannot be read yet"))
}

/// Domains that run with this volume, as a disk of theirs.
pub(super) fn users_of_volume(layout: &Layout, volume: &VolumeRef) -> Result<Vec<DomainName>> {
    let _ = (layout, volume);
    Ok(Vec::new())
}

/// Checks, stores and compiles a plugin.
pub(super) fn install_plugin(gate: &Gate, file: &Path) -> Result<Installed> {
    let _ = (gate, file);
    Err(Failure::other("plugins cannot be installed yet"))
}

/// Forgets an installed plugin.
pub(super) fn remove_plugin(gate: &Gate, id: &PluginId) -> Result<()> {
    let _ = (gate, id);
    Err(Failure::other("plugins cannot be removed yet"))
}

/// Whether this host runs guests with KVM, or why not: what the last probe found, or a new one.
pub(super) fn accelerator(gate: &Gate) -> Result<Accelerator> {
    let _ = gate;
    Err(Failure::other("no probe yet"))
}

/// What the probe of the accelerator says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Accelerator {
    pub kvm: bool,
    /// Why KVM is not used, in one line.
    pub reason: Option<String>,
}

pub(super) fn sandbox() -> Result<()> {
    Err(Failure::other("no sandbox yet"))
}

pub(super) fn watch_dhcp(directory: &Path) -> Result<()> {
    let _ = directory;
    Err(Failure::other("no DHCP yet"))
}
