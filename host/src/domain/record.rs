//! What a supervisor writes down: `record.json`, replaced as a whole and synced, so that it is always one whole record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::domain::DomainDefinition;
use crate::domain::supervisor::{Changing, Copying, Moving, Saving, Storage};
use crate::domain::{State, ownership, rename};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::operation::ProcessId;
use crate::hypervisor::{ChosenAccelerator, Places};
use crate::layout::Layout;
pub use crate::sys::process::boot_id;
use crate::sys::{durable, process};
use crate::types::{ByteSize, Digest, DomainName, InterfaceName, MacAddress, NetworkName, PluginId, VolumeRef};

/// Version of this file's shape. A later fief reads earlier ones; an earlier one refuses later ones.
const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    pub version: u32,
    pub name: DomainName,
    pub uuid: Uuid,
    pub state: State,
    pub memory: ByteSize,
    pub vcpus: u16,
    /// What the last or present run has; none before the first start.
    pub run: Option<Run>,
    /// How the last run ended.
    pub last_end: Option<End>,
    /// How often it was started: a saved state fits its disks as long as this does not grow.
    #[serde(default)]
    pub runs: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saving: Option<Saving>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copying: Option<Copying>,
    /// A disk is on its way to another volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<Moving>,
    /// Where its guest's state is, until it is restored or started afresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<PathBuf>,
    /// What the file says of the state, where another host may own the domain: that is its journal's to say
    /// (migration/journal.rs), and never written here.
    #[serde(skip)]
    pub(in crate::domain) written: Option<State>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Run {
    pub id: u32,
    /// /proc/sys/kernel/random/boot_id: process numbers mean nothing after a reboot.
    pub boot: String,
    pub supervisor: ProcessId,
    pub hypervisor: Option<ProcessId>,
    pub accelerator: ChosenAccelerator,
    /// Shown by `list -o wide`: why the guest runs slower than it might, say.
    pub warning: Option<String>,
    pub started: Timestamp,
    pub volumes: Vec<VolumeRef>,
    pub cards: Vec<CardRecord>,
    /// It was restored, and is not let go yet: whoever finds it so lets it go.
    #[serde(default)]
    pub held: bool,
    /// Where its devices sit; absent in records of the first layout, where that follows from the definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<Places>,
    /// A device that is on its way in or out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changing: Option<Changing>,
    /// The plugins that its disks and cards have, as they were when it began: it keeps to them while it runs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<PluginId, Digest>,
    /// Its hypervisor has a way to disks that plugins serve.
    #[serde(default, skip_serializing_if = "is_not")]
    pub serves: bool,
    /// What is amiss with its disks.
    #[serde(default, skip_serializing_if = "Storage::is_well")]
    pub storage: Storage,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CardRecord {
    pub network: NetworkName,
    /// Absent in the records of an earlier fief.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// None for a user-mode card.
    pub tap: Option<InterfaceName>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_not(flag: &bool) -> bool {
    !*flag
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct End {
    pub at: Timestamp,
    pub reason: EndReason,
    /// The hypervisor's exit code: the guest's own where its definition has `debug-exit`.
    pub exit_code: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    PoweredOff,
    Rebooted,
    Crashed,
    HypervisorGone,
    Stopped,
    /// Another host took a disk over.
    Fenced,
    /// To another host.
    Moved,
    /// Into a file; `fief restore` takes it up again.
    Saved,
    StartFailed,
    HostRebooted,
}

impl EndReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            EndReason::PoweredOff => "powered-off",
            EndReason::Rebooted => "rebooted",
            EndReason::Crashed => "crashed",
            EndReason::HypervisorGone => "hypervisor-gone",
            EndReason::Stopped => "stopped",
            EndReason::Fenced => "fenced",
            EndReason::Moved => "moved",
            EndReason::Saved => "saved",
            EndReason::StartFailed => "start-failed",
            EndReason::HostRebooted => "host-rebooted",
        }
    }
}

/// What is true now, from a record and the processes that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// The record's state, and its supervisor is there where one is due.
    AsRecorded,
    /// The guest runs, its supervisor does not: the next command takes it up.
    Orphaned,
    /// Both are gone; what they left is still to be undone.
    Dead,
}

impl Record {
    /// Of a domain that was never started.
    pub fn new(definition: &DomainDefinition) -> Self {
        Record {
            version: VERSION,
            name: definition.name.clone(),
            uuid: definition.uuid,
            state: State::Off,
            memory: definition.memory,
            vcpus: definition.vcpus,
            run: None,
            last_end: None,
            runs: 0,
            saving: None,
            copying: None,
            moving: None,
            saved: None,
            written: None,
        }
    }

    pub fn path(layout: &Layout, name: &DomainName) -> PathBuf {
        layout.domain(name).join("record.json")
    }

    /// # Errors
    /// `NotFound` where there is none; `NeedsRecover` where it cannot be read, is another domain's, or a later fief's.
    pub fn load(layout: &Layout, name: &DomainName) -> Result<Record> {
        let path = Record::path(layout, name);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Failure::not_found(format!("no domain is called {name}"))
                    .hint("`fief list` shows the domains of this host"));
            }
            Err(error) => return Err(error).context(|| format!("cannot read {}", path.display())),
        };
        let mut record = Record::parse(&bytes, name, &path, |written| rename::allows(layout, written, name))?;
        record.held(layout)?;
        Ok(record)
    }

    /// Who owns the domain counts for more than what a supervisor wrote last.
    fn held(&mut self, layout: &Layout) -> Result<()> {
        if let Some(standing) = ownership::standing(layout, self.uuid, &self.name)? {
            let state = self.state.where_held(standing.holding);
            if state != self.state {
                self.written = Some(self.state);
                self.state = state;
            }
        }
        Ok(())
    }

    /// `renamed` tells whether the name that is written is an earlier one of the same domain.
    fn parse(
        bytes: &[u8],
        name: &DomainName,
        path: &Path,
        renamed: impl FnOnce(&DomainName) -> bool,
    ) -> Result<Record> {
        let broken = |cause: String| {
            let mut failure = Failure::new(Kind::NeedsRecover, format!("the record {} cannot be used", path.display()));
            failure.causes.push(cause);
            failure.hint(format!("`fief recover {name}` makes a new one from what else there is, and keeps the file"))
        };
        #[derive(Deserialize)]
        struct Shape {
            version: u32,
        }
        let shape: Shape = serde_json::from_slice(bytes).map_err(|error| broken(error.to_string()))?;
        if shape.version > VERSION {
            let later = format!("it was written by a later fief (version {}, known is {VERSION})", shape.version);
            return Err(Failure { kind: Kind::Conflict, ..broken(later) }.hint("that fief is to be used for it"));
        }
        let mut record: Record = serde_json::from_slice(bytes).map_err(|error| broken(error.to_string()))?;
        if record.name != *name && renamed(&record.name) {
            record.name = name.clone();
        }
        if record.name != *name {
            return Err(broken(format!("it is the record of domain {}", record.name)));
        }
        Ok(record)
    }

    /// Replaces the record on disk, durably.
    pub fn save(&self, layout: &Layout) -> Result<()> {
        let path = Record::path(layout, &self.name);
        let saying = || format!("cannot write the record of {}", self.name);
        let mut bytes = match (self.state, self.written) {
            (State::Ceded | State::Elsewhere, Some(state)) => {
                serde_json::to_vec_pretty(&Record { state, ..self.clone() }).context(saying)?
            }
            (_, _) => serde_json::to_vec_pretty(self).context(saying)?,
        };
        bytes.push(b'\n');
        durable::write(&path, &bytes).map_err(|failure| failure.while_doing(saying()))
    }

    /// Looks at the processes that the record names.
    pub fn truth(&self) -> Truth {
        match &self.run {
            _ if matches!(self.state, State::Ceded | State::Elsewhere) => Truth::AsRecorded,
            Some(run) if run.boot == boot_id() && process::alive(run.supervisor) => Truth::AsRecorded,
            Some(_) | None => self.truth_unattended(),
        }
    }

    /// The same for whoever holds the domain's lock: its supervisor is gone, even where the process is still about to
    /// end, with its lock let go already.
    pub fn truth_unattended(&self) -> Truth {
        match (&self.run, self.state) {
            // What runs or stands still of what is not this host's is the handover's alone.
            (None, _) | (Some(_), State::Off | State::Ceded | State::Elsewhere) => Truth::AsRecorded,
            (Some(run), _) if run.boot == boot_id() && run.hypervisor.is_some_and(process::alive) => Truth::Orphaned,
            (Some(_), _) => Truth::Dead,
        }
    }

    /// The state as an operator should see it.
    pub fn state_now(&self) -> State {
        match self.truth() {
            Truth::AsRecorded | Truth::Orphaned => self.state,
            Truth::Dead => State::Off,
        }
    }

    pub fn tap_name(id: u32, index: usize) -> Result<InterfaceName> {
        // Xen's habit: vif<domain id>.<n>.
        format!("vif{id}.{index}")
            .parse()
            .map_err(|error| Failure::other("cannot name a card's interface").because(error))
    }
}

#[cfg(test)]
mod tests;
