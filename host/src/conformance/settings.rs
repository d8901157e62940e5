//! Settings that are made up: plain ones where the operator gave none, and odd ones that a schema takes all the same. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::plugin::Manifest;
use crate::plugin::manifest::SettingKind;
use crate::types::GrantName;

/// More odd values than this no kind of setting has.
pub(super) const ODD_MOST: usize = 8;
/// What a directory is called that no setting names.
const DIRECTORY: &str = "directory";

/// A value for each setting that has to have one.
pub(super) fn made_up(manifest: &Manifest) -> BTreeMap<String, String> {
    let required = manifest.settings.iter().filter(|setting| setting.required);
    required.map(|setting| (setting.key.clone(), plain(setting.kind).to_owned())).collect()
}

const fn plain(kind: SettingKind) -> &'static str {
    match kind {
        SettingKind::String => "fieftest",
        SettingKind::Integer => "1",
        SettingKind::Boolean => "true",
        SettingKind::Size => "4MiB",
        // RFC 5737: nobody has these.
        SettingKind::Address => "192.0.2.1",
        SettingKind::Cidr => "192.0.2.1/24",
        SettingKind::Directory => DIRECTORY,
        SettingKind::Secret => "fieftest",
    }
}

/// Values that a schema takes, and that few think of.
pub(super) fn odd(kind: SettingKind) -> Vec<String> {
    let all: &[&str] = match kind {
        SettingKind::String => {
            let long = "x".repeat(4096);
            let texts =
                ["", " ", "../../etc/passwd", "%s%n\\\"'`$(:)", "\u{fc}\u{1f600}\u{202e}e\u{301}", "[::1]:0", "-1"];
            return texts.map(str::to_owned).into_iter().chain([long]).collect();
        }
        SettingKind::Integer => &["0", "-1", "9223372036854775807", "-9223372036854775808"],
        SettingKind::Boolean => &["false", "true"],
        SettingKind::Size => &["0B", "1B", "9223372036854775807B"],
        SettingKind::Address => &["0.0.0.0", "255.255.255.255", "127.0.0.1"],
        SettingKind::Cidr => &["1.2.3.4/1", "192.0.2.1/30", "223.255.255.254/24"],
        SettingKind::Directory | SettingKind::Secret => &["0", "elsewhere"],
    };
    all.iter().map(|value| (*value).to_owned()).collect()
}

/// The names by which settings call directories; one of our own where none does.
pub(super) fn directories(manifest: &Manifest, given: &BTreeMap<String, String>) -> BTreeSet<GrantName> {
    let settings = manifest.settings.iter().filter(|setting| setting.kind == SettingKind::Directory);
    let values = settings.filter_map(|setting| given.get(&setting.key).or(setting.default.as_ref()));
    let names: BTreeSet<GrantName> = values.filter_map(|value| value.parse().ok()).collect();
    if names.is_empty() { DIRECTORY.parse().into_iter().collect() } else { names }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::manifest::SettingSchema;
    use crate::plugin::settings::resolve;
    use crate::sandbox::protocol::PluginKind;

    const KINDS: [SettingKind; 8] = [
        SettingKind::String,
        SettingKind::Integer,
        SettingKind::Boolean,
        SettingKind::Size,
        SettingKind::Address,
        SettingKind::Cidr,
        SettingKind::Directory,
        SettingKind::Secret,
    ];

    fn manifest() -> Manifest {
        let settings = KINDS.iter().enumerate().map(|(number, kind)| SettingSchema {
            key: format!("s{number}"),
            kind: *kind,
            default: None,
            required: true,
            doc: "It.".into(),
        });
        Manifest { settings: settings.collect(), ..Manifest::plain(PluginKind::Storage) }
    }

    #[test]
    fn what_is_made_up_is_what_the_schema_takes() {
        let made_up = made_up(&manifest());
        assert_eq!(resolve(&manifest(), &made_up).unwrap().len(), KINDS.len());
        assert_eq!(
            directories(&manifest(), &made_up).into_iter().map(|name| name.to_string()).collect::<Vec<_>>(),
            ["directory"]
        );
        assert_eq!(directories(&Manifest { settings: Vec::new(), ..manifest() }, &BTreeMap::new()).len(), 1);
    }

    #[test]
    fn each_kind_of_setting_has_odd_values_and_the_schema_takes_them() {
        for (number, kind) in KINDS.into_iter().enumerate() {
            let values = odd(kind);
            assert!((2..=ODD_MOST).contains(&values.len()), "{kind:?}");
            for value in values {
                let mut given = made_up(&manifest());
                given.insert(format!("s{number}"), value.clone());
                assert!(resolve(&manifest(), &given).is_ok(), "{kind:?} {value:?}");
            }
        }
    }
}
