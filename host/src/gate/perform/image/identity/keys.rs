//! New ssh host keys, by `ssh-keygen`: a system that has had some does not start its server without.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use crate::error::{Context, Failure, Kind, Result};
use crate::sys::confined::Confined;
use crate::sys::durable;
use crate::types::DomainName;

const SSH_KEYGEN: &str = "/usr/bin/ssh-keygen";
/// An RSA key on a busy machine.
const MADE_WITHIN: Duration = Duration::from_secs(120);

/// As OpenSSH makes them for a host.
pub(super) const KINDS: [&str; 3] = ["rsa", "ecdsa", "ed25519"];

pub(super) fn must_be_there() -> Result<()> {
    match Path::new(SSH_KEYGEN).exists() {
        true => Ok(()),
        false => Err(Failure::new(Kind::Findings, format!("there is no {SSH_KEYGEN}, which makes new host keys"))
            .hint("install it (apt install openssh-client)")),
    }
}

/// A new key: its private and its public file.
pub(super) fn make(kind: &str, name: &DomainName) -> Result<(Vec<u8>, Vec<u8>)> {
    let saying = || format!("cannot make a new ssh host key ({kind})");
    let folder = std::env::temp_dir().join(format!(".fief-{}", durable::random_name().context(saying)?));
    std::fs::DirBuilder::new().mode(0o700).create(&folder).context(saying)?;
    let file = folder.join("key");
    let mut tool = Confined::new(Path::new(SSH_KEYGEN), MADE_WITHIN);
    tool.argument("-q").argument("-t").argument(kind).argument("-N").argument("");
    tool.argument("-C").argument(format!("root@{name}")).argument("-f").argument(&file);
    let made = tool.run().context(saying).and_then(|finished| match finished.status {
        Some(status) if status.success() => {
            let private = std::fs::read(&file).context(saying)?;
            Ok((private, std::fs::read(file.with_extension("pub")).context(saying)?))
        }
        Some(_) | None => Err(Failure::other(saying()).because(std::io::Error::other(finished.words))),
    });
    // Nothing of a key stays, whatever became of it.
    let removed = std::fs::remove_dir_all(&folder).context(saying);
    let made = made?;
    removed.map(|()| made)
}
