//! Names of what lies on the server: image files, as everywhere ([`fief_sdk::image_name`]), and what is hidden beside them.
//! Hidden files are no volumes: leases and volumes that are being made are such files.

pub(crate) use fief_sdk::image_name::{LONGEST, file, volume, word};

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

/// A note beside a volume.
pub(crate) fn note(volume: &str, number: u64) -> String {
    format!(".{volume}.{number:016x}.note")
}

/// The number of a note of this volume's; none where the file is something else.
pub(crate) fn note_of(volume: &str, file: &str) -> Option<u64> {
    let (digits, kind) = beside(volume, file)?;
    let number = u64::from_str_radix(digits, 16).ok().filter(|number| *number != 0)?;
    (kind == "note" && note(volume, number) == file).then_some(number)
}

/// What stands in the name of a hidden file of a volume's: sixteen digits, and a word.
fn beside<'a>(volume: &str, file: &'a str) -> Option<(&'a str, &'a str)> {
    let rest = file.strip_prefix('.')?.strip_prefix(volume)?.strip_prefix('.')?;
    let (digits, kind) = rest.split_once('.')?;
    (digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some((digits, kind))
}

/// Whether a file is what is left of a volume that was being made, or of a lease that was being taken, or a note.
pub(crate) fn is_left_of(volume: &str, file: &str) -> bool {
    beside(volume, file).is_some_and(|(_, kind)| matches!(kind, "new" | "lease-new" | "note"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::temporary;

    #[test]
    fn what_is_left_of_a_volume_is_told_from_what_is_left_of_others() {
        let left = temporary("a.b", "new");
        assert!(is_left_of("a.b", &left) && !is_left_of("a", &left) && !is_left_of("a.b.c", &left));
        assert!(is_left_of("a", &temporary("a", "lease-new")));
        assert!(!is_left_of("a", ".a.lease") && !is_left_of("a", "a"));
        assert_eq!(volume(&left), None);
    }

    #[test]
    fn a_note_is_told_from_those_of_others_and_goes_with_its_volume() {
        let file = note("a.b", 0xf0_0000_0000_0001);
        assert_eq!(note_of("a.b", &file), Some(0xf0_0000_0000_0001));
        assert!(is_left_of("a.b", &file) && volume(&file).is_none());
        for other in [&note("a", 7), ".a.b.lease", ".a.b.0000000000000007.new", ".a.b.000000000000000F.note", "a.b"] {
            assert_eq!(note_of("a.b", other), None, "{other}");
        }
        assert_eq!(note_of("a.b", &note("a.b", 0)), None);
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
