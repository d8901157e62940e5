//! `policy.toml`: what each plugin may do, and which plugin serves what. Deny by default: no file, no grants.
//!
//! ```toml
//! [host]                                     # all optional
//! qemu = "/usr/bin/qemu-system-x86_64"
//! qemu-img = "/usr/bin/qemu-img"
//! dnsmasq = "/usr/sbin/dnsmasq"
//! nft = "/usr/sbin/nft"
//! uid-base = 1900000000
//!
//! [plugins.storage-file]
//! digest = "sha256:…"                        # optional pin
//! interfaces = ["images"]
//! directories = [{ name = "images", path = "/var/lib/fief/images", access = "read-write" }]  # read-only where absent
//! secrets = ["backup-key"]                  # names of `fief secret set`
//! connections = [{ name = "server", to = "{server}:{port}" }]   # and optionally allow, reserved-port, timeout
//! limits = { memory = "64MiB", cpu = "2s", wall = "10s" }
//!
//! [plugins.network-host-only]
//! interfaces = ["bridges"]
//! bridges = ["fief-*"]                       # names that it may make and use
//!
//! [plugins.network-user]                     # serves, and is granted nothing
//!
//! [plugins.migration-live]
//! interfaces = ["session"]
//! postcopy = true                            # a guest may go on where not all of it is yet
//!
//! [pools]                                    # kind of pool → plugin
//! file = "storage-file"
//!
//! [networks]                                 # kind of network → plugin
//! host-only = "network-host-only"
//! user = "network-user"
//! ```
//!
//! `[relocation]` (policy/relocation.rs) says whether other hosts reach this one, and what they may bring;
//! `[[select.migration]]` (policy/select.rs) which strategy moves which domain; `[trust]` (policy/trust.rs) whose signature is
//! wanted of which plugin.
//!
//! A plugin that `[pools]`, `[networks]` or `[[select.migration]]` names has a table here, even an empty one. Nobody but root and the user who
//! runs fief may be able to write the file.

pub mod edit;
mod limit;
mod parse;
mod pattern;
mod relocation;
pub mod select;
#[cfg(test)]
mod tests;
mod trust;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::types::{Access, ByteSize, Digest, EndpointPattern, GrantName, PluginId, Signer};

pub use limit::{LimitName, LimitValue, SetLimit};
pub use parse::{load, parse, read};
pub use relocation::{Accept, Encryption, Relocation};
pub use select::Selection;
pub use trust::Trust;

/// The checked policy.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    pub host: HostSettings,
    pub plugins: BTreeMap<PluginId, PluginGrants>,
    /// Kind of pool → plugin that serves it.
    pub pools: BTreeMap<String, PluginId>,
    /// Kind of network → plugin that serves it.
    pub networks: BTreeMap<String, PluginId>,
    pub relocation: Relocation,
    pub select: Selection,
    pub trust: Trust,
}

impl Policy {
    /// The bytes that alone may run under that id, where policy says so.
    pub fn pinned(&self, id: &PluginId) -> Option<Digest> {
        self.plugins.get(id).and_then(|grants| grants.digest)
    }
    /// Whose signature alone lets bytes run under that id, where policy says so.
    pub fn pinned_signer(&self, id: &PluginId) -> Option<Signer> {
        self.plugins.get(id).and_then(|grants| grants.signer)
    }
    /// The lines that choose this plugin, so that it needs a table: `[pools] file`.
    pub fn naming(&self, id: &PluginId) -> Vec<String> {
        let kinds = |table: &str, served: &BTreeMap<String, PluginId>| {
            let mine = served.iter().filter(|(_, plugin)| *plugin == id);
            mine.map(|(kind, _)| format!("[{table}] {kind}")).collect::<Vec<_>>()
        };
        let mut lines = kinds("pools", &self.pools);
        lines.extend(kinds("networks", &self.networks));
        let moves = self.select.migration.iter().filter(|line| line.strategy == *id);
        lines.extend(moves.map(|line| format!("[[select.migration]], line {}", line.line)));
        lines
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSettings {
    pub qemu: PathBuf,
    pub qemu_img: PathBuf,
    pub dnsmasq: PathBuf,
    pub nft: PathBuf,
    /// First of the user ids that fief gives to domains and sandboxes where it runs as root: domain *n* runs as
    /// `uid_base + n % 65536`, plugins from `uid_base + 65536` on.
    pub uid_base: u32,
}

impl Default for HostSettings {
    fn default() -> Self {
        HostSettings {
            qemu: PathBuf::from("/usr/bin/qemu-system-x86_64"),
            qemu_img: PathBuf::from("/usr/bin/qemu-img"),
            dnsmasq: PathBuf::from("/usr/sbin/dnsmasq"),
            nft: PathBuf::from("/usr/sbin/nft"),
            // Above the ranges that systemd hands out (systemd.io/UIDS-GIDS), below 2^31.
            uid_base: 1_900_000_000,
        }
    }
}

/// What the operator lets one plugin do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PluginGrants {
    /// Only these bytes are loaded under this id.
    pub digest: Option<Digest>,
    /// Only what this key has signed is loaded under this id.
    pub signer: Option<Signer>,
    pub interfaces: Vec<HostInterface>,
    pub directories: BTreeMap<GrantName, DirectoryGrant>,
    pub connections: BTreeMap<GrantName, ConnectionGrant>,
    pub secrets: Vec<GrantName>,
    /// Patterns of interface names (`*` stands for any run of characters).
    pub bridges: Vec<String>,
    /// A strategy may let a guest go on at the target before all of its memory is there.
    pub postcopy: bool,
    pub limits: Limits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostInterface {
    Images,
    Bridges,
    Session,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryGrant {
    /// Absolute.
    pub path: PathBuf,
    pub access: Access,
}

/// A stream that a plugin may have, filled from the settings of the pool that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionGrant {
    pub to: EndpointPattern,
    /// Addresses near this host that are not refused.
    pub allow: Vec<NearAddress>,
    /// From a source port below 1024, as servers want that take such a port for a word of root's.
    pub reserved_port: bool,
    /// For all of it: looking the name up, and connecting.
    pub timeout: Duration,
}

impl ConnectionGrant {
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// A grant with nothing beyond its endpoint.
    pub fn new(to: EndpointPattern) -> Self {
        ConnectionGrant { to, allow: Vec::new(), reserved_port: false, timeout: Self::TIMEOUT }
    }
}

/// Addresses that lead to this host, or to its own links alone. A name is not trusted to lead there: whoever answers for
/// it would have a way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NearAddress {
    /// 127.0.0.0/8, ::1
    Loopback,
    /// 169.254.0.0/16, fe80::/10
    LinkLocal,
    /// What one of this host's own links has.
    ThisHost,
}

impl NearAddress {
    /// As policy.toml writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            NearAddress::Loopback => "loopback",
            NearAddress::LinkLocal => "link-local",
            NearAddress::ThisHost => "this-host",
        }
    }
}

/// What one control call may spend. Defaults are the fields of [`Limits::default`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Limits {
    /// Sum over all linear memories.
    pub memory: ByteSize,
    /// Sum over all tables, in elements.
    pub table_elements: u32,
    /// Handles (resources) that the plugin holds at once.
    pub handles: u32,
    /// Processor time of the plugin's own code.
    pub cpu: Duration,
    /// From the call to its answer, less the time that the host spends on what the plugin asks of it: copying an image
    /// takes as long as it takes.
    pub wall: Duration,
    /// Bytes that cross between plugin and host in one call.
    pub host_call_bytes: ByteSize,
    pub log_lines_per_second: u32,
    /// How long a sandbox that serves a volume looks for the next event before it sleeps. 0: never.
    pub busy_poll_microseconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory: ByteSize::from_mib(64),
            table_elements: 100_000,
            handles: 1_000,
            cpu: Duration::from_secs(2),
            wall: Duration::from_secs(30),
            host_call_bytes: ByteSize::from_mib(16),
            log_lines_per_second: 200,
            busy_poll_microseconds: 100,
        }
    }
}
