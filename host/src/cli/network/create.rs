//! `fief network create`

use serde_json::json;

use crate::cli::Context;
use crate::cli::settings::{self, Source};
use crate::config::network::{self, NetworkDefinition};
use crate::error::{Failure, Result};
use crate::network::Network;
use crate::types::NetworkName;

/// Define a network; it is brought up by `network start`, or by the first domain that needs it
///
///     fief network create lab --kind host-only --set address=10.77.0.1/24
///     fief network show lab | fief network create -f -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Its name on this host
    #[arg(required_unless_present = "file")]
    name: Option<NetworkName>,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    let definition = definition(args)?;
    let gate = context.gate_for_change()?;
    let defined = Network::define(&gate, definition)?;
    let definition = defined.definition();
    context.changed("network", &definition.name, "created", json!(definition))
}

fn definition(args: Args) -> Result<NetworkDefinition> {
    let settings = args.source.settings()?;
    match (args.name, args.source.kind, args.source.file) {
        (_, _, Some(file)) => {
            let (bytes, from) = settings::read(&file)?;
            network::parse(&bytes, &from)
        }
        (Some(name), Some(kind), None) => Ok(NetworkDefinition { name, kind, settings }),
        // clap asks for both where there is no file.
        (_, _, None) => {
            Err(Failure::usage("a network needs a name and a kind").hint("fief network create NAME --kind KIND"))
        }
    }
}
