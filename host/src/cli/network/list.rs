//! `fief network list`

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::output::{Cell, Column, Row};
use crate::config::network::NetworkDefinition;
use crate::error::Result;
use crate::gate::Gate;
use crate::network::{BridgeView, Network, NetworkState, bridge_view};
use crate::types::PluginId;

/// List the networks
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(super) struct NetworkRow {
    pub definition: NetworkDefinition,
    /// None where policy names no plugin for the kind.
    pub plugin: Option<PluginId>,
    /// None where its record cannot be read.
    pub state: Option<NetworkState>,
    pub bridge: Option<BridgeView>,
}

pub(super) fn run(context: &Context, _: &Args) -> Result<()> {
    let gate = context.gate()?;
    let rows: Vec<NetworkRow> =
        Network::all(&gate)?.into_iter().map(|definition| NetworkRow::new(&gate, definition)).collect();
    context.list(&rows)
}

pub(super) const fn word(state: NetworkState) -> &'static str {
    match state {
        NetworkState::Down => "down",
        NetworkState::Up => "up",
        NetworkState::Trial => "trial",
        NetworkState::Partial => "partial",
    }
}

impl NetworkRow {
    pub(super) fn new(gate: &Gate, definition: NetworkDefinition) -> NetworkRow {
        // A network that is down has none, and one of kind `user` never has.
        let bridge = bridge_view(gate, &definition.name).ok();
        NetworkRow {
            plugin: gate.policy().networks.get(&definition.kind).cloned(),
            state: Network::state(gate, &definition.name).ok(),
            bridge,
            definition,
        }
    }
}

impl Row for NetworkRow {
    const KIND: &'static str = "network";
    const COLUMNS: &'static [Column] = &[
        Column::left("NAME"),
        Column::left("KIND"),
        Column::left("STATE"),
        Column::left("PLUGIN"),
        Column::left("BRIDGE").wide(),
        Column::left("SETTINGS").wide(),
    ];
    fn name(&self) -> String {
        self.definition.name.to_string()
    }
    fn cells(&self) -> Vec<Cell> {
        let settings: Vec<String> = self.definition.settings.iter().map(|(k, v)| format!("{k}={v}")).collect();
        vec![
            self.definition.name.as_str().into(),
            self.definition.kind.as_str().into(),
            self.state.map_or(Cell::Unknown, |state| word(state).into()),
            Cell::optional(self.plugin.as_ref().map(PluginId::as_str)),
            Cell::optional(self.bridge.as_ref().map(|view| view.bridge.as_str())),
            settings.join(",").into(),
        ]
    }
    fn json(&self) -> Value {
        json!({
            "name": self.definition.name,
            "kind": self.definition.kind,
            "settings": self.definition.settings,
            "state": self.state.map(word),
            "plugin": self.plugin,
            "bridge": self.bridge,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::{Format, listing};

    #[test]
    fn a_network_shows_its_state_and_its_plugin() {
        let row = |name: &str, state, bridge| NetworkRow {
            definition: NetworkDefinition {
                name: name.parse().unwrap(),
                kind: "host-only".to_owned(),
                settings: [("address".to_owned(), "10.77.0.1/24".to_owned())].into(),
            },
            plugin: "network-host-only".parse().ok(),
            state,
            bridge,
        };
        let view = BridgeView {
            bridge: "fief-lab".to_owned(),
            id: "8000.525400123456".to_owned(),
            stp: false,
            interfaces: Vec::new(),
        };
        let rows = [row("lab", Some(NetworkState::Up), Some(view)), row("spare", None, None)];
        insta::assert_snapshot!(listing(&rows, Format::Wide, None).unwrap(), @r"
        NAME   KIND       STATE  PLUGIN             BRIDGE    SETTINGS
        lab    host-only  up     network-host-only  fief-lab  address=10.77.0.1/24
        spare  host-only  ?      network-host-only  -         address=10.77.0.1/24
        ");
    }
}
