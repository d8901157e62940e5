//! Where the command line meets what the other floors know: definitions read, plugins put in place, and questions
//! that are asked before something is changed. One call each, so that a verb does not know whose answer it is.

use std::path::Path;

use crate::config::domain;
use crate::config::network::{self, NetworkDefinition};
use crate::config::policy::{self, Policy};
use crate::config::pool::{self, PoolDefinition};
use crate::error::{Failure, Result};
use crate::gate::Gate;
use crate::hypervisor::{ChosenAccelerator, qemu};
use crate::layout::Layout;
use crate::plugin::Installed;
use crate::types::{DomainName, PluginId, VolumeRef};

/// No file is an empty policy.
pub(super) fn policy(layout: &Layout) -> Result<Policy> {
    policy::load(&layout.policy())
}

/// `from` is what mistakes are reported against: a path, or `standard input`.
pub(super) fn pool_definition(bytes: &[u8], from: &str) -> Result<PoolDefinition> {
    pool::parse(bytes, from)
}

pub(super) fn network_definition(bytes: &[u8], from: &str) -> Result<NetworkDefinition> {
    network::parse(bytes, from)
}

/// Domains that run with this volume, as a disk of theirs.
pub(super) fn users_of_volume(layout: &Layout, volume: &VolumeRef) -> Result<Vec<DomainName>> {
    crate::domain::users_of_volume(layout, volume)
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
    let (chosen, reason) = qemu::probe::choose(gate, domain::Accelerator::Auto)?;
    Ok(Accelerator { kvm: chosen == ChosenAccelerator::Kvm, reason })
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
    crate::network::watch::run(directory)
}
