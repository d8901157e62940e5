//! Secrets, as pools name them.

use super::pool::Pool;
use crate::config::pool::PoolDefinition;
use crate::error::{Failure, Result};
use crate::gate::{Actor, Gate, Ledger, Operation, secret};
use crate::plugin::manifest::SettingKind;
use crate::plugin::{self, Manifest};
use crate::types::{GrantName, PoolName, Secret};

/// The pools whose settings name a secret. Where a pool's plugin is not installed, any setting of that value may be it.
pub fn pools_naming(gate: &Gate, secret: &GrantName) -> Result<Vec<PoolName>> {
    let names = |pool: &PoolDefinition| {
        let plugin = gate.policy().pools.get(&pool.kind);
        let manifest = plugin.and_then(|id| plugin::installed(gate.layout(), id).ok()).map(|found| found.manifest);
        let mut named = pool.settings.iter().filter(|(_, value)| *value == secret.as_str());
        named.any(|(key, _)| manifest.as_ref().is_none_or(|manifest| is_secret(manifest, key)))
    };
    Ok(Pool::all(gate)?.into_iter().filter(names).map(|pool| pool.name).collect())
}

pub(super) fn is_secret(manifest: &Manifest, key: &str) -> bool {
    manifest.settings.iter().any(|setting| setting.key == key && setting.kind == SettingKind::Secret)
}

impl Pool {
    /// The bytes of a secret that this pool names and that its plugin is granted, for a client of the hypervisor's own.
    pub(super) fn reveal(&self, name: &GrantName) -> Result<Secret> {
        secret::stay_private()?;
        let (plugin, pool) = (self.plugin.clone(), self.definition.name.clone());
        let operation = Operation::SecretReveal { plugin, pool, secret: name.clone() };
        let done = self.gate.perform(&Actor::Operator, &mut Ledger::volatile(), operation, Vec::new())?;
        let descriptor = done.descriptors.first().ok_or_else(|| Failure::other("a secret came without its bytes"))?;
        secret::take(descriptor)
    }
}
