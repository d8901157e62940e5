//! From `policy.toml` to a checked policy. Fails closed: one mistake, and the whole file is refused.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::pattern::BridgePattern;
use super::{
    ConnectionGrant, DirectoryGrant, HostInterface, HostSettings, Limits, NearAddress, PluginGrants, Policy,
    relocation, select, trust,
};
use crate::config::reader::{self, Choice, Document, TableReader, nearest};
use crate::config::text::{AbsolutePath, KindWord};
use crate::error::{Failure, Kind, Result};
use crate::types::{Access, ByteSize, EndpointPattern, GrantName, PluginId, Span};

/// Most directories, and most connections, of one plugin.
const GRANTS_MAX: usize = 64;
/// Memory of a plugin: less does not hold its stack; more, times the plugins at work, takes the host down.
const MEMORY: (ByteSize, ByteSize) = (ByteSize::from_mib(1), ByteSize::from_mib(1024));
/// Elements of all tables: each is a pointer of the host's.
const TABLE_ELEMENTS_MAX: i64 = 10_000_000;
/// Handles: each may hold a descriptor of the sandbox.
const HANDLES_MAX: i64 = 100_000;
/// Processor and wall time: below ten milliseconds a call cannot start; above an hour is no bound.
const TIME: (Span, Span) = (Span(Duration::from_millis(10)), Span(Duration::from_secs(3600)));
/// For one connection: below, no server far away is reached; above, commands seem to hang.
const CONNECT_TIME: (Span, Span) = (Span(Duration::from_millis(100)), Span(Duration::from_secs(120)));
/// Bytes that cross in a call: a call with its record of a volume needs some KiB; the upper bound is held in memory.
const HOST_CALL_BYTES: (ByteSize, ByteSize) = (ByteSize::from_bytes(64 << 10), ByteSize::from_mib(1024));
/// Log lines a second: more fills a disk.
const LOG_LINES_MAX: i64 = 10_000;
const BUSY_POLL_MAX: i64 = 1_000;
/// Below are users that the system gives out; above, the 131,072 ids that fief takes would pass 2^31.
const UID_BASE: (i64, i64) = (65_536, i32::MAX as i64 - 131_071);

/// The policy at `path`; none there means that nothing is granted.
///
/// # Errors
/// `Usage` with every mistake as a cause; `Denied` where others than root and the current user could have written it.
pub fn load(path: &Path) -> Result<Policy> {
    match read(path)? {
        Some(bytes) => parse_or_nothing(&bytes, &reader::one_line(&path.to_string_lossy())),
        None => Ok(Policy::default()),
    }
}

/// A policy that says nothing yet grants nothing; unlike an empty definition that is no mistake.
pub(super) fn parse_or_nothing(bytes: &[u8], source: &str) -> Result<Policy> {
    match bytes.iter().all(u8::is_ascii_whitespace) {
        true => Ok(Policy::default()),
        false => parse(bytes, source),
    }
}

/// The text of the policy at `path`, where there is one.
///
/// # Errors
/// `Denied` where others than root and the current user could have written it.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let shown = reader::one_line(&path.to_string_lossy());
    // Owner and mode are asked of the opened file, so that nobody can change it in between.
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::other(format!("cannot open {shown}")).because(error)),
    };
    let metadata = file.metadata().map_err(|error| Failure::other(format!("cannot look at {shown}")).because(error))?;
    if !metadata.is_file() {
        return Err(Failure::usage(format!("{shown} is not a file")));
    }
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != 0 && metadata.uid() != user {
        return Err(untrusted(&shown, &format!("it belongs to user {}", metadata.uid()), "chown root"));
    }
    if metadata.mode() & 0o022 != 0 {
        let mode = format!("its mode {:04o} lets its group or others write it", metadata.mode() & 0o7777);
        return Err(untrusted(&shown, &mode, "chmod go-w"));
    }
    reader::read_all(file, &shown).map(Some)
}

fn untrusted(path: &str, reason: &str, remedy: &str) -> Failure {
    let mut failure = Failure::new(Kind::Denied, format!("the policy {path} is not to be trusted"))
        .hint(format!("read what it says, then: {remedy} {path}"));
    failure.causes.push(reason.to_owned());
    failure
}

/// Reads a policy; `source` names the text in messages. A text with nothing but comments grants nothing.
///
/// # Errors
/// Kind `Usage`, with every mistake as a cause.
pub fn parse(bytes: &[u8], source: &str) -> Result<Policy> {
    Document::parse("policy", source, bytes)?.read(|table| {
        let host = table.section("host", host)?;
        let plugins = table.section("plugins", plugins)?;
        let pools = table.section("pools", |table| served(table, &plugins))?;
        let networks = table.section("networks", |table| served(table, &plugins))?;
        let relocation = table.section("relocation", relocation::read)?;
        let select = table.section("select", |table| select::read(table, &plugins))?;
        let trust = table.section("trust", trust::read)?;
        Some(Policy { host, plugins, pools, networks, relocation, select, trust })
    })
}

fn host(table: &mut TableReader<'_>) -> HostSettings {
    let default = HostSettings::default();
    let mut tool = |key: &str, default: PathBuf| {
        let example = default.to_string_lossy().into_owned();
        table.optional::<AbsolutePath>(key, &example).map_or(default, PathBuf::from)
    };
    let qemu = tool("qemu", default.qemu);
    let qemu_img = tool("qemu-img", default.qemu_img);
    let dnsmasq = tool("dnsmasq", default.dnsmasq);
    let nft = tool("nft", default.nft);
    let uid_base = table.integer("uid-base", UID_BASE.0..=UID_BASE.1).and_then(|uid| u32::try_from(uid).ok());
    HostSettings { qemu, qemu_img, dnsmasq, nft, uid_base: uid_base.unwrap_or(default.uid_base) }
}

fn plugins(table: &mut TableReader<'_>) -> BTreeMap<PluginId, PluginGrants> {
    let mut plugins = BTreeMap::new();
    for key in table.keys() {
        let granted = table.section(&key, grants);
        match (key.parse(), granted) {
            (Ok(id), Some(granted)) => drop(plugins.insert(id, granted)),
            (Ok(_), None) => {}
            (Err(cause), _) => table.wrong_key(&key, cause),
        }
    }
    plugins
}

fn grants(table: &mut TableReader<'_>) -> PluginGrants {
    PluginGrants {
        digest: table.optional("digest", "sha256:…"),
        signer: table.optional("signer", "ed25519:…"),
        interfaces: table.choices("interfaces").unwrap_or_default(),
        directories: named(table, "directories", directory),
        connections: named(table, "connections", connection),
        secrets: table.words("secrets", "backup-key").unwrap_or_default(),
        bridges: patterns(table),
        postcopy: table.boolean("postcopy").unwrap_or_default(),
        limits: table.section("limits", limits).unwrap_or_default(),
    }
}

/// A list of tables with a `name` each, no name twice.
fn named<T>(
    table: &mut TableReader<'_>,
    key: &str,
    mut read: impl FnMut(&mut TableReader<'_>) -> Option<T>,
) -> BTreeMap<GrantName, T> {
    let mut lines = BTreeMap::new();
    let all = table.tables(key, GRANTS_MAX, |table| {
        let name = table.required::<GrantName>("name", "images");
        let grant = read(table);
        let name = name?;
        if let Some(first) = lines.insert(name.clone(), table.at("name")) {
            let line = table.line_of(first);
            table.wrong("name", format!("\"{name}\" is granted already (line {line})"), "each grant has its own name");
        }
        Some((name, grant?))
    });
    all.into_iter().collect()
}

fn directory(table: &mut TableReader<'_>) -> Option<DirectoryGrant> {
    let path = table.required::<AbsolutePath>("path", "/var/lib/fief/images").map(PathBuf::from);
    // The lesser one where nothing is said.
    let access = table.choice("access").unwrap_or(Access::ReadOnly);
    let path = path?;
    // What stands there is the kernel's, and opening some of it acts: no plugin has a use for it. Below /dev/shm are files.
    let of_the_kernel = ["/proc", "/sys", "/dev"].iter().any(|special| path.starts_with(special));
    if path == Path::new("/") || (of_the_kernel && !path.starts_with("/dev/shm")) {
        table.wrong(
            "path",
            format!("\"{}\" is never granted", path.display()),
            "grant a directory that holds data only",
        );
    }
    Some(DirectoryGrant { path, access })
}

fn connection(table: &mut TableReader<'_>) -> Option<ConnectionGrant> {
    let to = table.required::<EndpointPattern>("to", "{server}:{port}");
    let allow = table.choices::<NearAddress>("allow").unwrap_or_default();
    let reserved_port = table.boolean("reserved-port").unwrap_or_default();
    let timeout = within(table, "timeout", "10s", CONNECT_TIME).map_or(ConnectionGrant::TIMEOUT, |Span(time)| time);
    Some(ConnectionGrant { to: to?, allow, reserved_port, timeout })
}

fn patterns(table: &mut TableReader<'_>) -> Vec<String> {
    let patterns = table.words::<BridgePattern>("bridges", "fief-*").unwrap_or_default();
    patterns.into_iter().map(String::from).collect()
}

fn limits(table: &mut TableReader<'_>) -> Limits {
    let default = Limits::default();
    let count = |table: &mut TableReader<'_>, key: &str, maximum: i64, default: u32| {
        table.integer(key, 1..=maximum).and_then(|count| u32::try_from(count).ok()).unwrap_or(default)
    };
    let limits = Limits {
        memory: within(table, "memory", "64MiB", MEMORY).unwrap_or(default.memory),
        table_elements: count(table, "table-elements", TABLE_ELEMENTS_MAX, default.table_elements),
        handles: count(table, "handles", HANDLES_MAX, default.handles),
        cpu: within(table, "cpu", "2s", TIME).map_or(default.cpu, |Span(time)| time),
        wall: within(table, "wall", "30s", TIME).map_or(default.wall, |Span(time)| time),
        host_call_bytes: within(table, "host-call-bytes", "16MiB", HOST_CALL_BYTES).unwrap_or(default.host_call_bytes),
        log_lines_per_second: count(table, "log-lines-per-second", LOG_LINES_MAX, default.log_lines_per_second),
        busy_poll_microseconds: table
            .integer("busy-poll-microseconds", 0..=BUSY_POLL_MAX)
            .and_then(|time| u32::try_from(time).ok())
            .unwrap_or(default.busy_poll_microseconds),
    };
    if limits.cpu > limits.wall {
        let (cpu, wall) = (Span(limits.cpu), Span(limits.wall));
        let key = if table.has("cpu") { "cpu" } else { "wall" };
        table.wrong(
            key,
            format!("{cpu} of processor time do not fit in {wall} of wall time"),
            "raise wall, or lower cpu",
        );
    }
    limits
}

fn within<T>(table: &mut TableReader<'_>, key: &str, example: &str, (least, most): (T, T)) -> Option<T>
where
    T: FromStr<Err: Display> + PartialOrd + Display + Copy,
{
    let value = table.optional::<T>(key, example)?;
    if (least..=most).contains(&value) {
        return Some(value);
    }
    table.wrong(key, format!("{value} is not from {least} to {most}"), "");
    None
}

/// `[pools]` and `[networks]`: a kind, and the plugin that serves it, which has a table of its own even where that is empty.
fn served(table: &mut TableReader<'_>, plugins: &BTreeMap<PluginId, PluginGrants>) -> BTreeMap<String, PluginId> {
    let mut served = BTreeMap::new();
    for key in table.keys() {
        let plugin = table.optional::<PluginId>(&key, "storage-file");
        let kind = match key.parse::<KindWord>() {
            Ok(kind) => kind,
            Err(cause) => {
                table.wrong_key(&key, cause);
                continue;
            }
        };
        let Some(plugin) = plugin else { continue };
        if !plugins.contains_key(&plugin) {
            let hint = match nearest(plugin.as_str(), plugins.keys().map(PluginId::as_str)) {
                Some(known) => format!("did you mean {known:?}?"),
                None => format!("add [plugins.{plugin}], which may be empty"),
            };
            table.wrong(&key, format!("there is no [plugins.{plugin}]"), hint);
        }
        served.insert(kind.into(), plugin);
    }
    served
}

impl Choice for HostInterface {
    const WORDS: &'static [(&'static str, Self)] =
        &[("images", HostInterface::Images), ("bridges", HostInterface::Bridges), ("session", HostInterface::Session)];
}

impl Choice for NearAddress {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("loopback", NearAddress::Loopback),
        ("link-local", NearAddress::LinkLocal),
        ("this-host", NearAddress::ThisHost),
    ];
}

impl Choice for Access {
    const WORDS: &'static [(&'static str, Self)] =
        &[("read-only", Access::ReadOnly), ("read-write", Access::ReadWrite)];
}
