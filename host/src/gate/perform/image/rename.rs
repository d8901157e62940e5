//! Renaming images: within their folder, over nothing.

use std::io;

use rustix::fs::{FileType, RenameFlags, Stat};
use rustix::io::Errno;

use super::aside::Mark;
use super::place::{self, Place};
use super::{Done, Outcome};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::Operation;
use crate::gate::operation::ImageFormat;
use crate::sys::beneath;
use crate::types::{ByteSize, RelativePath};

pub(super) fn rename(place: &Place, operation: &Operation, to: &RelativePath) -> Result<Done> {
    let saying = || format!("cannot rename the image {} to {to}", place.path);
    if folder(&place.path) != folder(to) {
        return Err(Failure::usage(saying())
            .because(io::Error::other("an image stays in its folder: what it stands on is named from there")));
    }
    let target = place.beside(to)?;
    let stat = look(place)?.ok_or_else(|| Failure::new(Kind::NotFound, format!("there is no image {}", place.path)))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Failure::denied(saying()).because(io::Error::other("it is not a regular file")));
    }
    target.must_be_free()?;
    // Whatever the image holds stays as it is: the mark says no more than that the act has begun.
    let mark = Mark { operation: operation.clone(), format: ImageFormat::Raw, before: ByteSize::from_bytes(0) };
    mark.set(place)?;
    let moved = match shift(place, &target) {
        Err(Errno::EXIST) => Err(Failure::conflict(format!("{to} already exists"))),
        other => other.map_err(|error| place::refuse(error.into(), &saying())).and_then(|()| place.sync()),
    };
    match moved {
        Ok(()) => {
            let (path, to) = (place.absolute(), target.absolute());
            let outcome = Outcome::ImageRenamed { path, to, device: stat.st_dev, inode: stat.st_ino };
            Ok(Done { outcome, descriptors: Vec::new() })
        }
        Err(failure) => {
            // The first failure is the one to tell.
            let _ = undo(place, operation, to, None);
            Err(failure)
        }
    }
}

fn folder(path: &RelativePath) -> &str {
    path.as_str().rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn look(place: &Place) -> Result<Option<Stat>> {
    beneath::look(&place.folder, &place.leaf).context(|| format!("cannot look at {}", place.path))
}

fn shift(from: &Place, to: &Place) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(&from.folder, &from.leaf, &to.folder, &to.leaf, RenameFlags::NOREPLACE)
}

/// Back to the name that it had. Without an outcome the mark tells whether the act had begun: then what has the new name,
/// where the old one is free, was renamed.
pub(super) fn undo(place: &Place, operation: &Operation, to: &RelativePath, outcome: Option<&Outcome>) -> Result<()> {
    let target = place.beside(to)?;
    let ours = match (outcome, look(&target)?) {
        (_, None) => false,
        (Some(Outcome::ImageRenamed { device, inode, .. }), Some(stat)) => {
            (stat.st_dev, stat.st_ino) == (*device, *inode)
        }
        (_, Some(_)) => Mark::of(place, operation).is_some() && look(place)?.is_none(),
    };
    if ours {
        let saying = || format!("cannot give the image {to} its name {} back", place.path);
        match shift(&target, place) {
            Ok(()) => place.sync()?,
            // Taken away by hand, between the two lines.
            Err(Errno::NOENT) => {}
            Err(Errno::EXIST) => {
                return Err(Failure::conflict(saying())
                    .because(io::Error::other("another file has that name by now"))
                    .hint("move one of the two away by hand, and try again"));
            }
            Err(error) => return Err(error).context(saying),
        }
    }
    Mark::clear(place)
}
