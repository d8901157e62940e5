//! Changes to what policy.toml grants, made in its own text: comments, order and layout stay as the operator wrote them.
//!
//! ```text
//!   text ─▸ policy ─▸ the policy that is wanted ──────┐
//!     └──▸ the new text (text.rs, list.rs) ─▸ policy ─┴▸ the same? else nothing is changed
//! ```

mod lines;
mod list;
mod place;
#[cfg(test)]
mod tests;
mod text;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::parse::parse_or_nothing;
use super::{
    ConnectionGrant, DirectoryGrant, HostInterface, LimitName, LimitValue, Limits, NearAddress, PluginGrants, Policy,
};
use crate::config::reader::Choice;
use crate::config::text::KindWord;
use crate::error::{Failure, Result};
use crate::types::{Access, Digest, EndpointPattern, GrantName, Invalid, PluginId, Signer, Span};
use place::{Place, Step};
use text::Text;

pub use lines::changed;

/// One change to what policy says of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Edit {
    /// It has a table, even an empty one.
    Known,
    GrantInterface {
        interface: HostInterface,
    },
    RevokeInterface {
        interface: HostInterface,
    },
    /// In place of what is granted under that name.
    GrantDirectory {
        name: GrantName,
        path: PathBuf,
        access: Access,
    },
    RevokeDirectory {
        name: GrantName,
    },
    /// In place of what is granted under that name.
    GrantConnection {
        name: GrantName,
        to: EndpointPattern,
        allow: Vec<NearAddress>,
        reserved_port: bool,
        /// None: what policy has where nothing is written.
        timeout_ms: Option<u64>,
    },
    RevokeConnection {
        name: GrantName,
    },
    GrantSecret {
        name: GrantName,
    },
    RevokeSecret {
        name: GrantName,
    },
    GrantBridges {
        pattern: String,
    },
    RevokeBridges {
        pattern: String,
    },
    GrantPostcopy,
    RevokePostcopy,
    SetLimit {
        limit: LimitName,
        value: LimitValue,
    },
    /// What it is where nothing is written.
    UnsetLimit {
        limit: LimitName,
    },
    Pin {
        digest: Digest,
    },
    Unpin,
    PinSigner {
        signer: Signer,
    },
    UnpinSigner,
    /// It serves that kind of pool or network, whichever did before ([`may_serve`]).
    Serve {
        table: Served,
        kind: String,
    },
    Unserve {
        table: Served,
        kind: String,
    },
    /// All grants, the pin and limits; its table, too, where no line of policy names the plugin.
    RevokeAll,
}

/// Where policy says which plugin serves what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Served {
    Pools,
    Networks,
}

/// A word for a kind of pool or network.
///
/// # Errors
/// Why it is none.
pub fn kind(text: &str) -> std::result::Result<String, Invalid> {
    text.parse::<KindWord>().map(String::from)
}

impl Served {
    /// As policy.toml names the table.
    pub const fn table(self) -> &'static str {
        match self {
            Served::Pools => "pools",
            Served::Networks => "networks",
        }
    }
}

/// The text with those changes about the plugin `id` in it; `source` names it in messages. Where all is so already, it is
/// the same bytes.
///
/// # Errors
/// `Usage` where the text is no policy, or would be none: every mistake, with its place, as a cause.
pub fn edit(bytes: &[u8], source: &str, id: &PluginId, edits: &[Edit]) -> Result<Vec<u8>> {
    let mut policy = parse_or_nothing(bytes, source)?;
    let mut text = Text::new(bytes, source)?;
    for edit in edits {
        let wanted = edit.applied(&policy, id);
        if wanted != policy {
            edit.write(&mut text, &policy, id)?;
            if wanted.plugins.contains_key(id) {
                // Its last grant may have been what made its table.
                text.keep_table(&Place::of(["plugins", id.as_str()]))?;
            }
            policy = wanted;
        }
    }
    let after = text.into_bytes();
    if after == bytes {
        return Ok(after);
    }
    let read = parse_or_nothing(&after, source)
        .map_err(|failure| failure.while_doing(format!("policy would be wrong with what is asked for {id}")))?;
    // Nothing but what was asked for may have changed, however the text is laid out.
    if without_lines(read) != without_lines(policy) {
        return Err(Failure::other(format!("cannot change what {source} says of the plugin {id}, as it is written"))
            .hint(format!("write it by hand, below [plugins.{id}]")));
    }
    Ok(after)
}

/// # Errors
/// `Conflict` where another plugin serves that kind.
pub fn may_serve(policy: &Policy, table: Served, kind: &str, id: &PluginId) -> Result<()> {
    let by = match table {
        Served::Pools => policy.pools.get(kind),
        Served::Networks => policy.networks.get(kind),
    };
    match by {
        Some(other) if other != id => {
            Err(Failure::conflict(format!("{} of the kind {kind} are served by {other}", table.table()))
                .hint(format!("fief plugin revoke {other} --serve {kind}, if this one is to be in its place")))
        }
        Some(_) | None => Ok(()),
    }
}

/// Where a line stands is not what it says.
fn without_lines(mut policy: Policy) -> Policy {
    policy.select.migration.iter_mut().for_each(|line| line.line = 0);
    policy.trust.lines.iter_mut().for_each(|line| line.line = 0);
    policy
}

impl Edit {
    /// The policy that is wanted.
    fn applied(&self, policy: &Policy, id: &PluginId) -> Policy {
        let mut policy = policy.clone();
        let named = !policy.naming(id).is_empty();
        if let Edit::RevokeAll = self {
            match named {
                true => drop(policy.plugins.insert(id.clone(), PluginGrants::default())),
                false => drop(policy.plugins.remove(id)),
            }
            return policy;
        }
        if !self.grants() && !policy.plugins.contains_key(id) {
            return policy;
        }
        let grants = policy.plugins.entry(id.clone()).or_default();
        match self {
            Edit::Known | Edit::RevokeAll => {}
            Edit::GrantInterface { interface } => add(&mut grants.interfaces, interface),
            Edit::RevokeInterface { interface } => grants.interfaces.retain(|one| one != interface),
            Edit::GrantDirectory { name, path, access } => {
                let grant = DirectoryGrant { path: path.clone(), access: *access };
                grants.directories.insert(name.clone(), grant);
            }
            Edit::RevokeDirectory { name } => drop(grants.directories.remove(name)),
            Edit::GrantConnection { name, to, allow, reserved_port, timeout_ms } => {
                let grant = ConnectionGrant {
                    to: to.clone(),
                    allow: allow.clone(),
                    reserved_port: *reserved_port,
                    timeout: timeout_ms.map_or(ConnectionGrant::TIMEOUT, std::time::Duration::from_millis),
                };
                grants.connections.insert(name.clone(), grant);
            }
            Edit::RevokeConnection { name } => drop(grants.connections.remove(name)),
            Edit::GrantSecret { name } => add(&mut grants.secrets, name),
            Edit::RevokeSecret { name } => grants.secrets.retain(|one| one != name),
            Edit::GrantBridges { pattern } => add(&mut grants.bridges, pattern),
            Edit::RevokeBridges { pattern } => grants.bridges.retain(|one| one != pattern),
            Edit::GrantPostcopy => grants.postcopy = true,
            Edit::RevokePostcopy => grants.postcopy = false,
            Edit::SetLimit { limit, value } => limit.set(&mut grants.limits, *value),
            Edit::UnsetLimit { limit } => limit.set(&mut grants.limits, limit.of(&Limits::default())),
            Edit::Pin { digest } => grants.digest = Some(*digest),
            Edit::Unpin => grants.digest = None,
            Edit::PinSigner { signer } => grants.signer = Some(*signer),
            Edit::UnpinSigner => grants.signer = None,
            Edit::Serve { table, kind } => drop(policy.served_mut(*table).insert(kind.clone(), id.clone())),
            Edit::Unserve { table, kind } => {
                let served = policy.served_mut(*table);
                if served.get(kind) == Some(id) {
                    served.remove(kind);
                }
            }
        }
        policy
    }

    /// Whether a plugin without a table gets one.
    const fn grants(&self) -> bool {
        match self {
            Edit::Known
            | Edit::GrantInterface { .. }
            | Edit::GrantDirectory { .. }
            | Edit::GrantConnection { .. }
            | Edit::GrantSecret { .. }
            | Edit::GrantBridges { .. }
            | Edit::GrantPostcopy
            | Edit::SetLimit { .. }
            | Edit::Pin { .. }
            | Edit::PinSigner { .. }
            | Edit::Serve { .. } => true,
            Edit::RevokeInterface { .. }
            | Edit::RevokeDirectory { .. }
            | Edit::RevokeConnection { .. }
            | Edit::RevokeSecret { .. }
            | Edit::RevokeBridges { .. }
            | Edit::RevokePostcopy
            | Edit::UnsetLimit { .. }
            | Edit::Unpin
            | Edit::UnpinSigner
            | Edit::Unserve { .. }
            | Edit::RevokeAll => false,
        }
    }

    /// Writes the change; `policy` is what the text says before it.
    fn write(&self, text: &mut Text, policy: &Policy, id: &PluginId) -> Result<()> {
        let table = Place::of(["plugins", id.as_str()]);
        if self.grants() {
            text.ensure_table(&table)?;
        }
        match self {
            Edit::Known => Ok(()),
            Edit::GrantInterface { interface } => text.add_word(&table, "interfaces", word(*interface)),
            Edit::RevokeInterface { interface } => text.take_word(&table, "interfaces", word(*interface)),
            Edit::GrantDirectory { name, path, access } => {
                let access = (*access != Access::ReadOnly).then(|| quoted(word(*access)));
                let fields = [("path", Some(quoted(&path.to_string_lossy()))), ("access", access)];
                text.set_named(&table, "directories", name.as_str(), &fields)
            }
            Edit::RevokeDirectory { name } => text.take_named(&table, "directories", name.as_str()),
            Edit::GrantConnection { name, to, allow, reserved_port, timeout_ms } => {
                let near: Vec<String> = allow.iter().map(|near| quoted(near.as_str())).collect();
                let time = timeout_ms.map(|ms| quoted(&Span(std::time::Duration::from_millis(ms)).to_string()));
                let fields = [
                    ("to", Some(quoted(&to.to_string()))),
                    ("allow", (!near.is_empty()).then(|| format!("[{}]", near.join(", ")))),
                    ("reserved-port", reserved_port.then(|| "true".to_owned())),
                    ("timeout", time),
                ];
                text.set_named(&table, "connections", name.as_str(), &fields)
            }
            Edit::RevokeConnection { name } => text.take_named(&table, "connections", name.as_str()),
            Edit::GrantSecret { name } => text.add_word(&table, "secrets", name.as_str()),
            Edit::RevokeSecret { name } => text.take_word(&table, "secrets", name.as_str()),
            Edit::GrantBridges { pattern } => text.add_word(&table, "bridges", pattern),
            Edit::RevokeBridges { pattern } => text.take_word(&table, "bridges", pattern),
            Edit::GrantPostcopy => text.set(&table, "postcopy", "true"),
            Edit::RevokePostcopy => text.take(&table, "postcopy"),
            Edit::SetLimit { limit, value } => text.set_below(&table, "limits", limit.as_str(), &value.written()),
            Edit::UnsetLimit { limit } => text.take(&table.below(Step::Key("limits".to_owned())), limit.as_str()),
            Edit::Pin { digest } => text.set(&table, "digest", &quoted(&digest.to_string())),
            Edit::Unpin => text.take(&table, "digest"),
            Edit::PinSigner { signer } => text.set(&table, "signer", &quoted(&signer.to_string())),
            Edit::UnpinSigner => text.take(&table, "signer"),
            Edit::Serve { table, kind } => {
                let place = Place::of([table.table()]);
                text.ensure_table(&place)?;
                text.set(&place, kind, &quoted(id.as_str()))
            }
            Edit::Unserve { table, kind } => text.take(&Place::of([table.table()]), kind),
            Edit::RevokeAll => text.clear(&table, !policy.naming(id).is_empty()),
        }
    }
}

impl Policy {
    fn served_mut(&mut self, table: Served) -> &mut std::collections::BTreeMap<String, PluginId> {
        match table {
            Served::Pools => &mut self.pools,
            Served::Networks => &mut self.networks,
        }
    }
}

fn add<T: Clone + PartialEq>(all: &mut Vec<T>, one: &T) {
    if !all.contains(one) {
        all.push(one.clone());
    }
}

/// As policy.toml writes it.
fn word<T: Choice>(choice: T) -> &'static str {
    T::WORDS.iter().find(|(_, one)| *one == choice).map_or("", |(word, _)| word)
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
