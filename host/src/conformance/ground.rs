//! A root of one run's own: what is installed and granted there is nowhere else, and goes with it.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bench::WALL;
use crate::config::policy::edit::{self, Edit};
use crate::config::policy::{self, HostSettings, Policy};
use crate::error::{Context, Result};
use crate::gate::{Gate, Mode, secret};
use crate::layout::Layout;
use crate::plugin::source::Fetched;
use crate::plugin::{Installed, lend_compiled, package};
use crate::sys::durable;
use crate::types::PluginId;

/// User ids of the run's plugin lie this far above those that this host gives to domains and plugins: nothing that is
/// installed here shares a user with it.
const ASIDE: u32 = 1 << 18;

pub struct Ground {
    folder: PathBuf,
    gate: Gate,
    plugin: PluginId,
}

impl Ground {
    /// Makes the root, with a policy of those edits (given the plugin and where folders of its own may lie), and installs
    /// the plugin there. `host` says where programs are, `keeps` has the secrets that are granted, and
    /// perhaps the plugin's compiled form.
    ///
    /// # Errors
    /// As [`package::install`]; as [`edit::edit`].
    pub fn make(
        fetched: &Fetched,
        host: &HostSettings,
        keeps: &Layout,
        edits: impl FnOnce(&Installed, &Policy, &Path) -> Result<Vec<Edit>>,
    ) -> Result<Ground> {
        let installed = package::inspect(fetched)?;
        let random = durable::random_name().context(|| "cannot name a folder".to_owned())?;
        let folder = Folder(std::env::temp_dir().join(format!("fief-plugin-test-{random}")));
        let saying = || format!("cannot make {}", folder.0.display());
        DirBuilder::new().mode(0o700).create(&folder.0).context(saying)?;
        let layout = Layout::new(folder.0.join("root"));
        let own = directories(&folder.0);
        for path in [layout.root(), &layout.pools(), &layout.domains(), &own] {
            DirBuilder::new().mode(0o700).create(path).context(saying)?;
        }
        let before = settings(host);
        let path = layout.policy();
        let source = path.display().to_string();
        let empty = policy::parse(before.as_bytes(), &source)?;
        let edits = edits(&installed, &empty, &own)?;
        let text = edit::edit(before.as_bytes(), &source, &installed.manifest.id, &edits)?;
        durable::write(&path, &text)?;
        secrets(keeps, &layout, &edits)?;
        lend_compiled(keeps, &layout, installed.digest)?;
        let mut policy = policy::load(&path)?;
        policy.plugins.entry(installed.manifest.id.clone()).or_default().limits.wall = WALL;
        let gate = Gate::new(layout, Arc::new(policy), Mode::Perform).forgiving();
        package::install(&gate, fetched)?;
        Ok(Ground { folder: folder.keep(), gate, plugin: installed.manifest.id })
    }

    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Where directories lie that are made up.
    pub(super) fn directories(&self) -> PathBuf {
        directories(&self.folder)
    }

    /// Changes the policy of this run, as it is in memory.
    pub(super) fn change_policy(&mut self, change: impl FnOnce(&mut Policy)) {
        self.gate = self.gate_with(change);
    }

    /// A gate of this run with another policy.
    pub(super) fn gate_with(&self, change: impl FnOnce(&mut Policy)) -> Gate {
        let mut policy = self.gate.policy().clone();
        change(&mut policy);
        Gate::new(self.gate.layout().clone(), Arc::new(policy), Mode::Perform).forgiving()
    }

    pub(super) const fn plugin(&self) -> &PluginId {
        &self.plugin
    }

    /// For sockets, and for what a replay makes.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(path = %self.folder.display(), %error, "cannot remove what was made for a test");
        }
    }
}

fn directories(folder: &Path) -> PathBuf {
    folder.join("directories")
}

/// Goes where it is not kept.
struct Folder(PathBuf);

impl Folder {
    fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// What was granted is had from where it is kept; no secret is written a second time.
fn secrets(from: &Layout, to: &Layout, edits: &[Edit]) -> Result<()> {
    for edit in edits {
        let Edit::GrantSecret { name } = edit else { continue };
        let saying = || format!("cannot lend the secret {name}");
        if !from.secret(name).exists() {
            return Err(secret::absent(name));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(to.secrets()).context(saying)?;
        std::os::unix::fs::symlink(from.secret(name), to.secret(name)).context(saying)?;
    }
    Ok(())
}

/// The table `[host]` of the run's policy.
fn settings(host: &HostSettings) -> String {
    let text = |path: &Path| toml::Value::String(path.to_string_lossy().into_owned()).to_string();
    let uid_base = host.uid_base.saturating_add(ASIDE);
    format!("[host]\nqemu-img = {}\nuid-base = {uid_base}\n", text(&host.qemu_img))
}
