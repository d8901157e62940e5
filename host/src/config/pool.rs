//! `pool.toml`: a place where volumes live.
//!
//! ```toml
//! name = "default"
//! kind = "file"                # policy's [pools] says which plugin serves it
//!
//! [settings]                   # the plugin's own, checked against its schema
//! directory = "images"
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::reader::Document;
use super::settings::{kind, settings};
use crate::error::{Failure, Result};
use crate::types::PoolName;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PoolDefinition {
    pub name: PoolName,
    pub kind: String,
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// Reads a definition; `source` names the text in messages.
///
/// # Errors
/// Kind `Usage`, with every mistake as a cause.
pub fn parse(bytes: &[u8], source: &str) -> Result<PoolDefinition> {
    Document::parse("pool definition", source, bytes)?.read(|table| {
        let name = table.required("name", "default");
        let kind = kind(table, "file");
        let settings = settings(table);
        Some(PoolDefinition { name: name?, kind: kind?, settings: settings? })
    })
}

/// The definition as TOML, which `parse` reads back as the same.
///
/// # Errors
/// None that is known: every definition is plain text.
pub fn to_toml(definition: &PoolDefinition) -> Result<String> {
    toml::to_string(definition).map_err(|error| {
        Failure::other(format!("cannot write the definition of {} as TOML", definition.name)).because(error)
    })
}
