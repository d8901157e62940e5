//! `fief plugin sign`

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::cli::{Context, load};
use crate::error::{Context as _, Result};
use crate::gate::Mode;
use crate::plugin::signature::SigningKey;
use crate::plugin::source::{FetchOptions, Source};
use crate::sys::durable;

/// Sign a plugin: it says from then on whose it is
///
///     fief plugin sign disk.wasm --key acme.key
///
/// The signature becomes the last part of the file, in the place of one that was there. Policy says whose signature is wanted of
/// which plugin ([trust]).
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// A plugin (.wasm), or a directory that holds one or a project that was built to one
    #[arg(value_name = "FILE|DIRECTORY")]
    file: PathBuf,
    /// The key, as fief plugin keygen writes it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Write the signed plugin there, and leave the first file as it is
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let key = SigningKey::read(&args.key)?;
    let fetched = load::fetch_plugin(&context.gate()?, &Source::Path(args.file.clone()), &FetchOptions::default())?;
    let plugin = load::inspect_plugin(&fetched)?;
    let file = if args.file.is_dir() { PathBuf::from(fetched.record.from) } else { args.file.clone() };
    let bytes = fetched.bytes;
    let signed = key.sign(&bytes);
    let to = args.to.as_ref().unwrap_or(&file);
    if context.mode() == Mode::Perform && (signed != bytes || args.to.is_some()) {
        let like = fs::metadata(&file).context(|| format!("cannot look at {}", file.display()))?;
        durable::write_with_mode(to, &signed, like.permissions())?;
    }
    let signer = key.signer();
    let id = &plugin.manifest.id;
    let json = json!({ "id": id, "file": to, "signer": signer });
    context.changed("plugin", id, &format!("signed as {signer}"), json)
}
