//! `fief plugin api`

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::output::{Cell, Column, Row};
use crate::error::Result;
use crate::plugin::world::{self, Interface};
use crate::sandbox::protocol::PluginKind;

/// List the interfaces that this host speaks, with their versions
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(super) fn run(context: &Context, _: &Args) -> Result<()> {
    context.list(&world::interfaces().collect::<Vec<_>>())
}

impl Row for Interface {
    const KIND: &'static str = "interface";
    const COLUMNS: &'static [Column] = &[Column::left("INTERFACE"), Column::left("KIND"), Column::left("WHO GIVES IT")];
    fn name(&self) -> String {
        self.name.to_owned()
    }
    fn cells(&self) -> Vec<Cell> {
        vec![self.name.into(), self.kind.map_or("any", PluginKind::name).into(), self.given.into()]
    }
    fn json(&self) -> Value {
        let (package, version) = self.name.rsplit_once('@').unwrap_or((self.name, ""));
        json!({ "interface": package, "version": version, "kind": self.kind, "given": self.given })
    }
}
