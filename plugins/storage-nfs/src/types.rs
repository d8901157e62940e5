//! Words that both versions share.

use fief_sdk::payload::Data;

use crate::xdr::{Decoded, Decoder, Encoder, Malformed};

/// Longest file handle: `NFS4_FHSIZE` (RFC 8881, 3.1); v3 has 64 (RFC 1813, 2.4).
pub const MOST_HANDLE: usize = 128;
/// Longest name that a server may list.
pub const MOST_NAME: usize = 1024;

/// A file as its server knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Handle(Vec<u8>);

impl Handle {
    pub fn decode(from: &mut Decoder<'_>) -> Decoded<Self> {
        Ok(Handle(from.opaque(MOST_HANDLE)?.to_vec()))
    }

    pub fn encode(&self, into: &mut Encoder) {
        into.opaque(&self.0);
    }
}

/// How much a write's data may still be lost: `stable_how` of both versions (RFC 1813, 3.3.7; RFC 8881, 18.32).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stable {
    /// Until a commit.
    Unstable,
    /// The data is safe, what tells of it (a longer file, say) may not be.
    Data,
    /// All is safe.
    File,
}

impl Stable {
    pub fn encode(self, into: &mut Encoder) {
        into.u32(match self {
            Stable::Unstable => 0,
            Stable::Data => 1,
            Stable::File => 2,
        });
    }

    pub fn decode(from: &mut Decoder<'_>) -> Decoded<Self> {
        match from.u32()? {
            0 => Ok(Stable::Unstable),
            1 => Ok(Stable::Data),
            2 => Ok(Stable::File),
            _ => Err(Malformed("an unknown kind of stable")),
        }
    }
}

/// Changes when the server may have lost what was not committed: a restart (RFC 8881, 18.32.3).
pub type Verifier = [u8; 8];

/// The answer to a write of `asked` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub count: u32,
    pub stable: Stable,
    pub verifier: Verifier,
}

impl Written {
    /// Count, stable and verifier, in the order of both versions.
    ///
    /// # Errors
    /// The server says that it wrote more than it was given, or nothing at all.
    pub fn decode(from: &mut Decoder<'_>, asked: usize) -> Decoded<Self> {
        let count = from.u32()?;
        if count as usize > asked || count == 0 {
            return Err(Malformed("a write of another length"));
        }
        Ok(Written { count, stable: Stable::decode(from)?, verifier: from.fixed()? })
    }
}

/// Where in a record the data of a read lies: large, and handed on in the record's own memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Bytes of the record from its beginning on.
    rest: usize,
    length: usize,
}

impl Place {
    /// At most `asked` bytes that come next, with their length in front.
    pub fn decode(from: &mut Decoder<'_>, asked: u32) -> Decoded<Self> {
        let rest = from.rest().len().saturating_sub(4);
        Ok(Place { rest, length: from.opaque(asked as usize)?.len() })
    }

    pub fn length(self) -> usize {
        self.length
    }

    /// The data, within the record in which this place was found.
    pub fn of(self, record: Vec<u8>) -> Data {
        let start = record.len().saturating_sub(self.rest);
        let end = record.len().min(start + self.length);
        Data::Within(record, start..end)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Folder,
    Other,
}

impl Kind {
    /// `ftype3` and `nfs_ftype4` agree in these.
    pub fn from_number(number: u32) -> Self {
        match number {
            1 => Kind::File,
            2 => Kind::Folder,
            _ => Kind::Other,
        }
    }
}

/// What is the same file, as long as there is one: compared at each reconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    /// Of the file system; v3 has one number, v4 two.
    pub fsid: (u64, u64),
    pub fileid: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    pub kind: Kind,
    pub size: u64,
    /// What it takes on the server, in bytes.
    pub used: u64,
    pub id: FileId,
    /// Seconds since 1970, of the server's clock.
    pub modified: i64,
}

/// One name of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    /// None where the server could not say.
    pub attributes: Option<Attributes>,
}

/// A part of a folder's names; the rest follows from `cookie`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub entries: Vec<Entry>,
    pub cookie: u64,
    pub cookie_verifier: Verifier,
    pub last: bool,
}

/// Most entries of one page: servers send as many as fit into what we ask for.
const MOST_ENTRIES: usize = 4096;

impl Page {
    /// A list of entries, one chained to the next (RFC 1813, 3.3.17; RFC 8881, 18.23): `entry` reads one and its cookie.
    pub fn decode<'a>(
        from: &mut Decoder<'a>,
        cookie_verifier: Verifier,
        mut entry: impl FnMut(&mut Decoder<'a>) -> Decoded<(u64, Entry)>,
    ) -> Decoded<Self> {
        let mut page = Page { entries: Vec::new(), cookie: 0, cookie_verifier, last: false };
        while from.boolean()? {
            if page.entries.len() == MOST_ENTRIES {
                return Err(Malformed("too many names at once"));
            }
            let (cookie, entry) = entry(from)?;
            page.cookie = cookie;
            page.entries.push(entry);
        }
        page.last = from.boolean()?;
        if page.entries.is_empty() && !page.last {
            return Err(Malformed("a list that does not go on"));
        }
        Ok(page)
    }
}

/// A name as text. What is no UTF-8 is no volume, and is shown as far as it goes.
pub fn name(from: &mut Decoder<'_>) -> Decoded<String> {
    Ok(String::from_utf8_lossy(from.opaque(MOST_NAME)?).into_owned())
}

/// Room of the file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    pub capacity: u64,
    pub available: u64,
}
