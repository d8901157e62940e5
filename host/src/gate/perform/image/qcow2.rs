//! What a qcow2 header says (QEMU's docs/interop/qcow2.txt), read without any image tool.
//!
//! The bytes are untrusted: a guest or a plugin may have written them. Every length is checked against a bound
//! before it is used, and what fief does not know is refused, since it decides which files get opened.

use std::io;

/// "QFI\xfb".
const MAGIC: [u8; 4] = *b"QFI\xfb";
/// Length of the header of version 2, and the least of version 3, in bytes.
const HEADER_V2: usize = 72;
const HEADER_V3: usize = 104;
/// The largest cluster (2 MiB): header, extensions and backing name lie within the first one.
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// Longest name of a backing file, in bytes.
const BACKING_NAME_MAX: u32 = 1023;
/// Bounds that QEMU itself keeps for the table of snapshots: entries, extra bytes of one entry, bytes in all.
const SNAPSHOTS_MAX: u32 = 65_536;
const SNAPSHOT_EXTRA_MAX: usize = 1_024;
const SNAPSHOT_TABLE_MAX: u64 = 64 << 20;
/// In a snapshot's entry: when it was taken; in its extra data, behind the length of a state: the size of the disk.
const DATE_AT: u64 = 16;
const EXTRA_SIZE_AT: usize = 8;
const EXTENSION_END: u32 = 0;
const EXTENSION_BACKING_FORMAT: u32 = 0xE279_2ACA;

mod incompatible {
    pub(super) const CORRUPT: u64 = 1 << 1;
    pub(super) const EXTERNAL_DATA: u64 = 1 << 2;
    /// Dirty, corrupt, external data file, compression type, extended L2 entries.
    pub(super) const KNOWN: u64 = 0b1_1111;
}

/// Why an image is not used: one line.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    #[error("it does not start with a qcow2 header")]
    NoMagic,
    #[error("it is cut off: {0} lies past its end")]
    CutOff(&'static str),
    #[error("its header is not well-formed: {0}")]
    Malformed(&'static str),
    #[error("{0}, which fief does not open")]
    Unsupported(&'static str),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// In bytes, at most 2^63 − 1.
    pub virtual_size: u64,
    pub backing: Option<Backing>,
    /// QEMU found the image damaged and will not write to it.
    pub corrupt: bool,
    snapshot_count: u32,
    snapshot_offset: u64,
}

/// Both as the header has them, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backing {
    pub name: String,
    pub format: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// Decimal digits.
    pub id: String,
    pub name: String,
    /// Seconds since 1970-01-01T00:00:00Z, and nanoseconds past them.
    pub created: u64,
    pub nanos: u32,
    /// What a guest saw of the disk then, in bytes.
    pub size: u64,
    /// Where its entry lies in the image.
    at: u64,
}

impl Snapshot {
    /// Where the image has when it was taken: seconds and nanoseconds, 32 bits each.
    pub(super) fn date_at(&self) -> u64 {
        self.at + DATE_AT
    }
}

/// Bytes at a place; fewer than asked for at the end only.
pub(super) trait Source {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
}

impl Source for std::fs::File {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; length];
        let mut filled = 0;
        while filled < length {
            let at = offset.checked_add(filled as u64).ok_or(io::ErrorKind::InvalidInput)?;
            match std::os::unix::fs::FileExt::read_at(self, &mut buffer[filled..], at) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        buffer.truncate(filled);
        Ok(buffer)
    }
}

/// Whether the image starts as qcow2 images do.
pub(super) fn is_qcow2(source: &impl Source) -> io::Result<bool> {
    Ok(source.read_at(0, MAGIC.len())? == MAGIC)
}

pub(super) fn header(source: &impl Source) -> Result<Header, Unfit> {
    let start = source.read_at(0, HEADER_V3)?;
    if start.get(..4) != Some(&MAGIC) {
        return Err(Unfit::NoMagic);
    }
    let fields = Bytes(&start, "the header");
    let version = fields.u32(4)?;
    let backing_offset = fields.u64(8)?;
    let backing_length = fields.u32(16)?;
    let cluster_bits = fields.u32(20)?;
    let virtual_size = fields.u64(24)?;
    let encryption = fields.u32(32)?;
    let snapshot_count = fields.u32(60)?;
    let snapshot_offset = fields.u64(64)?;
    let (features, length) = match version {
        2 => (0, HEADER_V2),
        3 => (fields.u64(72)?, fields.u32(100)? as usize),
        _ => return Err(Unfit::Unsupported("it is of a version other than 2 and 3")),
    };

    if !CLUSTER_BITS.contains(&cluster_bits) {
        return Err(Unfit::Malformed("the size of a cluster"));
    }
    let cluster = 1usize << cluster_bits;
    if virtual_size > i64::MAX as u64 {
        return Err(Unfit::Malformed("the size is above 2^63"));
    }
    if encryption != 0 {
        return Err(Unfit::Unsupported("it is encrypted"));
    }
    if features & incompatible::EXTERNAL_DATA != 0 {
        return Err(Unfit::Unsupported("its data is in another file"));
    }
    if features & !incompatible::KNOWN != 0 {
        return Err(Unfit::Unsupported("it needs a feature newer than fief knows"));
    }
    if version == 3 && (length < HEADER_V3 || !length.is_multiple_of(8) || length > cluster) {
        return Err(Unfit::Malformed("the length of the header"));
    }
    if snapshot_count > SNAPSHOTS_MAX {
        return Err(Unfit::Malformed("the number of snapshots"));
    }

    let first = source.read_at(0, cluster)?;
    let name = backing_name(&first, backing_offset, backing_length)?;
    let until = if name.is_some() { backing_offset as usize } else { first.len() };
    let format = backing_format(&first, length, until)?;
    Ok(Header {
        virtual_size,
        backing: name.map(|name| Backing { name, format }),
        corrupt: features & incompatible::CORRUPT != 0,
        snapshot_count,
        snapshot_offset,
    })
}

fn backing_name(first: &[u8], offset: u64, length: u32) -> Result<Option<String>, Unfit> {
    if offset == 0 || length == 0 {
        return Ok(None);
    }
    if length > BACKING_NAME_MAX {
        return Err(Unfit::Malformed("the length of the backing file's name"));
    }
    let offset = usize::try_from(offset).map_err(|_| Unfit::Malformed("the place of the backing file's name"))?;
    let name = Bytes(first, "the name of the backing file").slice(offset, length as usize)?;
    let name = std::str::from_utf8(name).map_err(|_| Unfit::Malformed("the name of the backing file is not UTF-8"))?;
    Ok(Some(name.to_owned()))
}

/// Walks the header extensions (type, length, data padded to 8 bytes) for the backing file's format.
fn backing_format(first: &[u8], from: usize, until: usize) -> Result<Option<String>, Unfit> {
    let bytes = Bytes(first, "an extension of the header");
    let mut at = from;
    // Each round moves on by 8 bytes at least, and `until` is at most a cluster.
    while at.saturating_add(8) <= until {
        let (kind, length) = (bytes.u32(at)?, bytes.u32(at + 4)? as usize);
        if kind == EXTENSION_END {
            return Ok(None);
        }
        let data = bytes.slice(at + 8, length)?;
        if kind == EXTENSION_BACKING_FORMAT {
            let format = std::str::from_utf8(data).map_err(|_| Unfit::Malformed("the backing file's format"))?;
            return Ok(Some(format.to_owned()));
        }
        at += 8 + length.next_multiple_of(8);
    }
    Ok(None)
}

/// The snapshots inside the image, in the order of its table.
pub(super) fn snapshots(source: &impl Source, header: &Header) -> Result<Vec<Snapshot>, Unfit> {
    const WHAT: &str = "the table of snapshots";
    let mut all = Vec::new();
    let mut at = header.snapshot_offset;
    for _ in 0..header.snapshot_count {
        if at - header.snapshot_offset > SNAPSHOT_TABLE_MAX {
            return Err(Unfit::Malformed("the table of snapshots is too long"));
        }
        let fixed = source.read_at(at, 40)?;
        let fixed = Bytes(&fixed, WHAT);
        let (id, name) = (usize::from(fixed.u16(12)?), usize::from(fixed.u16(14)?));
        let (created, nanos) = (u64::from(fixed.u32(DATE_AT as usize)?), fixed.u32(20)?);
        let extra = fixed.u32(36)? as usize;
        if extra > SNAPSHOT_EXTRA_MAX {
            return Err(Unfit::Malformed("the extra data of a snapshot"));
        }
        let rest = source.read_at(at.saturating_add(40), extra + id + name)?;
        let rest = Bytes(&rest, WHAT);
        let id = std::str::from_utf8(rest.slice(extra, id)?).unwrap_or_default().to_owned();
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Unfit::Malformed("the number of a snapshot"));
        }
        let size = if extra >= EXTRA_SIZE_AT + 8 { rest.u64(EXTRA_SIZE_AT)? } else { header.virtual_size };
        let entry = 40 + rest.0.len();
        let name = String::from_utf8_lossy(rest.slice(extra + id.len(), name)?).into_owned();
        all.push(Snapshot { id, name, created, nanos, size, at });
        at = at.checked_add(entry.next_multiple_of(8) as u64).ok_or(Unfit::CutOff(WHAT))?;
    }
    Ok(all)
}

/// Big-endian numbers out of bytes that may be too few; the word says what they are for.
struct Bytes<'a>(&'a [u8], &'static str);

impl<'a> Bytes<'a> {
    fn slice(&self, at: usize, length: usize) -> Result<&'a [u8], Unfit> {
        at.checked_add(length).and_then(|end| self.0.get(at..end)).ok_or(Unfit::CutOff(self.1))
    }
    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], Unfit> {
        self.slice(at, N)?.try_into().map_err(|_| Unfit::CutOff(self.1))
    }
    fn u16(&self, at: usize) -> Result<u16, Unfit> {
        self.array(at).map(u16::from_be_bytes)
    }
    fn u32(&self, at: usize) -> Result<u32, Unfit> {
        self.array(at).map(u32::from_be_bytes)
    }
    fn u64(&self, at: usize) -> Result<u64, Unfit> {
        self.array(at).map(u64::from_be_bytes)
    }
}

#[cfg(test)]
#[path = "qcow2_tests.rs"]
mod tests;
