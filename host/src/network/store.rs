//! The files of a network: its definition, its record, and the lock that orders those who change it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::network::NetworkDefinition;
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::rollback::Rollback;
use crate::layout::Layout;
use crate::sys::durable::{self, Lock};
pub(super) use crate::sys::process::boot_id;
use crate::types::{InterfaceName, NetworkName};

/// For another command to finish with the network: one call into its plugin, and what the host does after.
const LOCK_LIMIT: Duration = Duration::from_secs(60);

/// What is known of a network that is up. Written once its plugin has finished, removed first when it goes down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Record {
    /// The name that the plugin was offered for a bridge.
    pub(super) bridge: InterfaceName,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub(super) since: u64,
    /// The run of the host's kernel that it is up in (/proc/sys/kernel/random/boot_id): a later one knows nothing of it.
    pub(super) boot: String,
}

/// One network's directory.
#[derive(Debug, Clone)]
pub(super) struct Store {
    name: NetworkName,
    directory: PathBuf,
}

impl Store {
    pub(super) fn new(layout: &Layout, name: &NetworkName) -> Self {
        Store { name: name.clone(), directory: layout.network(name) }
    }
    fn definition_file(&self) -> PathBuf {
        self.directory.join("network.toml")
    }
    fn record_file(&self) -> PathBuf {
        self.directory.join("record.json")
    }
    pub(super) fn ledger_file(&self) -> PathBuf {
        self.directory.join("ledger.jsonl")
    }
    pub(super) fn rollback(&self) -> Rollback {
        Rollback(self.directory.clone())
    }
    pub(super) fn leases_file(&self) -> PathBuf {
        crate::gate::served::ServeDirectory(self.directory.join("dhcp")).leases()
    }

    pub(super) fn folder(&self) -> &Path {
        &self.directory
    }

    pub(super) fn exists(&self) -> bool {
        self.definition_file().exists()
    }

    /// # Errors
    /// `NotFound` where it is not defined.
    pub(super) fn require(&self) -> Result<()> {
        if self.exists() {
            return Ok(());
        }
        Err(Failure::not_found(format!("there is no network {}", self.name))
            .hint("`fief network list` shows all, `fief network create` makes one"))
    }

    pub(super) fn definition(&self) -> Result<NetworkDefinition> {
        self.require()?;
        let path = self.definition_file();
        let text = fs::read_to_string(&path).context(|| format!("cannot read {}", path.display()))?;
        let definition: NetworkDefinition = toml::from_str(&text)
            .map_err(|error| Failure::usage(format!("{} cannot be read", path.display())).because(error))?;
        if definition.name != self.name {
            return Err(Failure::usage(format!("{} defines a network {}", path.display(), definition.name))
                .hint("a network's directory carries its name"));
        }
        Ok(definition)
    }

    pub(super) fn write_definition(&self, definition: &NetworkDefinition) -> Result<()> {
        let text = toml::to_string(definition)
            .map_err(|error| Failure::other("cannot write the definition as TOML").because(error))?;
        fs::create_dir_all(&self.directory).context(|| format!("cannot make {}", self.directory.display()))?;
        durable::write(&self.definition_file(), text.as_bytes())
    }

    /// None where the network is down, or was up before the host started anew.
    pub(super) fn record(&self) -> Result<Option<Record>> {
        let path = self.record_file();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(|| format!("cannot read {}", path.display())),
        };
        let record: Record = serde_json::from_slice(&bytes).map_err(|error| {
            Failure::new(Kind::NeedsRecover, format!("{} cannot be read", path.display()))
                .because(error)
                .hint("`fief recover` sets it aside, and takes the network down by its ledger")
        })?;
        Ok((record.boot == boot_id()).then_some(record))
    }

    pub(super) fn write_record(&self, record: &Record) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(record).context(|| "cannot write the record as JSON".into())?;
        durable::write(&self.record_file(), &bytes)
    }

    pub(super) fn remove_record(&self) -> Result<()> {
        match fs::remove_file(self.record_file()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).context(|| format!("cannot remove {}", self.record_file().display()))
            }
            _ => Ok(()),
        }
    }

    /// Keeps a record that cannot be read, under another name.
    pub(super) fn set_record_aside(&self) -> Result<()> {
        let path = self.record_file();
        fs::rename(&path, durable::damaged(&path)).context(|| format!("cannot rename {}", path.display()))
    }

    /// Removes all files of a network that is down: the definition first, without which there is no network.
    pub(super) fn remove(&self) -> Result<()> {
        let saying = || format!("cannot remove {}", self.directory.display());
        match fs::remove_file(self.definition_file()) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).context(saying),
            _ => {}
        }
        fs::remove_dir_all(&self.directory).context(saying)
    }

    /// The lock of a folder that may have no definition.
    pub(super) fn lock_folder(&self) -> Result<Lock> {
        durable::lock(&self.directory.join("lock"), LOCK_LIMIT)
    }

    /// # Errors
    /// `NotFound` where there is no such network, `Conflict` where another command keeps it for too long.
    pub(super) fn lock(&self) -> Result<Lock> {
        self.lock_within(LOCK_LIMIT)
    }

    pub(super) fn lock_within(&self, limit: Duration) -> Result<Lock> {
        self.require()?;
        let lock = durable::lock(&self.directory.join("lock"), limit)?;
        // Deleted while this waited.
        self.require()?;
        Ok(lock)
    }
}

/// The names of all networks, in order.
pub(super) fn names(layout: &Layout) -> Result<Vec<NetworkName>> {
    let mut names = folders(layout)?;
    names.retain(|name| Store::new(layout, name).exists());
    Ok(names)
}

/// The names of all folders here, in order: a network that was being deleted has no definition any more.
pub(super) fn folders(layout: &Layout) -> Result<Vec<NetworkName>> {
    let directory = layout.networks();
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(|| format!("cannot read {}", directory.display())),
    };
    let mut names: Vec<NetworkName> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use super::*;

    fn store(root: &Path) -> Store {
        Store::new(&Layout::new(root), &"lab".parse().unwrap())
    }

    fn defined(root: &Path) -> Store {
        let store = store(root);
        let settings = [("address".to_owned(), "10.77.0.1/24".to_owned())].into();
        let definition = NetworkDefinition { name: "lab".parse().unwrap(), kind: "host-only".into(), settings };
        store.write_definition(&definition).unwrap();
        assert_eq!(store.definition().unwrap(), definition);
        store
    }

    #[test]
    fn a_record_of_an_earlier_boot_does_not_count() {
        let root = tempfile::tempdir().unwrap();
        let store = defined(root.path());
        let now = Record { bridge: "fief-lab".parse().unwrap(), since: 1, boot: boot_id() };
        store.write_record(&now).unwrap();
        assert_eq!(store.record().unwrap(), Some(now.clone()));
        store.write_record(&Record { boot: "an earlier one".into(), ..now }).unwrap();
        assert_eq!(store.record().unwrap(), None);
    }

    #[test]
    fn a_network_is_where_its_definition_is() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        assert_eq!(names(&layout).unwrap(), vec![]);
        assert_eq!(store(root.path()).lock().err().unwrap().kind, Kind::NotFound);
        let store = defined(root.path());
        fs::create_dir(layout.networks().join("empty")).unwrap();
        assert_eq!(names(&layout).unwrap(), vec!["lab".parse().unwrap()]);
        store.remove().unwrap();
        assert_eq!(names(&layout).unwrap(), vec![]);
    }

    #[test]
    fn a_definition_that_cannot_be_read_says_where() {
        let root = tempfile::tempdir().unwrap();
        let store = defined(root.path());
        fs::write(store.definition_file(), "name = \"lab\"\nkind = 7\n").unwrap();
        let failure = store.definition().unwrap_err();
        assert_eq!(failure.kind, Kind::Usage);
        assert!(failure.to_string().contains("line 2"), "{failure}");
    }

    #[test]
    fn the_second_to_lock_waits_for_the_first() {
        let root = tempfile::tempdir().unwrap();
        let store = defined(root.path());
        let first = store.lock().unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| store.lock().map(|_| Instant::now()));
            std::thread::sleep(Duration::from_millis(50));
            let released = Instant::now();
            drop(first);
            assert!(second.join().unwrap().unwrap() >= released);
        });
    }
}
