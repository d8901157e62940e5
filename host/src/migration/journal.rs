//! What a host has on disk of who owns a domain: `handovers/UUID.json`, beside the domains, since it is there before a
//! domain comes and after it went, and since a record can be made anew from what else there is, and this cannot.
//!
//! A domain without a journal was made here and never moved: it is this host's. One whose journal cannot be used is
//! nobody's until an operator says so: to run it might be to run it twice.
//!
//! ```text
//!   { "version": 1, "sum": "sha256:…",                            of the body, so that no flipped bit gives a domain away
//!     "body": { "domain": UUID, "host": UUID, "standing": … } }   of which domain, and on whose disk
//! ```

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Context, Failure, Kind, Result};
use crate::fault;
use crate::layout::Layout;
use crate::migration::handover::{Holding, Standing};
use crate::sys::durable::{self, Unwritten, Written};
use crate::types::Digest;

/// Version of this file's shape. A later fief reads earlier ones; an earlier one refuses later ones.
const VERSION: u32 = 1;
/// Longer than any journal, in bytes.
const LONGEST: u64 = 64 << 10;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    version: u32,
    sum: Digest,
    body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Body {
    domain: Uuid,
    /// `host/id`: a copied root is another host's.
    host: Uuid,
    standing: Standing,
}

/// The journals of this host.
#[derive(Debug, Clone)]
pub struct Journals<'l> {
    layout: &'l Layout,
    host: Uuid,
}

/// Whether the domain has a journal on this host, readable or not.
pub fn is_there(layout: &Layout, domain: Uuid) -> bool {
    // Where that cannot be told, reading it says why.
    layout.handover(domain).try_exists().unwrap_or(true)
}

impl<'l> Journals<'l> {
    /// `host` is who this host is (`host/id`).
    pub fn new(layout: &'l Layout, host: Uuid) -> Self {
        Journals { layout, host }
    }

    fn path(&self, domain: Uuid) -> PathBuf {
        self.layout.handover(domain)
    }

    /// None for a domain that never moved.
    ///
    /// # Errors
    /// `NeedsRecover` where it is damaged, another domain's or another host's; `Conflict` where a later fief wrote it.
    pub fn read(&self, domain: Uuid) -> Result<Option<Standing>> {
        let path = self.path(domain);
        match std::fs::metadata(&path) {
            Ok(facts) if facts.len() > LONGEST => Err(self.broken(domain, "it is longer than any journal")),
            Ok(_) => {
                let bytes = std::fs::read(&path).context(|| format!("cannot read {}", path.display()))?;
                self.parse(domain, &bytes).map(Some)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(|| format!("cannot read {}", path.display())),
        }
    }

    fn parse(&self, domain: Uuid, bytes: &[u8]) -> Result<Standing> {
        #[derive(Deserialize)]
        struct Shape {
            version: u32,
        }
        let garbled = |error: serde_json::Error| self.broken(domain, &error.to_string());
        let shape: Shape = serde_json::from_slice(bytes).map_err(garbled)?;
        if shape.version > VERSION {
            let path = self.path(domain);
            let later = format!("it was written by a later fief (version {}, known is {VERSION})", shape.version);
            let mut failure = Failure::conflict(format!("the journal {} cannot be used", path.display()));
            failure.causes.push(later);
            return Err(failure.hint("that fief is to be used for its domain"));
        }
        let file: File = serde_json::from_slice(bytes).map_err(garbled)?;
        if file.sum != sum(&file.body)? {
            return Err(self.broken(domain, "it is not what was written there"));
        }
        if file.body.domain != domain {
            return Err(self.broken(domain, &format!("it is of the domain {}", file.body.domain)));
        }
        if file.body.host != self.host {
            let cause = format!("it was written by the host {}, and this is {}", file.body.host, self.host);
            return Err(self
                .broken(domain, &cause)
                .hint("this root is a copy of that host's: what moves is that host's alone; remove what was copied"));
        }
        Ok(file.body.standing)
    }

    fn broken(&self, domain: Uuid, cause: &str) -> Failure {
        let path = self.path(domain);
        let mut failure = Failure::new(Kind::NeedsRecover, format!("the journal {} cannot be used", path.display()));
        failure.causes.push(cause.to_owned());
        failure.hint(format!(
            "it says whether this host or another owns domain {domain}, which does not run here without it: put it back \
             from a backup, or where no other host has the domain, move it away"
        ))
    }

    /// Replaces it, durably. `before` is what is there.
    ///
    /// # Errors
    /// `Surely` where what was there still is; `Unsure` where nobody knows: it is to be written again until it is.
    pub fn write(&self, domain: Uuid, before: Option<Standing>, standing: Standing) -> Result<(), Unwritten> {
        let path = self.path(domain);
        let bytes = self.prepare(domain, standing).map_err(Unwritten::Surely)?;
        durable::write_in_steps(&path, &bytes, |written| fault::point(point(before, standing, written)))
    }

    fn prepare(&self, domain: Uuid, standing: Standing) -> Result<Vec<u8>> {
        let saying = || format!("cannot write what this host knows of domain {domain}");
        let folder = self.layout.handovers();
        if !folder.is_dir() {
            std::fs::create_dir_all(&folder).context(saying)?;
            durable::sync_folder(self.layout.root()).context(saying)?;
        }
        let body = Body { domain, host: self.host, standing };
        let file = File { version: VERSION, sum: sum(&body)?, body };
        let mut bytes = serde_json::to_vec_pretty(&file).context(saying)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

fn sum(body: &Body) -> Result<Digest> {
    // Its own words in one order, so that what was read and is written again is the same.
    serde_json::to_vec(body).context(|| "cannot put a journal in words".to_owned()).map(|bytes| Digest::of(&bytes))
}

/// The fault point after a step of writing it.
fn point(before: Option<Standing>, standing: Standing, written: Written) -> &'static str {
    let before = before.map(|standing| standing.holding);
    let [aside, named, synced] = match (before, standing.holding) {
        (Some(Holding::Ceded), Holding::Ceded) | (_, Holding::Foreign) => OTHER,
        (_, Holding::Ceded) => ["handover.cede.aside", "handover.cede.named", "handover.cede.synced"],
        (Some(Holding::Foreign | Holding::Gone), Holding::Owned) => {
            ["handover.own.aside", "handover.own.named", "handover.own.synced"]
        }
        (_, Holding::Gone) => ["handover.gone.aside", "handover.gone.named", "handover.gone.synced"],
        (Some(Holding::Ceded | Holding::Owned) | None, Holding::Owned) => OTHER,
    };
    match written {
        Written::Aside => aside,
        Written::Named => named,
        Written::Synced => synced,
    }
}

/// An attempt, a refusal, and what follows from one.
const OTHER: [&str; 3] = ["handover.note.aside", "handover.note.named", "handover.note.synced"];

#[cfg(test)]
mod tests;
