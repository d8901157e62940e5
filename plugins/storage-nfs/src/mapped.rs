//! Where in a qcow2 image lies what a guest sees of it (QEMU's docs/interop/qcow2.txt), for reading. Pure.
//!
//! ```text
//!   offset ─▸ first-level table, held ─▸ second-level table, a cluster of entries ─▸ a cluster of data, or zeroes
//! ```

use fief_sdk::{Error, Result};

use crate::qcow2::Header;

/// The bits of an entry that are an offset.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// In a second-level entry: it is compressed; it reads as zeroes.
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;
/// An incompatible feature: entries of twice the length.
const EXTENDED: u64 = 1 << 4;

/// What a guest sees there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Zero,
    /// At this offset of the file.
    Data(u64),
}

/// An image whose first-level table is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    bits: u32,
    size: u64,
    /// Where that table is, and how much of it counts, in bytes.
    pub(crate) table: u64,
    pub(crate) length: u32,
}

#[derive(Debug)]
pub(crate) struct Map {
    bits: u32,
    /// What a guest sees, in bytes.
    pub(crate) size: u64,
    first: Vec<u64>,
}

impl Start {
    /// # Errors
    /// `unsupported`: what it holds is not read here; as [`Header::read`] besides.
    pub(crate) fn of(head: &[u8]) -> Result<Self> {
        let header = Header::read(head)?;
        let word = |at: usize| head.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_be_bytes);
        let long = |at: usize| head.get(at..at + 8).and_then(|long| long.try_into().ok()).map(u64::from_be_bytes);
        let short = || Error::corrupt("its header is too short for qcow2");
        if word(32).ok_or_else(short)? != 0 {
            return Err(Error::unsupported("it is encrypted"));
        }
        if word(4).ok_or_else(short)? > 2 && long(72).ok_or_else(short)? & EXTENDED != 0 {
            return Err(Error::unsupported("it has extended second-level entries"));
        }
        let bits = word(20).ok_or_else(short)?;
        let entries = header.size.div_ceil(1 << (2 * bits - 3));
        let length = u32::try_from(entries * 8).ok().filter(|length| *length <= 32 << 20);
        let there = u64::from(word(36).ok_or_else(short)?);
        match length {
            Some(length) if entries <= there => {
                Ok(Start { bits, size: header.size, table: long(40).ok_or_else(short)?, length })
            }
            Some(_) | None => Err(Error::corrupt("its first-level table does not fit its size")),
        }
    }

    /// With that table.
    pub(crate) fn map(self, table: &[u8]) -> Map {
        Map { bits: self.bits, size: self.size, first: entries(table).collect() }
    }
}

fn entries(table: &[u8]) -> impl Iterator<Item = u64> {
    table.chunks_exact(8).map(|entry| entry.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

impl Map {
    /// In bytes; a second-level table is as long.
    pub(crate) fn cluster(&self) -> u64 {
        1 << self.bits
    }

    /// Where the second-level table for an offset is; none: all that it would be about reads as zeroes.
    pub(crate) fn second(&self, offset: u64) -> Option<u64> {
        let index = usize::try_from(offset >> (2 * self.bits - 3)).ok()?;
        self.first.get(index).map(|entry| entry & OFFSET).filter(|table| *table != 0)
    }

    /// # Errors
    /// `unsupported`: it is compressed.
    pub(crate) fn place(&self, second: &[u8], offset: u64) -> Result<Place> {
        let index = (offset >> self.bits & ((1 << (self.bits - 3)) - 1)) as usize;
        let entry = second.get(index * 8..).and_then(|rest| entries(rest).next());
        let entry = entry.ok_or_else(|| Error::corrupt("its second-level table is cut short"))?;
        if entry & COMPRESSED != 0 {
            return Err(Error::unsupported("it holds compressed data, which is not read here"));
        }
        match entry & OFFSET {
            0 => Ok(Place::Zero),
            _ if entry & ZERO != 0 => Ok(Place::Zero),
            data => Ok(Place::Data(data + (offset & (self.cluster() - 1)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;
    use crate::qcow2::HEAD;

    #[test]
    fn what_qemu_wrote_is_found_where_it_is() {
        let file = std::env::temp_dir().join(format!("storage-nfs-mapped-{}.qcow2", std::process::id()));
        let run = |words: &[&str]| assert!(Command::new(words[0]).args(&words[1..]).status().unwrap().success());
        let path = file.to_str().unwrap();
        run(&["qemu-img", "create", "-q", "-f", "qcow2", path, "3G"]);
        run(&[
            "qemu-io",
            "-f",
            "qcow2",
            "-c",
            "write -q -P 7 2G 64k",
            "-c",
            "write -q -z 64k 64k",
            "-c",
            "write -q -P 9 1000k 4k",
            path,
        ]);
        let bytes = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let start = Start::of(&bytes[..HEAD as usize]).unwrap();
        let at = |at: u64, length: u64| &bytes[at as usize..(at + length) as usize];
        let map = start.map(at(start.table, start.length.into()));
        assert_eq!((map.size, map.cluster()), (3 << 30, 64 << 10));
        let byte = |offset: u64| match map.second(offset) {
            None => 0,
            Some(table) => match map.place(at(table, map.cluster()), offset).unwrap() {
                Place::Zero => 0,
                Place::Data(place) => bytes[place as usize],
            },
        };
        for (offset, value) in [
            (0, 0),
            (64 << 10, 0),
            (1000 << 10, 9),
            (1004 << 10, 0),
            (1 << 30, 0),
            (2 << 30, 7),
            ((2 << 30) + 65_535, 7),
        ] {
            assert_eq!(byte(offset), value, "at {offset}");
        }
        let compressed = (COMPRESSED | 5).to_be_bytes();
        assert!(map.place(&compressed, 0).unwrap_err().message.contains("compressed"));
    }

    proptest! {
        #[test]
        fn no_image_is_too_strange(
            head in prop::collection::vec(any::<u8>(), 112), version in 2u8..4, table in prop::collection::vec(any::<u8>(), 0..64),
            offset in any::<u64>(), bits in 9u8..22,
        ) {
            let mut head = head;
            head[..24].copy_from_slice(&[b'Q', b'F', b'I', 0xfb, 0, 0, 0, version, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, bits]);
            head[24..36].fill(0);
            head[72..80].fill(0);
            if let Ok(start) = Start::of(&head) {
                let map = start.map(&table);
                let _ = map.second(offset);
                let _ = map.place(&table, offset);
            }
        }
    }
}
