//! Deleting images: out of the way at once, gone for good when the change is sealed.

use std::path::Path;

use rustix::fs::{FileType, RenameFlags};
use rustix::io::Errno;

use super::aside::Aside;
use super::place::{self, Place};
use super::{Done, Outcome};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::Gate;
use crate::gate::operation::ImageRef;
use crate::sys::beneath;

pub(super) fn set_aside(gate: &Gate, image: &ImageRef) -> Result<Done> {
    let unchanged = || Done { outcome: Outcome::Unchanged, descriptors: Vec::new() };
    let place = match Place::find(gate, image) {
        Ok(place) => place,
        // Its folder is not there: nor is the image.
        Err(failure) if failure.kind == Kind::NotFound => return Ok(unchanged()),
        Err(failure) => return Err(failure),
    };
    let saying = || format!("cannot delete the image {}", place.path);
    let Some(stat) = beneath::look(&place.folder, &place.leaf).context(saying)? else { return Ok(unchanged()) };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Failure::denied(saying()).because(std::io::Error::other("it is not a regular file")));
    }
    let name = Aside::Gone.fresh(&place.leaf)?;
    match rustix::fs::renameat_with(&place.folder, &place.leaf, &place.folder, &name, RenameFlags::NOREPLACE) {
        Err(Errno::NOENT) => return Ok(unchanged()),
        other => other.map_err(|error| place::refuse(error.into(), &saying()))?,
    }
    let path = place.absolute();
    let aside = path.with_file_name(&name);
    match place.sync() {
        Ok(()) => Ok(Done { outcome: Outcome::ImageSetAside { path, aside }, descriptors: Vec::new() }),
        Err(failure) => {
            // The first failure is the one to tell.
            let _ = put_back(&place, &name);
            Err(failure)
        }
    }
}

fn put_back(place: &Place, name: &str) -> Result<()> {
    let saying = || format!("cannot put the image {} back from {name}", place.path);
    match rustix::fs::renameat_with(&place.folder, name, &place.folder, &place.leaf, RenameFlags::NOREPLACE) {
        // Removed by hand, or put back before: either way it is not ours any more.
        Ok(()) | Err(Errno::NOENT) => place.sync(),
        Err(Errno::EXIST) => Err(Failure::conflict(saying())
            .because(std::io::Error::other("another file has that name by now"))
            .hint("move one of the two away by hand, and try again")),
        Err(error) => Err(error).context(saying),
    }
}

pub(super) fn undo(place: &Place, outcome: Option<&Outcome>) -> Result<()> {
    if let Some(Outcome::ImageSetAside { aside, .. }) = outcome {
        return name_of(aside).map_or(Ok(()), |name| put_back(place, name));
    }
    // fief died in the act: where the image stands at its name, nothing had happened.
    if beneath::look(&place.folder, &place.leaf).context(|| format!("cannot look at {}", place.path))?.is_some() {
        return Ok(());
    }
    // Of several, the one that was renamed last is this operation's; the others have outcomes that name them.
    let newest = Aside::Gone.all(place)?.into_iter().max_by_key(|(_, stat)| (stat.st_ctime, stat.st_ctime_nsec));
    newest.map_or(Ok(()), |(name, _)| put_back(place, &name))
}

pub(super) fn seal(place: &Place, outcome: Option<&Outcome>) -> Result<()> {
    let Some(Outcome::ImageSetAside { aside, .. }) = outcome else { return Ok(()) };
    let Some(name) = name_of(aside) else { return Ok(()) };
    beneath::remove(&place.folder, name).context(|| format!("cannot remove {}", aside.display()))?;
    place.sync()
}

fn name_of(aside: &Path) -> Option<&str> {
    aside.file_name().and_then(|name| name.to_str())
}
