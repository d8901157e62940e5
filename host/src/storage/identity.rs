//! Whether a pool still leads to the storage that it led to: a server that was exchanged, or an address that went to
//! another machine, must not have its volumes taken for the ones that a domain knows.

use std::path::PathBuf;

use super::pool::Pool;
use crate::error::{Context, Failure, Result};
use crate::gate::Mode;
use crate::sys::durable;

impl Pool {
    fn identity_file(&self) -> PathBuf {
        self.gate.layout().pool(&self.definition.name).join("identity")
    }

    /// What the pool led to when it was defined, or first used; none where nobody looked yet.
    pub fn known_identity(&self) -> Result<Option<String>> {
        let path = self.identity_file();
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim_end_matches('\n').to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(|| format!("cannot read {}", path.display())),
        }
    }

    /// From here on the pool leads to this.
    pub fn accept_identity(&self, identity: &str) -> Result<()> {
        match self.gate.mode() {
            Mode::DryRun => Ok(()),
            Mode::Perform => durable::write(&self.identity_file(), format!("{identity}\n").as_bytes()),
        }
    }

    /// Asks the plugin, and compares.
    ///
    /// # Errors
    /// `Conflict` where the pool leads elsewhere than it did.
    pub fn same_storage(&mut self) -> Result<()> {
        let found = self.info()?.identity;
        match self.known_identity()? {
            None => self.accept_identity(&found),
            Some(known) if known == found => Ok(()),
            Some(known) => Err(moved(self.definition.name.as_str(), &known, &found)),
        }
    }
}

fn moved(pool: &str, known: &str, found: &str) -> Failure {
    let shown = |text: &str| text.escape_debug().to_string();
    let mut failure = Failure::conflict(format!("the pool {pool} leads to other storage than it did"));
    failure.causes.push(format!("it was {:?}, and is {:?} now", shown(known), shown(found)));
    failure.hint(format!(
        "put the server or the disk back; where the change is meant, and its volumes are the right ones: \
         `fief pool check {pool} --accept-identity`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_identity_is_told_with_both_and_the_way_out() {
        let failure = moved("nas", "fsid:1", "fsid:2\u{1b}");
        let text = failure.to_string();
        assert!(text.contains("fsid:1") && text.contains("fsid:2") && !text.contains('\u{1b}'), "{text}");
        assert!(failure.hint.unwrap().contains("--accept-identity"));
    }
}
