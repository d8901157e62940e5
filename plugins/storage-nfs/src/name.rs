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

/// Whether a file is what is left of a volume that was being made, or of a lease that was being taken.
pub(crate) fn is_left_of(volume: &str, file: &str) -> bool {
    let rest =
        file.strip_prefix('.').and_then(|rest| rest.strip_prefix(volume)).and_then(|rest| rest.strip_prefix('.'));
    rest.and_then(|rest| rest.split_once('.')).is_some_and(|(random, kind)| {
        random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit()) && matches!(kind, "new" | "lease-new")
    })
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
    fn records_are_told_from_all_else_beside_them() {
        for counted in [1, 7, 99_999_999, 123_456_789] {
            assert_eq!(number(&record(counted)), Some(counted));
        }
        for other in [".", "..", "1", "+0000001", "000000001", "00000001 ", &new_record(7)] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
