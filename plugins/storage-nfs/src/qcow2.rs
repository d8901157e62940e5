//! The header of a qcow2 image (QEMU's docs/interop/qcow2.txt): written for a new one, read to tell the size of others.
//!
//! A new image is its header, a table of reference counts with one block, and an empty first-level table with room for
//! [`ROOM`], so that the image grows by a change of its header.

use fief_sdk::{Error, Result};

/// 64 KiB, QEMU's own default.
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// What one entry of the first-level table covers: a cluster of second-level entries of 8 bytes.
const COVERED: u64 = CLUSTER * (CLUSTER / 8);
/// What the first-level table of a new image covers at least: one cluster of entries.
pub(crate) const ROOM: u64 = COVERED * (CLUSTER / 8);
/// Largest virtual size: QEMU opens a first-level table of 32 MiB at most.
const LARGEST: u64 = COVERED * ((32 << 20) / 8);
/// Clusters before the first-level table: header, table of reference counts, block of them.
const BEFORE: u64 = 3;

/// Length of a version 3 header, without what may follow it.
const LENGTH: usize = 104;
/// What is read of a header.
pub(crate) const HEAD: u32 = 112;
/// Where the virtual size is.
pub(crate) const SIZE_AT: u64 = 24;

/// Incompatible features that leave the image readable by its own means: dirty, corrupt, another compression, extended
/// second-level entries. Not here: bit 2, data in another file.
const HARMLESS: u64 = 0b1_1011;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) size: u64,
    /// To what size it can grow by its header alone.
    room: u64,
    version: u32,
    /// Something is kept in it that goes by its size: dirty bitmaps.
    bound: bool,
}

/// Parts of a new image, by where they are, and how long its file is.
#[derive(Debug)]
pub(crate) struct New {
    pub(crate) parts: Vec<(u64, Vec<u8>)>,
    pub(crate) length: u64,
}

/// # Errors
/// `invalid`: no image is that large.
pub(crate) fn new(size: u64) -> Result<New> {
    if size > LARGEST {
        return Err(Error::invalid(format!("a qcow2 image has at most {LARGEST} bytes")));
    }
    let entries = size.max(ROOM).div_ceil(COVERED);
    let clusters = BEFORE + (entries * 8).div_ceil(CLUSTER);
    let mut header = Vec::with_capacity(HEAD as usize);
    let mut word = |value: u32| header.extend_from_slice(&value.to_be_bytes());
    let halves = |value: u64| [(value >> 32) as u32, value as u32];
    word(u32::from_be_bytes(*b"QFI\xfb"));
    word(3);
    [0; 3].into_iter().for_each(&mut word); // no backing file
    word(CLUSTER_BITS);
    halves(size).into_iter().for_each(&mut word);
    word(0); // not encrypted
    word(entries as u32);
    halves(BEFORE * CLUSTER).into_iter().for_each(&mut word);
    halves(CLUSTER).into_iter().for_each(&mut word); // table of reference counts
    word(1);
    [0; 3].into_iter().for_each(&mut word); // no snapshots
    [0; 6].into_iter().for_each(&mut word); // no features
    word(4); // reference counts have 16 bits
    word(LENGTH as u32);
    [0; 2].into_iter().for_each(&mut word); // no extensions
    let counts = (0..clusters).flat_map(|_| 1u16.to_be_bytes()).collect();
    let table = (2 * CLUSTER).to_be_bytes().to_vec();
    Ok(New { parts: vec![(0, header), (CLUSTER, table), (2 * CLUSTER, counts)], length: clusters * CLUSTER })
}

impl Header {
    /// # Errors
    /// `corrupt`: not a header. `unsupported`: the image stands on, or has its data in, another file.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let word = |at: usize| bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_be_bytes);
        let long = |at: usize| bytes.get(at..at + 8).and_then(|long| long.try_into().ok()).map(u64::from_be_bytes);
        let short = || Error::corrupt("its header is too short for qcow2");
        if bytes.get(..4) != Some(b"QFI\xfb") {
            return Err(Error::corrupt("it has no header of qcow2"));
        }
        let version = word(4).ok_or_else(short)?;
        if !matches!(version, 2 | 3) {
            return Err(Error::unsupported(format!("it is qcow2 of version {version}")));
        }
        if long(8).ok_or_else(short)? != 0 {
            return Err(Error::unsupported("it stands on another file, which volumes on NFS do not"));
        }
        let bits = word(20).ok_or_else(short)?;
        let size = long(24).ok_or_else(short)?;
        if !(9..=21).contains(&bits) || size > i64::MAX as u64 {
            return Err(Error::corrupt("its header has sizes that no image has"));
        }
        let entries = u64::from(word(36).ok_or_else(short)?);
        let (incompatible, autoclear) = match version {
            2 => (0, 0),
            _ => (long(72).ok_or_else(short)?, long(88).ok_or_else(short)?),
        };
        if incompatible & !HARMLESS != 0 {
            return Err(Error::unsupported("it has its data in another file, or features that fief does not know"));
        }
        // Extended second-level entries take twice the room.
        let entry = if incompatible & 1 << 4 == 0 { 8 } else { 16 };
        let room = entries.saturating_mul((1 << bits) / entry).saturating_mul(1 << bits);
        Ok(Header { size, room, version, bound: autoclear != 0 })
    }

    /// Whether a change of the header alone makes it that large.
    ///
    /// # Errors
    /// `invalid`: it would shrink. `unsupported`: it has no room for that, or something goes by its size.
    pub(crate) fn may_grow(&self, size: u64) -> Result<()> {
        if size < self.size {
            return Err(Error::invalid(format!(
                "it has {} bytes and cannot shrink: what lies at its end would be lost",
                self.size
            )));
        }
        if size > self.room || self.version < 3 || self.bound {
            return Err(Error::unsupported(
                "this image cannot grow where it is; copy it to a new volume of the size you want (fief volume copy)",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn image(size: u64) -> Vec<u8> {
        let New { parts, length } = new(size).unwrap();
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        for (at, part) in parts {
            let at = usize::try_from(at).unwrap();
            bytes[at..at + part.len()].copy_from_slice(&part);
        }
        bytes
    }

    #[test]
    fn a_new_image_is_read_back_and_may_grow_by_its_header() {
        let header = Header::read(&image(5 << 30)[..HEAD as usize]).unwrap();
        assert_eq!(header.size, 5 << 30);
        assert!(header.may_grow(ROOM).is_ok() && header.may_grow(5 << 30).is_ok());
        assert_eq!(header.may_grow(1 << 30).unwrap_err().code, fief_sdk::ErrorCode::Invalid);
        assert_eq!(header.may_grow(ROOM + 512).unwrap_err().code, fief_sdk::ErrorCode::Unsupported);
        assert_eq!(Header::read(&image(ROOM * 2)).unwrap().may_grow(ROOM * 2), Ok(()));
        assert!(new(LARGEST + 512).is_err());
    }

    #[test]
    fn what_qemu_says_of_a_new_image() {
        for size in [512, 20 << 30, ROOM * 4] {
            let file = std::env::temp_dir().join(format!("storage-nfs-qcow2-{}-{size}", std::process::id()));
            std::fs::write(&file, image(size)).unwrap();
            let run = |words: &[&str]| std::process::Command::new("qemu-img").args(words).arg(&file).output().unwrap();
            let (check, info) = (run(&["check"]), run(&["info", "--output=json"]));
            std::fs::remove_file(&file).unwrap();
            assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
            assert!(String::from_utf8_lossy(&info.stdout).contains(&format!("\"virtual-size\": {size},")));
        }
    }

    #[test]
    fn an_image_that_reaches_into_another_file_is_refused() {
        let good = image(1 << 30);
        for (at, value, why) in
            [(15, 1, "another file"), (79, 4, "another file"), (79, 64, "features"), (7, 9, "version")]
        {
            let mut bad = good.clone();
            bad[at] = value;
            let refused = Header::read(&bad).unwrap_err().message;
            assert!(refused.contains(why), "{at}: {refused}");
        }
    }

    proptest! {
        #[test]
        fn no_header_is_too_strange(mut bytes in prop::collection::vec(any::<u8>(), 0..128), version in 2u8..4) {
            if bytes.len() > 8 {
                bytes[..8].copy_from_slice(&[b'Q', b'F', b'I', 0xfb, 0, 0, 0, version]);
            }
            if let Ok(header) = Header::read(&bytes) {
                let _ = header.may_grow(u64::MAX);
            }
        }
    }
}
