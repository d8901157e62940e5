//! What the footer of a VHD says (Microsoft, "Virtual Hard Disk Image Format Specification", 1.0): the last sector of
//! the file, and of a dynamic disk the first one too. All numbers are big-endian.

use super::part::{Part, Unfit, size};

pub(super) const COOKIE: &[u8] = b"conectix";
const SECTOR: usize = 512;
const DIFFERENCE: u32 = 4;

pub(super) fn is(disk: &Part<'_>) -> bool {
    footer(disk).is_ok()
}

fn footer(disk: &Part<'_>) -> Result<Vec<u8>, Unfit> {
    let at = disk.length.checked_sub(SECTOR as u64).ok_or(Unfit::NoFooter)?;
    let footer = disk.read(at, SECTOR)?;
    if footer.starts_with(COOKIE) { Ok(footer) } else { Err(Unfit::NoFooter) }
}

/// The disk's size in bytes, of one that stands alone.
pub(super) fn capacity(disk: &Part<'_>) -> Result<u64, Unfit> {
    let footer = footer(disk)?;
    let kind = footer[60..64].try_into().map_or(0, u32::from_be_bytes);
    if kind == DIFFERENCE {
        return Err(Unfit::Difference);
    }
    size(footer[48..56].try_into().map_or(0, u64::from_be_bytes))
}
