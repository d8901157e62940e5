//! A volume that is written to a file of the operator's: the file is there as a whole, or it is not there.

use std::path::{Path, PathBuf};

use super::fill;
use crate::domain::unfinished::{Intent, Unfinished};
use crate::domain::{lease, users_of_volume};
use crate::error::{Context, Failure, Result};
use crate::fault;
use crate::gate::operation::{DiskSource, DiskTarget};
use crate::gate::{Gate, Ledger, Mode};
use crate::storage::Pool;
use crate::types::{DiskFormat, SnapshotName, VolumeRef};

/// An export that can be done.
#[derive(Debug)]
pub struct Export {
    from: VolumeRef,
    source: DiskSource,
    path: PathBuf,
    format: DiskFormat,
}

impl Export {
    /// # Errors
    /// `NotFound`; `Conflict` where the file is there, or a running domain writes to the volume.
    pub fn plan(
        gate: &Gate,
        from: &VolumeRef,
        snapshot: Option<&SnapshotName>,
        file: &Path,
        format: DiskFormat,
    ) -> Result<Export> {
        let path = new_file(file)?;
        refuse_written(gate, from)?;
        let mut pool = Pool::open(gate, &from.pool)?;
        pool.volume(&from.volume)?;
        let source = pool.source(&from.volume, snapshot)?;
        Ok(Export { from: from.clone(), source, path, format })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// After an error nothing of it is left.
    pub fn perform(&self, gate: &Gate) -> Result<()> {
        let to = DiskTarget::File { path: self.path.clone(), format: self.format };
        if gate.mode() == Mode::DryRun {
            return fill::copy(gate, &mut Ledger::volatile(), self.source.clone(), to);
        }
        let mut unfinished = Unfinished::begin(gate, Intent::Export { from: self.from.clone() })?;
        let done = self.steps(gate, &mut unfinished, to);
        match done {
            Ok(()) => {
                if let Err(failure) =
                    settle(gate, &self.from, &unfinished.ledger_path()).and_then(|()| unfinished.end())
                {
                    tracing::warn!(%failure, "the file is written, and notes on its making stay");
                }
                Ok(())
            }
            Err(failure) => Err(unfinished.undone(gate, failure).while_doing(format!(
                "cannot export {} to {}",
                self.from,
                self.path.display()
            ))),
        }
    }

    fn steps(&self, gate: &Gate, unfinished: &mut Unfinished, to: DiskTarget) -> Result<()> {
        lease::hold(gate.layout(), &self.from)?;
        fault::point("export.begun")?;
        let mut ledger = Ledger::open(&unfinished.ledger_path())?;
        fill::copy(gate, &mut ledger, self.source.clone(), to)?;
        fault::point("export.copied")?;
        match gate.seal(&mut ledger) {
            // It stands, under a second name still.
            Err(failure) if ledger.is_sealed() => {
                tracing::warn!(%failure, "the file is written, and its first name is still there");
                Ok(())
            }
            other => other,
        }
    }
}

/// By its absolute path: the folder's real one, and a name in it that is free.
fn new_file(file: &Path) -> Result<PathBuf> {
    let named = file.file_name().ok_or_else(|| {
        Failure::usage(format!("{} names no file", file.display())).hint("give the file a name, as in ./web1.qcow2")
    })?;
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    let folder = folder
        .canonicalize()
        .map_err(|error| Failure::not_found(format!("there is no folder {}", folder.display())).because(error))?;
    let path = folder.join(named);
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(path),
        Err(error) => Err(error).context(|| format!("cannot look at {}", path.display())),
        Ok(_) => Err(Failure::conflict(format!("{} is there already, and is not written over", path.display()))
            .hint("name another file, or remove that one")),
    }
}

/// # Errors
/// `Conflict` where a running domain writes to the volume: a copy would be of no one moment.
pub(super) fn refuse_written(gate: &Gate, volume: &VolumeRef) -> Result<()> {
    lease::refuse_held(gate.layout(), volume)?;
    match users_of_volume(gate.layout(), volume)?.first() {
        None => Ok(()),
        Some(user) => {
            Err(Failure::conflict(format!("cannot copy volume {volume}: it is a disk of {user}, which runs"))
                .hint(format!("`fief shutdown {user}` first; or `fief clone {user} NAME`, which copies it as it runs")))
        }
    }
}

/// What one that did not come to its end has left goes; of one that did, only the notes.
pub(in crate::domain) fn settle(gate: &Gate, from: &VolumeRef, ledger: &Path) -> Result<()> {
    let mut ledger = Ledger::open(ledger)?;
    gate.undo(&mut ledger).map_err(|mut failures| failures.remove(0))?;
    lease::let_go(gate.layout(), from)
}
