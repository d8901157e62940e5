//! Volumes out of disks of other hosts: made by the pool's plugin, then filled by the host, all or none.
//!
//! ```text
//!   lock ▸ for each: plugin makes the volume ▸ host copies into the image that was made just now ▸ seal all
//!                                                └ fails, or is killed: all of them are undone from the ledger
//! ```
//! The host writes only into an image that the ledger of this very change says was made: a plugin can answer with
//! a volume that was there before, and that one is never written over.

use std::path::Path;

use super::pool::Pool;
use super::{VolumeSpec, call};
use crate::error::{Failure, Result};
use crate::fault;
use crate::gate::operation::{DiskSource, DiskTarget, ForeignImage, ImageFacts, ImageRef, Preallocation};
use crate::gate::{Actor, Gate, Ledger, Operation, Outcome};
use crate::sandbox::protocol::{StorageCall, VolumeFacts};
use crate::types::{DiskFormat, VolumeName};

/// A volume to be made out of a disk, and what was found out of that.
#[derive(Debug, Clone)]
pub struct Import {
    pub volume: VolumeName,
    pub source: ForeignImage,
    pub facts: ImageFacts,
}

/// What a disk would be as a volume. Changes nothing.
pub fn inspect_foreign(gate: &Gate, source: &ForeignImage) -> Result<ImageFacts> {
    let operation = Operation::ForeignInspect { source: source.clone() };
    match gate.perform(&Actor::Operator, &mut Ledger::volatile(), operation, Vec::new())?.outcome {
        Outcome::Image { facts } => Ok(facts),
        other => Err(Failure::other(format!("looking at a disk brought forth {other:?}"))),
    }
}

/// What a file of the operator's is, where nobody says.
///
/// # Errors
/// `Usage` where its name and its content do not agree.
pub fn detect_foreign(gate: &Gate, path: &Path) -> Result<DiskFormat> {
    let operation = Operation::ForeignDetect { path: path.to_owned() };
    match gate.perform(&Actor::Operator, &mut Ledger::volatile(), operation, Vec::new())?.outcome {
        Outcome::Format { format } => Ok(format),
        other => Err(Failure::other(format!("looking at a file brought forth {other:?}"))),
    }
}

impl Pool {
    /// Makes all of the volumes, or none. `begins` is told of each as its copy begins; `note` is called when all are made
    /// and none is final.
    ///
    /// # Errors
    /// `Conflict` where one of them is there already.
    pub fn import_volumes(
        &mut self,
        imports: &[Import],
        mut begins: impl FnMut(&Import),
        note: impl FnOnce() -> Result<()>,
    ) -> Result<Vec<VolumeFacts>> {
        let gate = self.gate.clone();
        let (_lock, mut ledger) = call::hold(&gate, &self.definition.name)?;
        let mut all = Vec::with_capacity(imports.len());
        for import in imports {
            begins(import);
            match self.import_one(&mut ledger, import) {
                Ok(facts) => all.push(facts),
                Err(failure) => {
                    let failure = self.about("import", &import.volume, failure);
                    return Err(call::undone(&gate, &mut ledger, failure));
                }
            }
        }
        match note().and_then(|()| gate.seal(&mut ledger)) {
            Ok(()) => Ok(all),
            Err(failure) if ledger.is_sealed() => {
                tracing::warn!(%failure, "the volumes stand, and what was set aside is still there");
                Ok(all)
            }
            Err(failure) => Err(call::undone(&gate, &mut ledger, failure)),
        }
    }

    fn import_one(&mut self, ledger: &mut Ledger, import: &Import) -> Result<VolumeFacts> {
        let spec = VolumeSpec {
            name: import.volume.clone(),
            size: import.facts.virtual_size,
            format: import.facts.format,
            preallocation: Preallocation::Sparse,
        };
        let before = ledger.entries().len();
        let function = StorageCall::Create {
            name: spec.name.to_string(),
            size: spec.size.bytes(),
            format: spec.format,
            preallocation: spec.preallocation,
        };
        let answer = self.call(ledger, function)?;
        super::answer::From(&self.plugin).volume(answer, &import.volume)?;
        let image = self.made_since(ledger, before, import)?;
        let fill = Operation::DiskCopy {
            from: DiskSource::File(import.source.clone()),
            to: DiskTarget::Image { image, format: spec.format },
        };
        self.gate.perform(&Actor::Operator, ledger, fill, Vec::new())?;
        fault::point("import.filled")?;
        let find = StorageCall::Find { name: spec.name.to_string() };
        self.query(find, |from, answer| from.at_least(from.volume(answer, &import.volume)?, spec.size))
    }

    /// The one image that the plugin made for this volume.
    fn made_since(&self, ledger: &Ledger, before: usize, import: &Import) -> Result<ImageRef> {
        let mut made = ledger.entries()[before..].iter().filter_map(|entry| match (&entry.operation, &entry.outcome) {
            (Operation::ImageCreate { image, format, .. }, Some(Outcome::ImageMade { .. }))
                if image.plugin == self.plugin && *format == import.facts.format =>
            {
                Some(image.clone())
            }
            _ => None,
        });
        match (made.next(), made.next()) {
            (Some(image), None) => Ok(image),
            (None, _) if ledger.entries().len() == before => Err(Failure::conflict("it is there already")
                .hint("name it with --disk to use it as it is, or give the domain another name with --name")),
            (_, _) => Err(Failure::denied(format!("plugin {} does not keep volumes as one image each", self.plugin))
                .hint("make the volume by other means, and name it with --disk")),
        }
    }
}
