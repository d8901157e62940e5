//! The manifest: what a plugin says of itself, in the custom section `fief:manifest` of its component (JSON),
//! read without running it.

use serde::{Deserialize, Serialize};

use crate::config::policy::HostInterface;
use crate::sandbox::protocol::PluginKind;
use crate::types::{Access, PluginId};

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
    Connect {
        to: String,
        reason: String,
    },
    Secret {
        name: String,
        reason: String,
    },
}
