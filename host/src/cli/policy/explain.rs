//! `fief policy explain`

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::output::{Cell, Column, Row};
use crate::cli::plugin::asks::{asks, remedy};
use crate::cli::settings;
use crate::config::policy::select::{Case, Chosen, Power, Storage};
use crate::error::{Failure, Result};
use crate::gate::operation::{Actor, ConnectionRef, Operation, Purpose};
use crate::gate::{Gate, Verdict};
use crate::network::Network;
use crate::plugin;
use crate::sandbox::protocol::PluginKind;
use crate::storage::Pool;
use crate::types::{Access, DomainName, GrantName, InterfaceName, NetworkName, PeerName, PluginId, PoolName};

/// Say whether something is allowed, and by which line of policy
///
///     fief policy explain pool default
///     fief policy explain plugin storage-file --directory images --access read-write
///     fief policy explain plugin network-host-only --bridge fief-lab
///     fief policy explain plugin storage-nfs --connection server --pool nas
///     fief policy explain migration node1 hostb
///     fief --dry-run network start lab | fief policy explain plugin network-host-only --operation -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, clap::Subcommand)]
enum Subject {
    /// Which plugin serves a pool, and why
    Pool { name: PoolName },
    /// Which plugin serves a network, and why
    Network { name: NetworkName },
    /// Which strategy moves a domain to a peer, and why; for each state and storage that it may have then
    Migration { name: DomainName, peer: PeerName },
    /// What a plugin may do; without an option, all that it asks for
    Plugin {
        id: PluginId,
        /// A directory, by its name in policy
        #[arg(long, value_name = "NAME")]
        directory: Option<GrantName>,
        /// How the directory is opened
        #[arg(long, value_enum, default_value_t = Mode::ReadWrite, requires = "directory")]
        access: Mode,
        /// A bridge that it would make, by its name
        #[arg(long, value_name = "NAME", conflicts_with = "directory")]
        bridge: Option<InterfaceName>,
        /// A connection, by its name in policy; with --pool, where it leads
        #[arg(long, value_name = "NAME", conflicts_with_all = ["directory", "bridge"])]
        connection: Option<GrantName>,
        /// The pool that the connection is for
        #[arg(long, value_name = "POOL", requires = "connection")]
        pool: Option<PoolName>,
        /// A secret, by its name
        #[arg(long, value_name = "NAME", conflicts_with_all = ["directory", "bridge", "connection"])]
        secret: Option<GrantName>,
        /// Operations as --dry-run prints them, one JSON object a line ('-' is standard input)
        #[arg(long, value_name = "JSON", conflicts_with_all = ["directory", "bridge", "connection", "secret"])]
        operation: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    ReadOnly,
    ReadWrite,
}

/// One question, answered.
struct Answer {
    allowed: bool,
    what: String,
    because: String,
    hint: Option<String>,
    operation: Option<Operation>,
}

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    let gate = context.gate()?;
    let answers = match args.subject {
        Subject::Pool { name } => {
            let pool = Pool::open(&gate, &name)?;
            let kind = &pool.definition().kind;
            vec![served(context, &gate, &format!("pool {name}"), "pools", kind)]
        }
        Subject::Network { name } => {
            let network = Network::open(&gate, &name)?;
            let kind = &network.definition().kind;
            vec![served(context, &gate, &format!("network {name}"), "networks", kind)]
        }
        Subject::Migration { name, peer } => moved(context, &gate, &name, &peer),
        Subject::Plugin { id, directory: Some(directory), access, .. } => {
            let access = match access {
                Mode::ReadOnly => Access::ReadOnly,
                Mode::ReadWrite => Access::ReadWrite,
            };
            vec![judged(&gate, &id, Operation::DirectoryOpen { plugin: id.clone(), directory, access })]
        }
        Subject::Plugin { id, bridge: Some(bridge), .. } => {
            // Which network it is for makes no difference to the verdict.
            let network: NetworkName = "any".parse().map_err(|invalid| Failure::other("no name").because(invalid))?;
            vec![judged(&gate, &id, Operation::BridgeCreate { network, bridge, stp: false, mtu: None, mac: None })]
        }
        Subject::Plugin { id, connection: Some(connection), pool, .. } => {
            vec![connects(&gate, &id, &connection, pool.as_ref())?]
        }
        Subject::Plugin { id, secret: Some(secret), .. } => {
            // Which pool it is for makes no difference to the verdict.
            let pool: PoolName = "any".parse().map_err(|invalid| Failure::other("no name").because(invalid))?;
            vec![judged(&gate, &id, Operation::SecretReveal { plugin: id.clone(), pool, secret })]
        }
        Subject::Plugin { id, operation: Some(text), .. } => {
            operations(&text)?.into_iter().map(|operation| judged(&gate, &id, operation)).collect()
        }
        Subject::Plugin { id, .. } => asked(context, &gate, &id)?,
    };
    context.list(&answers)
}

/// Whether a plugin may have a connection, and where it leads for a pool. Without one, for settings that nobody made.
fn connects(gate: &Gate, id: &PluginId, connection: &GrantName, pool: Option<&PoolName>) -> Result<Answer> {
    let granted = gate.policy().plugins.get(id).and_then(|grants| grants.connections.get(connection));
    let (name, settings) = match (granted, pool) {
        (Some(grant), None) => {
            return Ok(Answer {
                allowed: true,
                what: format!("connect {connection}"),
                because: format!("plugins.{id}.connections \"{connection}\" to {}", grant.to),
                hint: Some("--pool POOL says where it leads".to_owned()),
                operation: None,
            });
        }
        (_, Some(pool)) => (pool.clone(), Pool::open(gate, pool)?.settings()?),
        // Which pool it is for makes no difference to the verdict.
        (None, None) => ("any".parse().map_err(|invalid| Failure::other("no name").because(invalid))?, Vec::new()),
    };
    let to = ConnectionRef::new(gate.policy(), id, connection, &name, &settings);
    Ok(judged(gate, id, Operation::ConnectionOpen { to, purpose: Purpose::Ask }))
}

/// Which plugin serves a kind.
fn served(context: &Context, gate: &Gate, object: &str, table: &str, kind: &str) -> Answer {
    let policy = gate.policy();
    let plugins = if table == "pools" { &policy.pools } else { &policy.networks };
    let (allowed, because, hint) = match plugins.get(kind) {
        None => (
            false,
            format!("[{table}] names no plugin for the kind {kind}"),
            Some(format!("fief plugin grant PLUGIN --serve {kind}")),
        ),
        Some(id) => match plugin::installed(context.layout(), id) {
            Ok(_) => (true, format!("[{table}] {kind} = \"{id}\""), None),
            Err(failure) => (
                false,
                format!("[{table}] {kind} = \"{id}\", but {failure}"),
                Some("fief plugin install FILE".to_owned()),
            ),
        },
    };
    Answer { allowed, what: format!("{object} is served"), because, hint, operation: None }
}

/// Which strategy each kind of move of a domain goes by. Whether storage is shared is the other host's to say as well, and
/// nobody is asked here.
fn moved(context: &Context, gate: &Gate, name: &DomainName, peer: &PeerName) -> Vec<Answer> {
    let mut answers: Vec<Answer> = Vec::new();
    for power in [Power::Running, Power::Paused, Power::Off] {
        for storage in [Storage::Shared, Storage::Separate] {
            let Chosen { strategy, because } = gate.policy().select.pick(Case { domain: name, peer, power, storage });
            let installed = strategy.parse::<PluginId>().ok().is_some_and(|id| {
                plugin::installed(context.layout(), &id)
                    .is_ok_and(|installed| installed.manifest.kind == PluginKind::Migration)
            });
            answers.push(Answer {
                allowed: installed,
                what: format!("{name}, {power} on {storage} storage, goes to {peer} by {strategy}"),
                because,
                hint: (!installed).then(|| {
                    format!("there is no such plugin here that moves domains: fief plugin install FILE ({strategy})")
                }),
                operation: None,
            });
        }
    }
    answers
}

fn judged(gate: &Gate, id: &PluginId, operation: Operation) -> Answer {
    let what = what(&operation);
    let (allowed, because, hint) = match gate.judge(&Actor::Plugin(id.clone()), &operation) {
        Verdict::Allowed { because } => (true, because, None),
        Verdict::Denied { reason, hint } => (false, reason, Some(hint).filter(|hint| !hint.is_empty())),
    };
    Answer { allowed, what, because, hint, operation: Some(operation) }
}

/// The operation's own name and its fields in one line, as `image-delete image=…`.
fn what(operation: &Operation) -> String {
    let Ok(Value::Object(fields)) = serde_json::to_value(operation) else { return String::new() };
    let name = fields.get("operation").and_then(Value::as_str).unwrap_or_default().to_owned();
    let fields = fields.iter().filter(|(key, value)| *key != "operation" && !value.is_null()).map(|(key, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!(" {key}={value}")
    });
    fields.fold(name, |line, field| line + &field)
}

/// Each line is an operation, in JSON.
fn operations(text: &str) -> Result<Vec<Operation>> {
    let text = match text {
        "-" => String::from_utf8_lossy(&settings::read(std::path::Path::new("-"))?.0).into_owned(),
        given => given.to_owned(),
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let operations: Vec<Operation> = lines
        .map(|line| {
            serde_json::from_str(line).map_err(|error| {
                Failure::usage("--operation is not an operation")
                    .because(error)
                    .hint("give a line that --dry-run printed, or - to read them from standard input")
            })
        })
        .collect::<Result<_>>()?;
    if operations.is_empty() {
        return Err(Failure::usage("--operation holds no operation").hint("give a line that --dry-run printed"));
    }
    Ok(operations)
}

/// All that the manifest asks for.
fn asked(context: &Context, gate: &Gate, id: &PluginId) -> Result<Vec<Answer>> {
    let installed = plugin::installed(context.layout(), id)?;
    let grants = gate.policy().plugins.get(id);
    let section = format!("[plugins.{id}]");
    let asks = asks(&installed.manifest, grants);
    Ok(asks
        .into_iter()
        .map(|ask| {
            let allowed = ask.granted.is_some();
            let hint = remedy(id, std::slice::from_ref(&ask));
            let because = match ask.granted {
                Some(granted) => format!("{section} grants it: {granted}"),
                None if grants.is_none() => format!("policy has no {section}"),
                None => format!("{section} does not grant it"),
            };
            Answer { allowed, what: ask.what, because, hint, operation: None }
        })
        .collect())
}

impl Row for Answer {
    const KIND: &'static str = "verdict";
    const COLUMNS: &'static [Column] =
        &[Column::left("VERDICT"), Column::left("WHAT"), Column::left("BECAUSE"), Column::left("HINT")];
    fn name(&self) -> String {
        self.what.clone()
    }
    fn cells(&self) -> Vec<Cell> {
        let verdict = if self.allowed { "allowed" } else { "denied" };
        vec![
            verdict.into(),
            self.what.as_str().into(),
            self.because.as_str().into(),
            Cell::optional(self.hint.as_deref()),
        ]
    }
    fn json(&self) -> Value {
        json!({
            "verdict": if self.allowed { "allowed" } else { "denied" },
            "what": self.what,
            "because": self.because,
            "hint": self.hint,
            "operation": self.operation,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read_as_a_dry_run_prints_them() {
        let operation = Operation::LinkList { network: "lab".parse().unwrap() };
        let line = serde_json::to_string(&operation).unwrap();
        assert_eq!(operations(&format!("{line}\n\n{line}\n")).unwrap(), [operation.clone(), operation.clone()]);
        assert_eq!(what(&operation), "link-list network=lab");
    }

    #[test]
    fn what_is_no_operation_is_a_usage_error() {
        for bad in ["", "{", "{}", r#"{"operation":"format-disk"}"#, r#"{"operation":"link-list","network":"../x"}"#] {
            let failure = operations(bad).unwrap_err();
            assert_eq!(failure.kind, crate::error::Kind::Usage, "{bad}: {failure}");
        }
    }
}
