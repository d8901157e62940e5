//! `fief pool list`

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::output::{Cell, Column, Row};
use crate::config::pool::PoolDefinition;
use crate::error::Result;
use crate::storage::look::{self, State};
use crate::storage::{Pool, PoolInfo};
use crate::types::{ByteSize, PluginId, PoolName};

/// List the pools, and whether their storage answers; -o wide shows the room that is left
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(super) struct PoolRow {
    pub definition: PoolDefinition,
    /// None where policy names no plugin for the kind.
    pub plugin: Option<PluginId>,
    /// None where no plugin could be asked.
    pub state: Option<State>,
}

pub(super) fn run(context: &Context, _: &Args) -> Result<()> {
    let gate = context.gate()?;
    let pools = Pool::all(&gate)?;
    let plugin = |definition: &PoolDefinition| gate.policy().pools.get(&definition.kind).cloned();
    let names: Vec<PoolName> =
        pools.iter().filter(|pool| plugin(pool).is_some()).map(|pool| pool.name.clone()).collect();
    let mut states = look::states(&gate, &names).into_iter();
    let mut rows = Vec::new();
    for definition in pools {
        let plugin = plugin(&definition);
        let state = plugin.as_ref().and_then(|_| states.next());
        rows.push(PoolRow { definition, plugin, state });
    }
    context.list(&rows)
}

impl PoolRow {
    pub(super) fn info(&self) -> Option<&PoolInfo> {
        self.state.as_ref().and_then(State::info)
    }

    fn room(&self, of: impl Fn(&PoolInfo) -> Option<ByteSize>) -> Cell {
        self.info().map_or(Cell::Unknown, |info| Cell::size(of(info).map(ByteSize::bytes)))
    }
}

impl Row for PoolRow {
    const KIND: &'static str = "pool";
    const COLUMNS: &'static [Column] = &[
        Column::left("NAME"),
        Column::left("KIND"),
        Column::left("PLUGIN"),
        Column::left("STATE"),
        Column::right("CAPACITY").wide(),
        Column::right("AVAILABLE").wide(),
    ];
    fn name(&self) -> String {
        self.definition.name.to_string()
    }
    fn cells(&self) -> Vec<Cell> {
        vec![
            self.definition.name.as_str().into(),
            self.definition.kind.as_str().into(),
            Cell::optional(self.plugin.as_ref().map(PluginId::as_str)),
            Cell::optional(self.state.as_ref().map(State::word)),
            self.room(|info| info.capacity),
            self.room(|info| info.available),
        ]
    }
    fn json(&self) -> Value {
        let mut value = json!({
            "name": self.definition.name,
            "kind": self.definition.kind,
            "settings": self.definition.settings,
            "plugin": self.plugin,
        });
        if let Some(state) = &self.state {
            value["state"] = json!(state.word());
        }
        if let Some(info) = self.info() {
            value["identity"] = json!(info.identity);
            value["capacity"] = json!(info.capacity.map(ByteSize::bytes));
            value["available"] = json!(info.available.map(ByteSize::bytes));
            value["reachable-from-peers"] = json!(info.reachable_from_peers);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::{Format, listing};

    fn rows() -> Vec<PoolRow> {
        let definition = |name: &str, kind: &str| PoolDefinition {
            name: name.parse().unwrap(),
            kind: kind.to_owned(),
            settings: [("directory".to_owned(), "images".to_owned())].into(),
        };
        let info = PoolInfo {
            identity: "dev:1".to_owned(),
            capacity: Some(ByteSize::from_mib(2048)),
            available: None,
            reachable_from_peers: false,
        };
        vec![
            PoolRow {
                definition: definition("default", "file"),
                plugin: "storage-file".parse().ok(),
                state: Some(State::Answers(info)),
            },
            PoolRow {
                definition: definition("away", "nfs"),
                plugin: "storage-nfs".parse().ok(),
                state: Some(State::Unreachable),
            },
            PoolRow { definition: definition("other", "tape"), plugin: None, state: None },
        ]
    }

    #[test]
    fn a_pool_without_a_plugin_and_one_that_does_not_answer_are_still_listed() {
        insta::assert_snapshot!(listing(&rows(), Format::Wide, None).unwrap(), @r"
        NAME     KIND  PLUGIN        STATE        CAPACITY  AVAILABLE
        default  file  storage-file  ok               2GiB          -
        away     nfs   storage-nfs   unreachable         ?          ?
        other    tape  -             -                   ?          ?
        ");
    }
}
