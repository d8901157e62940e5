//! An OVA: a tar file (POSIX.1-1988 ustar) with the envelope first, then a manifest, then the disks (DSP0243, 5.3).
//! Nothing is unpacked here: of a disk, its place in the file is what counts.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use crate::error::{Failure, Result};
use crate::import::TEXT_MAX;

/// Files in one archive: an envelope, a manifest, a certificate, disks.
const ENTRIES_MAX: usize = 1_000;

/// Where a file lies in the archive, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub offset: u64,
    pub length: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The envelope's name, and its text.
    pub envelope: (String, String),
    pub manifest: Option<String>,
    pub files: BTreeMap<String, Place>,
}

/// Reads the table of an archive, and the texts in it.
///
/// # Errors
/// `Usage`, where it is none that is whole.
pub fn read(file: impl Read + Seek, source: &str) -> Result<Archive> {
    let refuse =
        |what: String| Failure::usage(format!("the archive {source} cannot be read: {what}")).hint("is it whole?");
    let mut archive = tar::Archive::new(file);
    let mut envelope = None;
    let mut manifest = None;
    let mut files = BTreeMap::new();
    let entries = archive.entries_with_seek().map_err(|error| refuse(error.to_string()))?;
    for (number, entry) in entries.enumerate() {
        let mut entry = entry.map_err(|error| refuse(error.to_string()))?;
        if number == ENTRIES_MAX {
            return Err(refuse(format!("it holds more than {ENTRIES_MAX} files")));
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = name.trim_start_matches("./").to_owned();
        // Links and folders have no place in a package; sparse entries have holes that their place does not tell of.
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let place = Place { offset: entry.raw_file_position(), length: entry.size() };
        let text = if envelope.is_none() && name.ends_with(".ovf") {
            envelope.get_or_insert((name.clone(), String::new())).1 = text(&mut entry, &name).map_err(refuse)?;
            None
        } else if manifest.is_none() && name.ends_with(".mf") {
            Some(text(&mut entry, &name).map_err(refuse)?)
        } else {
            None
        };
        manifest = manifest.or(text);
        if files.insert(name.clone(), place).is_some() {
            return Err(refuse(format!("it holds two files called {name:?}")));
        }
    }
    let envelope = envelope.ok_or_else(|| refuse("it holds no envelope (a file that ends in .ovf)".to_owned()))?;
    Ok(Archive { envelope, manifest, files })
}

fn text(entry: &mut impl Read, name: &str) -> std::result::Result<String, String> {
    let mut bytes = Vec::new();
    entry.take(TEXT_MAX + 1).read_to_end(&mut bytes).map_err(|error| format!("{name:?}: {error}"))?;
    if bytes.len() as u64 > TEXT_MAX {
        return Err(format!("{name:?} is longer than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| format!("{name:?} is not UTF-8"))
}
