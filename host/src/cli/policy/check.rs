//! `fief policy check`

use super::review::{Host, review};
use crate::cli::{Context, findings};
use crate::error::Result;
use crate::gate::secret;
use crate::network::Network;
use crate::plugin::package;
use crate::storage::Pool;

/// Find every missing grant, stale pin and unserved kind at once; exit code 6 where something would be denied
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(super) fn run(context: &Context, _: &Args) -> Result<()> {
    let gate = context.gate()?;
    let host = Host {
        installed: package::all(context.layout())?,
        pools: Pool::all(&gate)?,
        networks: Network::all(&gate)?,
        secrets: secret::names(context.layout())?,
    };
    let found = review(gate.policy(), &host, &|path| path.is_dir());
    findings::report(context, &format!("policy {}", context.layout().policy().display()), found)
}
