//! A volume that is served: encrypted on its way into the file, decrypted on its way out.

use std::cell::{Cell, RefCell};

use fief_sdk::block::{BlockDevice, Extent, Geometry, Holder};
use fief_sdk::files::File;
use fief_sdk::storage::Access;
use fief_sdk::{Error, ErrorCode, Result};

use crate::head::{HEAD, Secret};
use crate::sectors::{Cipher, SECTOR};
use crate::{CryptPool, Settings, file};

/// While one request is encrypted, no other goes on.
const MAXIMUM: u32 = 128 << 10;
const REQUESTS: u32 = 16;

pub struct Device {
    volume: String,
    file: File,
    size: u64,
    /// None of a volume that was never written to, and is not now.
    cipher: Option<Cipher>,
    read_only: bool,
    /// Why a flush failed, once one has: what was written before may be lost, and no later success says otherwise.
    lost: RefCell<Option<Error>>,
    no_holes: Cell<bool>,
}

impl Device {
    fn writing(&self) -> Result<&Cipher> {
        match &self.cipher {
            Some(cipher) if !self.read_only => Ok(cipher),
            _ => Err(Error::denied(format!("volume {} is attached read-only", self.volume))),
        }
    }

    fn sync(&self) -> Result<()> {
        if let Some(error) = &*self.lost.borrow() {
            return Err(error.clone());
        }
        self.file.sync().inspect_err(|error| {
            self.lost.replace(Some(error.clone().while_doing("an earlier flush failed: what was written may be lost")));
        })
    }

    fn punch(&self, offset: u64, length: u64) -> Result<()> {
        self.writing()?;
        let none = || Error::unsupported("this file system makes no holes");
        if self.no_holes.get() {
            return Err(none());
        }
        match self.file.punch(HEAD + offset, length) {
            Err(error) if error.code == ErrorCode::Unsupported => {
                self.no_holes.set(true);
                Err(none())
            }
            other => other,
        }
    }
}

/// Nothing is on disk before its head is.
fn begin(file: &File, secret: &Secret) -> Result<Vec<u8>> {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(|error| Error::io(format!("there are no random numbers: {error}")))?;
    let head = secret.head(salt);
    file.write(0, &head)?;
    file.sync()?;
    Ok(head)
}

impl BlockDevice for Device {
    type Settings = Settings;

    async fn open(pool: &CryptPool, volume: &str, access: Access, holder: Option<&Holder>) -> Result<Self> {
        let read_only = access == Access::ReadOnly || holder.is_none();
        let secret = Secret::reveal(&pool.settings.key)?;
        let file = File::open(&pool.settings.directory, &file(volume)?, !read_only)?;
        let size = file.size()?.checked_sub(HEAD).filter(|size| *size > 0 && size % SECTOR as u64 == 0);
        let size = size.ok_or_else(|| Error::corrupt(format!("the file of volume {volume} has no whole sectors")))?;
        let keys = match secret.keys(&file.read(0, HEAD as u32)?)? {
            None if !read_only => secret.keys(&begin(&file, &secret)?)?,
            other => other,
        };
        let cipher = keys.as_ref().map(Cipher::new);
        let volume = volume.to_owned();
        Ok(Device { volume, file, size, cipher, read_only, lost: RefCell::default(), no_holes: Cell::default() })
    }

    fn geometry(&self) -> Geometry {
        Geometry {
            size: self.size,
            block_size: SECTOR as u32,
            preferred_io: 4 << 10,
            maximum_io: MAXIMUM,
            maximum_requests: REQUESTS,
            can_discard: !self.read_only,
            can_write_zeroes: !self.read_only,
            can_extents: true,
            rotational: false,
            read_only: self.read_only,
        }
    }

    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let mut bytes = self.file.read(HEAD + offset, length)?;
        if bytes.len() != length as usize {
            return Err(Error::io(format!("the file of volume {} has become shorter", self.volume)));
        }
        match &self.cipher {
            Some(cipher) => cipher.decrypt(&mut bytes, offset),
            None => bytes.fill(0),
        }
        Ok(bytes)
    }

    async fn write(&self, offset: u64, data: Vec<u8>, durable: bool) -> Result<()> {
        let mut data = data;
        self.writing()?.encrypt(&mut data, offset);
        self.file.write(HEAD + offset, &data)?;
        if durable { self.sync() } else { Ok(()) }
    }

    async fn flush(&self) -> Result<()> {
        if self.read_only { Ok(()) } else { self.sync() }
    }

    async fn discard(&self, offset: u64, length: u64) -> Result<()> {
        self.punch(offset, length)
    }

    async fn write_zeroes(&self, offset: u64, length: u64, keep: bool, durable: bool) -> Result<()> {
        if keep {
            return Err(Error::unsupported("zeroes that stay allocated are encrypted as anything else"));
        }
        self.punch(offset, length)?;
        if durable { self.sync() } else { Ok(()) }
    }

    async fn extents(&self, offset: u64, length: u64) -> Result<Vec<Extent>> {
        // What is a hole reads as zeroes; what lies there as zeroes does so, too, and is not looked for.
        let mut extents = self.file.extents(HEAD + offset, length)?;
        extents.iter_mut().for_each(|extent| extent.zero = extent.hole);
        Ok(extents)
    }
}

#[cfg(test)]
mod tests {
    use fief_sdk::settings::Value;
    use fief_sdk::storage::Pool;
    use fief_sdk::{Directory, SecretName, native};

    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_of_it_lies_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.crypt");
        let new = std::fs::File::create(&path).unwrap();
        new.set_len(HEAD + (1 << 20)).unwrap();
        native::grant_directory("images", folder.path());
        native::grant_secret("key", &[5; 32]);
        native::grant_secret("other", &[6; 32]);
        let pool = |key: &str| Pool {
            name: "safe".into(),
            settings: Settings { directory: Directory::parse("images").unwrap(), key: SecretName(key.into()) },
        };
        let holder = Holder { host: "h".into(), name: "n".into(), domain: "d".into(), generation: 1 };
        native::block_on(async {
            let fresh = Device::open(&pool("key"), "disk", Access::ReadOnly, None).await.unwrap();
            assert_eq!(fresh.read(0, 4096).await.unwrap(), [0; 4096]);
            assert_eq!(fresh.write(0, vec![1; 512], false).await.unwrap_err().code, ErrorCode::Denied);
            let device = Device::open(&pool("key"), "disk", Access::Exclusive, Some(&holder)).await.unwrap();
            device.write(4096, vec![0x5a; 8192], true).await.unwrap();
            assert_eq!(device.read(3584, 1024).await.unwrap(), [[0; 512], [0x5a; 512]].concat());
            let raw = std::fs::read(&path).unwrap();
            assert!(!raw.windows(8).any(|bytes| bytes == [0x5a; 8]), "it lies there as it is");
            device.discard(4096, 4096).await.unwrap();
            assert_eq!(device.read(4096, 4096).await.unwrap(), [0; 4096]);
            device.close().await.unwrap();
            let again = Device::open(&pool("key"), "disk", Access::ReadOnly, None).await.unwrap();
            assert_eq!(again.read(8192, 4096).await.unwrap(), [0x5a; 4096]);
            let other = Device::open(&pool("other"), "disk", Access::Exclusive, Some(&holder)).await;
            assert_eq!(other.map(drop).unwrap_err().code, ErrorCode::Denied);
        });
    }
}
