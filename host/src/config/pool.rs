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

use crate::types::PoolName;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PoolDefinition {
    pub name: PoolName,
    pub kind: String,
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}
