//! Where file systems begin in a disk: partition tables as UEFI and the PC have them. Pure, and fed with what a guest wrote.

use std::io;

/// Bytes of a sector; tables of disks with larger ones are not looked for.
const SECTOR: u64 = 512;
/// Entries that are looked at: what UEFI reserves room for (2.10, 5.3.1).
const ENTRIES_MAX: u32 = 128;
/// The four entries of a PC's table begin here.
const MBR_ENTRIES: usize = 446;
/// Types of the PC's table: of a disk that has a GPT, and of partitions that hold others.
const PROTECTIVE: u8 = 0xee;
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Ext,
    Xfs,
    /// A physical volume of LVM.
    Lvm,
}

impl Content {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Content::Ext => "ext4",
            Content::Xfs => "xfs",
            Content::Lvm => "LVM",
        }
    }
}

/// What is known of what lies in a disk: where it begins, in bytes, and what it is. `read` gives so many bytes from a
/// place.
pub(super) fn contents(
    size: u64,
    read: &mut dyn FnMut(u64, usize) -> io::Result<Vec<u8>>,
) -> io::Result<Vec<(u64, Content)>> {
    let mut starts = vec![0];
    if size >= 2 * SECTOR {
        let first = read(0, SECTOR as usize)?;
        if first[510..] == [0x55, 0xaa] {
            let entries = first[MBR_ENTRIES..510].chunks_exact(16).filter(|entry| entry[4] != 0);
            for entry in entries {
                match entry[4] {
                    PROTECTIVE => starts.extend(gpt(size, read)?),
                    kind if EXTENDED.contains(&kind) => {}
                    _ => starts.push(u64::from(number32(entry, 8)) * SECTOR),
                }
            }
        }
    }
    starts.sort_unstable();
    starts.dedup();
    let mut found = Vec::new();
    for start in starts {
        if start.checked_add(4096).is_some_and(|end| end <= size)
            && let Some(content) = content(&read(start, 4096)?)
        {
            found.push((start, content));
        }
    }
    Ok(found)
}

fn gpt(size: u64, read: &mut dyn FnMut(u64, usize) -> io::Result<Vec<u8>>) -> io::Result<Vec<u64>> {
    let header = read(SECTOR, SECTOR as usize)?;
    let (table, count, length) = (number64(&header, 72), number32(&header, 80), number32(&header, 84));
    let count = count.min(ENTRIES_MAX);
    let bytes = u64::from(count) * u64::from(length);
    let fits = table.checked_mul(SECTOR).and_then(|start| start.checked_add(bytes)).is_some_and(|end| end <= size);
    if header[..8] != *b"EFI PART" || !(128..=4096).contains(&length) || !fits {
        return Ok(Vec::new());
    }
    let entries = read(table * SECTOR, bytes as usize)?;
    let used = entries.chunks_exact(length as usize).filter(|entry| entry[..16] != [0; 16]);
    Ok(used.filter_map(|entry| number64(entry, 32).checked_mul(SECTOR)).collect())
}

fn content(head: &[u8]) -> Option<Content> {
    // Documentation/filesystems/ext4/super.rst; xfs_dsb; lib/label/label.h of LVM.
    if head[1024 + 56..1024 + 58] == [0x53, 0xef] {
        Some(Content::Ext)
    } else if head[..4] == *b"XFSB" {
        Some(Content::Xfs)
    } else if head[512..520] == *b"LABELONE" {
        Some(Content::Lvm)
    } else {
        None
    }
}

fn number32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn number64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(disk: &[u8]) -> Vec<(u64, Content)> {
        let mut read = |at: u64, length: usize| Ok(disk[at as usize..at as usize + length].to_vec());
        contents(disk.len() as u64, &mut read).unwrap()
    }

    fn mbr(disk: &mut [u8], entry: usize, kind: u8, start: u32) {
        let at = MBR_ENTRIES + entry * 16;
        disk[at + 4] = kind;
        disk[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    }

    #[test]
    fn file_systems_are_found_in_partitions_and_on_whole_disks() {
        let mut whole = vec![0; 8192];
        whole[1080..1082].copy_from_slice(&[0x53, 0xef]);
        assert_eq!(found(&whole), [(0, Content::Ext)]);

        let mut disk = vec![0; 64 << 10];
        mbr(&mut disk, 0, 0x83, 16);
        mbr(&mut disk, 1, 0x05, 48);
        mbr(&mut disk, 2, 0x83, u32::MAX);
        disk[8192 + 1080..8192 + 1082].copy_from_slice(&[0x53, 0xef]);
        assert_eq!(found(&disk), [(8192, Content::Ext)]);

        let mut disk = vec![0; 64 << 10];
        mbr(&mut disk, 0, PROTECTIVE, 1);
        disk[512..520].copy_from_slice(b"EFI PART");
        disk[512 + 72] = 2;
        disk[512 + 80] = 4;
        disk[512 + 84] = 128;
        for (entry, start) in [(0, 40u64), (2, 64)] {
            let at = 1024 + entry * 128;
            disk[at] = 1;
            disk[at + 32..at + 40].copy_from_slice(&start.to_le_bytes());
        }
        disk[40 * 512..40 * 512 + 4].copy_from_slice(b"XFSB");
        disk[64 * 512 + 512..64 * 512 + 520].copy_from_slice(b"LABELONE");
        assert_eq!(found(&disk), [(40 * 512, Content::Xfs), (64 * 512, Content::Lvm)]);
    }

    #[test]
    fn no_table_leads_outside_or_panics() {
        let mut disk = vec![0xff; 16 << 10];
        mbr(&mut disk, 0, PROTECTIVE, 1);
        disk[512..520].copy_from_slice(b"EFI PART");
        assert_eq!(found(&disk), []);
        disk[512 + 84..512 + 88].copy_from_slice(&128u32.to_le_bytes());
        assert_eq!(found(&disk), []);
        assert_eq!(found(&[]), []);
        assert_eq!(found(&[0x55; 600]), []);
    }
}
