//! Notes that two hosts leave each other with a volume.

use serde::{Deserialize, Serialize};

/// Storage that keeps notes as keys has eight bytes for each, of which one is its mark.
const BITS: u32 = 56;

/// A number that nobody guesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Note(u64);

impl Note {
    /// Most notes that a volume has.
    pub const MOST: usize = 64;

    /// None for one that has too many bits, or is 0.
    pub const fn new(number: u64) -> Option<Note> {
        if number != 0 && number >> BITS == 0 { Some(Note(number)) } else { None }
    }

    /// Another one each time.
    pub fn random() -> Note {
        // The last 62 bits of such a uuid are random (RFC 9562, section 5.4).
        let (_, bits) = uuid::Uuid::new_v4().as_u64_pair();
        Note((bits & ((1 << BITS) - 1)).max(1))
    }
}

impl From<Note> for u64 {
    fn from(note: Note) -> u64 {
        note.0
    }
}

impl TryFrom<u64> for Note {
    type Error = &'static str;
    fn try_from(number: u64) -> Result<Note, &'static str> {
        Note::new(number).ok_or("a number that is no note")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_has_as_many_bits_as_any_storage_keeps_and_is_another_each_time() {
        let (one, two) = (Note::random(), Note::random());
        assert_ne!(one, two);
        assert_eq!(Note::new(one.0), Some(one));
        for bad in [0, 1 << 56, u64::MAX] {
            assert_eq!(Note::new(bad), None);
            assert!(serde_json::from_value::<Note>(bad.into()).is_err());
        }
    }
}
