//! `fief plugin release`

use serde_json::json;

use crate::cli::Context;
use crate::error::Result;
use crate::gate::Mode;
use crate::plugin::strikes;
use crate::plugin::{self, Installed};
use crate::types::PluginId;

/// Let a plugin try again that was set aside for being at fault
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "ID")]
    id: PluginId,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let (layout, id) = (context.layout(), &args.id);
    let Installed { digest, .. } = plugin::installed(layout, id)?;
    let held = match context.mode() {
        Mode::Perform => strikes::release(layout, id)?,
        Mode::DryRun => strikes::all(layout, id, digest),
    };
    let out: Vec<&str> =
        held.iter().filter(|strikes| strikes.are_out()).map(|strikes| strikes.subject.as_str()).collect();
    let what = match out.is_empty() {
        true => "was not set aside".to_owned(),
        false => format!("may try again for {}", out.join(", ")),
    };
    context.changed("plugin", id, &what, json!({ "id": id, "released": out }))
}
