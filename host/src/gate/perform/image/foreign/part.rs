//! The bytes of a disk of another host, as whoever reads its header needs them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A file, or a part of one.
pub(super) struct Part<'a> {
    pub file: &'a File,
    pub offset: u64,
    pub length: u64,
}

/// Why a disk is not taken: one line.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    #[error("it is a list of other files (a descriptor); export the guest as OVF or OVA, which packs its disks")]
    Descriptor,
    #[error("it does not start with a {0} header")]
    NoMagic(&'static str),
    #[error("it does not end with a VHD footer")]
    NoFooter,
    #[error("it is cut off")]
    CutOff,
    #[error("its header is not well-formed")]
    Malformed,
    #[error("it is the difference to another disk: delete the guest's snapshots, and export it again")]
    Difference,
    #[error("it was not closed cleanly; `qemu-img check -r all` on a copy of it replays its log")]
    OpenLog,
}

impl Part<'_> {
    pub(super) fn read(&self, at: u64, count: usize) -> Result<Vec<u8>, Unfit> {
        if at.checked_add(count as u64).is_none_or(|end| end > self.length) {
            return Err(Unfit::CutOff);
        }
        let mut bytes = vec![0; count];
        self.file.read_exact_at(&mut bytes, self.offset + at).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Unfit::CutOff,
            _ => Unfit::Read(error),
        })?;
        Ok(bytes)
    }

    /// The same, fewer at the end.
    pub(super) fn start(&self, count: usize) -> Result<Vec<u8>, Unfit> {
        self.read(0, count.min(usize::try_from(self.length).unwrap_or(count)))
    }
}

/// Little-endian; zero past the end, which no caller asks for.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_le_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// A size as guests see it: something, and no more than a file can have.
pub(super) fn size(bytes: u64) -> Result<u64, Unfit> {
    if bytes == 0 || bytes > i64::MAX as u64 { Err(Unfit::Malformed) } else { Ok(bytes) }
}
