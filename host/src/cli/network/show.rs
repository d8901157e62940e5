//! `fief network show`

use serde_json::json;

use super::list::{NetworkRow, word};
use super::live::{self, Bridge};
use crate::cli::Context;
use crate::cli::output::{Row, Shown};
use crate::cli::settings::definition_toml;
use crate::error::Result;
use crate::network::Network;
use crate::types::NetworkName;

/// Print a network's definition, as `create -f` takes it, below what `brctl show` prints of its bridge
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    name: NetworkName,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate()?;
    let network = Network::open(&gate, &args.name)?;
    let row = NetworkRow::new(&gate, network.definition().clone());
    let bridge = row.bridge.as_deref().and_then(live::bridge);
    let leases = Network::leases(&gate, &args.name).unwrap_or_default();
    let mut json = row.json();
    json["bridge"] = bridge.as_ref().map_or(json!(row.bridge), Bridge::json);
    json["leases"] = leases.iter().map(Row::json).collect();
    context.show(&Shown { kind: "network", name: row.name(), json, text: text(&row, bridge.as_ref())? })
}

/// TOML; what is not part of the definition stands in comments, so that the whole reads back.
fn text(row: &NetworkRow, bridge: Option<&Bridge>) -> Result<String> {
    let state = row.state.map_or("?", word);
    let plugin = row.plugin.as_ref().map_or_else(|| "no plugin".to_owned(), ToString::to_string);
    let mut out = format!("# {state}, served by {plugin}\n");
    for line in bridge.map(Bridge::table).unwrap_or_default().lines() {
        out.push_str(&format!("# {line}\n"));
    }
    out.push_str(&definition_toml(&row.definition)?);
    Ok(out)
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
        let row = NetworkRow {
            definition: definition.clone(),
            plugin: "network-host-only".parse().ok(),
            state: Some(NetworkState::Up),
            bridge: Some("fief-lab".to_owned()),
        };
        let bridge = Bridge {
            name: "fief-lab".to_owned(),
            id: "8000.525400123456".to_owned(),
            stp: false,
            interfaces: vec!["fief-1-0".to_owned()],
        };
        let text = text(&row, Some(&bridge)).unwrap();
        insta::assert_snapshot!(text, @r#"
        # up, served by network-host-only
        # BRIDGE NAME  BRIDGE ID          STP ENABLED  INTERFACES
        # fief-lab     8000.525400123456  no           fief-1-0
        name = "lab"
        kind = "host-only"

        [settings]
        address = "10.77.0.1/24"
        "#);
        assert_eq!(toml::from_str::<NetworkDefinition>(&text).unwrap(), definition);
    }
}
