//! From the name of a volume to the name of its image file and back: one rule, no exception, for all plugins that keep
//! images as files, so that the same files are the same volumes wherever they lie.
//!
//! A file that ends in `.qcow2` holds the qcow2 volume of the name before the suffix. Every other file holds the raw
//! volume of its own name, so `debian.iso` is a volume as it lies there. Hidden files are no volumes, and neither is
//! what has a name that a volume cannot have.

use crate::error::{Error, Result};
use crate::storage::Format;

const SUFFIX: &str = ".qcow2";

/// Longest name of a volume, in bytes: the host's own bound, and a file name with the suffix stays below 255.
pub const LONGEST: u32 = 128;

/// The file of a volume.
///
/// # Errors
/// `invalid`: not a name that a volume can have.
pub fn file(volume: &str, format: Format) -> Result<String> {
    if let Err(reason) = check(volume) {
        return Err(Error::invalid(format!("{volume:?} is not a name of a volume: {reason}")));
    }
    Ok(match format {
        Format::Raw => volume.to_owned(),
        Format::Qcow2 => format!("{volume}{SUFFIX}"),
    })
}

/// The volume that a file holds; none where it is not one.
pub fn volume(file: &str) -> Option<(&str, Format)> {
    let (volume, format) = match file.strip_suffix(SUFFIX) {
        Some(volume) => (volume, Format::Qcow2),
        None => (file, Format::Raw),
    };
    check(volume).ok().map(|()| (volume, format))
}

/// As it is told to people.
pub fn word(format: Format) -> &'static str {
    match format {
        Format::Raw => "raw",
        Format::Qcow2 => "qcow2",
    }
}

/// The host checks names before it asks; these are the files that it never asked for, and the suffix.
fn check(volume: &str) -> Result<(), String> {
    if volume.is_empty() || volume.len() > LONGEST as usize {
        return Err(format!("it has 1 to {LONGEST} bytes"));
    }
    if volume.ends_with(SUFFIX) {
        return Err(format!("{SUFFIX} is the suffix of a file, the volume has the name before it"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    match volume.chars().next().is_some_and(|c| c.is_ascii_alphanumeric()) && volume.chars().all(plain) {
        true => Ok(()),
        false => Err("it holds letters, digits, '-', '_', '.' and '+', and starts with a letter or a digit".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_says_volume_and_format() {
        for (name, expected) in [
            ("node1.qcow2", Some(("node1", Format::Qcow2))),
            ("debian.iso", Some(("debian.iso", Format::Raw))),
            ("node1", Some(("node1", Format::Raw))),
            ("a.raw", Some(("a.raw", Format::Raw))),
            (".node1.qcow2", None),
            (".node1.lease", None),
            (".qcow2", None),
            ("a.qcow2.qcow2", None),
            ("two words", None),
            ("naïve.img", None),
            ("", None),
        ] {
            assert_eq!(volume(name), expected, "{name:?}");
        }
    }

    #[test]
    fn a_volume_is_found_again_under_the_file_it_was_given() {
        for name in ["node1", "debian.iso", "a+b_c-d.e", &"x".repeat(128)] {
            for format in [Format::Raw, Format::Qcow2] {
                assert_eq!(volume(&file(name, format).unwrap()), Some((name, format)));
            }
        }
    }

    #[test]
    fn names_that_would_be_read_in_a_second_way_are_refused() {
        for bad in ["a.qcow2", "../a", "a/b", ".a", "", "-a", "a\0", &"x".repeat(129)] {
            assert!(file(bad, Format::Raw).is_err(), "{bad:?} was taken");
        }
    }
}
