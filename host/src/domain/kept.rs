//! Plugins that domains which run keep to: another version that is installed meanwhile is for what starts after it.

use std::collections::BTreeMap;

use super::record::Record;
use super::{State, store};
use crate::config::domain::DomainDefinition;
use crate::error::{Kind, Result};
use crate::gate::Gate;
use crate::layout::Layout;
use crate::network::Network;
use crate::plugin;
use crate::storage::Pool;
use crate::types::{Digest, PluginId};

/// What its disks and cards have now. Where that cannot be found out it is left out: whatever needs it says why.
pub(super) fn by(gate: &Gate, definition: &DomainDefinition) -> BTreeMap<PluginId, Digest> {
    let pools = definition.disks.iter().filter_map(|disk| Pool::served_by(gate, &disk.volume.pool));
    let networks = definition.cards.iter().filter_map(|card| Network::served_by(gate, &card.network));
    pools
        .chain(networks)
        .filter_map(|id| plugin::installed(gate.layout(), &id).ok().map(|installed| (id, installed.digest)))
        .collect()
}

/// What all domains of this host keep to.
///
/// # Errors
/// Where a record cannot be read: then nobody can say.
pub fn kept_plugins(layout: &Layout) -> Result<Vec<Digest>> {
    let mut kept = Vec::new();
    for name in store::names(layout)? {
        let record = match Record::load(layout, &name) {
            Err(failure) if failure.kind == Kind::NotFound => continue,
            other => other?,
        };
        if let Some(run) = record.run.filter(|_| record.state != State::Off) {
            kept.extend(run.plugins.into_values());
        }
    }
    Ok(kept)
}
