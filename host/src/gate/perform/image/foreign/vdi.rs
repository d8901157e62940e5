//! What the header of a VDI says (VirtualBox, `VDICore.h`: the image header of version 1.1).

use super::part::{Part, Unfit, size, u32_at, u64_at};

/// Little-endian, behind 64 bytes of text that say anything.
const SIGNATURE: u32 = 0xbeda_107f;
const SIGNATURE_AT: usize = 64;
/// Bytes of the header that are looked at.
const HEADER: usize = 376;
/// Blocks as they are written, or all of them from the start; the others are differences.
const STANDS_ALONE: [u32; 2] = [1, 2];

pub(super) fn is(start: &[u8]) -> bool {
    start.len() >= SIGNATURE_AT + 4 && u32_at(start, SIGNATURE_AT) == SIGNATURE
}

/// The disk's size in bytes, of one that stands alone.
pub(super) fn capacity(disk: &Part<'_>) -> Result<u64, Unfit> {
    if !is(&disk.start(SIGNATURE_AT + 4)?) {
        return Err(Unfit::NoMagic("VDI"));
    }
    let header = disk.read(0, HEADER)?;
    if !STANDS_ALONE.contains(&u32_at(&header, 76)) {
        return Err(Unfit::Difference);
    }
    size(u64_at(&header, 368))
}
