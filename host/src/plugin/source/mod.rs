//! Where a plugin comes from: what an operator named becomes bytes, before anything is changed.
//!
//! ```text
//!   Source ─▸ FILE, DIRECTORY        read here
//!          ─▸ https://…, oci://…     remote.rs ─ order.rs ─▸ room: a process of its own asks
//!               └▸ size, digest ─▸ Fetched ─▸ package::{install, inspect}
//! ```

mod login;
mod order;
mod path;
mod remote;
pub mod room;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use oci_client::Reference;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::error::{Failure, Result};
use crate::gate::Gate;
use crate::types::{Digest, Invalid};

/// How long a download may take, unless the operator says otherwise: the largest plugin at 2 Mbit/s.
pub const TIMEOUT: Duration = Duration::from_secs(300);

/// What an operator names as a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A component, or a directory that holds one.
    Path(PathBuf),
    /// `https://HOST[:PORT]/…`, without a user in it.
    Https(Url),
    /// `oci://REGISTRY/NAME:TAG` or `…@sha256:…`; neither the registry nor what is meant of it is left to a default.
    Oci(Reference),
}

/// How a source is asked. The default asks as anybody may, and takes what it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchOptions {
    /// The bytes that are expected.
    pub digest: Option<Digest>,
    /// Files of certificates (PEM) that are trusted beside the system's.
    pub ca: Vec<PathBuf>,
    /// A file of credentials for registries, as `docker login` writes it.
    pub registry_auth: Option<PathBuf>,
    /// A registry on this host may be asked without TLS.
    pub plain_http: bool,
    /// All of it, from the first name looked up to the last byte.
    pub timeout: Duration,
}

impl Default for FetchOptions {
    fn default() -> Self {
        FetchOptions { digest: None, ca: Vec::new(), registry_auth: None, plain_http: false, timeout: TIMEOUT }
    }
}

/// Where an installed plugin came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SourceRecord {
    /// The source as [`Source`] reads it; paths are absolute.
    pub from: String,
    /// The manifest that a registry's tag led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
}

/// What a source gave. Nobody has looked at the bytes, but for their size and digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub bytes: Vec<u8>,
    /// The source in messages.
    pub shown: String,
    pub record: SourceRecord,
}

/// The bytes that a source gives: at most [`PLUGIN_MAX`](crate::plugin::component::PLUGIN_MAX) and one.
///
/// # Errors
/// `NotFound`; `Usage` where it names no one plugin; `Denied` where the bytes are not those of `options.digest`, or a server
/// is not who it should be or does not give them to us; `Unreachable` and `TimedOut`.
pub fn fetch(gate: &Gate, source: &Source, options: &FetchOptions) -> Result<Fetched> {
    let fetched = match source {
        Source::Path(path) => path::read(path)?,
        Source::Https(address) => remote::https(gate, address, options)?,
        Source::Oci(reference) => remote::oci(gate, reference, options)?,
    };
    expected(fetched, options.digest)
}

/// # Errors
/// `Denied` where the bytes have another digest.
pub(super) fn expected(fetched: Fetched, digest: Option<Digest>) -> Result<Fetched> {
    let found = Digest::of(&fetched.bytes);
    match digest {
        Some(digest) if digest != found => {
            let mut failure = Failure::denied(format!("{} is not the plugin that was expected", fetched.shown));
            failure.causes.push(format!("{digest} was expected, this is {found}"));
            Err(failure.hint(
                "find out why before you trust it: another version, a damaged download, or somebody else's bytes",
            ))
        }
        Some(_) | None => Ok(fetched),
    }
}

impl FromStr for Source {
    type Err = Invalid;

    fn from_str(text: &str) -> std::result::Result<Source, Invalid> {
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(Source::Path(text.into())) };
        match scheme {
            "https" => https(text).map(Source::Https),
            "oci" => oci(rest).map(Source::Oci),
            "http" => Err(Invalid::new("nothing is fetched over plain http: name it by https://")),
            _ if scheme.contains('/') => Ok(Source::Path(text.into())),
            _ => Err(Invalid::new("a plugin comes from a path, from https://… or from oci://…")),
        }
    }
}

fn https(text: &str) -> std::result::Result<Url, Invalid> {
    let mut address: Url = text.parse().map_err(|why| Invalid::new(format!("this is no address: {why}")))?;
    if !address.username().is_empty() || address.password().is_some() {
        return Err(Invalid::new("an address is written down with the plugin: leave the user and the password away"));
    }
    address.set_fragment(None);
    Ok(address)
}

fn oci(text: &str) -> std::result::Result<Reference, Invalid> {
    let shape = "write oci://REGISTRY/NAME:TAG, or oci://REGISTRY/NAME@sha256:…";
    let reference: Reference = text.parse().map_err(|why| Invalid::new(format!("{why}: {shape}")))?;
    let (registry, name) =
        text.split_once('/').ok_or_else(|| Invalid::new(format!("no registry is named: {shape}")))?;
    // What has no dot and no port is taken for a name in a registry that nobody named.
    if reference.registry() != registry && registry != "index.docker.io" {
        return Err(Invalid::new(format!("{registry:?} is no registry: {shape}")));
    }
    if !name.contains([':', '@']) {
        return Err(Invalid::new(format!("neither a tag nor a digest is named: {shape}")));
    }
    if let Some(digest) = reference.digest() {
        digest.parse::<Digest>()?;
    }
    Ok(reference)
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Path(path) => write!(f, "{}", path.display()),
            Source::Https(address) => write!(f, "{address}"),
            Source::Oci(reference) => write!(f, "oci://{reference}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_told_by_how_it_begins_and_reads_back_as_itself() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (text, shown) in [
            ("disk.wasm", "disk.wasm"),
            ("./a://b", "./a://b"),
            ("https://plugins.example/disk.wasm?v=1#top", "https://plugins.example/disk.wasm?v=1"),
            ("oci://registry.example/disk:1.0", "oci://registry.example/disk:1.0"),
            ("oci://localhost:5000/team/disk:1", "oci://localhost:5000/team/disk:1"),
            ("oci://docker.io/acme/disk:1", "oci://docker.io/acme/disk:1"),
            (&format!("oci://registry.example/disk:1@{digest}"), &format!("oci://registry.example/disk:1@{digest}")),
        ] {
            let source: Source = text.parse().unwrap();
            assert_eq!(source.to_string(), shown);
            assert_eq!(shown.parse::<Source>().unwrap(), source);
        }
    }

    #[test]
    fn what_names_nothing_says_what_it_should_be() {
        let short = format!("oci://registry.example/disk@sha512:{}", "0a".repeat(64));
        for (text, why) in [
            ("http://plugins.example/disk.wasm", "plain http"),
            ("ftp://plugins.example/disk.wasm", "from https://… or from oci://…"),
            ("https://", "no address"),
            ("https://alice:wonder@plugins.example/disk.wasm", "leave the user"),
            ("oci://registry.example/disk", "neither a tag nor a digest"),
            ("oci://acme/disk:1", "is no registry"),
            ("oci://disk:1", "no registry is named"),
            ("oci://registry.example/Disk:1", "write oci://"),
            ("oci://registry.example/disk:1@sha256:ab", "write oci://"),
            ("oci://", "write oci://"),
            (&short, "sha256:"),
        ] {
            let invalid = text.parse::<Source>().unwrap_err().to_string();
            assert!(invalid.contains(why), "{text}: {invalid}");
        }
    }

    #[test]
    fn other_bytes_than_expected_are_refused() {
        let fetched = || Fetched {
            bytes: b"abc".to_vec(),
            shown: "a.wasm".to_owned(),
            record: SourceRecord { from: "/a.wasm".to_owned(), manifest: None },
        };
        assert!(expected(fetched(), None).is_ok() && expected(fetched(), Some(Digest::of(b"abc"))).is_ok());
        let failure = expected(fetched(), Some(Digest::of(b"abd"))).unwrap_err();
        assert!(failure.kind == crate::error::Kind::Denied && failure.causes[0].contains("ba7816bf"), "{failure:?}");
    }
}
