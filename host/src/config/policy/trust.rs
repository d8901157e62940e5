//! `[trust]`: whose signature is wanted of which plugin.
//!
//! ```toml
//! [trust.signers]
//! acme = "ed25519:d75a9801…"            # what `fief plugin keygen` prints
//!
//! [[trust.plugins]]                      # the first line that takes a plugin's id decides
//! id = "acme-*"
//! signers = ["acme"]
//!
//! [[trust.plugins]]
//! id = "storage-file"
//! unsigned = true
//! ```
//!
//! Without a line, every plugin is taken as it is. With one, a plugin that no line takes is refused.

use std::collections::BTreeMap;

use crate::config::reader::{TableReader, nearest};
use crate::types::{GrantName, NamePattern, PluginId, Signer};

/// Most lines, and signers of one.
const LINES_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    pub signers: BTreeMap<GrantName, Signer>,
    /// In their order.
    pub lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub id: NamePattern,
    pub signers: Vec<GrantName>,
    /// Nobody has to have signed it.
    pub unsigned: bool,
    /// In policy.toml, for people.
    pub line: usize,
}

impl Trust {
    /// What the operator calls that signer.
    pub fn name(&self, signer: Signer) -> Option<&GrantName> {
        self.signers.iter().find(|(_, known)| **known == signer).map(|(name, _)| name)
    }

    /// # Errors
    /// Why a plugin of that id that was signed so is not to be used, and what to do about it.
    pub fn admit(&self, id: &PluginId, signer: Option<Signer>) -> Result<(), (String, String)> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let Some(line) = self.lines.iter().find(|line| line.id.takes(id.as_str())) else {
            let why = format!("no line of [[trust.plugins]] takes the plugin {id}");
            return Err((why, "add one that names its signers, or says unsigned = true".to_owned()));
        };
        let trusted = signer.and_then(|signer| self.name(signer)).is_some_and(|name| line.signers.contains(name));
        if line.unsigned || trusted {
            return Ok(());
        }
        let names: Vec<&str> = line.signers.iter().map(GrantName::as_str).collect();
        let wanted = format!("line {} of policy.toml wants it signed by {}", line.line, names.join(" or "));
        let is = match signer.map(|signer| (signer, self.name(signer))) {
            None => "nobody has signed it".to_owned(),
            Some((_, Some(name))) => format!("it is signed by {name}"),
            Some((signer, None)) => format!("it is signed by {signer}, whom policy does not know"),
        };
        Err((format!("{wanted}, and {is}"), "if you trust it, say so below [trust] in policy.toml".to_owned()))
    }
}

pub(super) fn read(table: &mut TableReader<'_>) -> Trust {
    let signers = table.section("signers", |table| {
        let mut signers = BTreeMap::new();
        for key in table.keys() {
            match (key.parse::<GrantName>(), table.required::<Signer>(&key, "ed25519:…")) {
                (Ok(name), Some(signer)) => {
                    if let Some((other, _)) = signers.iter().find(|(_, known)| **known == signer) {
                        table.wrong(&key, format!("this is the key of {other} as well"), "each signer has its own key");
                    }
                    signers.insert(name, signer);
                }
                (Ok(_), None) => {}
                (Err(cause), _) => table.wrong_key(&key, cause),
            }
        }
        signers
    });
    let signers: BTreeMap<GrantName, Signer> = signers.unwrap_or_default();
    let lines = table.tables("plugins", LINES_MAX, |table| {
        let id = table.required::<NamePattern>("id", "acme-*");
        let line = table.line_of(table.at("id"));
        let wanted: Vec<GrantName> = table.words("signers", "acme").unwrap_or_default();
        let unsigned = table.boolean("unsigned").unwrap_or_default();
        for name in wanted.iter().filter(|name| !signers.contains_key(*name)) {
            let hint = match nearest(name.as_str(), signers.keys().map(GrantName::as_str)) {
                Some(known) => format!("did you mean {known:?}?"),
                None => format!("add {name} = \"ed25519:…\" below [trust.signers]"),
            };
            table.wrong("signers", format!("there is no signer {name}"), hint);
        }
        match (wanted.is_empty(), unsigned) {
            (true, false) => {
                table.wrong("id", "nobody is named whose signature is wanted", "add signers = […], or unsigned = true")
            }
            (false, true) => {
                table.wrong("unsigned", "where nobody has to sign it, no signer is named", "leave one of the two out")
            }
            (true, true) | (false, false) => {}
        }
        Some(Line { id: id?, signers: wanted, unsigned, line })
    });
    Trust { signers, lines }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::policy::parse;

    const A: &str = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    const B: &str = "ed25519:3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

    fn text() -> String {
        format!(
            "[trust.signers]\nacme = \"{A}\"\nother = \"{B}\"\n\
             [[trust.plugins]]\nid = \"acme-*\"\nsigners = [\"acme\"]\n\
             [[trust.plugins]]\nid = \"storage-*\"\nunsigned = true\n"
        )
    }

    #[test]
    fn the_first_line_that_takes_an_id_decides() {
        let trust = parse(text().as_bytes(), "x.toml").unwrap().trust;
        let (a, b) = (A.parse().unwrap(), B.parse().unwrap());
        let admitted = |id: &str, signer| trust.admit(&id.parse().unwrap(), signer).map_err(|(why, _)| why);
        assert_eq!(admitted("acme-disk", Some(a)), Ok(()));
        assert_eq!(
            admitted("acme-disk", Some(b)).unwrap_err(),
            "line 5 of policy.toml wants it signed by acme, and it is signed by other"
        );
        assert!(admitted("acme-disk", None).unwrap_err().ends_with("and nobody has signed it"));
        let stranger = Signer::from_bytes([7; 32]);
        assert!(admitted("acme-disk", Some(stranger)).unwrap_err().ends_with("whom policy does not know"));
        for signer in [None, Some(a), Some(stranger)] {
            assert_eq!(admitted("storage-file", signer), Ok(()));
            assert_eq!(admitted("mine", signer).unwrap_err(), "no line of [[trust.plugins]] takes the plugin mine");
            assert_eq!(Trust::default().admit(&"mine".parse().unwrap(), signer), Ok(()));
        }
        assert_eq!((trust.name(b).map(GrantName::as_str), trust.name(stranger)), (Some("other"), None));
    }

    #[test]
    fn what_says_nothing_or_both_is_told_with_its_place() {
        for (from, to, cause) in [
            ("[\"acme\"]", "[\"acm\"]", "there is no signer acm"),
            ("signers = [\"acme\"]\n", "", "nobody is named"),
            ("unsigned = true", "unsigned = true\nsigners = [\"acme\"]", "no signer is named"),
            (B, A, "as well"),
            (B, "ed25519:00", "64 hexadecimal digits"),
            ("id = \"acme-*\"\n", "", "id"),
        ] {
            let text = text().replacen(from, to, 1);
            let failure = parse(text.as_bytes(), "x.toml").unwrap_err();
            assert!(failure.causes.iter().any(|said| said.contains(cause)), "{cause}: {:?}", failure.causes);
        }
    }
}
