//! `fief pool delete`

use crate::cli::Context;
use crate::cli::each::{each, or_absent};
use crate::error::Result;
use crate::storage::Pool;
use crate::types::PoolName;

/// Forget pools; their volumes stay where they are. Works without the plugin
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "NAME")]
    names: Vec<PoolName>,
    /// A pool that is not there counts as deleted
    #[arg(long)]
    if_exists: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    each(context, "pool", &args.names, |name| or_absent(args.if_exists, Pool::delete(&gate, name).map(|()| "deleted")))
}
