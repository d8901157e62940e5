//! Sense data: why a command did not end well (SPC-4, section 4.5).

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    NoSense,
    Recovered,
    NotReady,
    Medium,
    Hardware,
    IllegalRequest,
    UnitAttention,
    DataProtect,
    Aborted,
    Other(u8),
}

/// The key and the two bytes that say more ("additional sense code" and its qualifier).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sense {
    pub key: Key,
    pub code: u8,
    pub qualifier: u8,
}

impl Sense {
    /// Fixed and descriptor format, of this command or of an earlier one; none where it is neither.
    pub fn read(data: &[u8]) -> Option<Self> {
        let (key, code, qualifier) = match data.first()? & 0x7f {
            0x70 | 0x71 => {
                let additional = |at: usize| data.get(at).copied().unwrap_or_default();
                (*data.get(2)?, additional(12), additional(13))
            }
            0x72 | 0x73 => (*data.get(1)?, *data.get(2)?, *data.get(3)?),
            _ => return None,
        };
        let key = match key & 0x0f {
            0x0 => Key::NoSense,
            0x1 => Key::Recovered,
            0x2 => Key::NotReady,
            0x3 => Key::Medium,
            0x4 => Key::Hardware,
            0x5 => Key::IllegalRequest,
            0x6 => Key::UnitAttention,
            0x7 => Key::DataProtect,
            0xb => Key::Aborted,
            other => Key::Other(other),
        };
        Some(Sense { key, code, qualifier })
    }

    pub fn is(self, code: u8, qualifier: u8) -> bool {
        self.code == code && self.qualifier == qualifier
    }
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = match self.key {
            Key::NoSense => "no sense",
            Key::Recovered => "recovered error",
            Key::NotReady => "not ready",
            Key::Medium => "medium error",
            Key::Hardware => "hardware error",
            Key::IllegalRequest => "illegal request",
            Key::UnitAttention => "unit attention",
            Key::DataProtect => "data protect",
            Key::Aborted => "aborted command",
            Key::Other(key) => return write!(f, "sense key {key:#x}, {:02x}/{:02x}", self.code, self.qualifier),
        };
        write!(f, "{key}, {:02x}/{:02x}", self.code, self.qualifier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_formats_are_read() {
        let fixed = [0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x2a, 0x09, 0, 0, 0, 0];
        let descriptor = [0x72, 6, 0x2a, 0x09, 0, 0, 0, 0];
        let expected = Some(Sense { key: Key::UnitAttention, code: 0x2a, qualifier: 0x09 });
        assert_eq!(Sense::read(&fixed), expected);
        assert_eq!(Sense::read(&descriptor), expected);
        assert_eq!(Sense::read(&[0x70, 0, 5]), Some(Sense { key: Key::IllegalRequest, code: 0, qualifier: 0 }));
        assert_eq!(Sense::read(&[]), None);
        assert_eq!(Sense::read(&[0x7f, 1, 2, 3]), None);
    }

    proptest! {
        #[test]
        fn no_sense_makes_the_reader_panic(data in prop::collection::vec(any::<u8>(), 0..32)) {
            let _ = Sense::read(&data);
        }
    }
}
