//! The granted directory: which files are volumes. Reads names, kinds and lengths, opens nothing.

use std::path::PathBuf;

use fief_sdk::storage::Format;
use fief_sdk::{Directory, Error, Result, directory, image_name as name};

/// One volume as its file shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) volume: String,
    pub(crate) file: String,
    pub(crate) format: Format,
    /// Of the file, in bytes.
    pub(crate) length: u64,
}

pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn of(directory: &Directory) -> Self {
        Folder { path: directory.path() }
    }

    /// Every volume, by name. Of two files that would be one volume (`a` and `a.qcow2`) neither is listed.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>> {
        let mut all = Vec::new();
        for name in directory::names(&self.path).map_err(|error| self.unreadable(&error))? {
            all.extend(self.entry(&name)?);
        }
        all.sort_by(|a, b| a.volume.cmp(&b.volume));
        let twice: Vec<String> =
            all.windows(2).filter(|pair| pair[0].volume == pair[1].volume).map(|pair| pair[0].volume.clone()).collect();
        for volume in &twice {
            fief_sdk::warn!("left out: a raw and a qcow2 file would both be this volume", volume = volume);
        }
        all.retain(|entry| !twice.contains(&entry.volume));
        Ok(all)
    }

    /// # Errors
    /// `corrupt` where a raw and a qcow2 file would both be this volume.
    pub(crate) fn find(&self, volume: &str) -> Result<Option<Entry>> {
        let raw = self.entry(&name::file(volume, Format::Raw)?)?;
        let qcow2 = self.entry(&name::file(volume, Format::Qcow2)?)?;
        match (raw, qcow2) {
            (Some(raw), Some(qcow2)) => Err(Error::corrupt(format!(
                "the files {} and {} would both be volume {volume}; move one of them away",
                raw.file, qcow2.file
            ))),
            (one, other) => Ok(one.or(other)),
        }
    }

    /// What is at `file`, if it is a volume. A link, folder or device is none.
    fn entry(&self, file: &str) -> Result<Option<Entry>> {
        let Some((volume, format)) = name::volume(file) else { return Ok(None) };
        match std::fs::symlink_metadata(self.path.join(file)) {
            Ok(about) if about.is_file() => {
                Ok(Some(Entry { volume: volume.to_owned(), file: file.to_owned(), format, length: about.len() }))
            }
            Ok(_) => Ok(None),
            // Gone since it was listed, or never there.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::from_io(&error, format!("cannot look at the file {file}"))),
        }
    }

    fn unreadable(&self, error: &std::io::Error) -> Error {
        Error::from_io(error, format!("cannot list the directory {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(test: &str, files: &[(&str, usize)]) -> Made {
        let path = std::env::temp_dir().join(format!("storage-file-{test}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        for (file, length) in files {
            std::fs::write(path.join(file), vec![0; *length]).unwrap();
        }
        Made(Folder { path })
    }

    /// A folder of a test's own, gone with it.
    struct Made(Folder);

    impl std::ops::Deref for Made {
        type Target = Folder;
        fn deref(&self) -> &Folder {
            &self.0
        }
    }

    impl Drop for Made {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }

    #[test]
    fn only_plain_visible_files_with_a_volumes_name_are_listed() {
        let folder = folder("list", &[("b.qcow2", 3), ("a.iso", 5), (".hidden", 1), ("two words", 1)]);
        std::fs::create_dir(folder.path.join("directory")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path.join("link")).unwrap();
        let listed: Vec<_> =
            folder.entries().unwrap().into_iter().map(|e| (e.volume, e.file, e.format, e.length)).collect();
        assert_eq!(
            listed,
            [
                ("a.iso".to_owned(), "a.iso".to_owned(), Format::Raw, 5),
                ("b".to_owned(), "b.qcow2".to_owned(), Format::Qcow2, 3),
            ]
        );
        assert_eq!(folder.find("link").unwrap(), None);
        assert_eq!(folder.find("b").unwrap().unwrap().file, "b.qcow2");
    }

    #[test]
    fn two_files_for_one_volume_are_never_guessed_between() {
        let folder = folder("twice", &[("a", 1), ("a.qcow2", 1), ("b", 1)]);
        assert_eq!(folder.entries().unwrap().len(), 1);
        assert!(folder.find("a").unwrap_err().message.contains("move one of them away"));
    }

    #[test]
    fn a_directory_that_is_gone_is_told_apart_from_an_empty_one() {
        let folder = Folder { path: "/nonexistent-storage-file".into() };
        assert_eq!(folder.entries().unwrap_err().code, fief_sdk::ErrorCode::NotFound);
    }
}
