//! What a command has begun that is more than one step, written down before the first: a command that was killed is
//! finished, or taken back, by the next one, whatever that is about.
//!
//! ```text
//!   begin: domains/.unfinished/clone-web2/{lock, intent.json} ─▸ steps, each noted ─▸ end: the folder goes
//!                                                     └ killed ─▸ next command: lock is free ─▸ settle ─▸ end
//! ```

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::snapshot::{self, Act};
use crate::domain::volume::arrival::{self, Arrival};
use crate::domain::volume::export;
use crate::domain::volume::fill::{self, Stage, Work};
use crate::domain::volume::rename::{self, Renaming};
use crate::domain::{Record, clone};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::Gate;
use crate::gate::operation::ImageSnapshot;
use crate::layout::Layout;
use crate::sys::durable;
use crate::types::{DomainName, SnapshotName, VolumeRef};

const INTENT: &str = "intent.json";
const LEDGER: &str = "ledger.jsonl";
/// How often a begin tries again whose folder another command has just removed, as a finished one's.
const TRIES: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "intent", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Intent {
    /// `name` is being made with this uuid; it has come about once it is defined. Volumes as they come to be.
    Clone {
        name: DomainName,
        uuid: Uuid,
        volumes: Vec<VolumeRef>,
    },
    /// The same, from the file of another host.
    Import {
        name: DomainName,
        uuid: Uuid,
        volumes: Vec<VolumeRef>,
    },
    /// Of a creation, the volumes as they come to have it; else all that are to be changed.
    Snapshot {
        domain: DomainName,
        snapshot: SnapshotName,
        act: Act,
        volumes: Vec<VolumeRef>,
    },
    /// A volume that is being filled: from a file, or from another volume.
    Fill(Work),
    /// A volume that is being written to a file. What is done to that file is in the ledger beside this.
    Export {
        from: VolumeRef,
    },
    Rename(Renaming),
    /// A volume that comes from another host. One that is cut off stays for a while, to be gone on with.
    Arrive(Arrival),
}

/// What became of something that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// It is finished, or taken back: nothing is left to be known of it.
    Over,
    /// It waits for whoever goes on with it.
    Waits,
}

impl Intent {
    /// What an earlier one has left, and that waits, is gone on with.
    fn go_on_with(&mut self, earlier: Intent) -> Result<()> {
        match (self, earlier) {
            (Intent::Arrive(now), Intent::Arrive(earlier)) => now.go_on_with(&earlier),
            (_, earlier) => Err(Failure::conflict(earlier.doing())),
        }
    }

    /// One of these at a time: the name of its folder.
    fn key(&self) -> String {
        match self {
            Intent::Clone { name, .. } => format!("clone-{name}"),
            Intent::Import { name, .. } => format!("import-{name}"),
            Intent::Snapshot { domain, .. } => format!("snapshot-{domain}"),
            Intent::Fill(Work { target: VolumeRef { pool, volume }, .. }) => format!("fill-{pool}={volume}"),
            Intent::Export { from: VolumeRef { pool, volume } } => format!("export-{pool}={volume}"),
            Intent::Rename(Renaming { from: VolumeRef { pool, volume }, .. }) => format!("rename-{pool}={volume}"),
            Intent::Arrive(Arrival { target, .. }) => arrival_key(target),
        }
    }

    fn doing(&self) -> String {
        match self {
            Intent::Clone { name, .. } => format!("domain {name} is being made by another `fief clone`"),
            Intent::Import { name, .. } => format!("domain {name} is being made by another `fief import`"),
            Intent::Snapshot { domain, .. } => format!("another command is about a snapshot of domain {domain}"),
            Intent::Fill(work) => format!("another command is making the volume {}", work.target),
            Intent::Export { from } => format!("another command is exporting the volume {from}"),
            Intent::Rename(work) => format!("another command is renaming the volume {}", work.from),
            Intent::Arrive(arrival) => format!("the volume {} is coming from another host already", arrival.target),
        }
    }

    /// Finishes it, or takes it back.
    fn settle(&self, gate: &Gate, folder: &Path) -> Result<Settled> {
        match self {
            Intent::Arrive(arrival) => return arrival::settle(gate, arrival, &folder.join(LEDGER)),
            Intent::Clone { name, uuid, volumes } | Intent::Import { name, uuid, volumes } => {
                clone::settle(gate, name, *uuid, volumes)
            }
            Intent::Snapshot { domain, snapshot, act, volumes } => {
                snapshot::settle(gate, domain, snapshot, *act, volumes)
            }
            Intent::Fill(work) => fill::settle(gate, work, &folder.join(LEDGER)),
            Intent::Export { from } => export::settle(gate, from, &folder.join(LEDGER)),
            Intent::Rename(work) => rename::settle(gate, work),
        }
        .map(|()| Settled::Over)
    }
}

/// What this command is about. Its lock says that somebody is.
#[derive(Debug)]
pub struct Unfinished {
    folder: PathBuf,
    intent: Intent,
    _lock: durable::Lock,
}

impl Unfinished {
    /// # Errors
    /// `Conflict` where another command is about the same.
    pub fn begin(gate: &Gate, intent: Intent) -> Result<Unfinished> {
        let folder = folder(gate.layout()).join(intent.key());
        let saying = || format!("cannot write down what is begun in {}", folder.display());
        let mut last = None;
        for _ in 0..TRIES {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).context(saying)?;
            let lock = match durable::lock(&folder.join("lock"), Duration::ZERO) {
                Ok(lock) => lock,
                Err(failure) if failure.kind == Kind::Conflict => {
                    return Err(Failure::conflict(intent.doing()).hint("wait for that one to end"));
                }
                // A command that finished it took the folder away between these two lines.
                Err(failure) => {
                    last = Some(failure);
                    continue;
                }
            };
            let mut intent = intent.clone();
            if let Some(earlier) = read(&folder)?
                && earlier.settle(gate, &folder)? == Settled::Waits
            {
                intent.go_on_with(earlier)?;
            }
            let unfinished = Unfinished { folder: folder.clone(), intent, _lock: lock };
            unfinished.note()?;
            durable::sync_folder(&self::folder(gate.layout())).context(saying)?;
            return Ok(unfinished);
        }
        Err(last.unwrap_or_else(|| Failure::other(saying())))
    }

    /// The volume that comes from another host, where one does and nobody is about it just now.
    ///
    /// # Errors
    /// `Conflict` where somebody is, and still is after `within`.
    pub(super) fn of_arrival(gate: &Gate, target: &VolumeRef, within: Duration) -> Result<Option<Unfinished>> {
        let folder = folder(gate.layout()).join(arrival_key(target));
        if !folder.exists() {
            return Ok(None);
        }
        let _lock = durable::lock(&folder.join("lock"), within)?;
        Ok(read(&folder)?.map(|intent| Unfinished { folder, intent, _lock }))
    }

    pub(super) fn arrival(&self) -> Option<&Arrival> {
        match &self.intent {
            Intent::Arrive(arrival) => Some(arrival),
            Intent::Clone { .. }
            | Intent::Import { .. }
            | Intent::Snapshot { .. }
            | Intent::Fill(_)
            | Intent::Export { .. }
            | Intent::Rename(_) => None,
        }
    }

    /// One volume more.
    pub fn add(&mut self, volume: &VolumeRef) -> Result<()> {
        match &mut self.intent {
            Intent::Clone { volumes, .. } | Intent::Import { volumes, .. } | Intent::Snapshot { volumes, .. } => {
                volumes.push(volume.clone());
            }
            Intent::Fill(_) | Intent::Export { .. } | Intent::Rename(_) | Intent::Arrive(_) => {}
        }
        self.note()
    }

    /// How far a volume is that is being filled.
    pub fn reached(&mut self, now: Stage) -> Result<()> {
        match &mut self.intent {
            Intent::Fill(work) => work.stage = now,
            Intent::Arrive(arrival) => arrival.stage = now,
            Intent::Clone { .. }
            | Intent::Import { .. }
            | Intent::Snapshot { .. }
            | Intent::Export { .. }
            | Intent::Rename(_) => {}
        }
        self.note()
    }

    /// The snapshots of a volume that comes, as far as they are here.
    pub(super) fn came(&mut self, now: Vec<ImageSnapshot>) -> Result<()> {
        if let Intent::Arrive(arrival) = &mut self.intent {
            arrival.snapshots = now;
        }
        self.note()
    }

    /// Whether a plugin was asked to rename a volume, and may have done it.
    pub fn asked(&mut self, now: bool) -> Result<()> {
        match &mut self.intent {
            Intent::Rename(work) => work.asked = now,
            Intent::Clone { .. }
            | Intent::Import { .. }
            | Intent::Snapshot { .. }
            | Intent::Export { .. }
            | Intent::Arrive(_)
            | Intent::Fill(_) => {}
        }
        self.note()
    }

    /// Where sockets may lie that nobody else is to reach.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The ledger of what is done to files outside of pools.
    pub fn ledger_path(&self) -> PathBuf {
        self.folder.join(LEDGER)
    }

    /// Somebody was about it just now.
    pub(super) fn touch(&mut self, now: u64) -> Result<()> {
        match &mut self.intent {
            Intent::Arrive(arrival) => arrival.touched = now,
            Intent::Clone { .. }
            | Intent::Import { .. }
            | Intent::Snapshot { .. }
            | Intent::Fill(_)
            | Intent::Export { .. }
            | Intent::Rename(_) => {}
        }
        self.note()
    }

    fn note(&self) -> Result<()> {
        let bytes = serde_json::to_vec(&self.intent).context(|| "cannot write down what is begun".to_owned())?;
        durable::write(&self.folder.join(INTENT), &bytes)
    }

    /// It has come about.
    pub fn end(self) -> Result<()> {
        remove(&self.folder)
    }

    /// The end of one that makes a domain. Once that is defined it has come about, whatever else failed: what is left to
    /// do then, the next command does.
    pub fn made(self, gate: &Gate, made: Result<()>) -> Result<()> {
        let defined = match &self.intent {
            Intent::Clone { name, uuid, .. } | Intent::Import { name, uuid, .. } => {
                is_defined(gate.layout(), name, *uuid)?
            }
            Intent::Snapshot { .. }
            | Intent::Fill(_)
            | Intent::Export { .. }
            | Intent::Rename(_)
            | Intent::Arrive(_) => false,
        };
        match made {
            Err(failure) if !defined => Err(self.undone(gate, failure)),
            made => {
                if let Err(failure) = made.and_then(|()| self.end()) {
                    tracing::warn!(%failure, "the domain is made, and notes on its making stay");
                }
                Ok(())
            }
        }
    }

    /// It came to nothing because of `failure`, and is taken back. What cannot be taken back now, the next command tries
    /// again.
    pub fn undone(self, gate: &Gate, mut failure: Failure) -> Failure {
        let settled = self.intent.settle(gate, &self.folder).and_then(|settled| match settled {
            Settled::Over => remove(&self.folder),
            Settled::Waits => Ok(()),
        });
        if let Err(undo) = settled {
            failure.causes.push(format!("and it could not be taken back: {undo}"));
            failure.kind = Kind::PartlyDone;
            failure.hint = Some("the next command tries to take it back again".into());
        }
        failure
    }
}

/// Settles what commands that were killed have left. What cannot be settled stays, and is told.
pub fn settle_all(layout: &Layout, gate: impl FnOnce() -> Result<Gate>) -> Vec<Failure> {
    // Nearly always there is no such folder.
    let Ok(entries) = std::fs::read_dir(folder(layout)) else { return Vec::new() };
    let folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    if folders.is_empty() {
        return Vec::new();
    }
    let gate = match gate() {
        Ok(gate) => gate,
        Err(failure) => return vec![failure],
    };
    folders.into_iter().filter_map(|folder| settle(&gate, &folder).err()).collect()
}

fn settle(gate: &Gate, folder: &Path) -> Result<()> {
    // Held: somebody is about it. Gone: somebody was quicker.
    let Ok(_lock) = durable::lock(&folder.join("lock"), Duration::ZERO) else { return Ok(()) };
    if let Some(intent) = read(folder)? {
        let settled = intent.settle(gate, folder).map_err(|failure| {
            Failure { kind: Kind::NeedsRecover, ..failure }
                .while_doing("what a command that was killed has left is still there")
                .hint("put right what is named; the next command tries again")
        })?;
        if settled == Settled::Waits {
            return Ok(());
        }
        tracing::info!(?intent, "what a command that was killed had left is settled");
    }
    remove(folder)
}

/// None where the command was killed before it wrote anything: then it had not begun.
fn read(folder: &Path) -> Result<Option<Intent>> {
    let path = folder.join(INTENT);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).context(|| format!("cannot read {}", path.display())).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(|| format!("cannot read {}", path.display())),
    }
}

fn remove(folder: &Path) -> Result<()> {
    let saying = || format!("cannot remove {}", folder.display());
    // The intent first: a folder without one is of something that had not begun.
    match std::fs::remove_file(folder.join(INTENT)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).context(saying),
        _ => {}
    }
    std::fs::remove_dir_all(folder).context(saying)?;
    if let Some(above) = folder.parent() {
        // Fails where another command's is in it, as it should.
        let _ = std::fs::remove_dir(above);
    }
    Ok(())
}

fn arrival_key(VolumeRef { pool, volume }: &VolumeRef) -> String {
    format!("arrive-{pool}={volume}")
}

/// The volume that comes from another host, as it was written down; none where none does.
pub(super) fn arrival_of(layout: &Layout, target: &VolumeRef) -> Result<Option<Arrival>> {
    Ok(match read(&folder(layout).join(arrival_key(target)))? {
        Some(Intent::Arrive(arrival)) => Some(arrival),
        Some(_) | None => None,
    })
}

fn folder(layout: &Layout) -> PathBuf {
    layout.domains().join(".unfinished")
}

/// Whether a domain of this name is defined with this uuid.
pub(super) fn is_defined(layout: &Layout, name: &DomainName, uuid: Uuid) -> Result<bool> {
    match Record::load(layout, name) {
        Ok(record) => Ok(record.uuid == uuid),
        Err(failure) if failure.kind == Kind::NotFound => Ok(false),
        Err(failure) => Err(failure),
    }
}
