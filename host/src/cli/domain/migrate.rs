//! `fief migrate`
use crate::cli::Context;
use crate::domain::relocation::{self, Wish};
use crate::error::Result;
use crate::types::{DomainName, PeerName, PluginId};

/// Move a domain to another host
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    name: DomainName,
    peer: PeerName,
    #[arg(long)]
    strategy: Option<PluginId>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    let strategy = args.strategy.clone().unwrap_or_else(|| "migration-live".parse().unwrap_or_else(|_| unreachable!()));
    let wish = Wish { to: args.peer.clone(), strategy, settings: Vec::new() };
    let done = relocation::ask::migrate(&gate, &args.name, wish, |progress| tracing::info!("{progress:?}"))?;
    context.changed("domain", &args.name, &format!("moved: {done:?}"), serde_json::to_value(done).unwrap_or_default())
}
