//! `fief plugin logs`

use crate::cli::{Context, tail};
use crate::error::Result;
use crate::plugin::{self, log};
use crate::types::PluginId;

/// Print what a plugin said: when, how grave, about what, and its words
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "ID")]
    id: PluginId,
    /// Go on as more comes, until the plugin is removed
    #[arg(short, long)]
    follow: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let (layout, id) = (context.layout(), &args.id);
    plugin::installed(layout, id)?;
    tail::print(context, &log::path(layout, id), args.follow, || Ok(!layout.plugin(id).exists()))
}
