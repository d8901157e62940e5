//! The attributes that are asked for, and how they come: a bitmap, and the values one after another in the order of
//! their numbers (RFC 8881, 3.3.7 and 5).

use crate::types::{Attributes, FileId, Kind, Space};
use crate::xdr::{Decoded, Decoder, Encoder, Malformed};

const TYPE: u32 = 1;
const SIZE: u32 = 4;
const LINK_SUPPORT: u32 = 5;
const FSID: u32 = 8;
const LEASE_TIME: u32 = 10;
const RDATTR_ERROR: u32 = 11;
const FILEID: u32 = 20;
const MAXREAD: u32 = 30;
const MAXWRITE: u32 = 31;
const MODE: u32 = 33;
const SPACE_AVAIL: u32 = 42;
const SPACE_TOTAL: u32 = 44;
const SPACE_USED: u32 = 45;
const TIME_MODIFY: u32 = 53;

/// Of a file or folder.
pub const OF_FILE: &[u32] = &[TYPE, SIZE, FSID, FILEID, SPACE_USED, TIME_MODIFY];
/// Of a name in a list: with it, a server tells of one broken file without failing the list (RFC 8881, 18.23.3).
pub const OF_ENTRY: &[u32] = &[TYPE, SIZE, FSID, RDATTR_ERROR, FILEID, SPACE_USED, TIME_MODIFY];
pub const OF_SPACE: &[u32] = &[SPACE_AVAIL, SPACE_TOTAL];
pub const OF_SERVER: &[u32] = &[LINK_SUPPORT, LEASE_TIME, MAXREAD, MAXWRITE];

/// Owner alone: it holds a guest's disk.
pub const PRIVATE: u32 = 0o600;
/// The same of a folder.
pub const PRIVATE_FOLDER: u32 = 0o700;
/// Longest list of values that is looked at: the above take far less.
const MOST: usize = 4096;

pub fn bitmap(into: &mut Encoder, wanted: &[u32]) {
    let mut words = [0u32; 2];
    for number in wanted {
        if let Some(word) = words.get_mut((number / 32) as usize) {
            *word |= 1 << (number % 32);
        }
    }
    into.u32(2);
    words.iter().for_each(|word| into.u32(*word));
}

/// `fattr4` of what is new, or of a file that changes its size.
pub fn settable(into: &mut Encoder, mode: Option<u32>, size: Option<u64>) {
    let mut values = Encoder::default();
    let mut which = Vec::new();
    if let Some(size) = size {
        which.push(SIZE);
        values.u64(size);
    }
    if let Some(mode) = mode {
        which.push(MODE);
        values.u32(mode);
    }
    bitmap(into, &which);
    into.opaque(&values.into_bytes());
}

/// Everything above that may come; what the server does not support is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Values {
    kind: Option<u32>,
    size: Option<u64>,
    pub links: Option<bool>,
    fsid: Option<(u64, u64)>,
    pub lease: Option<u32>,
    error: Option<u32>,
    fileid: Option<u64>,
    pub read: Option<u64>,
    pub write: Option<u64>,
    available: Option<u64>,
    total: Option<u64>,
    used: Option<u64>,
    modified: Option<i64>,
}

impl Values {
    /// # Errors
    /// A value comes that was not asked for: where it ends is not known then.
    pub fn decode(from: &mut Decoder<'_>) -> Decoded<Self> {
        let words = from.count(4)?;
        if words > 3 {
            return Err(Malformed("too many attributes"));
        }
        let mut numbers = Vec::new();
        for word in 0..words {
            let bits = from.u32()?;
            numbers.extend((0..32).filter(|bit| bits & (1 << bit) != 0).map(|bit| word as u32 * 32 + bit));
        }
        let list = from.opaque(MOST)?;
        let mut list = Decoder::new(list);
        let from = &mut list;
        let mut values = Values::default();
        for number in numbers {
            match number {
                TYPE => values.kind = Some(from.u32()?),
                SIZE => values.size = Some(from.u64()?),
                LINK_SUPPORT => values.links = Some(from.boolean()?),
                FSID => values.fsid = Some((from.u64()?, from.u64()?)),
                LEASE_TIME => values.lease = Some(from.u32()?),
                RDATTR_ERROR => values.error = Some(from.u32()?),
                FILEID => values.fileid = Some(from.u64()?),
                MAXREAD => values.read = Some(from.u64()?),
                MAXWRITE => values.write = Some(from.u64()?),
                SPACE_AVAIL => values.available = Some(from.u64()?),
                SPACE_TOTAL => values.total = Some(from.u64()?),
                SPACE_USED => values.used = Some(from.u64()?),
                TIME_MODIFY => {
                    values.modified = Some(from.u64()?.cast_signed());
                    from.u32()?;
                }
                _ => return Err(Malformed("an attribute that was not asked for")),
            }
        }
        match from.rest() {
            [] => Ok(values),
            _ => Err(Malformed("more attributes than are named")),
        }
    }

    /// None where the server says that it could not read them.
    pub fn of_file(self) -> Option<Attributes> {
        if self.error.is_some_and(|error| error != 0) {
            return None;
        }
        Some(Attributes {
            kind: Kind::from_number(self.kind?),
            size: self.size?,
            used: self.used.unwrap_or(self.size?),
            id: FileId { fsid: self.fsid?, fileid: self.fileid? },
            modified: self.modified.unwrap_or(0),
        })
    }

    pub fn space(self) -> Option<Space> {
        Some(Space { capacity: self.total?, available: self.available? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(bits: [u32; 2], values: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.u32(2);
        bits.iter().for_each(|word| encoder.u32(*word));
        encoder.opaque(values);
        encoder.into_bytes()
    }

    #[test]
    fn values_come_in_the_order_of_their_numbers() {
        let mut values = Encoder::default();
        values.u32(1);
        values.u64(4096);
        values.u64(7);
        values.u64(8);
        values.u64(99);
        let bytes = encoded([1 << TYPE | 1 << SIZE | 1 << FSID | 1 << FILEID, 0], &values.into_bytes());
        let read = Values::decode(&mut Decoder::new(&bytes)).unwrap().of_file().unwrap();
        assert_eq!((read.kind, read.size, read.used), (Kind::File, 4096, 4096));
        assert_eq!(read.id, FileId { fsid: (7, 8), fileid: 99 });
    }

    #[test]
    fn what_was_not_asked_for_is_refused_as_nobody_knows_its_length() {
        assert!(Values::decode(&mut Decoder::new(&encoded([1, 0], &[0; 8]))).is_err());
        assert!(Values::decode(&mut Decoder::new(&encoded([1 << SIZE, 0], &[0; 4]))).is_err());
        assert!(Values::decode(&mut Decoder::new(&encoded([1 << SIZE, 0], &[0; 12]))).is_err());
    }

    #[test]
    fn a_file_that_the_server_could_not_read_has_none() {
        let bytes = encoded([1 << RDATTR_ERROR, 0], &[0, 0, 0, 5]);
        assert_eq!(Values::decode(&mut Decoder::new(&bytes)).unwrap().of_file(), None);
    }

    proptest! {
        #[test]
        fn no_answer_is_too_strange(bytes in any::<Vec<u8>>()) {
            let _ = Values::decode(&mut Decoder::new(&bytes));
        }
    }
}
