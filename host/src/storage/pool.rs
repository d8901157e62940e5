//! A pool by its name: `pool.toml` and the plugin that policy says serves its kind.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;

use super::call::{self, Backend};
use super::{PoolInfo, Transport};
use crate::config::policy::PluginGrants;
use crate::config::pool::PoolDefinition;
use crate::error::{Context, Failure, Result};
use crate::gate::{Gate, Mode};
use crate::plugin::manifest::SettingKind;
use crate::plugin::trouble::Wires;
use crate::plugin::{self, Manifest, Patience, settings};
use crate::sandbox::protocol::{PluginKind, Settings, StorageCall};
use crate::sys::durable;
use crate::types::{GrantName, PluginId, PoolName, VolumeName};

/// How alike two words are (Jaro-Winkler, 0 to 1) before one is offered for the other.
const ALIKE: f64 = 0.7;
/// In the folder of a pool.
const DEFINITION: &str = "pool.toml";

/// A pool that is being worked on: its definition, and its plugin's sandbox once it is needed. One sandbox serves
/// all calls made through one value. Each change takes the pool's lock and is undone as a whole where it fails. What an
/// earlier, killed change left is undone by whoever opens the pool next, and certainly before the next change.
pub struct Pool {
    pub(super) gate: Gate,
    pub(super) definition: PoolDefinition,
    pub(super) plugin: PluginId,
    /// Checked against the plugin's schema; found out with the first call.
    pub(super) settings: Option<Settings>,
    /// The ways to volumes that were chosen, where the settings leave that open.
    pub(super) chosen: BTreeMap<VolumeName, Transport>,
    pub(super) patience: Patience,
    pub(super) backend: Option<Backend>,
    /// What streams of served volumes are led past, where the plugin is being tried out.
    pub(super) wires: Option<Wires>,
}

impl Pool {
    /// All pools of this host, by name. One whose file cannot be read is left out, and the log says why.
    pub fn all(gate: &Gate) -> Result<Vec<PoolDefinition>> {
        let mut all: Vec<PoolDefinition> = names(gate)?
            .iter()
            .filter_map(|name| match read(gate, name) {
                Ok(definition) => definition,
                Err(failure) => {
                    tracing::warn!(pool = %name, error = %failure, "left out");
                    None
                }
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Checks the definition against policy and the plugin's schema, asks the plugin for `info`, and writes it.
    /// The same definition again is the same pool.
    ///
    /// # Errors
    /// `Conflict` where a pool of that name is defined differently.
    pub fn define(gate: &Gate, definition: PoolDefinition) -> Result<Pool> {
        let name = definition.name.clone();
        Pool::new(gate, definition)
            .and_then(Pool::written)
            .map_err(|failure| failure.while_doing(format!("cannot define the pool {name}")))
    }

    pub fn open(gate: &Gate, name: &PoolName) -> Result<Pool> {
        let definition = read(gate, name)?.ok_or_else(|| unknown(gate, name))?;
        call::settle(gate, name);
        Pool::new(gate, definition)
    }

    /// The plugin that policy has for the pool; none where there is no such pool, or nobody serves its kind.
    pub fn served_by(gate: &Gate, name: &PoolName) -> Option<PluginId> {
        let definition = read(gate, name).ok()??;
        gate.policy().pools.get(&definition.kind).cloned()
    }

    pub fn definition(&self) -> &PoolDefinition {
        &self.definition
    }

    /// Forgets the pool; its volumes stay where they are. Works without its plugin.
    pub fn delete(gate: &Gate, name: &PoolName) -> Result<()> {
        let folder = gate.layout().pool(name);
        match gate.mode() {
            Mode::DryRun => return read(gate, name)?.map(drop).ok_or_else(|| unknown(gate, name)),
            Mode::Perform => {}
        }
        let _held = call::hold(gate, name)?;
        let saying = || format!("cannot forget the pool {name}");
        // The definition first: a folder without one is no pool.
        match std::fs::remove_file(folder.join(DEFINITION)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).context(saying),
            _ => {}
        }
        durable::sync_folder(&folder).context(saying)?;
        std::fs::remove_dir_all(&folder).context(saying)?;
        durable::sync_folder(&gate.layout().pools()).context(saying)
    }

    pub fn info(&mut self) -> Result<PoolInfo> {
        let name = self.definition.name.clone();
        self.query(StorageCall::Info, |from, answer| from.pool_info(answer))
            .map_err(|failure| failure.while_doing(format!("cannot look at the pool {name}")))
    }

    fn new(gate: &Gate, definition: PoolDefinition) -> Result<Pool> {
        let plugin = gate.policy().pools.get(&definition.kind).cloned().ok_or_else(|| {
            let message = format!("no plugin serves pools of the kind {:?}", definition.kind);
            let kinds = gate.policy().pools.keys().map(String::as_str);
            Failure::usage(message).hint(match nearest(kinds, &definition.kind) {
                Some(kind) => {
                    format!("did you mean {kind:?}? else: fief plugin grant PLUGIN --serve {}", definition.kind)
                }
                None => format!("say which does: fief plugin grant PLUGIN --serve {}", definition.kind),
            })
        })?;
        let (gate, patience) = (gate.clone(), Patience::Work);
        let chosen = BTreeMap::new();
        Ok(Pool { gate, definition, plugin, settings: None, chosen, patience, backend: None, wires: None })
    }

    /// Settings as the plugin sees them.
    pub fn settings(&mut self) -> Result<Settings> {
        if let Some(settings) = &self.settings {
            return Ok(settings.clone());
        }
        let installed = plugin::chosen(&self.gate, &self.plugin)?;
        let settings = self.fit(&installed.manifest)?;
        Ok(self.settings.insert(settings).clone())
    }

    pub(super) fn fit(&self, manifest: &Manifest) -> Result<Settings> {
        if manifest.kind != PluginKind::Storage {
            return Err(Failure::usage(format!("plugin {} is not one for storage", self.plugin))
                .hint(format!("name another plugin for {:?} under [pools] in policy.toml", self.definition.kind)));
        }
        let settings = settings::resolve(manifest, &self.definition.settings)?;
        let none = PluginGrants::default();
        let grants = self.gate.policy().plugins.get(&self.plugin).unwrap_or(&none);
        for (key, value) in &settings {
            let kind = manifest.settings.iter().find(|setting| setting.key == *key).map(|setting| setting.kind);
            let (what, all, remedy): (_, Vec<&GrantName>, _) = match kind {
                Some(SettingKind::Directory) => (
                    "directory",
                    grants.directories.keys().collect(),
                    format!("grant it under [plugins.{}] in policy.toml, with its path", self.plugin),
                ),
                Some(SettingKind::Secret) => (
                    "secret",
                    grants.secrets.iter().collect(),
                    format!("add it to secrets under [plugins.{}] in policy.toml", self.plugin),
                ),
                Some(
                    SettingKind::String
                    | SettingKind::Integer
                    | SettingKind::Boolean
                    | SettingKind::Size
                    | SettingKind::Address
                    | SettingKind::Cidr,
                )
                | None => continue,
            };
            if !all.iter().any(|name| name.as_str() == value) {
                let hint = match nearest(all.iter().map(|name| name.as_str()), value) {
                    Some(name) => format!("did you mean {name:?}?"),
                    None => remedy,
                };
                let message = format!("setting {key:?}: policy grants plugin {} no {what} {value:?}", self.plugin);
                return Err(Failure::denied(message).hint(hint));
            }
        }
        Ok(settings)
    }

    pub(super) fn written(mut self) -> Result<Pool> {
        let (gate, name) = (self.gate.clone(), self.definition.name.clone());
        if self.already()? {
            return Ok(self);
        }
        let info = self.query(StorageCall::Info, |from, answer| from.pool_info(answer))?;
        match gate.mode() {
            Mode::DryRun => return Ok(self),
            Mode::Perform => {}
        }
        let folder = gate.layout().pool(&name);
        let saying = || format!("cannot make {}", folder.display());
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).context(saying)?;
        durable::sync_folder(&gate.layout().pools()).context(saying)?;
        let _held = call::hold(&gate, &name)?;
        // Another command may have defined it in the meantime.
        if !self.already()? {
            self.accept_identity(&info.identity)?;
            let text = toml::to_string(&self.definition)
                .map_err(|error| Failure::other("cannot write the definition as TOML").because(error))?;
            durable::write(&folder.join(DEFINITION), text.as_bytes())?;
        }
        Ok(self)
    }

    /// Whether this very pool is defined.
    fn already(&self) -> Result<bool> {
        match read(&self.gate, &self.definition.name)? {
            Some(there) if there == self.definition => Ok(true),
            Some(_) => Err(Failure::conflict("a pool of that name is defined differently").hint(format!(
                "`fief pool show {}` prints it; delete it first, its volumes stay",
                self.definition.name
            ))),
            None => Ok(false),
        }
    }
}

pub(super) fn names(gate: &Gate) -> Result<Vec<PoolName>> {
    // What is no name of a pool is someone else's.
    let names = durable::names(&gate.layout().pools())?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// The definition of that name; none where there is no such pool.
fn read(gate: &Gate, name: &PoolName) -> Result<Option<PoolDefinition>> {
    let path = gate.layout().pool(name).join(DEFINITION);
    let text = match std::fs::read_to_string(&path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        other => other.context(|| format!("cannot read {}", path.display()))?,
    };
    let definition: PoolDefinition = toml::from_str(&text)
        .map_err(|error| Failure::usage(format!("{} is not a definition of a pool", path.display())).because(error))?;
    if definition.name != *name {
        return Err(Failure::usage(format!("{} defines a pool of another name, {}", path.display(), definition.name)));
    }
    Ok(Some(definition))
}

pub(super) fn unknown(gate: &Gate, name: &PoolName) -> Failure {
    let mut all = names(gate).unwrap_or_default();
    // A folder alone is no pool.
    all.retain(|name| gate.layout().pool(name).join(DEFINITION).exists());
    let hint = match nearest(all.iter().map(PoolName::as_str), name.as_str()) {
        Some(other) => format!("did you mean {other}?"),
        None => "`fief pool list` shows all pools".into(),
    };
    Failure::not_found(format!("there is no pool {name}")).hint(hint)
}

fn nearest<'a>(all: impl Iterator<Item = &'a str>, word: &str) -> Option<&'a str> {
    all.map(|other| (other, strsim::jaro_winkler(other, word)))
        .filter(|(_, likeness)| *likeness >= ALIKE)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(other, _)| other)
}
