//! Settings of a pool or network, held against the schema in its plugin's manifest: what the plugin then sees is
//! complete and of the right types.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::Manifest;
use super::manifest::{SettingKind, SettingSchema};
use crate::error::{Failure, Kind, Result};
use crate::types::{ByteSize, Cidr, GrantName};

/// Longest value, in bytes: a path or a URL with room to spare.
const VALUE_MAX: usize = 4096;
/// How alike two words are (Jaro-Winkler, 0 to 1) before one is offered for the other.
const ALIKE: f64 = 0.7;

/// The settings in the order of the schema, defaults filled in. Values stay as they were written.
///
/// # Errors
/// `Usage` with every mistake as a cause of its own; `PluginFault` where the schema's own default is wrong.
pub fn resolve(manifest: &Manifest, given: &BTreeMap<String, String>) -> Result<Vec<(String, String)>> {
    let mut mistakes: Vec<String> =
        given.keys().filter(|key| schema(manifest, key).is_none()).map(|key| unknown(manifest, key)).collect();
    let mut all = Vec::new();
    for setting in &manifest.settings {
        let key = &setting.key;
        match (given.get(key), &setting.default) {
            (Some(value), _) => match check(setting.kind, value) {
                Ok(()) => all.push((key.clone(), value.clone())),
                Err(why) => mistakes.push(format!("setting {key:?}: {why}")),
            },
            (None, Some(default)) => match check(setting.kind, default) {
                Ok(()) => all.push((key.clone(), default.clone())),
                Err(why) => {
                    let message = format!("the manifest of plugin {} gives {key:?} a wrong default", manifest.id);
                    return Err(Failure { causes: vec![why], ..Failure::new(Kind::PluginFault, message) });
                }
            },
            (None, None) if setting.required => {
                mistakes.push(format!("setting {key:?} is missing: {}", printable(&setting.doc)));
            }
            (None, None) => {}
        }
    }
    if mistakes.is_empty() {
        return Ok(all);
    }
    let message = format!("the settings are not what plugin {} takes", manifest.id);
    Err(Failure { causes: mistakes, ..Failure::usage(message) }
        .hint(format!("`fief plugin show {}` lists its settings", manifest.id)))
}

fn schema<'a>(manifest: &'a Manifest, key: &str) -> Option<&'a SettingSchema> {
    manifest.settings.iter().find(|setting| setting.key == key)
}

fn unknown(manifest: &Manifest, key: &str) -> String {
    let likeness = |setting: &&SettingSchema| strsim::jaro_winkler(&setting.key, key);
    let nearest = manifest.settings.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|setting| likeness(setting) >= ALIKE) {
        Some(setting) => format!("setting {key:?} is not known; did you mean {:?}?", setting.key),
        None => format!("setting {key:?} is not known"),
    }
}

fn check(kind: SettingKind, value: &str) -> std::result::Result<(), String> {
    if value.len() > VALUE_MAX {
        return Err(format!("the value is {} bytes long, at most {VALUE_MAX} are allowed", value.len()));
    }
    if let Some(bad) = value.chars().find(|c| c.is_control()) {
        return Err(format!("{bad:?} may not stand in a value"));
    }
    let wrong = |what: &str| format!("{value:?} is not {what}");
    match kind {
        SettingKind::String => Ok(()),
        SettingKind::Integer => value.parse::<i64>().map(drop).map_err(|_| wrong("a whole number of 64 bits")),
        SettingKind::Boolean => match value {
            "true" | "false" => Ok(()),
            _ => Err(wrong("true or false")),
        },
        SettingKind::Size => value.parse::<ByteSize>().map(drop).map_err(|invalid| invalid.0),
        SettingKind::Address => value.parse::<Ipv4Addr>().map(drop).map_err(|_| wrong("an IPv4 address")),
        SettingKind::Cidr => value.parse::<Cidr>().map(drop).map_err(|invalid| invalid.0),
        SettingKind::Directory => {
            value.parse::<GrantName>().map(drop).map_err(|why| format!("{} (the name of a granted directory)", why.0))
        }
        SettingKind::Secret => {
            value.parse::<GrantName>().map(drop).map_err(|why| format!("{} (the name of a secret)", why.0))
        }
    }
}

/// A plugin's own words, safe to print.
fn printable(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::protocol::PluginKind;

    fn setting(key: &str, kind: SettingKind, default: Option<&str>, required: bool) -> SettingSchema {
        SettingSchema {
            key: key.into(),
            kind,
            default: default.map(str::to_owned),
            required,
            doc: "what\x1b it is".into(),
        }
    }

    fn manifest(settings: Vec<SettingSchema>) -> Manifest {
        Manifest { settings, ..Manifest::plain(PluginKind::Storage) }
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn defaults_are_filled_in_and_the_schema_gives_the_order() {
        let manifest = manifest(vec![
            setting("directory", SettingKind::Directory, None, true),
            setting("subfolder", SettingKind::String, None, false),
            setting("cache", SettingKind::Size, Some("1MiB"), false),
            setting("age", SettingKind::Integer, Some("5"), false),
        ]);
        let all = resolve(&manifest, &given(&[("age", "7"), ("directory", "images")])).unwrap();
        let all: Vec<_> = all.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(all, [("directory", "images"), ("cache", "1MiB"), ("age", "7")]);
    }

    #[test]
    fn all_mistakes_come_at_once_with_the_nearest_key() {
        let manifest = manifest(vec![
            setting("directory", SettingKind::Directory, None, true),
            setting("cache", SettingKind::Size, None, false),
        ]);
        let failure = resolve(&manifest, &given(&[("directry", "images"), ("cache", "12"), ("zz", "")])).unwrap_err();
        assert_eq!(failure.kind, Kind::Usage);
        assert_eq!(failure.causes.len(), 4, "{:?}", failure.causes);
        assert!(failure.causes[0].contains("did you mean \"directory\"?"));
        assert_eq!(failure.causes[1], "setting \"zz\" is not known");
        assert!(failure.causes[2].contains("is missing: what\\u{1b} it is"));
        assert!(failure.causes[3].contains("has no unit"));
    }

    #[test]
    fn values_have_the_type_that_the_schema_says() {
        let cases = [
            (SettingKind::String, "any text", "a\nb"),
            (SettingKind::Integer, "-3", "3.0"),
            (SettingKind::Boolean, "true", "yes"),
            (SettingKind::Size, "2GiB", "2"),
            (SettingKind::Address, "10.0.0.1", "10.0.0"),
            (SettingKind::Cidr, "10.0.0.1/24", "10.0.0.1"),
            (SettingKind::Directory, "images", "/images"),
            (SettingKind::Secret, "key", "a b"),
        ];
        for (kind, good, bad) in cases {
            let manifest = manifest(vec![setting("key", kind, None, false)]);
            assert!(resolve(&manifest, &given(&[("key", good)])).is_ok(), "{kind:?} {good}");
            assert!(resolve(&manifest, &given(&[("key", bad)])).is_err(), "{kind:?} {bad}");
        }
        let wrong = manifest(vec![setting("key", SettingKind::Integer, Some("x"), false)]);
        assert_eq!(resolve(&wrong, &given(&[])).unwrap_err().kind, Kind::PluginFault);
        let long = "x".repeat(VALUE_MAX + 1);
        let text = manifest(vec![setting("key", SettingKind::String, None, false)]);
        assert!(resolve(&text, &given(&[("key", &long)])).is_err());
    }
}
