//! A definition's settings against the schema of the plugin's manifest.

use std::collections::BTreeMap;

use crate::error::{Failure, Result};
use crate::plugin::Manifest;

/// The settings in the order of the schema, defaults filled in.
///
/// # Errors
/// `Usage` for a key that the plugin does not have, or one that it needs and that is missing.
pub fn resolve(manifest: &Manifest, written: &BTreeMap<String, String>) -> Result<Vec<(String, String)>> {
    if let Some(key) = written.keys().find(|key| !manifest.settings.iter().any(|s| s.key == **key)) {
        return Err(Failure::usage(format!("plugin {} has no setting {key:?}", manifest.id)));
    }
    let mut settings = Vec::new();
    for schema in &manifest.settings {
        match written.get(&schema.key).or(schema.default.as_ref()) {
            Some(value) => settings.push((schema.key.clone(), value.clone())),
            None if schema.required => {
                return Err(Failure::usage(format!("plugin {} needs the setting {:?}", manifest.id, schema.key)));
            }
            None => {}
        }
    }
    Ok(settings)
}
