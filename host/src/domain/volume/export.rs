//! A volume that is written to a file of the operator's: the file is there as a whole, or it is not there. Or to whoever
//! reads it: a raw image as it lies there, all else by way of such a file, which then goes.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::ends::Ends;
use super::refuse_written;
use crate::domain::lease;
use crate::domain::unfinished::{Intent, Unfinished};
use crate::error::{Context, Failure, Result};
use crate::fault;
use crate::gate::operation::{DiskSource, DiskTarget, ImageFormat};
use crate::gate::{Actor, Gate, Ledger, Mode, Operation};
use crate::storage::Pool;
use crate::sys::durable;
use crate::types::{Access, DiskFormat, SnapshotName, VolumeRef};

/// What is read, and handed on, at once, in bytes.
const PIECE: usize = 1 << 20;

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

    /// One that is read as it is written. What has to lie somewhere before that, lies in `folder` meanwhile.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where a running domain writes to the volume.
    pub fn plan_to_reader(
        gate: &Gate,
        from: &VolumeRef,
        snapshot: Option<&SnapshotName>,
        folder: &Path,
        format: DiskFormat,
    ) -> Result<Export> {
        let random = durable::random_name().context(|| "cannot get random bytes".into())?;
        let name = format!("fief-export-{random}.{}", format.as_str());
        Export::plan(gate, from, snapshot, &folder.join(name), format)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// After an error nothing of it is left.
    pub fn perform(&self, gate: &Gate) -> Result<()> {
        self.perform_to(gate, None)
    }

    /// Of one that was planned for a reader. That nobody reads on is no error.
    pub fn perform_to_reader(&self, gate: &Gate, reader: &mut dyn Write) -> Result<()> {
        self.perform_to(gate, Some(reader))
    }

    fn perform_to(&self, gate: &Gate, reader: Option<&mut dyn Write>) -> Result<()> {
        let to = DiskTarget::File { path: self.path.clone(), format: self.format };
        if gate.mode() == Mode::DryRun {
            let mut ledger = Ledger::volatile();
            let mut ends = Ends::new(gate, &mut ledger, gate.layout().root());
            let source = ends.source(&self.from, self.snapshot.as_ref())?;
            return match reader.and_then(|_| self.as_it_lies(&source)) {
                Some(_) => Ok(()),
                None => ends.copy(source, to),
            };
        }
        let unfinished = Unfinished::begin(gate, Intent::Export { from: self.from.clone() })?;
        let to_reader = reader.is_some();
        let done = self.steps(gate, &unfinished, to, reader);
        match done {
            Ok(()) => {
                if let Err(failure) =
                    settle(gate, &self.from, &unfinished.ledger_path()).and_then(|()| unfinished.end())
                {
                    tracing::warn!(%failure, "the file is written, and notes on its making stay");
                }
                Ok(())
            }
            Err(failure) => {
                let to = if to_reader { "standard output".into() } else { self.path.display().to_string() };
                Err(unfinished.undone(gate, failure).while_doing(format!("cannot export {} to {to}", self.from)))
            }
        }
    }

    /// How a raw image is opened that is to be raw; none where it has to be written anew.
    fn as_it_lies(&self, source: &DiskSource) -> Option<Operation> {
        match source {
            DiskSource::Image { image, format: ImageFormat::Raw, snapshot: None } if self.format == DiskFormat::Raw => {
                Some(Operation::ImageOpen { image: image.clone(), format: ImageFormat::Raw, access: Access::ReadOnly })
            }
            DiskSource::Image { .. } | DiskSource::File(_) | DiskSource::Served { .. } => None,
        }
    }

    fn steps(
        &self,
        gate: &Gate,
        unfinished: &Unfinished,
        to: DiskTarget,
        reader: Option<&mut dyn Write>,
    ) -> Result<()> {
        lease::hold(gate.layout(), &self.from)?;
        fault::point("export.begun")?;
        let mut ledger = Ledger::open(&unfinished.ledger_path())?;
        let mut ends = Ends::new(gate, &mut ledger, unfinished.folder());
        let source = ends.source(&self.from, self.snapshot.as_ref())?;
        let open = self.as_it_lies(&source);
        let reader = match (reader, open) {
            (Some(reader), Some(open)) => {
                let done = gate.perform(&Actor::Operator, &mut Ledger::volatile(), open, Vec::new())?;
                let image = done.descriptors.into_iter().next();
                return pour(
                    gate,
                    File::from(image.ok_or_else(|| Failure::other("an image came without itself"))?),
                    reader,
                );
            }
            (reader, _) => reader,
        };
        ends.copy(source, to)?;
        ends.close()?;
        fault::point("export.copied")?;
        if let Some(reader) = reader {
            let written = File::open(&self.path).context(|| format!("cannot read {}", self.path.display()))?;
            // Its name goes with the ledger, whatever becomes of this; killed, the next command sees to that.
            return pour(gate, written, reader);
        }
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

/// All of a file to whoever reads, until nobody does.
fn pour(gate: &Gate, mut from: File, reader: &mut dyn Write) -> Result<()> {
    let saying = || "cannot write to standard output".to_owned();
    gate.meter().begin(from.metadata().context(saying)?.len());
    let (mut piece, mut done) = (vec![0; PIECE], 0);
    loop {
        gate.meter().at(done).context(saying)?;
        let got = from.read(&mut piece).context(saying)?;
        let written = if got == 0 { reader.flush() } else { reader.write_all(&piece[..got]) };
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            other => other.context(saying)?,
        }
        if got == 0 {
            return Ok(());
        }
        done += got as u64;
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
