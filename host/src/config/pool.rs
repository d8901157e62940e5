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
use crate::error::Result;
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

/// The definition as TOML, which [`parse`] reads back as the same.
pub fn to_toml(definition: &PoolDefinition) -> String {
    // Texts and a table of texts: there is nothing that TOML cannot say.
    toml::to_string(definition).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn settings_are_texts_however_they_are_written() {
        let text = "name = \"n\"\nkind = \"file\"\n[settings]\na = \"x y\"\nb = 0x10\nc = true\nd = -1_000\n";
        let definition = parse(text.as_bytes(), "x.toml").unwrap();
        let settings: Vec<_> = definition.settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(settings, [("a", "x y"), ("b", "16"), ("c", "true"), ("d", "-1000")]);
    }

    proptest! {
        #[test]
        fn a_definition_reads_back_as_itself(
            name in "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,20}",
            kind in "[a-z][a-z0-9-]{0,20}",
            settings in prop::collection::btree_map("[a-zA-Z0-9_-]{1,10}", "[ -~é\u{1f980}]{0,20}", 0..8),
        ) {
            let definition = PoolDefinition { name: name.parse().unwrap(), kind, settings };
            let text = to_toml(&definition);
            prop_assert_eq!(parse(text.as_bytes(), "x.toml"), Ok(definition));
        }
    }
}
