//! What the header of a VMDK says (VMware, "Virtual Disk Format 5.0"), read without any image tool. A VMDK can be a
//! list of other files, or the difference to one; both are refused before QEMU sees it, which would open them.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::part::{Part, Unfit, u64_at};

/// `KDMV`, little-endian "VMDK": the header of a sparse extent, hosted and streamOptimized alike.
pub(super) const MAGIC: &[u8] = b"KDMV";
/// A descriptor that is a file of its own.
pub(super) const DESCRIPTOR: &[u8] = b"# D";
/// Bytes of the header that are looked at.
const HEADER: usize = 72;
const SECTOR: u64 = 512;
/// Longest descriptor that is read, in bytes: QEMU reads 20 sectors of it.
const DESCRIPTOR_MAX: u64 = 64 << 10;
/// "No parent": a content id of a disk that stands alone.
const NO_PARENT: &str = "ffffffff";

fn header(disk: &Part<'_>) -> Result<Vec<u8>, Unfit> {
    let start = disk.start(MAGIC.len())?;
    if start.starts_with(DESCRIPTOR) {
        return Err(Unfit::Descriptor);
    }
    if start != MAGIC {
        return Err(Unfit::NoMagic("VMDK"));
    }
    disk.read(0, HEADER)
}

/// The disk's size in bytes, which is never zero: an extent of no size is a descriptor by another name.
pub(super) fn capacity(disk: &Part<'_>) -> Result<u64, Unfit> {
    match u64_at(&header(disk)?, 12).checked_mul(SECTOR) {
        Some(0) => Err(Unfit::Descriptor),
        Some(bytes) if bytes <= i64::MAX as u64 => Ok(bytes),
        Some(_) | None => Err(Unfit::Malformed),
    }
}

/// The descriptor inside: where it lies, and its bytes with the zeroes behind it.
fn descriptor(disk: &Part<'_>) -> Result<(u64, Vec<u8>), Unfit> {
    let header = header(disk)?;
    let at = u64_at(&header, 28).checked_mul(SECTOR).ok_or(Unfit::Malformed)?;
    let count = u64_at(&header, 36).checked_mul(SECTOR).ok_or(Unfit::Malformed)?.min(DESCRIPTOR_MAX);
    let count = usize::try_from(count).map_err(|_| Unfit::Malformed)?;
    Ok((at, disk.read(at, count)?))
}

/// Whether the descriptor inside names no parent.
pub(super) fn stands_alone(disk: &Part<'_>) -> Result<(), Unfit> {
    let (_, text) = descriptor(disk)?;
    let text = String::from_utf8_lossy(&text);
    let parent = text.lines().find_map(|line| line.trim().strip_prefix("parentCID="));
    match parent {
        Some(id) if id.trim_end_matches(['\0', '\r']).trim() == NO_PARENT => Ok(()),
        None => Ok(()),
        Some(_) => Err(Unfit::Difference),
    }
}

/// Has the descriptor of a disk that `qemu-img` has just made name its one extent `name`: it was told a descriptor's
/// number for a name, and other programs compare the two.
pub(in crate::gate::perform::image) fn name_extent(file: &File, length: u64, name: &str) -> std::io::Result<()> {
    let bad = |unfit: Unfit| std::io::Error::other(unfit);
    let (at, bytes) = descriptor(&Part { file, offset: 0, length }).map_err(bad)?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_end_matches('\0');
    let renamed: String = text.split_inclusive('\n').map(|line| extent_named(line, name)).collect();
    if renamed.len() >= bytes.len() || renamed == text {
        return Ok(());
    }
    let mut whole = renamed.into_bytes();
    whole.resize(bytes.len(), 0);
    file.write_all_at(&whole, at)
}

/// `RW 16384 SPARSE "10"` with another name; any other line as it is.
fn extent_named(line: &str, name: &str) -> String {
    let quoted = line.strip_prefix("RW ").and_then(|rest| rest.trim_end().strip_suffix('"'));
    match quoted.and_then(|rest| rest.rsplit_once('"')) {
        // A quote in a name would end it.
        Some((before, _)) if !name.contains('"') => format!("RW {before}\"{name}\"\n"),
        Some(_) | None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extent_gets_the_files_name_and_nothing_else_changes() {
        assert_eq!(extent_named("RW 16384 SPARSE \"10\"\n", "web 1.vmdk"), "RW 16384 SPARSE \"web 1.vmdk\"\n");
        for kept in ["createType=\"monolithicSparse\"\n", "# RW\n", "RW 3 SPARSE\n", "\n"] {
            assert_eq!(extent_named(kept, "x"), kept);
        }
        assert_eq!(extent_named("RW 1 SPARSE \"10\"\n", "a\"b"), "RW 1 SPARSE \"10\"\n");
    }
}
