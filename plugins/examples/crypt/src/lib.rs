//! Encrypted volumes over the directory of another pool: there each is a raw volume, `NAME.crypt`, whose bytes say nothing.
//!
//! README.md is for those who use it.

mod device;
mod head;
mod sectors;

use std::fs;
use std::io::ErrorKind;

use fief_sdk::storage::{Access, Attachment, Format, Pool, PoolInfo, Renames, StorageBackend, Volume, VolumeSpec};
use fief_sdk::{
    Directory, DirectoryAccess, Error, Interface, Permission, Result, SecretName, directory, image_name, images,
};

pub use crate::device::Device;
pub use crate::head::HEAD;

fief_sdk::plugin! {
    storage: Crypt with renames, block(Device);
    id: "crypt",
    summary: "volumes that are encrypted (AES-256-XTS) over the directory of another pool",
    permissions: [
        Permission::interface(Interface::Images, "makes, grows, renames and deletes the files that hold the encrypted bytes"),
        Permission::directory(DirectoryAccess::ReadWrite, "reads and writes the encrypted bytes"),
        Permission::secret("{key}", "encrypts and decrypts"),
    ],
}

fief_sdk::settings! {
    /// Of a pool.
    pub struct Settings {
        /// The directory grant that keeps the encrypted bytes, as that of a pool of files.
        directory: Directory,
        /// The secret that volumes are encrypted by: 32 bytes or more that nobody can guess.
        key: SecretName,
    }
}

pub struct Crypt;

type CryptPool = Pool<Settings>;

const SUFFIX: &str = ".crypt";

fn file(name: &str) -> Result<String> {
    image_name::file(&format!("{name}{SUFFIX}"), Format::Raw)
}

/// `length` of the file, and what of it takes room where that is known.
fn volume(name: &str, length: u64, allocated: Option<u64>) -> Volume {
    Volume { name: name.to_owned(), size: length.saturating_sub(HEAD), allocated, format: Format::Raw, backing: None }
}

/// The length of the volume's file.
fn length(pool: &CryptPool, name: &str) -> Result<Option<u64>> {
    match fs::metadata(pool.settings.directory.path().join(file(name)?)) {
        Ok(facts) if facts.len() > HEAD => Ok(Some(facts.len())),
        Ok(_) => Err(Error::corrupt(format!("the file of volume {name} is too short to be one"))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::from_io(&error, format!("cannot look at volume {name}"))),
    }
}

fn existing(pool: &CryptPool, name: &str) -> Result<u64> {
    length(pool, name)?.ok_or_else(|| Error::not_found(format!("there is no volume {name} in pool {}", pool.name)))
}

impl StorageBackend for Crypt {
    type Settings = Settings;

    fn info(pool: &CryptPool) -> Result<PoolInfo> {
        let directory = pool.settings.directory.name();
        // A key that is none is told before there is a volume.
        head::Secret::reveal(&pool.settings.key)?;
        let space = images::space(directory)?;
        Ok(PoolInfo {
            identity: format!("directory:{directory}"),
            capacity: Some(space.capacity),
            available: Some(space.available),
            reachable_from_peers: false,
            max_name: image_name::LONGEST - SUFFIX.len() as u32,
        })
    }

    fn all(pool: &CryptPool) -> Result<Vec<Volume>> {
        let failed = |error: std::io::Error| Error::from_io(&error, "cannot list the volumes");
        let mut all = Vec::new();
        for name in directory::names(&pool.settings.directory.path()).map_err(failed)? {
            let Some(name) = name.strip_suffix(SUFFIX) else { continue };
            if file(name).is_err() {
                continue;
            }
            match length(pool, name) {
                Ok(Some(length)) => all.push(volume(name, length, None)),
                Ok(None) => {}
                Err(error) => fief_sdk::warn!("left out of the list", volume = name, cause = error.message),
            }
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    fn find(pool: &CryptPool, name: &str) -> Result<Volume> {
        Ok(volume(name, existing(pool, name)?, None))
    }

    fn create(pool: &CryptPool, spec: &VolumeSpec) -> Result<Volume> {
        let VolumeSpec { name, size, format, preallocation } = spec;
        if *format != Format::Raw {
            return Err(Error::unsupported("volumes are raw here: --format raw"));
        }
        if *size == 0 {
            return Err(Error::invalid(format!("volume {name} would have no size")));
        }
        let size = size.next_multiple_of(sectors::SECTOR as u64);
        if let Some(there) = length(pool, name)? {
            return match there == HEAD + size {
                true => Ok(volume(name, there, None)),
                false => {
                    Err(Error::already_exists(format!("volume {name} is there already, with {} bytes", there - HEAD)))
                }
            };
        }
        let directory = pool.settings.directory.name();
        let image = images::create(directory, &file(name)?, Format::Raw, HEAD + size, *preallocation, None)?;
        Ok(volume(name, image.virtual_size, Some(image.allocated)))
    }

    fn delete(pool: &CryptPool, name: &str) -> Result<()> {
        images::delete(pool.settings.directory.name(), &file(name)?)
    }

    fn resize(pool: &CryptPool, name: &str, size: u64) -> Result<Volume> {
        let before = existing(pool, name)? - HEAD;
        let size = size.next_multiple_of(sectors::SECTOR as u64);
        if size < before {
            return Err(Error::invalid(format!("volume {name} has {before} bytes and cannot shrink")));
        }
        let image = images::resize(pool.settings.directory.name(), &file(name)?, HEAD + size)?;
        Ok(volume(name, image.virtual_size, Some(image.allocated)))
    }

    fn attach(pool: &CryptPool, name: &str, access: Access) -> Result<Attachment> {
        existing(pool, name)?;
        match access {
            Access::ReadOnly | Access::Exclusive => Ok(Attachment::Served),
            Access::Handover => Err(Error::unsupported(format!("volume {name} lies on this host alone"))),
        }
    }
}

impl Renames for Crypt {
    fn rename(pool: &CryptPool, name: &str, to: &str) -> Result<Volume> {
        match (length(pool, name)?, length(pool, to)?) {
            (Some(_), Some(_)) => Err(Error::already_exists(format!("volume {to} is there already"))),
            (None, Some(there)) => Ok(volume(to, there, None)),
            (None, None) => Err(Error::not_found(format!("there is no volume {name} in pool {}", pool.name))),
            (Some(length), None) => {
                images::rename(pool.settings.directory.name(), &file(name)?, &file(to)?)?;
                Ok(volume(to, length, None))
            }
        }
    }
}
