//! `fief plugin revoke`

use serde_json::json;

use super::grants;
use crate::cli::Context;
use crate::config::policy::edit::{self, Edit, Served};
use crate::config::policy::{self, HostInterface, LimitName};
use crate::error::{Failure, Result};
use crate::plugin::package;
use crate::types::{GrantName, PluginId};

/// Take back what a plugin was granted; all else in policy.toml stays as it is
///
/// Domains that run keep what they were started with.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    id: PluginId,
    /// All of it, with its pin and limits; its table stays, empty, where a line of policy names the plugin
    #[arg(long)]
    all: bool,
    /// A host interface: images, bridges, session
    #[arg(long = "interface", value_name = "NAME", value_parser = grants::host_interface)]
    interfaces: Vec<HostInterface>,
    /// A directory, by its name
    #[arg(long = "directory", value_name = "NAME")]
    directories: Vec<GrantName>,
    /// A connection, by its name
    #[arg(long = "connection", value_name = "NAME")]
    connections: Vec<GrantName>,
    /// A secret; it stays stored
    #[arg(long = "secret", value_name = "NAME")]
    secrets: Vec<GrantName>,
    /// Links, by the pattern that was granted
    #[arg(long = "bridge", value_name = "PATTERN")]
    bridges: Vec<String>,
    /// To let a guest go on where not all of it is yet
    #[arg(long)]
    postcopy: bool,
    /// A limit, which is then what it is where nobody says
    #[arg(long = "limit", value_name = "NAME")]
    limits: Vec<LimitName>,
    /// Whatever is installed under this id is loaded then
    #[arg(long)]
    pin: bool,
    /// A kind of pool or network that it serves no more
    #[arg(long = "serve", value_name = "KIND", value_parser = edit::kind)]
    serve: Vec<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    let id = &args.id;
    if !gate.policy().plugins.contains_key(id) && !package::names(context.layout())?.contains(id) {
        return Err(Failure::not_found(format!("policy has no [plugins.{id}], and no such plugin is installed"))
            .hint("fief policy show prints what is granted, fief plugin list what is installed"));
    }
    let edits = edits(args);
    if edits.is_empty() {
        return Err(Failure::usage(format!("say what to take from {id}"))
            .hint(format!("fief plugin show {id} prints what it is granted; --all takes everything")));
    }
    let changed = grants::apply(context, &gate, id, edits)?;
    let policy = policy::load(&context.layout().policy())?;
    let naming = policy.naming(id);
    if args.all && changed && !naming.is_empty() {
        context.say(&format!("[plugins.{id}] stays, empty: {} names it", naming.join(", ")))?;
    }
    let result = if changed { "revoked" } else { "already revoked" };
    context.changed(
        "plugin",
        id,
        result,
        json!({ "id": id, "known": policy.plugins.contains_key(id), "named-by": naming }),
    )
}

fn edits(args: &Args) -> Vec<Edit> {
    let mut edits = Vec::new();
    edits.extend(args.interfaces.iter().map(|interface| Edit::RevokeInterface { interface: *interface }));
    edits.extend(args.directories.iter().map(|name| Edit::RevokeDirectory { name: name.clone() }));
    edits.extend(args.connections.iter().map(|name| Edit::RevokeConnection { name: name.clone() }));
    edits.extend(args.secrets.iter().map(|name| Edit::RevokeSecret { name: name.clone() }));
    edits.extend(args.bridges.iter().map(|pattern| Edit::RevokeBridges { pattern: pattern.clone() }));
    if args.postcopy {
        edits.push(Edit::RevokePostcopy);
    }
    edits.extend(args.limits.iter().map(|limit| Edit::UnsetLimit { limit: *limit }));
    if args.pin {
        edits.extend([Edit::Unpin, Edit::UnpinSigner]);
    }
    // A kind that it does not serve is left to whoever does.
    let both =
        |kind: &String| [Served::Pools, Served::Networks].map(|table| Edit::Unserve { table, kind: kind.clone() });
    edits.extend(args.serve.iter().flat_map(both));
    if args.all {
        edits.push(Edit::RevokeAll);
    }
    edits
}
