//! Installed plugins: stored by digest, compiled once, loaded from the cache.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::policy::edit::Edit;
use crate::error::{Context, Failure, Result};
use crate::gate::{Gate, Mode};
use crate::layout::Layout;
use crate::plugin::component::{self, Component};
use crate::plugin::source::{Fetched, SourceRecord};
use crate::plugin::upgrade::Staged;
use crate::plugin::{Manifest, cache, loading, pending, signature, world};
use crate::sys::durable;
use crate::types::{Digest, PluginId, Signer};

/// How long an installation waits for another to end: a compilation takes seconds.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// What `plugin.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Record {
    #[serde(flatten)]
    pub installed: Installed,
    /// What an upgrade took the place of, and `rollback` brings back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Installed>,
    /// What is about to take its place, where policy changes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
}

/// A version that comes with changes of policy: both or none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Next {
    pub installed: Installed,
    pub edits: Vec<Edit>,
}

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
    /// Whether it was tried before it was installed; nothing, where it was installed before this was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
}

/// What came of a plugin's trial ahead of its installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trial {
    Passed,
    /// There was none: the operator said so.
    PassedOver,
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
/// it fits. The same bytes again change nothing. In a dry run it is checked and nothing is written.
///
/// # Errors
/// `Usage` where it is no plugin for this host, `Denied` where policy pins other bytes under its id or does not trust who signed
/// it, or its signature is not valid, `PluginFault`
/// where it does not compile or load, `Conflict` where other bytes are installed under its id.
pub fn install(gate: &Gate, fetched: &Fetched) -> Result<Installed> {
    let new = inspect(fetched)?;
    install_all(gate, &[(new.clone(), &fetched.bytes)], Replace::No)?;
    Ok(new)
}

/// Whether an installed plugin gives way to another version without a look at what differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    No,
    Yes,
}

/// Whether it may be installed, as far as policy and what is installed say.
///
/// # Errors
/// `Denied`; `Conflict` where other bytes are installed under its id, and are not to be replaced.
pub fn may_install(gate: &Gate, new: &Installed, replace: Replace) -> Result<()> {
    admitted(gate, new)?;
    match replace {
        Replace::No => refuse_other(gate, new),
        Replace::Yes => Ok(()),
    }
}

/// Installs all of them, or none.
///
/// # Errors
/// As [`install`], of the first that is not to be had.
pub fn install_all(gate: &Gate, all: &[(Installed, &[u8])], replace: Replace) -> Result<()> {
    for (new, _) in all {
        may_install(gate, new, replace)?;
    }
    match gate.mode() {
        Mode::DryRun => Ok(()),
        Mode::Perform => Staged::new(gate, all)?.switch(),
    }
}

/// # Errors
/// `Conflict` where other bytes are installed under its id; a record that cannot be read gives way.
fn refuse_other(gate: &Gate, new: &Installed) -> Result<()> {
    let id = &new.manifest.id;
    match installed(gate.layout(), id).ok().filter(|before| before.digest != new.digest) {
        None => Ok(()),
        Some(before) => {
            let (version, other) = (&before.manifest.version, &new.manifest.version);
            let from = new.source.as_ref().map_or("FILE", |source| source.from.as_str());
            let message = format!("the plugin {id} is installed already: version {version}, this is {other}");
            Err(Failure::conflict(message)
                .hint(format!("fief plugin upgrade {from} shows what changes, and changes it")))
        }
    }
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
    if (Installed { source: record.source.clone(), trial: record.trial, ..found }) != record {
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
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.context(saying)?,
    }
    durable::sync_folder(&layout.plugins()).context(saying)
}

/// One installation or removal at a time: what one stores, another must not sweep.
pub(super) fn lock(layout: &Layout) -> Result<durable::Lock> {
    lock_within(layout, LOCK_WAIT)
}

/// # Errors
/// `Conflict` where another has it, and there is no time to wait.
pub(super) fn lock_within(layout: &Layout, wait: Duration) -> Result<durable::Lock> {
    pending::folder(&layout.plugins())?;
    durable::lock(&layout.plugins().join(".lock"), wait)
}

/// # Errors
/// `NotFound` where no plugin is installed under that id.
pub fn installed(layout: &Layout, id: &PluginId) -> Result<Installed> {
    record(layout, id).map(|record| record.installed)
}

/// # Errors
/// As [`installed`].
pub(super) fn record(layout: &Layout, id: &PluginId) -> Result<Record> {
    let path = layout.plugin(id).join("plugin.json");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::not_found(format!("no plugin {id} is installed"))
                .hint("fief plugin list shows what is installed, fief plugin install FILE installs"));
        }
        Err(error) => return Err(error).context(|| format!("cannot read {}", path.display())),
    };
    let record: Record = serde_json::from_slice(&bytes)
        .context(|| format!("the record {} cannot be read", path.display()))
        .map_err(|failure| failure.hint("install the plugin again"))?;
    if record.installed.manifest.id != *id {
        return Err(Failure::other(format!("the record {} is of another plugin", path.display()))
            .hint("install the plugin again"));
    }
    Ok(record)
}

pub(super) fn write(layout: &Layout, record: &Record) -> Result<()> {
    let id = &record.installed.manifest.id;
    pending::folder(&layout.plugin(id))?;
    let bytes = serde_json::to_vec_pretty(record).context(|| format!("cannot write the record of the plugin {id}"))?;
    durable::write(&layout.plugin(id).join("plugin.json"), &bytes)
}

/// The plugin that is to run under an id: what is installed; or the bytes that whoever has this gate keeps to, as long as
/// they are there and policy admits them.
///
/// # Errors
/// `NotFound` where none is installed under that id.
pub fn chosen(gate: &Gate, id: &PluginId) -> Result<Installed> {
    let layout = gate.layout();
    let installed = installed(layout, id);
    if let Some(digest) = gate.kept(id)
        && installed.as_ref().map_or(true, |installed| installed.digest != digest)
    {
        let kept = cache::stored(layout, digest)
            .and_then(|(_, bytes)| checked(&bytes, &layout.store(digest).display().to_string()))
            .and_then(|kept| admitted(gate, &kept).map(|()| kept));
        match kept {
            Ok(kept) => return Ok(kept),
            Err(failure) => {
                tracing::warn!(plugin = %id, %failure, "what is kept to cannot be; what is installed is taken")
            }
        }
    }
    installed
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
pub fn admitted(gate: &Gate, plugin: &Installed) -> Result<()> {
    let (id, digest) = (&plugin.manifest.id, plugin.digest);
    gate.policy()
        .trust
        .admit(id, plugin.signer)
        .map_err(|(why, hint)| Failure::denied(format!("policy does not trust the plugin {id}: {why}")).hint(hint))?;
    if let Some(pin) = gate.policy().pinned_signer(id).filter(|pin| Some(*pin) != plugin.signer) {
        let mut failure = Failure::denied(format!("policy wants another's signature of the plugin {id}"));
        failure.causes.push(match plugin.signer {
            Some(signer) => format!("it is to be signed by {pin}, and {signer} has"),
            None => format!("it is to be signed by {pin}, and nobody has signed it"),
        });
        return Err(failure.hint(format!(
            "if you trust these bytes: fief plugin upgrade FILE --accept moves the pin, fief plugin revoke {id} --pin ends it"
        )));
    }
    match gate.policy().pinned(id) {
        Some(pin) if pin != digest => {
            let mut failure = Failure::denied(format!("policy pins other bytes for the plugin {id}"));
            failure.causes.push(format!("the pin is {pin}, the plugin is {digest}"));
            Err(failure.hint(format!("if you trust these bytes: fief plugin upgrade FILE --accept moves the pin, fief plugin revoke {id} --pin ends it")))
        }
        Some(_) | None => Ok(()),
    }
}

/// What those bytes are as a plugin; `shown` is where they came from.
pub(super) fn checked(bytes: &[u8], shown: &str) -> Result<Installed> {
    let saying = |failure: Failure| failure.while_doing(format!("{shown} is not a plugin for this host"));
    let component = component::read(bytes).map_err(saying)?;
    let manifest = Manifest::parse(&component.manifest).map_err(saying)?;
    world::check(&component, &manifest).map_err(saying)?;
    let signer = signature::signer(bytes).map_err(saying)?;
    let Component { imports, exports, manifest: _ } = component;
    Ok(Installed { digest: Digest::of(bytes), manifest, imports, exports, signer, source: None, trial: None })
}

/// Removes the stored and compiled bytes that no id names, now or for a rollback, and that are not `kept` to: by domains
/// that run, say. What another change stores meanwhile stays: it waits for that one's end, or leaves it to the next.
pub fn tidy(layout: &Layout, kept: &[Digest]) -> Result<()> {
    let folder = layout.stored();
    if !folder.exists() {
        return Ok(());
    }
    let _lock = lock(layout)?;
    let mut named: Vec<Digest> = kept.to_vec();
    for id in names(layout)? {
        let record = record(layout, &id)?;
        let others = record.previous.into_iter().chain(record.next.map(|next| next.installed));
        named.extend([record.installed.digest].into_iter().chain(others.map(|other| other.digest)));
    }
    for name in durable::names(&folder)? {
        let digest = name.strip_suffix(".wasm").and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
        let Some(digest) = digest.filter(|digest| !named.contains(digest)) else { continue };
        cache::forget(layout, digest)?;
        let path = layout.store(digest);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}
