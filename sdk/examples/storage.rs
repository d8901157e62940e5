//! Volumes are files in a directory that the operator granted, one each: `NAME.raw`.
//!
//! What each function is for, when it is called and what an error means is in the manual of the SDK
//! (`cargo doc -p fief-sdk --open`).

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::PathBuf;

use fief_sdk::storage::{Access, Attachment, FileNode, Format, PoolInfo, StorageBackend, Volume, VolumeSpec};
use fief_sdk::{Directory, DirectoryAccess, Error, Permission, Result};

fief_sdk::plugin! {
    storage: Mine;
    id: "my-plugin",
    summary: "volumes as raw files in a granted directory",
    permissions: [
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
        for entry in fs::read_dir(pool.settings.directory.path()).map_err(failed(doing))? {
            let name = entry.map_err(failed(doing))?.file_name();
            if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".raw")) {
                match Self::find(pool, name) {
                    Ok(volume) => all.push(volume),
                    // One that cannot be read does not hide the others.
                    Err(error) => fief_sdk::warn!("left out of the list", volume = name, cause = error.message),
                }
            }
        }
        Ok(all)
    }

    fn find(pool: &Pool, name: &str) -> Result<Volume> {
        match fs::metadata(path(pool, name)) {
            Ok(file) => Ok(Volume {
                name: name.to_owned(),
                size: file.len(),
                allocated: None,
                format: Format::Raw,
                backing: None,
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(Error::not_found(format!("there is no volume {name} in pool {}", pool.name)))
            }
            Err(error) => Err(failed("cannot look at the volume")(error)),
        }
    }

    fn create(pool: &Pool, spec: &VolumeSpec) -> Result<Volume> {
        let VolumeSpec { name, size, format, .. } = spec;
        if *format != Format::Raw {
            return Err(Error::unsupported("volumes are raw here"));
        }
        match File::create_new(path(pool, name)) {
            Ok(file) => file.set_len(*size).map_err(failed("cannot make the volume"))?,
            // The same call may come twice: then the volume is there already.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => match Self::find(pool, name)?.size {
                there if there == *size => {}
                there => return Err(Error::already_exists(format!("volume {name} is there, with {there} bytes"))),
            },
            Err(error) => return Err(failed("cannot make the volume")(error)),
        }
        Self::find(pool, name)
    }

    fn delete(pool: &Pool, name: &str) -> Result<()> {
        match fs::remove_file(path(pool, name)) {
            // One that is absent is deleted.
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("cannot delete the volume")(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn resize(pool: &Pool, name: &str, size: u64) -> Result<Volume> {
        let before = Self::find(pool, name)?.size;
        if size < before {
            return Err(Error::invalid(format!("volume {name} has {before} bytes, and does not shrink")));
        }
        let file = File::options().write(true).open(path(pool, name)).map_err(failed("cannot open the volume"))?;
        file.set_len(size).map_err(failed("cannot grow the volume"))?;
        Self::find(pool, name)
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

    fn spec(name: &str, size: u64) -> VolumeSpec {
        VolumeSpec { name: name.into(), size, format: Format::Raw, preallocation: Preallocation::Sparse }
    }

    #[test]
    fn a_volume_is_made_once_grown_listed_and_deleted() {
        let pool = pool("life");
        let made = Mine::create(&pool, &spec("a", 4096)).unwrap();
        assert_eq!((made.name.as_str(), made.size), ("a", 4096));
        assert_eq!(Mine::create(&pool, &spec("a", 4096)).unwrap().size, 4096);
        assert!(Mine::create(&pool, &spec("a", 8192)).is_err());
        assert_eq!(Mine::resize(&pool, "a", 8192).unwrap().size, 8192);
        assert!(Mine::resize(&pool, "a", 4096).is_err());
        assert_eq!(Mine::all(&pool).unwrap().len(), 1);
        Mine::delete(&pool, "a").unwrap();
        Mine::delete(&pool, "a").unwrap();
        assert!(Mine::find(&pool, "a").is_err() && Mine::all(&pool).unwrap().is_empty());
        fs::remove_dir(pool.settings.directory.path()).unwrap();
    }

    #[test]
    fn what_is_not_there_is_not_attached() {
        let pool = pool("attach");
        assert!(Mine::attach(&pool, "a", Access::Exclusive).is_err());
        Mine::create(&pool, &spec("a", 512)).unwrap();
        assert!(matches!(Mine::attach(&pool, "a", Access::Exclusive), Ok(Attachment::File(_))));
        assert!(Mine::attach(&pool, "a", Access::Handover).is_err());
        fs::remove_dir_all(pool.settings.directory.path()).unwrap();
    }
}
