//! The manifest: what a plugin says of itself, in the custom section `fief:manifest` of its component (JSON),
//! read without running it.

use serde::{Deserialize, Serialize};

use crate::config::policy::HostInterface;
use crate::error::{Failure, Result};
use crate::plugin::text::printable;
use crate::sandbox::protocol::PluginKind;
use crate::types::{Access, EndpointPattern, GrantName, Invalid, PluginId, text_serde};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Manifest {
    /// Version of this schema: 1.
    pub schema: u32,
    pub id: PluginId,
    /// Semantic version 2.0.0.
    pub version: String,
    pub kind: PluginKind,
    /// Lowest host interface version, `0.1.0`.
    pub host_api: String,
    pub summary: String,
    pub settings: Vec<SettingSchema>,
    pub permissions: Vec<Permission>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SettingSchema {
    pub key: String,
    #[serde(rename = "type")]
    pub kind: SettingKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    #[serde(default)]
    pub required: bool,
    pub doc: String,
}

/// `string`, `integer` (64-bit), `boolean`, `size` (`20GiB`), `address` (IPv4), `cidr`, `directory` (the name of a
/// directory grant), `secret` (the name of a secret).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingKind {
    String,
    Integer,
    Boolean,
    Size,
    Address,
    Cidr,
    Directory,
    Secret,
}

/// Something that the plugin wants, with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "permission", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Permission {
    Interface {
        interface: HostInterface,
        reason: String,
    },
    /// Any directory that the operator grants, up to this access.
    Directory {
        access: Access,
        reason: String,
    },
    /// A stream that the plugin opens by `name`; policy grants it under that name, to the same endpoint or to fewer.
    Connect {
        name: GrantName,
        to: EndpointPattern,
        reason: String,
    },
    Secret {
        name: SecretAsk,
        reason: String,
    },
}

/// Which secret a plugin wants: one by its own name, or in braces whichever a setting names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretAsk {
    Fixed(GrantName),
    Setting(String),
}

impl std::fmt::Display for SecretAsk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SecretAsk::Fixed(name) => name.fmt(f),
            SecretAsk::Setting(key) => write!(f, "{{{key}}}"),
        }
    }
}

impl std::str::FromStr for SecretAsk {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(key) => setting_key(key).map(|()| SecretAsk::Setting(key.to_owned())).map_err(Invalid),
            None => text.parse().map(SecretAsk::Fixed),
        }
    }
}

text_serde!(SecretAsk);

/// The host interface version that this host serves; a plugin that needs a later one is refused.
const HOST_API: [u64; 3] = [0, 1, 0];
/// Most settings, and most permissions, of a plugin.
const ITEMS_MAX: usize = 64;
/// Longest text for people in a manifest, in bytes.
const TEXT_MAX: usize = 1_000;

impl PluginKind {
    /// As manifests write it.
    pub const fn name(self) -> &'static str {
        match self {
            PluginKind::Storage => "storage",
            PluginKind::Network => "network",
            PluginKind::Migration => "migration",
        }
    }
}

impl Manifest {
    /// Reads a manifest's JSON and checks what its types do not.
    ///
    /// # Errors
    /// `Usage`, with the place in the JSON or the field that is wrong.
    pub fn parse(json: &[u8]) -> Result<Manifest> {
        let manifest: Manifest = serde_json::from_slice(json).map_err(|error| {
            let mut failure = Failure::usage("the plugin's manifest cannot be read");
            failure.causes.push(printable(&error.to_string()));
            failure.hint("build the plugin with the SDK of this version of fief")
        })?;
        manifest.check().map_err(|reason| Failure::usage(format!("the plugin's manifest is wrong: {reason}")))?;
        Ok(manifest)
    }

    /// # Errors
    /// With what is wrong, for people.
    pub fn check(&self) -> Result<(), String> {
        if self.schema != 1 {
            return Err(format!("its schema is {}, this host reads 1", self.schema));
        }
        semantic(&self.version)
            .ok_or_else(|| format!("version {:?} is not a semantic version, as 1.2.3", printable(&self.version)))?;
        let wanted = semantic(&self.host_api)
            .ok_or_else(|| format!("host-api {:?} is not a version, as 0.1.0", printable(&self.host_api)))?;
        if wanted > HOST_API {
            let [major, minor, patch] = wanted;
            return Err(format!("it needs the host interfaces {major}.{minor}.{patch}, this host has 0.1.0"));
        }
        plain("summary", &self.summary)?;
        if self.settings.len() > ITEMS_MAX || self.permissions.len() > ITEMS_MAX {
            return Err(format!("it has more than {ITEMS_MAX} settings or permissions"));
        }
        for (index, setting) in self.settings.iter().enumerate() {
            setting_key(&setting.key)?;
            plain("doc", &setting.doc)?;
            if self.settings[..index].iter().any(|earlier| earlier.key == setting.key) {
                return Err(format!("it has the setting {} twice", setting.key));
            }
            if setting.required && setting.default.is_some() {
                return Err(format!("the setting {} is required and has a default", setting.key));
            }
        }
        let kind = |key: &str| self.settings.iter().find(|setting| setting.key == key).map(|setting| setting.kind);
        self.permissions.iter().try_for_each(|permission| match permission {
            Permission::Interface { reason, .. } | Permission::Directory { reason, .. } => plain("reason", reason),
            Permission::Connect { name, to, reason } => {
                if let Some(unknown) = to.settings().into_iter().find(|key| kind(key).is_none()) {
                    return Err(format!("the connection {name} names {unknown}, which is no setting"));
                }
                plain("reason", reason)
            }
            Permission::Secret { name, reason } => {
                if let SecretAsk::Setting(key) = name
                    && kind(key) != Some(SettingKind::Secret)
                {
                    return Err(format!("the secret {name} names what is no setting of the type secret"));
                }
                plain("reason", reason)
            }
        })
    }

    /// Whether the plugin asks for this host interface.
    pub fn asks_for(&self, wanted: HostInterface) -> bool {
        self.permissions.iter().any(|permission| match permission {
            Permission::Interface { interface, .. } => *interface == wanted,
            Permission::Directory { .. } | Permission::Connect { .. } | Permission::Secret { .. } => false,
        })
    }
}

fn setting_key(key: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match key.len() {
        1..=64 if key.chars().all(fits) && key.starts_with(|c: char| c.is_ascii_lowercase()) => Ok(()),
        _ => Err(format!("{:?} is not a key of a setting; lower case letters, digits and '-' are", printable(key))),
    }
}

fn plain(field: &str, text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > TEXT_MAX {
        return Err(format!("{field} is {} bytes long, 1 to {TEXT_MAX} are allowed", text.len()));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(bad) => Err(format!("{field} holds the character {bad:?}")),
        None => Ok(()),
    }
}

/// Major, minor and patch of a version after Semantic Versioning 2.0.0; none where it is not one.
fn semantic(version: &str) -> Option<[u64; 3]> {
    let (rest, build) = version.split_once('+').map_or((version, None), |(rest, build)| (rest, Some(build)));
    let (core, before) = rest.split_once('-').map_or((rest, None), |(core, before)| (core, Some(before)));
    let identifiers = |part: Option<&str>| {
        part.is_none_or(|part| {
            part.split('.').all(|i| !i.is_empty() && i.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
        })
    };
    if version.len() > 128 || !identifiers(before) || !identifiers(build) {
        return None;
    }
    let mut numbers = core.split('.').map(|number| {
        let plain = number.bytes().all(|b| b.is_ascii_digit()) && (number == "0" || !number.starts_with('0'));
        number.parse::<u64>().ok().filter(|_| plain)
    });
    let triple = [numbers.next()??, numbers.next()??, numbers.next()??];
    numbers.next().is_none().then_some(triple)
}

#[cfg(test)]
impl Manifest {
    /// For tests: without settings, and asking for nothing.
    pub(crate) fn plain(kind: PluginKind) -> Manifest {
        Manifest {
            schema: 1,
            id: "storage-file".parse().unwrap(),
            version: "0.1.0".into(),
            kind,
            host_api: "0.1.0".into(),
            summary: "It.".into(),
            settings: Vec::new(),
            permissions: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn good() -> Value {
        json!({
            "schema": 1, "id": "storage-file", "version": "0.1.0", "kind": "storage", "host-api": "0.1.0",
            "summary": "Volumes as files.",
            "settings": [{ "key": "directory", "type": "directory", "required": true, "doc": "Where." }],
            "permissions": [
                { "permission": "interface", "interface": "images", "reason": "Makes images." },
                { "permission": "directory", "access": "read-write", "reason": "Lists images." },
            ],
        })
    }

    #[test]
    fn a_manifest_says_what_the_plugin_asks_for() {
        let manifest = Manifest::parse(good().to_string().as_bytes()).unwrap();
        assert!(manifest.asks_for(HostInterface::Images));
        assert!(!manifest.asks_for(HostInterface::Bridges));
    }

    #[test]
    fn a_wrong_manifest_is_refused_by_the_field_that_is_wrong() {
        let cases: [(&str, Value, &str); 18] = [
            ("/schema", json!(2), "its schema is 2"),
            ("/id", json!("a/x"), "may not stand in a name"),
            ("/id", json!(""), "may not be empty"),
            ("/version", json!("1.0"), "not a semantic version"),
            ("/version", json!("1.0.01"), "not a semantic version"),
            ("/kind", json!("cooking"), "unknown variant"),
            ("/host-api", json!("0.2.0"), "needs the host interfaces 0.2.0"),
            ("/summary", json!("a\u{1b}[2J"), "holds the character"),
            ("/summary", json!("x".repeat(TEXT_MAX + 1)), "bytes long"),
            ("/settings/0/key", json!("A b"), "not a key"),
            ("/settings/0/default", json!("x"), "required and has a default"),
            ("/permissions/0/interface", json!("kernel"), "unknown variant"),
            ("/permissions/0/permission", json!("root"), "unknown variant"),
            (
                "/permissions/0",
                json!({ "permission": "connect", "name": "s", "to": "{server}:1", "reason": "x" }),
                "no setting",
            ),
            (
                "/permissions/0",
                json!({ "permission": "connect", "name": "s", "to": "a", "reason": "x" }),
                "not HOST:PORT",
            ),
            ("/permissions/0", json!({ "permission": "secret", "name": "{directory}", "reason": "x" }), "type secret"),
            ("/permissions/0", json!({ "permission": "secret", "name": "a/b", "reason": "x" }), "may not stand"),
            ("/permissions/1/acess", json!("read-write"), "unknown field"),
        ];
        for (place, value, cause) in cases {
            let mut manifest = good();
            let (parent, key) = place.rsplit_once('/').unwrap();
            let parent = manifest.pointer_mut(parent).unwrap();
            match (key.parse::<usize>(), parent) {
                (Ok(index), Value::Array(all)) => all[index] = value,
                (_, parent) => parent[key] = value,
            }
            let failure = Manifest::parse(manifest.to_string().as_bytes()).unwrap_err();
            assert!(failure.to_string().contains(cause), "{place}: {failure}");
        }
        for json in ["", "[]", "{", "{}", "null", "\"x\""] {
            assert!(Manifest::parse(json.as_bytes()).is_err(), "{json:?} was taken");
        }
    }

    #[test]
    fn versions_follow_semver() {
        for good in ["0.0.0", "1.2.3", "1.0.0-alpha.1+build.5", "10.20.30-rc.1"] {
            assert!(semantic(good).is_some(), "{good}");
        }
        for bad in ["", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.-3", "1.2.3-", "1.2.3+", "v1.2.3", "1.2.3-a..b"] {
            assert!(semantic(bad).is_none(), "{bad}");
        }
    }
}
