//! `fief pool create`

use serde_json::json;

use crate::cli::Context;
use crate::cli::settings::{self, Source};
use crate::config::pool::{self, PoolDefinition};
use crate::error::{Failure, Result};
use crate::storage::Pool;
use crate::types::PoolName;

/// Define a pool and ask its plugin whether it can be used
///
///     fief pool create default --kind file --set directory=images
///     fief pool show default | fief pool create -f -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Its name on this host
    #[arg(required_unless_present = "file")]
    name: Option<PoolName>,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    let definition = definition(args)?;
    let gate = context.gate_for_change()?;
    let defined = Pool::define(&gate, definition)?;
    let definition = defined.definition();
    context.changed("pool", &definition.name, "created", json!(definition))
}

fn definition(args: Args) -> Result<PoolDefinition> {
    let settings = args.source.settings()?;
    match (args.name, args.source.kind, args.source.file) {
        (_, _, Some(file)) => {
            let (bytes, from) = settings::read(&file)?;
            pool::parse(&bytes, &from)
        }
        (Some(name), Some(kind), None) => Ok(PoolDefinition { name, kind, settings }),
        // clap asks for both where there is no file.
        (_, _, None) => Err(Failure::usage("a pool needs a name and a kind").hint("fief pool create NAME --kind KIND")),
    }
}
