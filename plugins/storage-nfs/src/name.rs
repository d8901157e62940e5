//! From the name of a volume to the name of its file and back: one rule, no exception, and the same as for folders of
//! this host, so that the same files are the same volumes.
//!
//! A file that ends in `.qcow2` holds the qcow2 volume of the name before the suffix. Every other file holds the raw
//! volume of its own name. Hidden files are no volumes: leases and volumes that are being made are such files.

use fief_sdk::storage::Format;
use fief_sdk::{Error, Result};

const SUFFIX: &str = ".qcow2";

/// Longest name of a volume, in bytes: the host's own bound, and what is made of it stays below 255.
pub(crate) const LONGEST: u32 = 128;

/// The file of a volume.
///
/// # Errors
/// `invalid`: not a name that a volume can have.
pub(crate) fn file(volume: &str, format: Format) -> Result<String> {
    if let Err(reason) = check(volume) {
        return Err(Error::invalid(format!("{volume:?} is not a name of a volume: {reason}")));
    }
    Ok(match format {
        Format::Raw => volume.to_owned(),
        Format::Qcow2 => format!("{volume}{SUFFIX}"),
    })
}

/// The volume that a file holds; none where it is not one.
pub(crate) fn volume(file: &str) -> Option<(&str, Format)> {
    let (volume, format) = match file.strip_suffix(SUFFIX) {
        Some(volume) => (volume, Format::Qcow2),
        None => (file, Format::Raw),
    };
    check(volume).ok().map(|()| (volume, format))
}

/// The folder with the records of who holds a volume.
pub(crate) fn leases(volume: &str) -> String {
    format!(".{volume}.lease")
}

/// One record in it.
pub(crate) fn record(number: u64) -> String {
    format!("{number:08}")
}

/// The number of a record; none where it is something else.
pub(crate) fn number(file: &str) -> Option<u64> {
    let number = file.parse().ok()?;
    (record(number) == file).then_some(number)
}

/// A record that is being written.
pub(crate) fn new_record(random: u64) -> String {
    format!("new.{random:016x}")
}

pub(crate) fn is_new_record(file: &str) -> bool {
    file.starts_with("new.")
}

/// Whether a file is what is left of a volume that was being made, or of a lease that was being taken.
pub(crate) fn is_left_of(volume: &str, file: &str) -> bool {
    let rest =
        file.strip_prefix('.').and_then(|rest| rest.strip_prefix(volume)).and_then(|rest| rest.strip_prefix('.'));
    rest.and_then(|rest| rest.split_once('.')).is_some_and(|(random, kind)| {
        random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit()) && matches!(kind, "new" | "lease-new")
    })
}

pub(crate) fn word(format: Format) -> &'static str {
    match format {
        Format::Raw => "raw",
        Format::Qcow2 => "qcow2",
    }
}

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
    use crate::files::temporary;

    #[test]
    fn the_name_of_a_file_says_volume_and_format() {
        for (name, expected) in [
            ("node1.qcow2", Some(("node1", Format::Qcow2))),
            ("debian.iso", Some(("debian.iso", Format::Raw))),
            (".node1.lease", None),
            ("a.qcow2.qcow2", None),
            ("two words", None),
            ("", None),
        ] {
            assert_eq!(volume(name), expected, "{name:?}");
        }
        for bad in ["a.qcow2", "../a", "a/b", ".a", "", "-a", "a\0", &"x".repeat(129)] {
            assert!(file(bad, Format::Raw).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn what_is_left_of_a_volume_is_told_from_what_is_left_of_others() {
        let left = temporary("a.b", "new");
        assert!(is_left_of("a.b", &left) && !is_left_of("a", &left) && !is_left_of("a.b.c", &left));
        assert!(is_left_of("a", &temporary("a", "lease-new")));
        assert!(!is_left_of("a", ".a.lease") && !is_left_of("a", "a"));
        assert_eq!(volume(&left), None);
    }

    #[test]
    fn records_are_told_from_all_else_beside_them() {
        for counted in [1, 7, 99_999_999, 123_456_789] {
            assert_eq!(number(&record(counted)), Some(counted));
        }
        for other in [".", "..", "1", "+0000001", "000000001", "00000001 ", &new_record(7)] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
