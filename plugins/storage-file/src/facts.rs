//! What is told of a volume, from the file and from what the host reads in its header.
//!
//! The host may find another format in a file than its name says: a guest has written a qcow2 header into its raw
//! volume, say. Such a volume can still be attached, as what its name says. Operations that go by the content (growing,
//! copying, standing on it) are refused.

use fief_sdk::images::{self, Image};
use fief_sdk::storage::{Format, Volume};
use fief_sdk::{Error, ErrorCode, Result, image_name as name};

use crate::folder::Entry;

/// What guests see of a disk comes in sectors of 512 bytes (virtio and ATA); sizes are rounded up to them.
const SECTOR: u64 = 512;

pub(crate) fn whole_sectors(size: u64) -> u64 {
    size.checked_next_multiple_of(SECTOR).unwrap_or(size)
}

/// A volume as it is.
pub(crate) fn volume(directory: &str, entry: &Entry) -> Result<Volume> {
    described(entry, images::inspect(directory, &entry.file))
}

fn described(entry: &Entry, inspected: Result<Image>) -> Result<Volume> {
    match entry.format {
        Format::Qcow2 => {
            let image = as_named(entry, inspected?)?;
            Ok(made(&entry.volume, entry.format, &image))
        }
        // Its size is that of the file, whatever a guest has written into it.
        Format::Raw => Ok(Volume {
            name: entry.volume.clone(),
            size: entry.length,
            allocated: inspected.ok().map(|image| image.allocated),
            format: Format::Raw,
            backing: None,
        }),
    }
}

/// The image of a volume whose content is what its name says.
///
/// # Errors
/// `corrupt` where it is not.
pub(crate) fn changeable(directory: &str, entry: &Entry) -> Result<Image> {
    as_named(entry, images::inspect(directory, &entry.file)?)
}

fn as_named(entry: &Entry, image: Image) -> Result<Image> {
    if image.format == entry.format {
        return Ok(image);
    }
    Err(Error::corrupt(format!(
        "the file {} is {} by its name and {} by its content",
        entry.file,
        name::word(entry.format),
        name::word(image.format)
    )))
}

/// A volume that an operation brought forth.
pub(crate) fn made(name: &str, format: Format, image: &Image) -> Volume {
    Volume {
        name: name.to_owned(),
        size: image.virtual_size,
        allocated: Some(image.allocated),
        format,
        // The volume of that file; where the file is none, its path says more than nothing.
        backing: image.backing.as_deref().map(|file| match name::volume(file) {
            Some((volume, _)) => volume.to_owned(),
            None => file.to_owned(),
        }),
    }
}

/// A volume that has grown. A dry run does not know what it stands on, so that comes from before.
pub(crate) fn grown(entry: &Entry, before: &Image, after: &Image) -> Volume {
    Volume { size: after.virtual_size, ..made(&entry.volume, entry.format, before) }
}

/// The volumes among `others` that stand on `entry`.
pub(crate) fn dependents(directory: &str, entry: &Entry, others: &[Entry]) -> Result<Vec<String>> {
    standing_on(entry, others, |file| images::inspect(directory, file))
}

/// Gone meanwhile, damaged, or standing on what lies elsewhere: an image that this host would not open at all. One
/// such file may not keep every other volume from being deleted.
fn no_image(error: &Error) -> bool {
    matches!(error.code, ErrorCode::NotFound | ErrorCode::Corrupt | ErrorCode::Io | ErrorCode::Denied)
}

fn standing_on(entry: &Entry, others: &[Entry], inspect: impl Fn(&str) -> Result<Image>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for other in others.iter().filter(|other| other.format == Format::Qcow2 && other.file != entry.file) {
        match inspect(&other.file) {
            Ok(image) if image.backing.as_deref() == Some(&entry.file) => found.push(other.volume.clone()),
            Ok(_) => {}
            Err(error) if no_image(&error) => {
                fief_sdk::warn!("cannot tell what it stands on", file = other.file, cause = error.message);
            }
            Err(error) => return Err(error.while_doing(format!("cannot tell what {} stands on", other.file))),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(file: &str, length: u64) -> Entry {
        let (volume, format) = name::volume(file).unwrap();
        Entry { volume: volume.into(), file: file.into(), format, length }
    }

    fn image(format: Format, virtual_size: u64, backing: Option<&str>) -> Image {
        Image { format, virtual_size, allocated: 4096, backing: backing.map(str::to_owned) }
    }

    #[test]
    fn a_raw_volume_keeps_its_size_and_format_whatever_its_guest_writes() {
        let forged = image(Format::Qcow2, 1 << 40, Some("other"));
        let volume = described(&entry("a", 1 << 20), Ok(forged.clone())).unwrap();
        assert_eq!((volume.size, volume.format, volume.backing), (1 << 20, Format::Raw, None));
        let error = as_named(&entry("a", 1 << 20), forged).unwrap_err();
        assert_eq!(error.code, ErrorCode::Corrupt);
        let unread = described(&entry("a", 7), Err(Error::io("no"))).unwrap();
        assert_eq!((unread.size, unread.allocated), (7, None));
    }

    #[test]
    fn a_file_that_only_calls_itself_qcow2_is_no_volume() {
        assert!(described(&entry("a.qcow2", 9), Ok(image(Format::Raw, 9, None))).is_err());
    }

    #[test]
    fn clones_are_found_by_what_they_stand_on() {
        let all: Vec<_> = ["base.qcow2", "one.qcow2", "two.qcow2", "raw", "bad.qcow2"].map(|f| entry(f, 1)).into();
        let found = standing_on(&all[0], &all, |file| match file {
            "bad.qcow2" => Err(Error::io("torn")),
            "two.qcow2" => Ok(image(Format::Qcow2, 1, None)),
            _ => Ok(image(Format::Qcow2, 1, Some("base.qcow2"))),
        });
        assert_eq!(found.unwrap(), ["one"]);
        let refused = standing_on(&all[0], &all, |_| Err(Error::timeout("slow")));
        assert_eq!(refused.unwrap_err().code, ErrorCode::Timeout);
    }

    #[test]
    fn a_clone_names_the_volume_it_stands_on() {
        let clone = made("one", Format::Qcow2, &image(Format::Qcow2, 1, Some("base.qcow2")));
        assert_eq!(clone.backing.as_deref(), Some("base"));
    }
}
