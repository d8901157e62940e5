//! `fief plugin remove`

use crate::cli::each::{each, or_absent};
use crate::cli::{Context, load};
use crate::error::{Failure, Kind, Result};
use crate::gate::{Gate, Mode};
use crate::network::Network;
use crate::plugin;
use crate::storage::Pool;
use crate::types::PluginId;

/// Forget plugins; pools and networks that they serve keep what they have, and can be deleted without them
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "ID")]
    ids: Vec<PluginId>,
    /// A plugin that is not installed counts as removed
    #[arg(long)]
    if_exists: bool,
    /// Even where a pool or network is served by it, or policy chooses it for moves
    #[arg(long)]
    force: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    each(context, "plugin", &args.ids, |id| {
        or_absent(args.if_exists, remove(&gate, id, args.force).map(|()| "removed"))
    })
}

fn remove(gate: &Gate, id: &PluginId, force: bool) -> Result<()> {
    match plugin::installed(gate.layout(), id) {
        Err(failure) if failure.kind == Kind::NotFound => return Err(failure),
        // One whose record cannot be read is removed all the same.
        Ok(_) | Err(_) => {}
    }
    match gate.mode() {
        Mode::Perform => load::remove_plugin(gate.layout(), id, || refuse_needed(gate, id, force)),
        Mode::DryRun => refuse_needed(gate, id, force),
    }
}

/// # Errors
/// `Conflict` where a pool or network is served by it, or a line of policy chooses it for moves.
fn refuse_needed(gate: &Gate, id: &PluginId, force: bool) -> Result<()> {
    if force {
        return Ok(());
    }
    let policy = gate.policy();
    let lines: Vec<String> =
        policy.select.migration.iter().filter(|line| line.strategy == *id).map(|line| line.line.to_string()).collect();
    if !lines.is_empty() {
        let lines = lines.join(", ");
        return Err(Failure::conflict(format!(
            "cannot remove plugin {id}: [[select.migration]] in policy.toml chooses it (line {lines})"
        ))
        .hint("name another strategy there first, or say --force: what these lines take is not moved then"));
    }
    let mut served: Vec<String> = Vec::new();
    if policy.pools.values().any(|plugin| plugin == id) {
        let pools = Pool::all(gate)?.into_iter().filter(|pool| policy.pools.get(&pool.kind) == Some(id));
        served.extend(pools.map(|pool| format!("pool {}", pool.name)));
    }
    if policy.networks.values().any(|plugin| plugin == id) {
        let networks = Network::all(gate)?.into_iter().filter(|n| policy.networks.get(&n.kind) == Some(id));
        served.extend(networks.map(|network| format!("network {}", network.name)));
    }
    if served.is_empty() {
        return Ok(());
    }
    Err(Failure::conflict(format!("cannot remove plugin {id}: it serves {}", served.join(", ")))
        .hint("delete them first, or say --force: they stay, and can be deleted without their plugin"))
}
