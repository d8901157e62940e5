//! `fief secret list`

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::output::{Cell, Column, Row};
use crate::error::Result;
use crate::gate::secret;
use crate::storage;
use crate::types::{GrantName, PluginId, PoolName};

/// List the names of secrets, and who may have each
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

struct SecretRow {
    name: GrantName,
    /// To which policy grants it.
    plugins: Vec<PluginId>,
    /// Whose settings name it.
    pools: Vec<PoolName>,
}

pub(super) fn run(context: &Context, _: &Args) -> Result<()> {
    let gate = context.gate()?;
    let mut rows = Vec::new();
    for name in secret::names(context.layout())? {
        let granted = gate.policy().plugins.iter().filter(|(_, grants)| grants.secrets.contains(&name));
        let plugins = granted.map(|(id, _)| id.clone()).collect();
        let pools = storage::pools_naming(&gate, &name)?;
        rows.push(SecretRow { name, plugins, pools });
    }
    context.list(&rows)
}

fn joined<T: ToString>(all: &[T]) -> Option<String> {
    (!all.is_empty()).then(|| all.iter().map(T::to_string).collect::<Vec<_>>().join(", "))
}

impl Row for SecretRow {
    const KIND: &'static str = "secret";
    const COLUMNS: &'static [Column] = &[Column::left("NAME"), Column::left("GRANTED TO"), Column::left("NAMED BY")];
    fn name(&self) -> String {
        self.name.to_string()
    }
    fn cells(&self) -> Vec<Cell> {
        vec![
            self.name.as_str().into(),
            Cell::optional(joined(&self.plugins).as_deref()),
            Cell::optional(joined(&self.pools).as_deref()),
        ]
    }
    fn json(&self) -> Value {
        json!({ "name": self.name, "plugins": self.plugins, "pools": self.pools })
    }
}
