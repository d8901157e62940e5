//! What the verbs share that take a plugin from somewhere: the options that say how, and the fetching.

use std::path::PathBuf;

use crate::cli::output::Format;
use crate::cli::output::failure::note;
use crate::cli::output::progress::Progress;
use crate::cli::{Context, load};
use crate::error::Result;
use crate::gate::Gate;
use crate::plugin::Installed;
use crate::plugin::source::{FetchOptions, Fetched, Source};
use crate::types::{Digest, Span};

/// How a plugin is fetched.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Fetching")]
pub(super) struct FetchArgs {
    /// Take these bytes alone (sha256:…)
    #[arg(long, value_name = "DIGEST")]
    pub digest: Option<Digest>,
    /// Trust the certificates in this file (PEM) beside the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Vec<PathBuf>,
    /// Credentials for registries, as docker login writes them (config.json)
    #[arg(long, value_name = "FILE")]
    pub registry_auth: Option<PathBuf>,
    /// Ask a registry on this very host (127.0.0.1, localhost) without TLS
    #[arg(long)]
    pub plain_http: bool,
    /// Give a download up after this time
    #[arg(long, value_name = "TIME", default_value = "5m")]
    pub timeout: Span,
}

impl FetchArgs {
    pub(super) fn options(&self) -> FetchOptions {
        let Span(timeout) = self.timeout;
        FetchOptions {
            digest: self.digest,
            ca: self.ca.clone(),
            registry_auth: self.registry_auth.clone(),
            plain_http: self.plain_http,
            timeout,
        }
    }

    /// What the source gives, with its progress shown.
    pub(super) fn fetch(&self, gate: &Gate, source: &Source) -> Result<Fetched> {
        fetch(gate, source, &self.options())
    }
}

/// What came from elsewhere is told before anything is done with it.
pub(super) fn tell(context: &Context, fetched: &Fetched) -> Result<()> {
    let Installed { manifest, digest, signer, .. } = load::inspect_plugin(fetched)?;
    let signer = signer.map_or_else(|| "nobody".to_owned(), |signer| signer.to_string());
    let led = fetched.record.manifest.map(|manifest| format!(" (manifest {manifest})")).unwrap_or_default();
    match context.format() {
        Format::Table | Format::Wide => {
            note(&format!(
                "{}{led} is {} {}, {digest}, signed by {signer}",
                fetched.shown, manifest.id, manifest.version
            ));
        }
        Format::Json | Format::Yaml | Format::Name => {}
    }
    Ok(())
}

pub(super) fn fetch(gate: &Gate, source: &Source, options: &FetchOptions) -> Result<Fetched> {
    let progress = Progress::start(format!("reading {source}"));
    let fetched = load::fetch_plugin(gate, source, options);
    drop(progress);
    fetched
}
