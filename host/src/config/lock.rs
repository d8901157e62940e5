//! A lock: the plugins of a host, to the byte (`fief plugin lock`).
//!
//! ```toml
//! [[plugin]]
//! id = "storage-nfs"
//! version = "0.1.0"
//! digest = "sha256:ba7816bf…"
//! signer = "ed25519:d75a9801…"              # where somebody has signed it
//! source = "oci://registry.example/nfs:1"   # where it is known
//! manifest = "sha256:6a09e667…"             # what a registry's tag led to
//! ```

use serde::Serialize;

use super::reader::Document;
use crate::error::Result;
use crate::types::{Digest, PluginId, Signer};

/// Most plugins of one lock.
pub const PLUGINS_MAX: usize = 256;
const HEAD: &str = "# The plugins of a host, as fief plugin lock writes them. fief plugin install --locked FILE takes these bytes and no others.\n\n";

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Lock {
    #[serde(rename = "plugin")]
    pub plugins: Vec<Locked>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Locked {
    pub id: PluginId,
    pub version: String,
    pub digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<Signer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
}

/// Reads a lock; `source` names the text in messages.
///
/// # Errors
/// Kind `Usage`, with every mistake as a cause.
pub fn parse(bytes: &[u8], source: &str) -> Result<Lock> {
    Document::parse("lock of plugins", source, bytes)?.read(|table| {
        let mut ids: Vec<PluginId> = Vec::new();
        let plugins = table.tables("plugin", PLUGINS_MAX, |table| {
            let id = table.required::<PluginId>("id", "storage-nfs");
            let version = table.required::<String>("version", "0.1.0");
            let digest = table.required::<Digest>("digest", "sha256:…");
            let signer = table.optional::<Signer>("signer", "ed25519:…");
            let source = table.optional::<String>("source", "oci://registry.example/nfs:1");
            let manifest = table.optional::<Digest>("manifest", "sha256:…");
            if let Some(id) = &id {
                if ids.contains(id) {
                    table.wrong("id", format!("the plugin {id} stands here twice"), "leave one of them out");
                }
                ids.push(id.clone());
            }
            Some(Locked { id: id?, version: version?, digest: digest?, signer, source, manifest })
        });
        Some(Lock { plugins })
    })
}

/// The lock as TOML, which [`parse`] reads back as the same.
pub fn to_toml(lock: &Lock) -> String {
    // Texts alone: there is nothing that TOML cannot say.
    format!("{HEAD}{}", toml::to_string(lock).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> Lock {
        let locked = |id: &str, source: Option<&str>| Locked {
            id: id.parse().unwrap(),
            version: "0.1.0".to_owned(),
            digest: Digest::of(id.as_bytes()),
            signer: source.map(|_| Signer::from_bytes([7; 32])),
            source: source.map(str::to_owned),
            manifest: source.map(|_| Digest::of(b"abc")),
        };
        Lock { plugins: vec![locked("a", None), locked("b", Some("oci://registry.example/\"b\":1"))] }
    }

    #[test]
    fn a_lock_reads_back_as_itself() {
        assert_eq!(parse(to_toml(&lock()).as_bytes(), "x.lock"), Ok(lock()));
        assert_eq!(parse(to_toml(&Lock::default()).as_bytes(), "x.lock"), Ok(Lock::default()));
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let text = to_toml(&lock());
        for (from, to, cause) in [
            ("id = \"b\"", "id = \"a\"", "stands here twice"),
            ("id = \"b\"", "id = \"../b\"", "x.lock:9"),
            ("version = \"0.1.0\"\n", "", "\"plugin[0].version\" is missing"),
            ("sha256:", "md5:", "a digest is written sha256:"),
            ("source =", "sauce =", "unknown key \"plugin[1].sauce\""),
        ] {
            let failure = parse(text.replacen(from, to, 1).as_bytes(), "x.lock").unwrap_err();
            assert!(failure.causes.iter().any(|said| said.contains(cause)), "{cause}: {:?}", failure.causes);
        }
    }
}
