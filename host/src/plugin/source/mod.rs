//! Where a plugin comes from: what an operator named becomes bytes, before anything is changed.
//!
//! ```text
//!   Source ─▸ FILE, DIRECTORY        read here
//!          ─▸ https://…, oci://…     fetched by a process of its own
//!               └▸ size, digest ─▸ Fetched ─▸ package::{install, inspect}
//! ```

mod path;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

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
    /// `https://HOST[:PORT]/…`
    Https(String),
    /// `oci://REGISTRY/NAME:TAG` or `…@sha256:…`
    Oci(String),
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
/// `NotFound`; `Usage` where it names no one plugin; `Denied` where the bytes are not those of `options.digest`.
pub fn fetch(_gate: &Gate, source: &Source, options: &FetchOptions) -> Result<Fetched> {
    let fetched = match source {
        Source::Path(path) => path::read(path)?,
        Source::Https(_) | Source::Oci(_) => {
            return Err(
                Failure::usage(format!("{source} cannot be fetched yet")).hint("download it, and name the file")
            );
        }
    };
    expected(fetched, options.digest)
}

fn expected(fetched: Fetched, digest: Option<Digest>) -> Result<Fetched> {
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
            "https" => Ok(Source::Https(text.to_owned())),
            "oci" => Ok(Source::Oci(rest.to_owned())),
            "http" => Err(Invalid::new("a plugin is not fetched over plain http: name it by https://")),
            _ if scheme.contains('/') => Ok(Source::Path(text.into())),
            _ => Err(Invalid::new("a plugin comes from a path, from https://… or from oci://…")),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Path(path) => write!(f, "{}", path.display()),
            Source::Https(address) => f.write_str(address),
            Source::Oci(reference) => write!(f, "oci://{reference}"),
        }
    }
}
