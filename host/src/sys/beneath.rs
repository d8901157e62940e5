//! Files below an open directory: no step of the way may leave it or go through a link (openat2(2)).
//!
//! Who may write into the directory may be hostile and may rename things while we look, so whatever is decided
//! about a file is decided about its open descriptor.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};

use crate::types::RelativePath;

const WAY: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Opens `path` below `directory`. `EXDEV` where the path leads out, `ELOOP` where a link stands in it.
pub fn open(directory: impl AsFd, path: impl AsRef<Path>, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat2(directory, path.as_ref(), flags | OFlags::CLOEXEC, mode, WAY)?)
}

/// Opens a regular file that exists. Anything else (a pipe, a device, a folder) is refused and never waited for.
pub fn open_file(directory: impl AsFd, path: impl AsRef<Path>, write: bool) -> io::Result<File> {
    let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
    let file = open(directory, path, access | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    if kind != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {}, not a file", named(kind))));
    }
    rustix::fs::fcntl_setfl(&file, access)?;
    Ok(File::from(file))
}

/// The names in the folder at `path`, but for `.`, `..` and those that are no UTF-8; none where there are more than `most`.
/// Nothing that is named is looked at: others may make and delete there meanwhile.
pub fn names(directory: impl AsFd, path: impl AsRef<Path>, most: usize) -> io::Result<Option<Vec<String>>> {
    let folder = open(directory, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::new(folder)? {
        if let Ok(name) = entry?.file_name().to_str()
            && name != "."
            && name != ".."
        {
            if names.len() == most {
                return Ok(None);
            }
            names.push(name.to_owned());
        }
    }
    Ok(Some(names))
}

/// Opens the folder that holds `path`, and gives the last component beside it.
pub fn parent<'a>(directory: BorrowedFd<'_>, path: &'a RelativePath) -> io::Result<(OwnedFd, &'a str)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    match path.as_str().rsplit_once('/') {
        Some((above, leaf)) => Ok((open(directory, above, flags, Mode::empty())?, leaf)),
        None => Ok((open(directory, ".", flags, Mode::empty())?, path.as_str())),
    }
}

/// What stands at `leaf` in `folder`, links not followed; none where nothing does.
pub fn look(folder: impl AsFd, leaf: &str) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(folder, leaf, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes a name that may already be gone.
pub fn remove(folder: impl AsFd, leaf: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, leaf, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn named(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a file",
        FileType::Directory => "a folder",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, File) {
        let outer = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(outer.path().join("granted/sub")).unwrap();
        std::fs::write(outer.path().join("outside"), "secret").unwrap();
        std::fs::write(outer.path().join("granted/sub/file"), "mine").unwrap();
        let directory = File::open(outer.path().join("granted")).unwrap();
        (outer, directory)
    }

    #[test]
    fn nothing_outside_is_reached() {
        let (outer, directory) = tree();
        let granted = outer.path().join("granted");
        std::os::unix::fs::symlink("../outside", granted.join("link")).unwrap();
        std::os::unix::fs::symlink("sub", granted.join("inner")).unwrap();
        std::os::unix::fs::symlink("/proc/self/root", granted.join("magic")).unwrap();
        for path in ["../outside", "/etc/passwd", "link", "sub/../../outside", "inner/file", "magic/etc/passwd"] {
            assert!(open_file(&directory, path, false).is_err(), "{path} was opened");
        }
        assert!(open_file(&directory, "sub/file", true).is_ok());
    }

    #[test]
    fn what_is_not_a_file_is_refused_without_waiting() {
        let (outer, directory) = tree();
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(&directory, "pipe", FileType::Fifo, mode, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(outer.path().join("granted/socket")).unwrap();
        for path in ["pipe", "socket", "sub"] {
            assert!(open_file(&directory, path, false).is_err(), "{path} was opened");
        }
    }

    #[test]
    fn a_folder_tells_its_names_and_nothing_outside_does() {
        let (outer, directory) = tree();
        let granted = outer.path().join("granted");
        std::os::unix::fs::symlink("sub", granted.join("inner")).unwrap();
        let mut all = names(&directory, ".", 2).unwrap().unwrap();
        all.sort();
        assert_eq!(all, ["inner", "sub"]);
        // Again, from the beginning.
        assert_eq!(names(&directory, ".", 2).unwrap().unwrap().len(), 2);
        assert_eq!(names(&directory, ".", 1).unwrap(), None);
        assert_eq!(names(&directory, "sub", 2).unwrap().unwrap(), ["file"]);
        for path in ["..", "inner", "sub/..", "sub/file", "none"] {
            let result = names(&directory, path, 9);
            assert!(result.is_err() || path == "sub/..", "{path} was listed: {result:?}");
        }
    }

    #[test]
    fn the_parent_of_a_path_is_its_folder() {
        let (_outer, directory) = tree();
        let path: RelativePath = "sub/file".parse().unwrap();
        let (folder, leaf) = parent(directory.as_fd(), &path).unwrap();
        assert_eq!(leaf, "file");
        assert!(look(&folder, leaf).unwrap().is_some());
        remove(&folder, leaf).unwrap();
        remove(&folder, leaf).unwrap();
        assert!(look(&folder, leaf).unwrap().is_none());
    }
}
