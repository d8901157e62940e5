//! An archive of plugins: a tar file (POSIX.1-1988 ustar) with the lock first, then `ID.wasm` for each plugin of the lock,
//! in its order. Anything else in it is refused; nothing is unpacked to a path.

use std::io::Read;

use crate::config::lock::{self, Lock, Locked};
use crate::config::reader::FILE_MAX;
use crate::error::{Failure, Result};
use crate::plugin::component::PLUGIN_MAX;
use crate::plugin::printable;

const LOCK: &str = "plugins.lock";

fn name(locked: &Locked) -> String {
    format!("{}.wasm", locked.id)
}

/// The archive; the same plugins make the same bytes.
///
/// # Errors
/// Those of `bytes`.
pub(super) fn write(lock: &Lock, mut bytes: impl FnMut(&Locked) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    append(&mut archive, LOCK, lock::to_toml(lock).as_bytes())?;
    for locked in &lock.plugins {
        append(&mut archive, &name(locked), &bytes(locked)?)?;
    }
    archive.into_inner().map_err(|error| failed(&error))
}

fn append(archive: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, name, bytes).map_err(|error| failed(&error))
}

fn failed(error: &std::io::Error) -> Failure {
    Failure::other("cannot make the archive").because(error)
}

/// Hands each plugin to `take`, as its lock says it and as its bytes are, which nobody has compared.
///
/// # Errors
/// `Usage` where it is no such archive, and those of `take`.
pub(super) fn read(file: impl Read, mut take: impl FnMut(&Locked, Vec<u8>) -> Result<()>) -> Result<()> {
    let refuse = |what: String| {
        Failure::usage(format!("this is no archive of plugins: {what}"))
            .hint("is it whole, and did fief plugin export write it?")
    };
    let torn = |error: std::io::Error| refuse(error.to_string());
    let mut archive = tar::Archive::new(file);
    // Raw: what stands for another entry's long name or size is an entry like others, and refused.
    let mut entries = archive.entries().map_err(torn)?.raw(true);
    let mut next = |wanted: &str, most: u64| -> Result<Vec<u8>> {
        let mut entry = match entries.next() {
            Some(entry) => entry.map_err(torn)?,
            None => return Err(refuse(format!("it ends where {wanted} should be"))),
        };
        let name = printable(&String::from_utf8_lossy(&entry.path_bytes()));
        if name != wanted {
            return Err(refuse(format!("{name:?} stands where {wanted} should be")));
        }
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(refuse(format!("{wanted} is no plain file")));
        }
        let size = entry.header().entry_size().map_err(torn)?;
        if size > most {
            return Err(refuse(format!("{wanted} is larger than it may be ({} MiB)", most >> 20)));
        }
        let mut bytes = Vec::new();
        Read::by_ref(&mut entry).take(most + 1).read_to_end(&mut bytes).map_err(torn)?;
        if bytes.len() as u64 != size {
            return Err(refuse(format!("it ends in the middle of {wanted}")));
        }
        Ok(bytes)
    };
    let lock = lock::parse(&next(LOCK, FILE_MAX)?, LOCK)?;
    for locked in &lock.plugins {
        let bytes = next(&name(locked), PLUGIN_MAX as u64)?;
        take(locked, bytes)?;
    }
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(refuse("there is more in it than its lock says".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::types::Digest;

    fn lock(ids: &[&str]) -> Lock {
        let locked = |id: &&str| Locked {
            id: id.parse().unwrap(),
            version: "1".to_owned(),
            digest: Digest::of(id.as_bytes()),
            signer: None,
            source: None,
            manifest: None,
        };
        Lock { plugins: ids.iter().map(locked).collect() }
    }

    fn entry(kind: tar::EntryType, name: &str, size: u64, bytes: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        let field = &mut header.as_old_mut().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        let mut all = header.as_bytes().to_vec();
        all.extend_from_slice(bytes);
        all.resize(all.len().next_multiple_of(512), 0);
        all
    }

    fn plain(name: &str, bytes: &[u8]) -> Vec<u8> {
        entry(tar::EntryType::Regular, name, bytes.len() as u64, bytes)
    }

    fn names(archive: &[u8]) -> Result<Vec<(String, usize)>> {
        let mut found = Vec::new();
        read(archive, |locked, bytes| {
            found.push((locked.id.to_string(), bytes.len()));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn an_archive_reads_back_as_it_was_written_and_is_always_the_same() {
        let made = || write(&lock(&["a", "b"]), |locked| Ok(vec![7; locked.id.as_str().len() * 700])).unwrap();
        assert_eq!(made(), made());
        assert_eq!(names(&made()).unwrap(), [("a".to_owned(), 700), ("b".to_owned(), 700)]);
    }

    #[test]
    fn what_a_hostile_archive_holds_beside_plugins_is_refused() {
        let text = lock::to_toml(&lock(&["a"]));
        let head = plain(LOCK, text.as_bytes());
        let end = [0; 1024];
        let link = |kind| entry(kind, "a.wasm", 0, b"");
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (Vec::new(), "it ends where plugins.lock"),
            (b"\0asm\x0d\0\x01\0".to_vec(), "no archive of plugins"),
            (plain("../plugins.lock", b""), "stands where plugins.lock"),
            (plain("a.wasm", b"x"), "stands where plugins.lock"),
            (entry(tar::EntryType::Regular, LOCK, 1 << 40, b""), "larger than it may be"),
            (head.clone(), "it ends where a.wasm"),
            ([head.clone(), plain("/etc/passwd", b"x")].concat(), "stands where a.wasm"),
            ([head.clone(), plain("../a.wasm", b"x")].concat(), "stands where a.wasm"),
            ([head.clone(), plain("b.wasm", b"x")].concat(), "stands where a.wasm"),
            ([head.clone(), link(tar::EntryType::Symlink)].concat(), "no plain file"),
            ([head.clone(), link(tar::EntryType::Link)].concat(), "no plain file"),
            ([head.clone(), link(tar::EntryType::Directory)].concat(), "no plain file"),
            ([head.clone(), link(tar::EntryType::GNUSparse)].concat(), "no plain file"),
            (
                [head.clone(), entry(tar::EntryType::GNULongName, "././@LongLink", 1 << 40, b"")].concat(),
                "stands where",
            ),
            ([head.clone(), entry(tar::EntryType::XHeader, "a.wasm", 1 << 40, b"")].concat(), "no plain file"),
            ([head.clone(), entry(tar::EntryType::Regular, "a.wasm", 65 << 20, b"")].concat(), "larger than it may be"),
            ([head.clone(), entry(tar::EntryType::Regular, "a.wasm", 9_000, b"x")].concat(), "in the middle of a.wasm"),
            ([head.clone(), plain("a.wasm", b"x"), plain("a.wasm", b"x")].concat(), "more in it"),
            ([head.clone(), plain("a.wasm", b"x"), plain("c.wasm", b"x")].concat(), "more in it"),
        ];
        for (mut archive, why) in cases {
            if !archive.is_empty() && !why.contains("middle") {
                archive.extend(end);
            }
            let failure = names(&archive).unwrap_err();
            assert!(failure.kind == Kind::Usage && failure.message.contains(why), "{why}: {failure}");
        }
        let twice = text.replacen(
            "[[plugin]]",
            "[[plugin]]\nid = \"a\"\nversion = \"1\"\ndigest = \"sha256:0\"\n[[plugin]]",
            1,
        );
        assert_eq!(names(&plain(LOCK, twice.as_bytes())).unwrap_err().kind, Kind::Usage);
    }

    #[test]
    fn an_archive_cut_at_any_block_gives_less_and_never_panics() {
        let whole = write(&lock(&["a", "b"]), |_| Ok(vec![7; 700])).unwrap();
        for end in (0..whole.len() - 1024).step_by(256) {
            assert_eq!(names(&whole[..end]).unwrap_err().kind, Kind::Usage, "cut at {end}");
        }
    }
}
