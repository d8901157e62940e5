//! `fief plugin grant`

use super::asks::{access, asks, interface, remedy};
use super::grants::{self, Connection, Directory};
use super::list::PluginRow;
use crate::cli::Context;
use crate::cli::output::Row;
use crate::config::policy::edit::{self, Edit, Served};
use crate::config::policy::{self, HostInterface, PluginGrants, Policy, SetLimit};
use crate::error::{Failure, Result};
use crate::plugin::manifest::{Permission, SecretAsk};
use crate::plugin::{self, Installed, Manifest};
use crate::sandbox::protocol::PluginKind;
use crate::types::{Access, GrantName, PluginId};

/// Let an installed plugin do what it asks for; policy.toml says so then, and all else in it stays as it is
///
///     fief plugin grant storage-file --all-asked --directory images=/srv/images:rw --serve file --pin
///
/// Nothing is granted that the plugin does not ask for (fief plugin show ID). A grant of the same name is replaced.
/// Domains that run keep what they were started with.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    id: PluginId,
    /// All that it asks for and that takes no choice: interfaces, and connections to where pools say
    #[arg(long)]
    all_asked: bool,
    #[command(flatten)]
    options: Options,
    /// What a call may spend: memory, cpu, wall, handles, table-elements, host-call-bytes, log-lines-per-second; and
    /// busy-poll-microseconds of what serves a volume
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<SetLimit>,
    /// A kind of pool or network that it serves from now on
    #[arg(long = "serve", value_name = "KIND", value_parser = edit::kind)]
    serve: Vec<String>,
    /// Load no other bytes under this id than those that are installed
    #[arg(long, conflicts_with = "unpin")]
    pin: bool,
    /// Load nothing under this id but what the signer of the one that is installed has signed
    #[arg(long, conflicts_with = "unpin")]
    pin_signer: bool,
    /// Load whatever is installed under this id
    #[arg(long)]
    unpin: bool,
}

/// What is granted by name.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// A host interface: images, bridges, session
    #[arg(long = "interface", value_name = "NAME", value_parser = grants::host_interface)]
    pub(super) interfaces: Vec<HostInterface>,
    /// A directory of the host, by the name that pools call it; read-only without :rw
    #[arg(long = "directory", value_name = "NAME=PATH[:rw]", value_parser = grants::directory)]
    pub(super) directories: Vec<Directory>,
    /// A connection, to where the plugin asks or to fewer; and ,allow=loopback|link-local|this-host ,reserved-port ,timeout=10s
    #[arg(long = "connection", value_name = "NAME[=HOST:PORT]", value_parser = grants::connection)]
    pub(super) connections: Vec<Connection>,
    /// A secret, by the name of fief secret set
    #[arg(long = "secret", value_name = "NAME")]
    pub(super) secrets: Vec<GrantName>,
    /// Links that it may make and use; * stands for any run of characters
    #[arg(long = "bridge", value_name = "PATTERN")]
    pub(super) bridges: Vec<String>,
    /// A strategy may let a guest go on where not all of it is yet
    #[arg(long)]
    postcopy: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let installed = plugin::installed(context.layout(), &args.id)?;
    let gate = context.gate_for_change()?;
    let edits = edits(args, &installed, gate.policy())?;
    let changed = grants::apply(context, &gate, &args.id, edits)?;
    let policy = policy::load(&context.layout().policy())?;
    grants::remind(context, &installed, &policy)?;
    let row = PluginRow::of(context.layout(), &installed, &policy);
    context.changed("plugin", &args.id, if changed { "granted" } else { "already granted" }, row.json())
}

/// # Errors
/// `Usage` where the plugin does not ask for it; `Conflict` where another one serves that kind.
fn edits(args: &Args, installed: &Installed, policy: &Policy) -> Result<Vec<Edit>> {
    let manifest = &installed.manifest;
    let mut edits = named(&args.options, manifest, policy)?;
    if args.all_asked {
        edits.extend(all_asked(manifest, policy, &args.options.bridges, &args.options.connections));
    }
    edits.extend(args.limits.iter().map(|set| Edit::SetLimit { limit: set.name, value: set.value }));
    if args.pin {
        edits.push(Edit::Pin { digest: installed.digest });
    }
    if args.pin_signer {
        let signer = installed.signer.ok_or_else(|| {
            Failure::usage(format!("nobody has signed the plugin {}", manifest.id))
                .hint("--pin holds on to its bytes; fief plugin sign signs one")
        })?;
        edits.push(Edit::PinSigner { signer });
    }
    if args.unpin {
        edits.extend([Edit::Unpin, Edit::UnpinSigner]);
    }
    for kind in &args.serve {
        edits.push(serve(manifest, kind, policy)?);
    }
    if edits.is_empty() {
        let hint = remedy(&manifest.id, &asks(manifest, policy.plugins.get(&manifest.id)));
        return Err(Failure::usage(format!("say what to grant {}", manifest.id))
            .hint(hint.unwrap_or_else(|| "it is granted all that it asks for".to_owned())));
    }
    Ok(edits)
}

/// # Errors
/// `Usage` where the plugin does not ask for it.
pub(super) fn named(args: &Options, manifest: &Manifest, policy: &Policy) -> Result<Vec<Edit>> {
    let mut edits = Vec::new();
    for wanted in &args.interfaces {
        must_ask(manifest, &format!("the interface {}", interface(*wanted)), asks_for(manifest, *wanted))?;
        edits.push(Edit::GrantInterface { interface: *wanted });
    }
    for Directory { name, path, access: wanted } in &args.directories {
        let asked = manifest.permissions.iter().filter_map(|permission| match permission {
            Permission::Directory { access, .. } => Some(*access),
            Permission::Interface { .. } | Permission::Connect { .. } | Permission::Secret { .. } => None,
        });
        let enough = asked.into_iter().any(|asked| asked == Access::ReadWrite || *wanted == Access::ReadOnly);
        must_ask(manifest, &format!("a directory, {}", access(*wanted)), enough)?;
        edits.push(Edit::GrantDirectory { name: name.clone(), path: path.into(), access: *wanted });
    }
    for connection in &args.connections {
        edits.push(connect(manifest, connection, policy.plugins.get(&manifest.id))?);
    }
    for name in &args.secrets {
        let asked = manifest.permissions.iter().any(|permission| match permission {
            Permission::Secret { name: SecretAsk::Fixed(fixed), .. } => fixed == name,
            Permission::Secret { name: SecretAsk::Setting(_), .. } => true,
            Permission::Interface { .. } | Permission::Directory { .. } | Permission::Connect { .. } => false,
        });
        must_ask(manifest, &format!("the secret {name}"), asked)?;
        edits.push(Edit::GrantSecret { name: name.clone() });
    }
    for pattern in &args.bridges {
        must_ask(manifest, "bridges", asks_for(manifest, HostInterface::Bridges))?;
        edits.push(Edit::GrantBridges { pattern: pattern.clone() });
    }
    if args.postcopy {
        must_ask(manifest, "the interface session", asks_for(manifest, HostInterface::Session))?;
        edits.push(Edit::GrantPostcopy);
    }
    Ok(edits)
}

/// Grants that take no choice of the operator's, beside what is granted or named with them.
pub(super) fn all_asked(
    manifest: &Manifest,
    policy: &Policy,
    bridges: &[String],
    connections: &[Connection],
) -> Vec<Edit> {
    let mut grants = policy.plugins.get(&manifest.id).cloned().unwrap_or_default();
    grants.bridges.extend(bridges.iter().cloned());
    let missing = asks(manifest, Some(&grants)).into_iter().filter(|ask| ask.granted.is_none());
    let named =
        |edit: &Edit| matches!(edit, Edit::GrantConnection { name, .. } if connections.iter().any(|c| c.name == *name));
    [Edit::Known].into_iter().chain(missing.filter_map(|ask| ask.edit).filter(|edit| !named(edit))).collect()
}

fn connect(manifest: &Manifest, connection: &Connection, grants: Option<&PluginGrants>) -> Result<Edit> {
    let Connection { name, to, allow, reserved_port, timeout } = connection;
    let asked = manifest.permissions.iter().find_map(|permission| match permission {
        Permission::Connect { name: asked, to, .. } if asked == name => Some(to),
        Permission::Connect { .. }
        | Permission::Interface { .. }
        | Permission::Directory { .. }
        | Permission::Secret { .. } => None,
    });
    let fits = asked.is_some_and(|asked| to.as_ref().is_none_or(|to| to.may_agree(asked)));
    let what =
        to.as_ref().map_or_else(|| format!("the connection {name}"), |to| format!("the connection {name} to {to}"));
    must_ask(manifest, &what, fits)?;
    // Where the operator's own word already leads where the plugin asks, and nothing else is said, that word stays.
    let plain = to.is_none() && allow.is_empty() && !reserved_port && timeout.is_none();
    let there = grants.and_then(|grants| grants.connections.get(name)).filter(|_| plain);
    let there = there.filter(|there| asked.is_some_and(|asked| there.to.may_agree(asked)));
    let default = policy::ConnectionGrant::TIMEOUT;
    Ok(Edit::GrantConnection {
        name: name.clone(),
        to: there.map(|there| &there.to).or(to.as_ref()).or(asked).cloned().ok_or_else(|| unasked(manifest, &what))?,
        allow: there.map_or_else(|| allow.clone(), |there| there.allow.clone()),
        reserved_port: there.map_or(*reserved_port, |there| there.reserved_port),
        timeout_ms: there
            .map(|there| there.timeout)
            .filter(|time| *time != default)
            .or(*timeout)
            .and_then(|time| u64::try_from(time.as_millis()).ok()),
    })
}

/// # Errors
/// `Conflict` where another plugin serves that kind.
fn serve(manifest: &Manifest, kind: &str, policy: &Policy) -> Result<Edit> {
    let table = match manifest.kind {
        PluginKind::Storage => Served::Pools,
        PluginKind::Network => Served::Networks,
        PluginKind::Migration => {
            return Err(Failure::usage(format!("{} is a strategy, and serves no kind", manifest.id))
                .hint("[[select.migration]] in policy.toml says which domains it moves"));
        }
    };
    edit::may_serve(policy, table, kind, &manifest.id)?;
    Ok(Edit::Serve { table, kind: kind.to_owned() })
}

fn asks_for(manifest: &Manifest, wanted: HostInterface) -> bool {
    manifest.permissions.iter().any(|p| matches!(p, Permission::Interface { interface, .. } if *interface == wanted))
}

/// # Errors
/// `Usage`: what is granted ahead would be had by a later version that nobody agreed to.
fn must_ask(manifest: &Manifest, what: &str, asked: bool) -> Result<()> {
    if asked { Ok(()) } else { Err(unasked(manifest, what)) }
}

fn unasked(manifest: &Manifest, what: &str) -> Failure {
    Failure::usage(format!("{} does not ask for {what}", manifest.id))
        .hint(format!("fief plugin show {} prints what it asks for", manifest.id))
}
