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

use crate::config::reader;
use crate::error::Result;
use serde::{Deserialize, Serialize};

use crate::types::PoolName;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PoolDefinition {
    pub name: PoolName,
    pub kind: String,
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// Reads a definition; `source` names the file in errors. Whole numbers and booleans among the settings become text:
/// their types are the plugin's schema's matter.
///
/// # Errors
/// `Usage`, with every mistake and its place.
pub fn parse(bytes: &[u8], source: &str) -> Result<PoolDefinition> {
    reader::read(bytes, source, "pool definition", |top| {
        let name = top.required("name");
        let kind = top.required::<String>("kind");
        let settings = top.table("settings", |table| table.plain_values()).unwrap_or_default();
        Some(PoolDefinition { name: name?, kind: kind?, settings })
    })
}

/// The definition as a file that [`parse`] reads as the same.
pub fn to_toml(definition: &PoolDefinition) -> String {
    // Strings and a table of strings: there is nothing that TOML cannot say.
    toml::to_string(definition).unwrap_or_default()
}
