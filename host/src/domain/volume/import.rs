//! A file of the operator's that becomes a volume.

use std::path::Path;

use super::fill::{self, Source, Stage, Work};
use crate::error::{Failure, Kind, Result};
use crate::gate::Gate;
use crate::gate::operation::{ForeignImage, ImageFacts, ImageFormat, Preallocation};
use crate::sandbox::protocol::VolumeFacts;
use crate::storage::{Pool, VolumeSpec, detect_foreign, inspect_foreign};
use crate::types::{DiskFormat, VolumeRef};

/// An import that can be done.
#[derive(Debug)]
pub struct Import {
    target: VolumeRef,
    source: ForeignImage,
    facts: ImageFacts,
    /// Of the volume.
    format: ImageFormat,
}

impl Import {
    /// Looks at the file and at the pool; changes nothing. Where no format is said, name and content have to agree.
    ///
    /// # Errors
    /// `NotFound`; `Usage` for what cannot be read so; `Conflict` where there is a volume of that name.
    pub fn plan(
        gate: &Gate,
        file: &Path,
        format: Option<DiskFormat>,
        target: &VolumeRef,
        wanted: Option<ImageFormat>,
    ) -> Result<Import> {
        let path = file.canonicalize().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::not_found(format!("there is no file {}", file.display())),
            _ => Failure::usage(format!("cannot find {}", file.display())).because(error),
        })?;
        let format = match format {
            Some(format) => format,
            None => detect_foreign(gate, &path)?,
        };
        let source = ForeignImage { path, format, part: None, checksum: None };
        let facts = inspect_foreign(gate, &source)?;
        let mut pool = Pool::open(gate, &target.pool)?;
        match pool.volume(&target.volume) {
            Err(failure) if failure.kind == Kind::NotFound => {}
            Err(failure) => return Err(failure),
            Ok(_) => {
                return Err(Failure::conflict(format!("there is a volume {target} already"))
                    .hint("choose another name, or delete that volume"));
            }
        }
        // Where it is no image, a volume is its bytes.
        let usual = if pool.keeps_formats() { facts.format } else { ImageFormat::Raw };
        let format = wanted.unwrap_or(usual);
        Ok(Import { target: target.clone(), source, facts, format })
    }

    pub fn source(&self) -> &ForeignImage {
        &self.source
    }

    /// After an error nothing of it is left.
    pub fn perform(&self, gate: &Gate) -> Result<VolumeFacts> {
        let spec = VolumeSpec {
            name: self.target.volume.clone(),
            size: self.facts.virtual_size,
            format: self.format,
            preallocation: Preallocation::Sparse,
        };
        let work = Work {
            target: self.target.clone(),
            from: None,
            onto: false,
            moves: None,
            running: None,
            stage: Stage::Begun,
        };
        fill::make(gate, work, &spec, &Source::File(self.source.clone())).map_err(|failure| {
            failure.while_doing(format!("cannot import {} as {}", self.source.path.display(), self.target))
        })
    }
}
