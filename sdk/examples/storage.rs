//! Volumes are files in a directory that the operator granted, one each: `NAME.raw`.
//!
//! What each function is for, when it is called and what an error means is in the manual of the SDK
//! (`cargo doc -p fief-sdk --open`).

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use fief_sdk::storage::{Access, Attachment, FileNode, Format, PoolInfo, StorageBackend, Volume, VolumeSpec};
use fief_sdk::{Directory, DirectoryAccess, Error, ErrorCode, Interface, Permission, Result, directory, images};

fief_sdk::plugin! {
    storage: Mine;
    id: "my-plugin",
    summary: "volumes as raw files in a granted directory",
    permissions: [
        Permission::interface(Interface::Images, "makes, grows and deletes the volumes' files"),
        Permission::directory(DirectoryAccess::ReadWrite, "keeps the volumes"),
    ],
}

fief_sdk::settings! {
    /// Of a pool. The comments are what an operator reads.
    pub struct Settings {
        /// The directory grant whose files are the volumes.
        directory: Directory,
    }
}

struct Mine;

type Pool = fief_sdk::storage::Pool<Settings>;

fn file(name: &str) -> String {
    format!("{name}.raw")
}

fn path(pool: &Pool, name: &str) -> PathBuf {
    pool.settings.directory.path().join(file(name))
}

fn volume(name: &str, size: u64) -> Volume {
    Volume { name: name.to_owned(), size, allocated: None, format: Format::Raw, backing: None }
}

/// An error of the file system's, for people.
fn failed(doing: &str) -> impl Fn(std::io::Error) -> Error + '_ {
    move |error| Error::from_io(&error, doing)
}

impl StorageBackend for Mine {
    type Settings = Settings;

    fn info(pool: &Pool) -> Result<PoolInfo> {
        let directory = pool.settings.directory.name();
        fs::read_dir(pool.settings.directory.path()).map_err(failed("cannot read the directory"))?;
        Ok(PoolInfo {
            // What says that two pools are the same storage. Another host's directory holds other files.
            identity: format!("directory:{directory}"),
            capacity: None,
            available: None,
            reachable_from_peers: false,
            max_name: 200,
        })
    }

    fn all(pool: &Pool) -> Result<Vec<Volume>> {
        let doing = "cannot list the volumes";
        let mut all = Vec::new();
        for name in directory::names(&pool.settings.directory.path()).map_err(failed(doing))? {
            if let Some(name) = name.strip_suffix(".raw") {
                match Self::find(pool, name) {
                    Ok(volume) => all.push(volume),
                    // Deleted since it was listed.
                    Err(error) if error.code == ErrorCode::NotFound => {}
                    // One that cannot be read does not hide the others.
                    Err(error) => fief_sdk::warn!("left out of the list", volume = name, cause = error.message),
                }
            }
        }
        Ok(all)
    }

    fn find(pool: &Pool, name: &str) -> Result<Volume> {
        match fs::metadata(path(pool, name)) {
            Ok(file) => Ok(volume(name, file.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(Error::not_found(format!("there is no volume {name} in pool {}", pool.name)))
            }
            Err(error) => Err(failed("cannot look at the volume")(error)),
        }
    }

    fn create(pool: &Pool, spec: &VolumeSpec) -> Result<Volume> {
        let VolumeSpec { name, size, format, preallocation } = spec;
        if *format != Format::Raw {
            return Err(Error::unsupported("volumes are raw here"));
        }
        match Self::find(pool, name) {
            // The same call may come twice: then the volume is there already.
            Ok(there) if there.size == *size => return Ok(there),
            Ok(there) => {
                return Err(Error::already_exists(format!("volume {name} is there, with {} bytes", there.size)));
            }
            Err(error) if error.code == ErrorCode::NotFound => {}
            Err(error) => return Err(error),
        }
        // What changes something is asked of the host: it undoes it where this call fails later on.
        let directory = pool.settings.directory.name();
        let image = images::create(directory, &file(name), Format::Raw, *size, *preallocation, None)?;
        Ok(volume(name, image.virtual_size))
    }

    fn delete(pool: &Pool, name: &str) -> Result<()> {
        // One that is absent is deleted.
        images::delete(pool.settings.directory.name(), &file(name))
    }

    fn resize(pool: &Pool, name: &str, size: u64) -> Result<Volume> {
        let before = Self::find(pool, name)?.size;
        if size < before {
            return Err(Error::invalid(format!("volume {name} has {before} bytes, and does not shrink")));
        }
        let image = images::resize(pool.settings.directory.name(), &file(name), size)?;
        Ok(volume(name, image.virtual_size))
    }

    fn attach(pool: &Pool, name: &str, access: Access) -> Result<Attachment> {
        Self::find(pool, name)?;
        if access == Access::Handover {
            return Err(Error::unsupported("no other host reaches this directory"));
        }
        let directory = pool.settings.directory.name().to_owned();
        Ok(Attachment::File(FileNode { directory, path: file(name), format: Format::Raw }))
    }
}

#[cfg(test)]
mod tests {
    use fief_sdk::native::grant_directory;
    use fief_sdk::settings::{Setting, Settings as _};
    use fief_sdk::storage::Preallocation;

    use super::*;

    /// A pool in a folder of the test's own.
    fn pool(test: &str) -> Pool {
        let folder = std::env::temp_dir().join(format!("{}-{test}-{}", env!("CARGO_PKG_NAME"), std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        grant_directory("volumes", &folder);
        let settings = [Setting { key: "directory".into(), value: "volumes".into() }];
        Pool { name: "mine".into(), settings: Settings::read(&settings).unwrap() }
    }

    /// What the host would have made.
    fn make(pool: &Pool, name: &str, size: u64) {
        fs::File::create(path(pool, name)).unwrap().set_len(size).unwrap();
    }

    #[test]
    fn volumes_are_found_by_their_names_and_the_same_one_is_made_once() {
        let pool = pool("find");
        assert!(Mine::find(&pool, "a").is_err() && Mine::all(&pool).unwrap().is_empty());
        make(&pool, "a", 4096);
        assert_eq!(Mine::all(&pool).unwrap().len(), 1);
        let spec =
            |size| VolumeSpec { name: "a".into(), size, format: Format::Raw, preallocation: Preallocation::Sparse };
        assert_eq!(Mine::create(&pool, &spec(4096)).unwrap().size, 4096);
        assert!(Mine::create(&pool, &spec(8192)).is_err());
        assert!(Mine::resize(&pool, "a", 512).is_err());
        fs::remove_dir_all(pool.settings.directory.path()).unwrap();
    }

    #[test]
    fn what_is_not_there_is_not_attached() {
        let pool = pool("attach");
        assert!(Mine::attach(&pool, "a", Access::Exclusive).is_err());
        make(&pool, "a", 512);
        assert!(matches!(Mine::attach(&pool, "a", Access::Exclusive), Ok(Attachment::File(_))));
        assert!(Mine::attach(&pool, "a", Access::Handover).is_err());
        fs::remove_dir_all(pool.settings.directory.path()).unwrap();
    }
}
