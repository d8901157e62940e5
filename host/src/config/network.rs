//! `network.toml`: a named network.
//!
//! ```toml
//! name = "lab"
//! kind = "host-only"           # policy's [networks] says which plugin serves it
//!
//! [settings]                   # the plugin's own, checked against its schema
//! address = "10.77.0.1/24"
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::types::NetworkName;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NetworkDefinition {
    pub name: NetworkName,
    pub kind: String,
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}
