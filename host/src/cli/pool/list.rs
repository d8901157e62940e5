//! `fief pool list`

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::output::{Cell, Column, Row};
use crate::config::pool::PoolDefinition;
use crate::error::Result;
use crate::storage::{Pool, PoolInfo};
use crate::types::{ByteSize, PluginId};

/// List the pools; -o wide asks each plugin for the room that is left
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(super) struct PoolRow {
    pub definition: PoolDefinition,
    /// None where policy names no plugin for the kind.
    pub plugin: Option<PluginId>,
    /// None where the plugin was not asked, or did not answer.
    pub info: Option<PoolInfo>,
}

pub(super) fn run(context: &Context, _: &Args) -> Result<()> {
    let gate = context.gate()?;
    let mut rows = Vec::new();
    for definition in Pool::all(&gate)? {
        let plugin = gate.policy().pools.get(&definition.kind).cloned();
        // A plugin that fails shows as `?`; `pool check` says why.
        let info = match context.wide() {
            true => Pool::open(&gate, &definition.name).and_then(|mut pool| pool.info()).ok(),
            false => None,
        };
        rows.push(PoolRow { definition, plugin, info });
    }
    context.list(&rows)
}

impl PoolRow {
    fn room(&self, of: impl Fn(&PoolInfo) -> Option<ByteSize>) -> Cell {
        self.info.as_ref().map_or(Cell::Unknown, |info| Cell::size(of(info).map(ByteSize::bytes)))
    }
}

impl Row for PoolRow {
    const KIND: &'static str = "pool";
    const COLUMNS: &'static [Column] = &[
        Column::left("NAME"),
        Column::left("KIND"),
        Column::left("PLUGIN"),
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
        if let Some(info) = &self.info {
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
                info: Some(info),
            },
            PoolRow { definition: definition("other", "tape"), plugin: None, info: None },
        ]
    }

    #[test]
    fn a_pool_without_a_plugin_and_one_that_does_not_answer_are_still_listed() {
        insta::assert_snapshot!(listing(&rows(), Format::Wide, None).unwrap(), @r"
        NAME     KIND  PLUGIN        CAPACITY  AVAILABLE
        default  file  storage-file      2GiB          -
        other    tape  -                    ?          ?
        ");
    }
}
