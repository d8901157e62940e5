//! What the header of a VMDK says (VMware, "Virtual Disk Format 5.0"), read without any image tool. A VMDK can be a
//! list of other files, or the difference to one; both are refused before QEMU sees it, which would open them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// `KDMV`, little-endian "VMDK": the header of a sparse extent, hosted and streamOptimized alike.
const MAGIC: [u8; 4] = *b"KDMV";
/// Bytes of the header that are looked at.
const HEADER: usize = 72;
const SECTOR: u64 = 512;
/// Longest descriptor that is read, in bytes: QEMU reads 20 sectors of it.
const DESCRIPTOR_MAX: u64 = 64 << 10;
/// "No parent": a content id of a disk that stands alone.
const NO_PARENT: &str = "ffffffff";

#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    #[error("it is a list of other files (a descriptor); export the guest as OVF or OVA, which packs its disks")]
    Descriptor,
    #[error("it does not start with a VMDK header")]
    NoMagic,
    #[error("it is cut off")]
    CutOff,
    #[error("its header is not well-formed")]
    Malformed,
    #[error("it is the difference to another disk: delete the guest's snapshots, and export it again")]
    Difference,
}

fn read(file: &File, offset: u64, length: u64, at: u64, count: usize) -> Result<Vec<u8>, Unfit> {
    if at.checked_add(count as u64).is_none_or(|end| end > length) {
        return Err(Unfit::CutOff);
    }
    let mut bytes = vec![0; count];
    file.read_exact_at(&mut bytes, offset + at).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Unfit::CutOff,
        _ => Unfit::Read(error),
    })?;
    Ok(bytes)
}

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn header(file: &File, offset: u64, length: u64) -> Result<Vec<u8>, Unfit> {
    let start = read(file, offset, length, 0, 4.min(usize::try_from(length).unwrap_or(4)))?;
    if start.starts_with(b"# D") {
        return Err(Unfit::Descriptor);
    }
    if start != MAGIC {
        return Err(Unfit::NoMagic);
    }
    read(file, offset, length, 0, HEADER)
}

/// The disk's size in bytes, which is never zero: an extent of no size is a descriptor by another name.
pub(super) fn capacity(file: &File, offset: u64, length: u64) -> Result<u64, Unfit> {
    let header = header(file, offset, length)?;
    match number(&header, 12).checked_mul(SECTOR) {
        Some(0) => Err(Unfit::Descriptor),
        Some(bytes) if bytes <= i64::MAX as u64 => Ok(bytes),
        Some(_) | None => Err(Unfit::Malformed),
    }
}

/// Whether the descriptor inside names no parent.
pub(super) fn stands_alone(file: &File, length: u64) -> Result<(), Unfit> {
    let header = header(file, 0, length)?;
    let at = number(&header, 28).checked_mul(SECTOR).ok_or(Unfit::Malformed)?;
    let count = number(&header, 36).checked_mul(SECTOR).ok_or(Unfit::Malformed)?.min(DESCRIPTOR_MAX);
    let count = usize::try_from(count).map_err(|_| Unfit::Malformed)?;
    let text = read(file, 0, length, at, count)?;
    let text = String::from_utf8_lossy(&text);
    let parent = text.lines().find_map(|line| line.trim().strip_prefix("parentCID="));
    match parent {
        Some(id) if id.trim_end_matches(['\0', '\r']).trim() == NO_PARENT => Ok(()),
        None => Ok(()),
        Some(_) => Err(Unfit::Difference),
    }
}
