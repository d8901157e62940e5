//! Arguments and results, by procedure (RFC 1813, 3.3 and appendix I). Results are read after their status.

use crate::rpc::{MOUNT_PROGRAM, NFS_PROGRAM, Procedure};
use crate::types::{Attributes, Entry, FileId, Handle, Kind, Page, Place, Space, Stable, Verifier, Written, name};
use crate::xdr::{Decoded, Decoder, Encoder, Malformed};

const fn nfs(number: u32) -> Procedure {
    Procedure { program: NFS_PROGRAM, version: 3, number }
}

pub const GETATTR: Procedure = nfs(1);
pub const SETATTR: Procedure = nfs(2);
pub const LOOKUP: Procedure = nfs(3);
pub const READ: Procedure = nfs(6);
pub const WRITE: Procedure = nfs(7);
pub const CREATE: Procedure = nfs(8);
pub const MKDIR: Procedure = nfs(9);
pub const REMOVE: Procedure = nfs(12);
pub const RMDIR: Procedure = nfs(13);
pub const RENAME: Procedure = nfs(14);
pub const LINK: Procedure = nfs(15);
pub const READDIRPLUS: Procedure = nfs(17);
pub const FSSTAT: Procedure = nfs(18);
pub const FSINFO: Procedure = nfs(19);
pub const COMMIT: Procedure = nfs(21);
/// Appendix I, 5.2.1.
pub const MOUNT: Procedure = Procedure { program: MOUNT_PROGRAM, version: 3, number: 1 };

/// A file that the owner alone reads and writes: it holds a guest's disk.
const MODE: u32 = 0o600;
/// The same of a folder.
const FOLDER_MODE: u32 = 0o700;
/// `FSF3_LINK` of FSINFO (3.3.19).
const HAS_LINKS: u32 = 1;

/// `diropargs3`: a name in a folder.
pub fn at(into: &mut Encoder, folder: &Handle, name: &str) {
    folder.encode(into);
    into.opaque(name.as_bytes());
}

/// `sattr3` with what is given.
fn settable(into: &mut Encoder, mode: Option<u32>, size: Option<u64>) {
    into.boolean(mode.is_some());
    if let Some(mode) = mode {
        into.u32(mode);
    }
    into.boolean(false); // owner
    into.boolean(false); // group
    into.boolean(size.is_some());
    if let Some(size) = size {
        into.u64(size);
    }
    into.u32(0); // times are the server's
    into.u32(0);
}

/// `GUARDED`: refused where there is such a name (3.3.8).
pub fn create(into: &mut Encoder, folder: &Handle, name: &str, size: u64) {
    at(into, folder, name);
    into.u32(1);
    settable(into, Some(MODE), Some(size));
}

/// Refused where there is such a name.
pub fn create_folder(into: &mut Encoder, folder: &Handle, name: &str) {
    at(into, folder, name);
    settable(into, Some(FOLDER_MODE), None);
}

pub fn set_size(into: &mut Encoder, file: &Handle, size: u64) {
    file.encode(into);
    settable(into, None, Some(size));
    into.boolean(false); // no guard
}

pub fn write(into: &mut Encoder, file: &Handle, offset: u64, data: &[u8], stable: Stable) {
    file.encode(into);
    into.u64(offset);
    into.u32(u32::try_from(data.len()).unwrap_or(u32::MAX));
    stable.encode(into);
    into.opaque(data);
}

/// Offset with length: of READ and COMMIT.
pub fn range(into: &mut Encoder, file: &Handle, offset: u64, length: u32) {
    file.encode(into);
    into.u64(offset);
    into.u32(length);
}

/// `bytes` bounds the answer.
pub fn list(into: &mut Encoder, folder: &Handle, cookie: u64, verifier: Verifier, bytes: u32) {
    folder.encode(into);
    into.u64(cookie);
    into.fixed(&verifier);
    into.u32(bytes / 4);
    into.u32(bytes);
}

/// `fattr3` (2.6).
pub fn attributes(from: &mut Decoder<'_>) -> Decoded<Attributes> {
    let kind = Kind::from_number(from.u32()?);
    for _ in 0..4 {
        from.u32()?; // mode, links, owner, group
    }
    let (size, used) = (from.u64()?, from.u64()?);
    from.u64()?; // device numbers
    let id = FileId { fsid: (from.u64()?, 0), fileid: from.u64()? };
    from.u64()?; // read
    let modified = i64::from(from.u32()?);
    from.u32()?;
    from.u64()?; // changed
    Ok(Attributes { kind, size, used, id, modified })
}

/// `post_op_attr`.
pub fn after(from: &mut Decoder<'_>) -> Decoded<Option<Attributes>> {
    if from.boolean()? { attributes(from).map(Some) } else { Ok(None) }
}

/// `wcc_data`.
pub fn around(from: &mut Decoder<'_>) -> Decoded<Option<Attributes>> {
    if from.boolean()? {
        for _ in 0..3 {
            from.u64()?; // size and two times from before
        }
    }
    after(from)
}

/// `post_op_fh3`.
pub fn maybe_handle(from: &mut Decoder<'_>) -> Decoded<Option<Handle>> {
    if from.boolean()? { Handle::decode(from).map(Some) } else { Ok(None) }
}

/// At most `asked` bytes, and whether the file ends there.
pub fn data(from: &mut Decoder<'_>, asked: u32) -> Decoded<(Place, bool)> {
    after(from)?;
    let count = from.u32()?;
    let end = from.boolean()?;
    let data = Place::decode(from, asked)?;
    if data.length() != count as usize {
        return Err(Malformed("a read of two lengths"));
    }
    Ok((data, end))
}

pub fn written(from: &mut Decoder<'_>, asked: usize) -> Decoded<Written> {
    around(from)?;
    Written::decode(from, asked)
}

pub fn committed(from: &mut Decoder<'_>) -> Decoded<Verifier> {
    around(from)?;
    from.fixed()
}

/// `entryplus3` and its chain.
pub fn page(from: &mut Decoder<'_>) -> Decoded<Page> {
    after(from)?;
    let verifier = from.fixed()?;
    Page::decode(from, verifier, |from| {
        from.u64()?; // fileid
        let name = name(from)?;
        let cookie = from.u64()?;
        let attributes = after(from)?;
        maybe_handle(from)?;
        Ok((cookie, Entry { name, attributes }))
    })
}

pub fn space(from: &mut Decoder<'_>) -> Decoded<Space> {
    after(from)?;
    let capacity = from.u64()?;
    from.u64()?; // free, with what only root may take
    Ok(Space { capacity, available: from.u64()? })
}

/// What FSINFO says of one request, and of hard links (3.3.19).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub read: u32,
    pub write: u32,
    pub links: bool,
}

pub fn limits(from: &mut Decoder<'_>) -> Decoded<Limits> {
    after(from)?;
    let read = from.u32()?;
    from.u64()?; // preferred, multiple
    let write = from.u32()?;
    from.u64()?;
    from.u32()?; // preferred size of a list
    from.u64()?; // longest file
    from.u64()?; // resolution of times
    Ok(Limits { read, write, links: from.u32()? & HAS_LINKS != 0 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_answer_is_too_strange(bytes in any::<Vec<u8>>()) {
            let read = || Decoder::new(&bytes);
            let _ = (attributes(&mut read()), data(&mut read(), 8), written(&mut read(), 8), page(&mut read()));
            let _ = (space(&mut read()), limits(&mut read()), committed(&mut read()), maybe_handle(&mut read()));
        }
    }

    #[test]
    fn a_read_of_more_than_was_asked_for_is_refused() {
        let mut answer = Encoder::default();
        answer.boolean(false);
        answer.u32(8);
        answer.boolean(true);
        answer.opaque(&[0, 1, 2, 3, 4, 5, 6, 7]);
        let bytes = answer.into_bytes();
        let (place, ended) = data(&mut Decoder::new(&bytes), 8).unwrap();
        assert!(ended && place.of(bytes.clone()).into_bytes() == [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(data(&mut Decoder::new(&bytes), 4).is_err());
    }
}
