//! Installed plugins: stored by digest, compiled once, loaded from the cache.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Context, Failure, Result};
use crate::gate::{Gate, Mode};
use crate::layout::Layout;
use crate::plugin::component::{self, Component};
use crate::plugin::source::{Fetched, SourceRecord};
use crate::plugin::{Manifest, cache, loading, pending, signature, world};
use crate::sys::durable;
use crate::types::{Digest, PluginId, Signer};

/// How long an installation waits for another to end: a compilation takes seconds.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// A plugin as it is installed under its id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Installed {
    pub digest: Digest,
    pub manifest: Manifest,
    /// Interfaces that the component really imports and exports, as `fief:storage/images@0.1.0`.
    pub imports: Vec<String>,
    pub exports: Vec<String>,
    /// Who signed it; nobody, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<Signer>,
    /// Where it came from; nothing, where it was installed before this was written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceRecord>,
}

/// What a source gave, checked, and not installed (`fief plugin show SOURCE`).
///
/// # Errors
/// `Usage` where it is no plugin for this host, `Denied` where its signature is not valid.
pub fn inspect(fetched: &Fetched) -> Result<Installed> {
    let installed = checked(&fetched.bytes, &fetched.shown)?;
    Ok(Installed { source: Some(fetched.record.clone()), ..installed })
}

/// Installs the plugin that a source gave, under the id in its manifest: stored, compiled, loaded once to see that
/// it fits. What was installed under that id before is replaced; the same bytes again change nothing.
/// In a dry run it is checked and nothing is written.
///
/// # Errors
/// `Usage` where it is no plugin for this host, `Denied` where policy pins other bytes under its id or does not trust who signed
/// it, or its signature is not valid, `PluginFault`
/// where it does not compile or load.
pub fn install(gate: &Gate, fetched: &Fetched) -> Result<Installed> {
    let new = inspect(fetched)?;
    install_all(gate, &[(new.clone(), &fetched.bytes)])?;
    Ok(new)
}

/// Installs all of them, or none.
///
/// # Errors
/// As [`install`], of the first that is not to be had.
pub fn install_all(gate: &Gate, all: &[(Installed, &[u8])]) -> Result<()> {
    for (new, _) in all {
        admitted(gate, new)?;
    }
    if gate.mode() == Mode::DryRun {
        return Ok(());
    }
    let layout = gate.layout();
    let _lock = lock(layout)?;
    for (at, (new, bytes)) in all.iter().enumerate() {
        if let Err(failure) = stage(gate, new, bytes) {
            for (new, _) in &all[..=at] {
                sweep(layout, new.digest)?;
            }
            return Err(failure.while_doing(format!("cannot install the plugin {}", new.manifest.id)));
        }
    }
    // The records come last: an id names only what was seen to load.
    all.iter().try_for_each(|(new, _)| enter(layout, new))
}

/// Stores the bytes, and sees that they load.
fn stage(gate: &Gate, new: &Installed, bytes: &[u8]) -> Result<()> {
    let stored = gate.layout().store(new.digest);
    if installed(gate.layout(), &new.manifest.id).ok().as_ref() != Some(new) || !stored.exists() {
        pending::folder(stored.parent().unwrap_or(gate.layout().root()))?;
        durable::write(&stored, bytes)?;
    }
    loading::try_load(gate, new)
}

/// Writes the record of what was staged, and lets go of what it takes the place of.
fn enter(layout: &Layout, new: &Installed) -> Result<()> {
    let id = &new.manifest.id;
    let before = installed(layout, id).ok();
    if before.as_ref() == Some(new) {
        return Ok(());
    }
    pending::folder(&layout.plugin(id))?;
    let record = serde_json::to_vec_pretty(new).context(|| format!("cannot write the record of the plugin {id}"))?;
    durable::write(&layout.plugin(id).join("plugin.json"), &record)?;
    before.map_or(Ok(()), |before| sweep(layout, before.digest))
}

/// Whether an installed plugin is still what was installed: its stored bytes, what its record says of them, and policy's
/// pin and trust; and whether it still loads. Where its compiled form is gone, that is made again.
///
/// # Errors
/// `NotFound` where none is installed under that id, `Denied` where something is another than it was or policy pins other
/// bytes, `PluginFault` where it does not load.
pub fn verify(gate: &Gate, id: &PluginId) -> Result<()> {
    let layout = gate.layout();
    let record = installed(layout, id)?;
    let (_, bytes) = cache::stored(layout, record.digest)?;
    let found = checked(&bytes, &layout.store(record.digest).display().to_string())?;
    if (Installed { source: record.source.clone(), ..found }) != record {
        return Err(Failure::denied(format!("the record of the plugin {id} says other than its bytes"))
            .hint("install the plugin again"));
    }
    admitted(gate, &record)?;
    loading::try_load(gate, &record)
}

/// Removes the plugin, unless `may` says no; one that is not installed is already removed. Pools and networks that need it
/// stay defined.
pub fn remove(layout: &Layout, id: &PluginId, may: impl FnOnce() -> Result<()>) -> Result<()> {
    let folder = layout.plugin(id);
    let saying = || format!("cannot remove the plugin {id}");
    if !folder.exists() {
        return Ok(());
    }
    let _lock = lock(layout)?;
    may()?;
    let gone = installed(layout, id).ok();
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.context(saying)?,
    }
    durable::sync_folder(&layout.plugins()).context(saying)?;
    gone.map_or(Ok(()), |gone| sweep(layout, gone.digest))
}

/// One installation or removal at a time: what one stores, another must not sweep.
fn lock(layout: &Layout) -> Result<durable::Lock> {
    pending::folder(&layout.plugins())?;
    durable::lock(&layout.plugins().join(".lock"), LOCK_WAIT)
}

/// # Errors
/// `NotFound` where no plugin is installed under that id.
pub fn installed(layout: &Layout, id: &PluginId) -> Result<Installed> {
    let path = layout.plugin(id).join("plugin.json");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::not_found(format!("no plugin {id} is installed"))
                .hint("fief plugin list shows what is installed, fief plugin install FILE installs"));
        }
        Err(error) => return Err(error).context(|| format!("cannot read {}", path.display())),
    };
    let installed: Installed = serde_json::from_slice(&bytes)
        .context(|| format!("the record {} cannot be read", path.display()))
        .map_err(|failure| failure.hint("install the plugin again"))?;
    if installed.manifest.id != *id {
        return Err(Failure::other(format!("the record {} is of another plugin", path.display()))
            .hint("install the plugin again"));
    }
    Ok(installed)
}

/// All installed plugins, by id.
pub fn all(layout: &Layout) -> Result<Vec<Installed>> {
    names(layout)?.iter().map(|id| installed(layout, id)).collect()
}

/// Their ids, in order; also where the record of one cannot be read.
pub fn names(layout: &Layout) -> Result<Vec<PluginId>> {
    let folder = layout.plugins();
    let saying = || format!("cannot read the folder {}", folder.display());
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(saying),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.context(saying)?.file_name();
        // A folder without a record is an installation that was cut off: nothing is installed there.
        if let Some(id) = name.to_str().and_then(|name| name.parse::<PluginId>().ok())
            && layout.plugin(&id).join("plugin.json").exists()
        {
            found.push(id);
        }
    }
    found.sort();
    Ok(found)
}

/// # Errors
/// `Denied` where policy pins other bytes under its id, or wants another's signature of it.
pub(super) fn admitted(gate: &Gate, plugin: &Installed) -> Result<()> {
    let (id, digest) = (&plugin.manifest.id, plugin.digest);
    gate.policy()
        .trust
        .admit(id, plugin.signer)
        .map_err(|(why, hint)| Failure::denied(format!("policy does not trust the plugin {id}: {why}")).hint(hint))?;
    match gate.policy().plugins.get(id).and_then(|grants| grants.digest) {
        Some(pin) if pin != digest => {
            let mut failure = Failure::denied(format!("policy pins other bytes for the plugin {id}"));
            failure.causes.push(format!("the pin is {pin}, the plugin is {digest}"));
            Err(failure.hint(format!("if you trust this plugin: fief plugin revoke {id} --pin, and install it again")))
        }
        Some(_) | None => Ok(()),
    }
}

/// What those bytes are as a plugin; `shown` is where they came from.
fn checked(bytes: &[u8], shown: &str) -> Result<Installed> {
    let saying = |failure: Failure| failure.while_doing(format!("{shown} is not a plugin for this host"));
    let component = component::read(bytes).map_err(saying)?;
    let manifest = Manifest::parse(&component.manifest).map_err(saying)?;
    world::check(&component, &manifest).map_err(saying)?;
    let signer = signature::signer(bytes).map_err(saying)?;
    let Component { imports, exports, manifest: _ } = component;
    Ok(Installed { digest: Digest::of(bytes), manifest, imports, exports, signer, source: None })
}

/// Removes the stored and compiled bytes of a digest that no id names any more.
fn sweep(layout: &Layout, digest: Digest) -> Result<()> {
    if all(layout)?.iter().any(|installed| installed.digest == digest) {
        return Ok(());
    }
    cache::forget(layout, digest)?;
    let path = layout.store(digest);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
