//! `fief plugin rollback`

use std::sync::Arc;

use super::grants;
use super::list::PluginRow;
use crate::cli::output::Row;
use crate::cli::output::progress::Progress;
use crate::cli::{Context, load};
use crate::config::policy::{self, edit::Edit};
use crate::error::Result;
use crate::gate::{Gate, policy as file};
use crate::plugin::Installed;
use crate::types::PluginId;

/// Bring back the version of a plugin that an upgrade took the place of
///
/// Policy stays as it is, but for the pin, which goes with it. Said again, it brings the newer one back.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "ID")]
    id: PluginId,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    let id = &args.id;
    let (from, to) = load::previous_plugin(&gate, id)?;
    let pin = |to: &Installed| match gate.policy().pinned(id) {
        Some(pin) if pin == from.digest => vec![Edit::Pin { digest: to.digest }],
        Some(_) | None => Vec::new(),
    };
    let then = Gate::new(gate.layout().clone(), Arc::new(file::wanted(gate.layout(), id, &pin(&to))?), gate.mode());
    load::admit_plugin(&then, &to)?;
    let progress = Progress::start(format!("loading {id} {}", to.manifest.version));
    let pins = pin(&to);
    let back = load::roll_back_plugin(&then, id, &pins, || {
        drop(progress);
        grants::apply(context, &gate, id, pins.clone()).map(drop)
    })?;
    let policy = policy::load(&context.layout().policy())?;
    grants::remind(context, &back, &policy)?;
    let row = PluginRow::of(context.layout(), &back, &policy);
    let what = format!("rolled back from {} to {}", from.manifest.version, to.manifest.version);
    context.changed("plugin", id, &what, row.json())
}
