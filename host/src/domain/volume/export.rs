//! A volume that is written to a file of the operator's: the file is there as a whole, or it is not there.

use std::path::{Path, PathBuf};

use super::ends::Ends;
use super::refuse_written;
use crate::domain::lease;
use crate::domain::unfinished::{Intent, Unfinished};
use crate::error::{Context, Failure, Result};
use crate::fault;
use crate::gate::operation::DiskTarget;
use crate::gate::{Gate, Ledger, Mode};
use crate::storage::Pool;
use crate::types::{DiskFormat, SnapshotName, VolumeRef};

/// An export that can be done.
#[derive(Debug)]
pub struct Export {
    from: VolumeRef,
    snapshot: Option<SnapshotName>,
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
        Pool::open(gate, &from.pool)?.volume(&from.volume)?;
        Ok(Export { from: from.clone(), snapshot: snapshot.cloned(), path, format })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// After an error nothing of it is left.
    pub fn perform(&self, gate: &Gate) -> Result<()> {
        let to = DiskTarget::File { path: self.path.clone(), format: self.format };
        if gate.mode() == Mode::DryRun {
            let mut ledger = Ledger::volatile();
            let mut ends = Ends::new(gate, &mut ledger, gate.layout().root());
            let source = ends.source(&self.from, self.snapshot.as_ref())?;
            return ends.copy(source, to);
        }
        let unfinished = Unfinished::begin(gate, Intent::Export { from: self.from.clone() })?;
        let done = self.steps(gate, &unfinished, to);
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

    fn steps(&self, gate: &Gate, unfinished: &Unfinished, to: DiskTarget) -> Result<()> {
        lease::hold(gate.layout(), &self.from)?;
        fault::point("export.begun")?;
        let mut ledger = Ledger::open(&unfinished.ledger_path())?;
        let mut ends = Ends::new(gate, &mut ledger, unfinished.folder());
        let source = ends.source(&self.from, self.snapshot.as_ref())?;
        ends.copy(source, to)?;
        ends.close()?;
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

/// What one that did not come to its end has left goes; of one that did, only the notes.
pub(in crate::domain) fn settle(gate: &Gate, from: &VolumeRef, ledger: &Path) -> Result<()> {
    let mut ledger = Ledger::open(ledger)?;
    gate.undo(&mut ledger).map_err(|mut failures| failures.remove(0))?;
    lease::let_go(gate.layout(), from)
}
