//! What a plugin is tried with: a pool, a network or moves, and a policy of that run's own.

use std::collections::BTreeSet;
use std::path::Path;

use super::grant;
use crate::cli::settings;
use crate::config::policy::edit::{Edit, Served};
use crate::config::policy::{HostInterface, Policy};
use crate::config::pool::PoolDefinition;
use crate::config::{network, pool, strategy};
use crate::conformance::With;
use crate::error::{Failure, Result};
use crate::plugin::Installed;
use crate::plugin::manifest::{Permission, SettingKind};
use crate::sandbox::protocol::PluginKind;
use crate::types::{Access, GrantName};

/// What a network plugin may have on a network that nobody else is on: bridges as they are called where nothing is said, and
/// the cable that is there ([`conformance::CABLE`](crate::conformance::CABLE)).
const BRIDGES: [&str; 2] = ["fief-*", "fieftest*"];

/// Reads what a plugin of that kind is tried with.
///
/// # Errors
/// `Usage` where something is wrong in the file, or it is needed and not there.
pub(super) fn read(kind: PluginKind, file: Option<&Path>) -> Result<With> {
    let needed = |what: &str, command: &str| {
        let message = format!("a {} plugin is tried with the definition of a {what}", kind.name());
        Failure::usage(message).hint(format!("--settings FILE, as {command} -f takes it"))
    };
    let text = file.map(settings::read).transpose()?;
    Ok(match (kind, text) {
        (PluginKind::Storage, Some((bytes, from))) => With::Pool(pool::parse(&bytes, &from)?),
        (PluginKind::Storage, None) => return Err(needed("pool", "fief pool create")),
        (PluginKind::Network, Some((bytes, from))) => With::Network(network::parse(&bytes, &from)?),
        (PluginKind::Network, None) => return Err(needed("network", "fief network create")),
        (PluginKind::Migration, Some((bytes, from))) => With::Moves(strategy::parse(&bytes, &from)?),
        (PluginKind::Migration, None) => With::Moves(std::collections::BTreeMap::new()),
    })
}

/// The policy of this run.
///
/// # Errors
/// `Usage` for an option that means nothing to the plugin, or a setting that names no directory.
pub(super) fn edits(
    options: &grant::Options,
    with: &With,
    installed: &Installed,
    policy: &Policy,
    own: &Path,
) -> Result<Vec<Edit>> {
    let manifest = &installed.manifest;
    let mut edits = grant::named(options, manifest, policy)?;
    let mut bridges = options.bridges.clone();
    if matches!(with, With::Network(_)) && bridges.is_empty() && manifest.asks_for(HostInterface::Bridges) {
        bridges.extend(BRIDGES.map(str::to_owned));
        edits.extend(BRIDGES.map(|pattern| Edit::GrantBridges { pattern: pattern.to_owned() }));
    }
    edits.extend(grant::all_asked(manifest, policy, &bridges, &options.connections));
    match with {
        With::Pool(definition) => {
            edits.extend(directories(options, definition, installed, own)?);
            edits.push(Edit::Serve { table: Served::Pools, kind: definition.kind.clone() });
        }
        With::Network(definition) => {
            edits.push(Edit::Serve { table: Served::Networks, kind: definition.kind.clone() });
        }
        With::Moves(_) => {}
    }
    Ok(edits)
}

/// Empty ones for those that the settings name, where no option grants them.
fn directories(
    options: &grant::Options,
    definition: &PoolDefinition,
    installed: &Installed,
    own: &Path,
) -> Result<Vec<Edit>> {
    let manifest = &installed.manifest;
    let asked = manifest.permissions.iter().filter_map(|permission| match permission {
        Permission::Directory { access, .. } => Some(*access),
        Permission::Interface { .. } | Permission::Connect { .. } | Permission::Secret { .. } => None,
    });
    let access = match asked.collect::<Vec<_>>() {
        all if all.contains(&Access::ReadWrite) => Access::ReadWrite,
        all if all.is_empty() => return Ok(Vec::new()),
        _ => Access::ReadOnly,
    };
    // Images are written by the host, on what the plugin may only read.
    let access = if manifest.asks_for(HostInterface::Images) { Access::ReadWrite } else { access };
    let mut names = named(definition, installed)?;
    names.retain(|name| !options.directories.iter().any(|granted| granted.name == *name));
    let grants = names.into_iter().map(|name| Edit::GrantDirectory { path: own.join(&name), name, access });
    Ok(grants.collect())
}

/// The names by which the pool's settings call directories.
fn named(definition: &PoolDefinition, installed: &Installed) -> Result<BTreeSet<GrantName>> {
    let mut names = BTreeSet::new();
    for setting in installed.manifest.settings.iter().filter(|setting| setting.kind == SettingKind::Directory) {
        let value = definition.settings.get(&setting.key).or(setting.default.as_ref());
        if let Some(value) = value {
            let name = value.parse().map_err(|why| {
                Failure::usage(format!("setting {:?}: {value:?} is no name of a directory: {why}", setting.key))
            })?;
            names.insert(name);
        }
    }
    Ok(names)
}
