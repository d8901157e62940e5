//! A network's bridge, as it is now.

use super::plug::Standing;
use super::store::{self, Store};
use super::{bridges, links};
use crate::error::{Failure, Result};
use crate::gate::operation::LinkFacts;
use crate::gate::{Actor, Gate, Ledger, Operation, Verdict};
use crate::types::{InterfaceName, NetworkName, PluginId};

/// What `brctl show` tells of a bridge.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BridgeView {
    pub bridge: String,
    /// IEEE 802.1D: priority and address, `8000.0242ac110002`.
    pub id: String,
    pub stp: bool,
    /// The links on it, by name.
    pub interfaces: Vec<String>,
}

/// # Errors
/// `NotFound` where the network is not defined, is down, or has no bridge.
pub fn bridge_view(gate: &Gate, name: &NetworkName) -> Result<BridgeView> {
    let (bridge, links) = bridge_of(gate, name)?;
    let mut interfaces: Vec<String> =
        links.iter().filter(|link| link.bridge.as_ref() == Some(&bridge.name)).map(|link| link.name.clone()).collect();
    interfaces.sort();
    let id = bridge.bridge_id.clone().unwrap_or_else(|| format!("8000.{}", bridge.mac.replace(':', "")));
    Ok(BridgeView { bridge: bridge.name.clone(), id, stp: bridge.stp, interfaces })
}

/// The network's bridge as the kernel has it, and all links of the host.
///
/// # Errors
/// As of [`bridge_view`].
pub fn bridge_of(gate: &Gate, name: &NetworkName) -> Result<(LinkFacts, Vec<LinkFacts>)> {
    let store = Store::new(gate.layout(), name);
    store.require()?;
    let ledger = Ledger::open(&store.ledger_file())?;
    let links = links(gate, name)?;
    let of_network = ledger.entries().iter().find_map(|entry| match &entry.operation {
        Operation::BridgeCreate { bridge, .. } | Operation::BridgeJoin { bridge, .. } => Some(bridge.as_str()),
        _ => None,
    });
    let bridge = of_network.and_then(|bridge| links.iter().find(|link| link.name == bridge)).ok_or_else(|| {
        Failure::not_found(format!("network {name} has no bridge now")).hint(format!(
            "`fief network start {name}` starts a network that is down; one of kind `user` has no bridge"
        ))
    })?;
    let bridge = bridge.clone();
    Ok((bridge, links))
}

/// What a bridge is to the plugin of network `name`.
pub(super) fn standing(
    gate: &Gate,
    name: &NetworkName,
    plugin: &PluginId,
    ledger: &Ledger,
    bridge: &InterfaceName,
) -> Standing {
    if bridges(ledger).contains(bridge) {
        return Standing::Own;
    }
    let joins =
        |operation: &Operation| matches!(operation, Operation::BridgeJoin { bridge: joined, .. } if joined == bridge);
    if ledger.entries().iter().any(|entry| joins(&entry.operation)) {
        return Standing::Granted;
    }
    match owner(gate, name, bridge) {
        Ok(Some(other)) => return Standing::Of(other),
        Ok(None) => {}
        Err(failure) => {
            return Standing::Denied { reason: failure.to_string(), hint: failure.hint.unwrap_or_default() };
        }
    }
    // What the plugin may make, it may use.
    let make =
        Operation::BridgeCreate { network: name.clone(), bridge: bridge.clone(), stp: false, mtu: None, mac: None };
    match gate.judge(&Actor::Plugin(plugin.clone()), &make) {
        Verdict::Allowed { .. } => Standing::Granted,
        Verdict::Denied { reason, hint } => Standing::Denied { reason, hint },
    }
}

/// The other network whose ledger has the bridge.
fn owner(gate: &Gate, name: &NetworkName, bridge: &InterfaceName) -> Result<Option<NetworkName>> {
    for other in store::names(gate.layout())?.into_iter().filter(|other| other != name) {
        let ledger = Ledger::open(&Store::new(gate.layout(), &other).ledger_file())?;
        if bridges(&ledger).contains(bridge) {
            return Ok(Some(other));
        }
    }
    Ok(None)
}
