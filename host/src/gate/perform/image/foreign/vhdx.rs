//! What a VHDX says of itself (Microsoft, MS-VHDX 8.0, section 2): how large the disk is, whether it is the difference
//! to another, and whether its log has to be replayed first. Checksums are left to `qemu-img`.

use super::part::{Part, Unfit, size, u32_at, u64_at};

pub(super) const SIGNATURE: &[u8] = b"vhdxfile";
/// Both headers; the one with the higher sequence number counts (2.2.2).
const HEADERS: [u64; 2] = [64 << 10, 128 << 10];
const HEADER: usize = 80;
/// Both copies of the region table (2.2.3).
const REGION_TABLES: [u64; 2] = [192 << 10, 256 << 10];
const REGION_TABLE: usize = 64 << 10;
/// Bytes before the entries of the region table; entries of both tables have 32 bytes.
const REGION_ENTRIES: usize = 16;
const ENTRY: usize = 32;
const METADATA_TABLE: usize = 64 << 10;
/// More than either table holds (2.2.3, 2.6.1).
const ENTRIES_MAX: usize = 2047;

/// GUIDs as they lie on disk: the metadata region (2.2.3), the file parameters (2.6.2.1), the disk's size (2.6.2.2).
const METADATA: [u8; 16] = guid(0x8b7c_a206, 0x4790, 0x4b9a, 0xb8fe_575f_050f_886e);
const FILE_PARAMETERS: [u8; 16] = guid(0xcaa1_6737, 0xfa36, 0x4d43, 0xb3b6_33f0_aa44_e76b);
const DISK_SIZE: [u8; 16] = guid(0x2fa5_4224, 0xcd1b, 0x4876, 0xb211_5dbe_d83b_f4b8);
const HAS_PARENT: u32 = 1 << 1;

/// Its first three parts are little-endian on disk, the last is big-endian.
const fn guid(first: u32, second: u16, third: u16, last: u64) -> [u8; 16] {
    let (a, b, c, d) = (first.to_le_bytes(), second.to_le_bytes(), third.to_le_bytes(), last.to_be_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}

/// The disk's size in bytes, of one that stands alone and was closed cleanly.
pub(super) fn capacity(disk: &Part<'_>) -> Result<u64, Unfit> {
    if disk.start(SIGNATURE.len())? != SIGNATURE {
        return Err(Unfit::NoMagic("VHDX"));
    }
    refuse_open_log(disk)?;
    let metadata = metadata(disk)?;
    let table = disk.read(metadata, METADATA_TABLE)?;
    if !table.starts_with(b"metadata") {
        return Err(Unfit::Malformed);
    }
    let count = usize::from(u16::from_le_bytes([table[10], table[11]])).min(ENTRIES_MAX);
    let item = |wanted: &[u8; 16]| {
        let entry = table[ENTRY..].chunks_exact(ENTRY).take(count).find(|entry| entry.starts_with(wanted));
        let entry = entry.ok_or(Unfit::Malformed)?;
        disk.read(metadata.checked_add(u64::from(u32_at(entry, 16))).ok_or(Unfit::Malformed)?, 8)
    };
    if u32_at(&item(&FILE_PARAMETERS)?, 4) & HAS_PARENT != 0 {
        return Err(Unfit::Difference);
    }
    size(u64_at(&item(&DISK_SIZE)?, 0))
}

fn refuse_open_log(disk: &Part<'_>) -> Result<(), Unfit> {
    let mut newest: Option<(u64, bool)> = None;
    for at in HEADERS {
        let header = disk.read(at, HEADER)?;
        let sequence = u64_at(&header, 8);
        if header.starts_with(b"head") && newest.is_none_or(|(other, _)| sequence >= other) {
            newest = Some((sequence, header[48..64].iter().any(|byte| *byte != 0)));
        }
    }
    match newest {
        Some((_, false)) => Ok(()),
        Some((_, true)) => Err(Unfit::OpenLog),
        None => Err(Unfit::Malformed),
    }
}

/// Where the metadata lie.
fn metadata(disk: &Part<'_>) -> Result<u64, Unfit> {
    for at in REGION_TABLES {
        let table = disk.read(at, REGION_TABLE)?;
        if !table.starts_with(b"regi") {
            continue;
        }
        let count = usize::try_from(u32_at(&table, 8)).unwrap_or(ENTRIES_MAX).min(ENTRIES_MAX);
        let entries = table[REGION_ENTRIES..].chunks_exact(ENTRY).take(count);
        if let Some(entry) = entries.into_iter().find(|entry| entry.starts_with(&METADATA)) {
            return Ok(u64_at(entry, 16));
        }
    }
    Err(Unfit::Malformed)
}
