//! `fief plugin sign`

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::{Context, load};
use crate::error::{Context as _, Result};
use crate::gate::Mode;
use crate::plugin::signature::SigningKey;
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
    /// A plugin (.wasm)
    #[arg(value_name = "FILE")]
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
    let (plugin, bytes) = load::read_plugin(&args.file)?;
    let signed = key.sign(&bytes);
    let to = args.to.as_ref().unwrap_or(&args.file);
    if context.mode() == Mode::Perform && (signed != bytes || args.to.is_some()) {
        write(&args.file, to, &signed).context(|| format!("cannot write {}", to.display()))?;
    }
    let signer = key.signer();
    let id = &plugin.manifest.id;
    let json = json!({ "id": id, "file": to, "signer": signer });
    context.changed("plugin", id, &format!("signed as {signer}"), json)
}

/// As a whole or not at all, with the mode of the file that was signed.
fn write(like: &Path, to: &Path, bytes: &[u8]) -> io::Result<()> {
    let mode = fs::metadata(like)?.permissions().mode();
    let mut name = to.as_os_str().to_owned();
    name.push(format!(".{}", durable::random_name()?));
    let aside = PathBuf::from(name);
    let written = File::options().write(true).create_new(true).mode(0o600).open(&aside).and_then(|mut file| {
        // Whatever the umask is.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, to)
    });
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&aside);
    }
    written
}
