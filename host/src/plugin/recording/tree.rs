//! A granted directory as a plugin finds it: names, lengths and times, and of files their first bytes where the operator
//! keeps those. Looked at through its descriptor, no link followed; made again below an empty folder.

use std::fs::{File, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::format::Bytes;
use super::scrub::Scrub;
use crate::error::{Context, Failure, Result};
use crate::sys::beneath;
use crate::types::RelativePath;

/// Most entries of one directory that are kept, and made again.
const ENTRIES_MAX: usize = 10_000;
/// Folders in folders that are looked into.
const DEPTH_MAX: usize = 16;
/// Most bytes of all heads of one directory.
const HEADS_MAX: usize = 8 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Tree {
    pub entries: Vec<Entry>,
    /// There was more than is kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// Folders before what is in them.
    pub path: String,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum What {
    Folder,
    /// `head`: its first bytes. What follows reads as zeroes.
    File {
        length: u64,
        /// In seconds since 1970-01-01T00:00:00Z.
        modified: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        head: Option<Bytes>,
    },
    /// Where it leads is not kept: a plugin cannot follow it out of the directory.
    Link,
    /// A pipe, a socket, a device.
    Other,
}

impl Tree {
    /// `heads`: bytes of each file that are kept.
    pub(super) fn look(directory: &OwnedFd, heads: usize) -> io::Result<Tree> {
        let mut tree = Tree::default();
        let mut room = HEADS_MAX;
        tree.add(directory, "", heads, &mut room, 0)?;
        Ok(tree)
    }

    fn add(&mut self, folder: &OwnedFd, path: &str, heads: usize, room: &mut usize, depth: usize) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in Dir::read_from(folder)? {
            match entry?.file_name().to_str() {
                Ok("." | "..") => {}
                Ok(name) => names.push(name.to_owned()),
                Err(_) => self.cut = true,
            }
            if names.len() > ENTRIES_MAX {
                break;
            }
        }
        names.sort();
        for name in names {
            if self.entries.len() >= ENTRIES_MAX {
                self.cut = true;
                return Ok(());
            }
            // One that is gone by now was not there.
            let Ok(stat) = rustix::fs::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            if path.parse::<RelativePath>().is_err() {
                self.cut = true;
                continue;
            }
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory if depth < DEPTH_MAX => {
                    self.entries.push(Entry { path: path.clone(), what: What::Folder });
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                    match beneath::open(folder, &name, flags, Mode::empty()) {
                        Ok(below) => self.add(&below, &path, heads, room, depth + 1)?,
                        Err(_) => self.cut = true,
                    }
                }
                FileType::Directory => self.cut = true,
                FileType::RegularFile => {
                    let head = self.head(folder, &name, heads, room);
                    let (length, modified) =
                        (stat.st_size.try_into().unwrap_or(0), stat.st_mtime.try_into().unwrap_or(0));
                    self.entries.push(Entry { path, what: What::File { length, modified, head } });
                }
                FileType::Symlink => self.entries.push(Entry { path, what: What::Link }),
                FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                | FileType::Unknown => self.entries.push(Entry { path, what: What::Other }),
            }
        }
        Ok(())
    }

    fn head(&mut self, folder: &OwnedFd, name: &str, heads: usize, room: &mut usize) -> Option<Bytes> {
        if heads == 0 {
            return None;
        }
        let most = heads.min(*room);
        self.cut |= most < heads;
        let mut bytes = Vec::new();
        let file = beneath::open_file(folder, name, false);
        match file.and_then(|file| file.take(most as u64).read_to_end(&mut bytes)) {
            Ok(length) => *room -= length,
            Err(_) => self.cut = true,
        }
        Some(Bytes(bytes))
    }

    pub(super) fn scrub(&mut self, scrub: &Scrub) {
        for entry in &mut self.entries {
            if let What::File { head: Some(Bytes(bytes)), .. } = &mut entry.what {
                scrub.bytes(bytes);
            }
        }
    }

    /// Makes all of it below an empty folder, for any user who gets there.
    ///
    /// # Errors
    /// `Usage` where it is no tree: it comes from a stranger.
    pub fn make(&self, folder: &OwnedFd) -> Result<()> {
        if self.entries.len() > ENTRIES_MAX {
            return Err(Failure::usage(format!("a recorded directory has more than {ENTRIES_MAX} entries")));
        }
        for Entry { path, what } in &self.entries {
            let saying = || format!("cannot make what was recorded as {path:?} again");
            let path: RelativePath =
                path.parse().map_err(|why| Failure::usage(format!("a recording names the path {path:?}: {why}")))?;
            make_one(folder, &path, what).context(saying)?;
        }
        Ok(())
    }
}

fn make_one(folder: &OwnedFd, path: &RelativePath, what: &What) -> io::Result<()> {
    let (above, leaf) = beneath::parent(folder.as_fd(), path)?;
    match what {
        What::Folder => {
            rustix::fs::mkdirat(&above, leaf, Mode::RWXU)?;
            let made = beneath::open(&above, leaf, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            File::from(made).set_permissions(Permissions::from_mode(0o777))
        }
        What::File { length, modified, head } => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            let mut file = File::from(beneath::open(&above, leaf, flags, Mode::RUSR | Mode::WUSR)?);
            file.set_permissions(Permissions::from_mode(0o666))?;
            if let Some(Bytes(bytes)) = head {
                io::Write::write_all(&mut file, bytes)?;
            }
            file.set_len(*length)?;
            let modified = UNIX_EPOCH.checked_add(Duration::from_secs(*modified));
            modified.map_or(Ok(()), |modified| file.set_modified(modified))
        }
        // To a place that there is not.
        What::Link => Ok(rustix::fs::symlinkat("recorded", &above, leaf)?),
        What::Other => Ok(rustix::fs::mknodat(&above, leaf, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn opened(folder: &std::path::Path) -> OwnedFd {
        File::open(folder).unwrap().into()
    }

    #[test]
    fn a_directory_is_made_again_as_it_was_without_what_its_files_hold() {
        let there = tempfile::tempdir().unwrap();
        std::fs::create_dir(there.path().join("folder")).unwrap();
        std::fs::write(there.path().join("folder/disk"), vec![7; 10_000]).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", there.path().join("link")).unwrap();
        let seen = Tree::look(&opened(there.path()), 0).unwrap();
        assert_eq!(
            seen.entries.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(),
            ["folder", "folder/disk", "link"]
        );
        let again = tempfile::tempdir().unwrap();
        seen.make(&opened(again.path())).unwrap();
        assert_eq!(Tree::look(&opened(again.path()), 0).unwrap(), seen);
        assert_eq!(std::fs::read(again.path().join("folder/disk")).unwrap(), vec![0; 10_000]);
        assert_ne!(std::fs::read_link(again.path().join("link")).unwrap(), std::path::Path::new("/etc/passwd"));

        let heads = Tree::look(&opened(there.path()), 100).unwrap();
        let again = tempfile::tempdir().unwrap();
        heads.make(&opened(again.path())).unwrap();
        let bytes = std::fs::read(again.path().join("folder/disk")).unwrap();
        assert!(bytes[..100] == [7; 100] && bytes[100..] == [0; 9_900]);
    }

    #[test]
    fn a_tree_of_a_strangers_making_stays_in_its_folder() {
        let there = tempfile::tempdir().unwrap();
        let below = there.path().join("below");
        std::fs::create_dir(&below).unwrap();
        let file = |path: &str| Entry { path: path.into(), what: What::File { length: 1, modified: 0, head: None } };
        for path in ["../out", "/etc/fief", "a/../../out", "", "."] {
            let tree = Tree { entries: vec![file(path)], cut: false };
            assert_eq!(tree.make(&opened(&below)).unwrap_err().kind, Kind::Usage, "{path}");
        }
        let link = Entry { path: "link".into(), what: What::Link };
        let through = Tree { entries: vec![link, file("link/file")], cut: false };
        assert!(through.make(&opened(&below)).is_err());
        let many = Tree { entries: (0..=ENTRIES_MAX).map(|n| file(&n.to_string())).collect(), cut: false };
        assert_eq!(many.make(&opened(&below)).unwrap_err().kind, Kind::Usage);
        let huge = Tree {
            entries: vec![Entry {
                path: "a".into(),
                what: What::File { length: u64::MAX, modified: u64::MAX, head: None },
            }],
            cut: false,
        };
        assert!(huge.make(&opened(&below)).is_err());
        assert_eq!(std::fs::read_dir(there.path()).unwrap().count(), 1);
    }
}
