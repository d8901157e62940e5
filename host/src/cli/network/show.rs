//! `fief network show`

use std::time::Duration;

use serde_json::{Value, json};

use super::list::{NetworkRow, word};
use crate::cli::Context;
use crate::cli::output::table::{self, Cell, Column};
use crate::cli::output::{Row, Shown, text, time};
use crate::config::network;
use crate::error::Result;
use crate::gate::rollback::RolledBack;
use crate::network::{BridgeView, Network};
use crate::types::NetworkName;

/// Print a network's definition, as `create -f` takes it, below what `brctl show` prints of its bridge
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    name: NetworkName,
}

pub(in crate::cli) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate()?;
    let network = Network::open(&gate, &args.name)?;
    let trial = match Network::trial(&gate, &args.name)? {
        Some(armed) => Trial::Runs { left: armed.left(), by_hand: armed.by_hand },
        None => Network::rolled_back(&gate, &args.name).map_or(Trial::None, Trial::Failed),
    };
    let row = NetworkRow::new(&gate, network.definition().clone());
    let mut json = row.json();
    json["leases"] = Network::leases(&gate, &args.name).unwrap_or_default().iter().map(Row::json).collect();
    json["trial"] = trial.json();
    context.show(&Shown { kind: "network", name: row.name(), json, text: written(&row, &trial) })
}

/// Whether its start is still on trial, or was undone.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trial {
    None,
    Runs { left: Duration, by_hand: bool },
    Failed(RolledBack),
}

impl Trial {
    fn json(&self) -> Value {
        match self {
            Trial::None => Value::Null,
            Trial::Runs { left, by_hand } => json!({ "seconds-left": left.as_secs(), "by-hand": by_hand }),
            Trial::Failed(last) => json!({ "rolled-back": time(last.at), "why": last.why }),
        }
    }
    fn line(&self, name: &NetworkName) -> Option<String> {
        match self {
            Trial::None => None,
            Trial::Runs { left, by_hand: true } => {
                Some(format!("undone in {} s, unless you say: fief network confirm {name}", left.as_secs()))
            }
            Trial::Runs { left, by_hand: false } => {
                Some(format!("undone in {} s, unless the machines behind the uplink answer", left.as_secs()))
            }
            Trial::Failed(last) => Some(format!("taken down again at {}: {}", time(last.at), last.why)),
        }
    }
}

/// TOML; what is not part of the definition stands in comments, so that the whole reads back.
fn written(row: &NetworkRow, trial: &Trial) -> String {
    let state = row.state.map_or("?", word);
    let plugin = row.plugin.as_ref().map_or_else(|| "no plugin".to_owned(), ToString::to_string);
    let mut out = format!("# {state}, served by {plugin}\n");
    let trial = trial.line(&row.definition.name);
    trial.iter().for_each(|line| out.push_str(&format!("# {}\n", text::printable(line))));
    for line in row.bridge.as_ref().map(brctl).unwrap_or_default().lines() {
        out.push_str(&format!("# {line}\n"));
    }
    out.push_str(&network::to_toml(&row.definition));
    out
}

/// The table of `brctl show`: further interfaces stand on lines of their own.
fn brctl(view: &BridgeView) -> String {
    const COLUMNS: [Column; 4] = [
        Column::left("BRIDGE NAME"),
        Column::left("BRIDGE ID"),
        Column::left("STP ENABLED"),
        Column::left("INTERFACES"),
    ];
    let first = view.interfaces.first().map_or(Cell::Nothing, |name| name.as_str().into());
    let stp = if view.stp { "yes" } else { "no" };
    let mut rows = vec![vec![view.bridge.as_str().into(), view.id.as_str().into(), stp.into(), first]];
    for interface in view.interfaces.iter().skip(1) {
        rows.push(vec![" ".into(), " ".into(), " ".into(), interface.as_str().into()]);
    }
    table::render(&COLUMNS, &rows, false, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::network::NetworkDefinition;
    use crate::network::NetworkState;

    #[test]
    fn what_is_shown_reads_back_as_the_definition() {
        let definition = NetworkDefinition {
            name: "lab".parse().unwrap(),
            kind: "host-only".to_owned(),
            settings: [("address".to_owned(), "10.77.0.1/24".to_owned())].into(),
        };
        let bridge = BridgeView {
            bridge: "fief-lab".to_owned(),
            id: "8000.525400123456".to_owned(),
            stp: false,
            interfaces: vec!["fief-1-0".to_owned(), "fief-2-0".to_owned()],
        };
        let row = NetworkRow {
            definition: definition.clone(),
            plugin: "network-host-only".parse().ok(),
            state: Some(NetworkState::Up),
            bridge: Some(bridge),
        };
        let on_trial = Trial::Runs { left: Duration::from_secs(43), by_hand: true };
        assert_eq!(
            written(&row, &on_trial).lines().nth(1),
            Some("# undone in 43 s, unless you say: fief network confirm lab")
        );
        let text = written(&row, &Trial::None);
        insta::assert_snapshot!(text, @r#"
        # up, served by network-host-only
        # BRIDGE NAME  BRIDGE ID          STP ENABLED  INTERFACES
        # fief-lab     8000.525400123456  no           fief-1-0
        #                                              fief-2-0
        name = "lab"
        kind = "host-only"

        [settings]
        address = "10.77.0.1/24"
        "#);
        assert_eq!(network::parse(text.as_bytes(), "shown").unwrap(), definition);
    }
}
