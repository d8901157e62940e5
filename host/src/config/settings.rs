//! The `[settings]` of a pool or a network: the plugin's own keys, held here to what any plugin may be given.
//! The plugin's schema is held against them later, when the plugin is known.

use std::collections::BTreeMap;

use super::reader::TableReader;
use super::text::{KindWord, ShortText};

/// Most settings of one pool or network: more than any plugin's schema has.
const SETTINGS_MAX: usize = 64;
/// Longest key, in bytes.
const KEY_MAX: usize = 64;
/// Longest value, in bytes: a path fits.
const VALUE_MAX: usize = 4096;

/// Numbers and booleans become text, because that is what a plugin gets: `port = 2049` and `port = "2049"` are one.
pub(super) fn settings(table: &mut TableReader<'_>) -> Option<BTreeMap<String, String>> {
    table.section("settings", |table| {
        let mut settings = BTreeMap::new();
        for (count, key) in table.keys().into_iter().enumerate() {
            let Some(value) = table.scalar(&key) else { continue };
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if count == SETTINGS_MAX {
                table.wrong_key(&key, format!("at most {SETTINGS_MAX} settings are allowed"));
            } else if key.is_empty() || key.len() > KEY_MAX || !key.chars().all(plain) {
                table.wrong_key(&key, "is not a key; letters, digits, '-' and '_' make one");
            } else if let Err(cause) = value.parse::<ShortText<VALUE_MAX>>() {
                table.wrong(&key, cause, "");
            } else {
                settings.insert(key, value);
            }
        }
        settings
    })
}

/// The key `kind`, which policy gives to a plugin.
pub(super) fn kind(table: &mut TableReader<'_>, example: &str) -> Option<String> {
    table.required::<KindWord>("kind", example).map(String::from)
}
