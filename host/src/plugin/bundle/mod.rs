//! Plugins as a set: a lock says which, an archive has them in it. All of a set are installed, or none.
//!
//! ```text
//!   installed ─▸ lock_of ─▸ Lock ─▸ locked ──┐  fetched, each from its source
//!             ─▸ export ─▸ archive ─▸ import ─┤  read out of the archive
//!                                            └▸ Set ─▸ install
//! ```

mod archive;

use std::path::Path;

use crate::config::lock::{self, Lock, Locked};
use crate::config::reader;
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::Gate;
use crate::layout::Layout;
use crate::plugin::cache;
use crate::plugin::package::{self, Installed, Replace, Trial, installed};
use crate::plugin::source::{self, FetchOptions, Fetched, Source, SourceRecord};
use crate::types::PluginId;

/// Bytes of all plugins of a set, which are held in memory until all are seen: eight of the largest, hundreds as they are.
const SET_MAX: usize = 512 << 20;

/// Plugins that are to be installed together; each is what its lock says.
#[derive(Debug, Default)]
pub struct Set {
    new: Vec<(Installed, Vec<u8>)>,
    /// Installed already, to the byte.
    there: Vec<PluginId>,
    bytes: usize,
}

impl Set {
    pub fn arriving(&self) -> impl Iterator<Item = &Installed> {
        self.new.iter().map(|(new, _)| new)
    }

    pub fn there(&self) -> &[PluginId] {
        &self.there
    }

    /// Whether all of them may be installed.
    ///
    /// # Errors
    /// As [`package::may_install`].
    pub fn may_install(&self, gate: &Gate, replace: Replace) -> Result<()> {
        self.arriving().try_for_each(|new| package::may_install(gate, new, replace))
    }

    /// Has each of them tried.
    ///
    /// # Errors
    /// That of `tried`, of the first.
    pub fn try_each(&mut self, tried: impl Fn(&Installed, &Fetched) -> Result<Option<Trial>>) -> Result<()> {
        for (new, bytes) in &mut self.new {
            let record = new.source.clone().unwrap_or(SourceRecord { from: String::new(), manifest: None });
            let shown = format!("the plugin {}", new.manifest.id);
            let fetched = Fetched { bytes: std::mem::take(bytes), shown, record };
            let came = tried(new, &fetched);
            *bytes = fetched.bytes;
            new.trial = came?;
        }
        Ok(())
    }

    /// # Errors
    /// As [`package::install_all`].
    pub fn install(&self, gate: &Gate, replace: Replace) -> Result<()> {
        let all: Vec<(Installed, &[u8])> =
            self.new.iter().map(|(new, bytes)| (new.clone(), bytes.as_slice())).collect();
        package::install_all(gate, &all, replace)
    }

    /// # Errors
    /// `Denied` where it is another than the lock says, and as [`package::inspect`].
    fn take(&mut self, gate: &Gate, locked: &Locked, fetched: Fetched) -> Result<()> {
        self.bytes += fetched.bytes.len();
        if self.bytes > SET_MAX {
            return Err(Failure::usage(format!("the plugins together are larger than {} MiB", SET_MAX >> 20))
                .hint("take them in smaller sets"));
        }
        let fetched = source::expected(fetched, Some(locked.digest))?;
        let found = package::inspect(&fetched)?;
        let Locked { id, version, digest: _, signer, source: _, manifest: _ } = locked;
        if (id, version, signer) != (&found.manifest.id, &found.manifest.version, &found.signer) {
            let mut failure = Failure::denied(format!("the lock says other of the plugin {id} than its bytes do"));
            failure.causes.push(format!("they are {} {}", found.manifest.id, found.manifest.version));
            return Err(failure.hint("do not trust whoever wrote that lock"));
        }
        package::admitted(gate, &found)?;
        self.new.push((found, fetched.bytes));
        Ok(())
    }

    /// Whether nothing has to be done for it.
    fn has(&mut self, gate: &Gate, locked: &Locked) -> bool {
        let there = installed(gate.layout(), &locked.id).is_ok_and(|there| there.digest == locked.digest);
        if there {
            self.there.push(locked.id.clone());
        }
        there
    }
}

/// What is installed, to the byte; of `only` these, or all.
///
/// # Errors
/// `NotFound` for one that is not installed.
pub fn lock_of(layout: &Layout, only: &[PluginId]) -> Result<Lock> {
    let mut ids = if only.is_empty() { package::names(layout)? } else { only.to_vec() };
    ids.sort();
    ids.dedup();
    if ids.len() > lock::PLUGINS_MAX {
        return Err(
            Failure::usage(format!("a lock has at most {} plugins", lock::PLUGINS_MAX)).hint("name some of them")
        );
    }
    let locked = |id: &PluginId| {
        let Installed { digest, manifest, signer, source, .. } = installed(layout, id)?;
        let (source, registry) = source.map_or((None, None), |source| (Some(source.from), source.manifest));
        Ok(Locked { id: id.clone(), version: manifest.version, digest, signer, source, manifest: registry })
    };
    Ok(Lock { plugins: ids.iter().map(locked).collect::<Result<_>>()? })
}

/// Fetches what a lock names, as far as it is not installed already; nothing is installed.
///
/// # Errors
/// What a source is at fault for; `Denied` where one gives other bytes than the lock says, or policy does not admit it.
pub fn locked(gate: &Gate, file: &Path, options: &FetchOptions) -> Result<Set> {
    let lock = lock::parse(&reader::read_file(file)?, &file.display().to_string())?;
    let mut set = Set::default();
    for locked in &lock.plugins {
        if set.has(gate, locked) {
            continue;
        }
        let saying = |failure: Failure| failure.while_doing(format!("cannot get the plugin {}", locked.id));
        let hint = "install it by hand with --digest, or bring it along: fief plugin export, fief plugin import";
        let Some(from) = &locked.source else {
            return Err(saying(Failure::usage("the lock does not say where it comes from").hint(hint)));
        };
        let source = at(from, locked).map_err(saying)?;
        let options = FetchOptions { digest: Some(locked.digest), ..options.clone() };
        let fetched = source::fetch(gate, &source, &options).map_err(|failure| match failure.kind {
            Kind::NotFound => saying(failure).hint(hint),
            _ => saying(failure),
        })?;
        set.take(gate, locked, fetched).map_err(saying)?;
    }
    Ok(set)
}

/// The source; of a registry, the manifest that the tag led to then.
fn at(from: &str, locked: &Locked) -> Result<Source> {
    let source: Source = from.parse().map_err(|why| Failure::usage(format!("the lock says no source: {why}")))?;
    Ok(match (source, locked.manifest) {
        (Source::Oci(reference), Some(manifest)) => Source::Oci(reference.clone_with_digest(manifest.to_string())),
        (source, _) => source,
    })
}

/// An archive of what is installed: of `only` these, or all, with their lock.
///
/// # Errors
/// `NotFound` for one that is not installed, `Denied` where its bytes were changed since.
pub fn export(layout: &Layout, only: &[PluginId]) -> Result<(Lock, Vec<u8>)> {
    let lock = lock_of(layout, only)?;
    let mut total = 0;
    let archive = archive::write(&lock, |locked| {
        let (_, bytes) = cache::stored(layout, locked.digest)?;
        total += bytes.len();
        if total > SET_MAX {
            return Err(Failure::usage(format!("the plugins together are larger than {} MiB", SET_MAX >> 20))
                .hint("name some of them"));
        }
        Ok(bytes)
    })?;
    Ok((lock, archive))
}

/// Reads an archive, and checks all that is in it; nothing is installed.
///
/// # Errors
/// `Usage` where it is none, `Denied` where a plugin is another than its lock says, or policy does not admit it.
pub fn import(gate: &Gate, file: &Path) -> Result<Set> {
    let shown = file.display().to_string();
    let from = file.canonicalize().unwrap_or_else(|_| file.to_owned()).display().to_string();
    let saying = |failure: Failure| failure.while_doing(format!("cannot import {shown}"));
    let opened = reader::open(file)?;
    if !opened.metadata().context(|| format!("cannot look at {shown}"))?.is_file() {
        return Err(Failure::usage(format!("{shown} is not a file")).hint("name what fief plugin export wrote"));
    }
    let mut set = Set::default();
    archive::read(std::io::BufReader::new(opened), |locked, bytes| {
        if set.has(gate, locked) {
            return Ok(());
        }
        let record = SourceRecord { from: from.clone(), manifest: None };
        set.take(gate, locked, Fetched { bytes, shown: format!("the plugin {}", locked.id), record })
    })
    .map_err(saying)?;
    Ok(set)
}
