//! From `policy.toml` as written to the checked policy.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::{ConnectionGrant, DirectoryGrant, HostInterface, HostSettings, Limits, PluginGrants, Policy};
use crate::config::reader::{self, Table};
use crate::error::{Context, Failure, Result};
use crate::types::{Access, ByteSize, GrantName, PluginId, Span};

/// What policy may set a plugin's limits to: low enough that a mistake does not take the host down, high enough for
/// a plugin that moves data.
const MEMORY: (ByteSize, ByteSize) = (ByteSize::from_mib(1), ByteSize::from_mib(1024));
const HOST_CALL_BYTES: (ByteSize, ByteSize) = (ByteSize::from_bytes(64 << 10), ByteSize::from_mib(1024));
const TIME_MAX: Duration = Duration::from_secs(3600);

/// Reads the policy at `path`; no file is the empty policy, which grants nothing.
///
/// # Errors
/// `Usage` for mistakes in it; `Denied` where others than its owner could write it, or its owner is neither root nor
/// the user who runs fief.
pub fn load(path: &Path) -> Result<Policy> {
    let saying = || format!("cannot read {}", path.display());
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Policy::default()),
        Err(error) => return Err(error).context(saying),
    };
    let me = rustix::process::geteuid().as_raw();
    if metadata.mode() & 0o022 != 0 {
        return Err(Failure::denied(format!("{} can be written by others than its owner", path.display()))
            .hint(format!("chmod go-w {}", path.display())));
    }
    if metadata.uid() != me && metadata.uid() != 0 {
        return Err(Failure::denied(format!("{} belongs to user {}", path.display(), metadata.uid()))
            .hint(format!("chown {me} {}", path.display())));
    }
    let bytes = std::fs::read(path).context(saying)?;
    // A policy that says nothing yet grants nothing; unlike an empty definition that is no mistake.
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Policy::default());
    }
    parse(&bytes, &path.display().to_string())
}

/// Reads a policy; `source` names the file in errors.
///
/// # Errors
/// `Usage`, with every mistake and its place.
pub fn parse(bytes: &[u8], source: &str) -> Result<Policy> {
    reader::read(bytes, source, "policy", |top| {
        let host = top.table("host", take_host).unwrap_or_default();
        let plugins = top.table("plugins", |table| table.named_tables(take_plugin)).unwrap_or_default();
        let pools = top.table("pools", |table| take_choices(table, &plugins)).unwrap_or_default();
        let networks = top.table("networks", |table| take_choices(table, &plugins)).unwrap_or_default();
        Some(Policy { host, plugins, pools, networks })
    })
}

/// An absolute path with no `.` or `..`.
fn path(table: &mut Table<'_>, key: &str) -> Option<PathBuf> {
    let path = PathBuf::from(table.text(key)?);
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if path.is_absolute() && plain {
        return Some(path);
    }
    table.mistake(key, "is not an absolute path without '..'");
    None
}

fn take_host(table: &mut Table<'_>) -> HostSettings {
    let default = HostSettings::default();
    HostSettings {
        qemu: path(table, "qemu").unwrap_or(default.qemu),
        qemu_img: path(table, "qemu-img").unwrap_or(default.qemu_img),
        dnsmasq: path(table, "dnsmasq").unwrap_or(default.dnsmasq),
        nft: path(table, "nft").unwrap_or(default.nft),
        // Room for the ids that are counted from it; never root's, nor those of people.
        uid_base: table
            .integer("uid-base", 65_536..=i64::from(u32::MAX) - 3 * 65_536)
            .and_then(|base| u32::try_from(base).ok())
            .unwrap_or(default.uid_base),
    }
}

const INTERFACES: [(&str, HostInterface); 4] = [
    ("images", HostInterface::Images),
    ("connections", HostInterface::Connections),
    ("bridges", HostInterface::Bridges),
    ("session", HostInterface::Session),
];

fn take_plugin(_: &PluginId, table: &mut Table<'_>) -> PluginGrants {
    let digest = table.parsed("digest");
    let mut interfaces = Vec::new();
    for word in table.list::<String>("interfaces").unwrap_or_default() {
        match INTERFACES.iter().find(|(known, _)| *known == word) {
            Some((_, interface)) => interfaces.push(*interface),
            None => table.mistake("interfaces", reader::not_one_of(&word, INTERFACES.iter().map(|(word, _)| *word))),
        }
    }
    let directories = take_grants(table, "directories", |grant| {
        let access = [("read-only", Access::ReadOnly), ("read-write", Access::ReadWrite)];
        let access = grant.choice("access", &access, Access::ReadOnly);
        if !grant.has("path") {
            grant.mistake("path", "is missing");
        }
        Some(DirectoryGrant { path: path(grant, "path")?, access })
    });
    let connections = take_grants(table, "connections", |grant| {
        let to: String = grant.required("to")?;
        let well_formed = to.rsplit_once(':').is_some_and(|(host, port)| {
            let placeholder = port.starts_with('{') && port.ends_with('}') && port.len() > 2;
            !host.is_empty() && (placeholder || port.parse::<u16>().is_ok_and(|port| port != 0))
        });
        if !well_formed {
            grant.mistake("to", "is not HOST:PORT (a port is 1 to 65535, or {setting})");
        }
        Some(ConnectionGrant { to })
    });
    let secrets = table.list("secrets").unwrap_or_default();
    let bridges: Vec<String> = table.list("bridges").unwrap_or_default();
    for pattern in &bridges {
        let plain: String = pattern.replace('*', "x");
        if plain.parse::<crate::types::InterfaceName>().is_err() {
            table.mistake("bridges", format_args!("{pattern:?} is no name of an interface, nor a pattern of one"));
        }
    }
    let limits = table.table("limits", take_limits).unwrap_or_default();
    PluginGrants { digest, interfaces, directories, connections, secrets, bridges, limits }
}

/// A list of tables that each have a name; a name that comes twice is a mistake.
fn take_grants<T>(
    table: &mut Table<'_>,
    key: &str,
    mut take: impl FnMut(&mut Table<'_>) -> Option<T>,
) -> BTreeMap<GrantName, T> {
    let mut grants = BTreeMap::new();
    table.tables(key, |grant| {
        let name: Option<GrantName> = grant.required("name");
        let value = take(grant);
        let (name, value) = (name?, value?);
        if grants.insert(name.clone(), value).is_some() {
            grant.mistake("name", format_args!("{name} is the name of two grants"));
        }
        Some(())
    });
    grants
}

fn take_limits(table: &mut Table<'_>) -> Limits {
    let default = Limits::default();
    let size = |table: &mut Table<'_>, key: &str, (low, high): (ByteSize, ByteSize), default| {
        let size = table.parsed(key).unwrap_or(default);
        if !(low..=high).contains(&size) {
            table.mistake(key, format_args!("{size} is not between {low} and {high}"));
        }
        size
    };
    let time = |table: &mut Table<'_>, key: &str, default| {
        let time = table.parsed::<Span>(key).map_or(default, |span| span.0);
        if time.is_zero() || time > TIME_MAX {
            table.mistake(key, "is not between 1ms and 1h");
        }
        time
    };
    let number = |table: &mut Table<'_>, key: &str, high: i64, default: u32| {
        table.integer(key, 1..=high).and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
    };
    Limits {
        memory: size(table, "memory", MEMORY, default.memory),
        table_elements: number(table, "table-elements", 10_000_000, default.table_elements),
        handles: number(table, "handles", 1_000_000, default.handles),
        cpu: time(table, "cpu", default.cpu),
        wall: time(table, "wall", default.wall),
        host_call_bytes: size(table, "host-call-bytes", HOST_CALL_BYTES, default.host_call_bytes),
        log_lines_per_second: number(table, "log-lines-per-second", 100_000, default.log_lines_per_second),
    }
}

/// `kind = "plugin-id"`, the id being one that has grants.
fn take_choices(table: &mut Table<'_>, plugins: &BTreeMap<PluginId, PluginGrants>) -> BTreeMap<String, PluginId> {
    let mut choices = BTreeMap::new();
    for (kind, id) in table.plain_values() {
        match id.parse::<PluginId>() {
            Ok(id) if plugins.contains_key(&id) => {
                choices.insert(kind, id);
            }
            Ok(id) => {
                let near = reader::nearest(id.as_str(), plugins.keys().map(PluginId::as_str));
                let proposal = near.map_or(String::new(), |near| format!(" (did you mean {near:?}?)"));
                table.mistake(&kind, format_args!("there is no [plugins.{id}] in this policy{proposal}"));
            }
            Err(error) => table.mistake(&kind, error),
        }
    }
    choices
}
