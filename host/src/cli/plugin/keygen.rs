//! `fief plugin keygen`

use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::Context;
use crate::cli::output::Shown;
use crate::error::{Context as _, Failure, Result};
use crate::gate::Mode;
use crate::plugin::signature::SigningKey;

/// Make a key that plugins are signed with, and print its public half
///
///     fief plugin keygen ~/.config/fief/acme.key
///
/// The file is the secret half: whoever has it signs as you. The public half is what operators write below [trust.signers].
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Where to write it; nothing is written over
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let key = SigningKey::generate()?;
    if context.mode() == Mode::Perform {
        write(&args.file, &key.text())?;
    }
    let signer = key.signer();
    let json = json!({ "file": args.file, "signer": signer });
    context.show(&Shown { kind: "signing-key", name: signer.to_string(), json, text: format!("{signer}\n") })
}

fn write(path: &Path, text: &str) -> Result<()> {
    let shown = path.display();
    let saying = || format!("cannot write the key {shown}");
    let mut file = match std::fs::File::options().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::conflict(format!("there is a file {shown} already"))
                .hint("choose another name: a key is never written over"));
        }
        other => other.context(saying)?,
    };
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).context(saying)
}
