//! `fief plugin verify`

use crate::cli::each::each;
use crate::cli::{Context, load};
use crate::error::Result;
use crate::plugin::package;
use crate::types::PluginId;

/// Look whether plugins are still what was installed: their bytes, policy's pin, and that they load
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// All of them where none is named
    #[arg(value_name = "ID")]
    ids: Vec<PluginId>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate()?;
    let ids = if args.ids.is_empty() { package::names(context.layout())? } else { args.ids.clone() };
    each(context, "plugin", &ids, |id| load::verify_plugin(&gate, id).map(|()| "is what was installed"))
}
