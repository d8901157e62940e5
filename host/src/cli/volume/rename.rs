//! `fief volume rename`

use serde_json::json;

use super::list::VolumeRow;
use super::refuse_in_use;
use crate::cli::Context;
use crate::cli::output::Row;
use crate::domain::volume::Rename;
use crate::error::Result;
use crate::types::{VolumeName, VolumeRef};

/// Give a volume another name in its pool; domains that have it, have it by that name
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  fief volume rename default/web1 shop

The domains that have it are off meanwhile. Linked clones stand on a volume by its name: while there are any, it keeps it.
What is killed in the middle is finished, or taken back, by the next command.")]
pub(crate) struct Args {
    #[arg(value_name = "POOL/NAME")]
    volume: VolumeRef,
    /// Its name from then on, in the same pool
    #[arg(value_name = "NEW")]
    new_name: VolumeName,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    refuse_in_use(context, &args.volume, "rename")?;
    let plan = Rename::plan(&gate, &args.volume, &args.new_name)?;
    let facts = plan.perform(&gate)?;
    let target = plan.target();
    let mut item = VolumeRow::new(context, &target.pool, facts, false)?.json();
    item["before"] = json!(args.volume);
    item["domains"] = json!(plan.named());
    context.changed("volume", &args.volume, &format!("is called {target} now"), item)
}
