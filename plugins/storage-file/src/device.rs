//! A raw volume served by this plugin itself: what a guest reads and writes is read and written here, in a file beneath
//! the granted directory.
//!
//! This is the smallest device there is, and the measure of what serving costs: it lends its file to the host
//! ([`File::lend`]), or, with `lend = false`, is called for each request. A local file is reached fastest by the hypervisor
//! itself (`transport = "native"`).

use std::cell::Cell;

use fief_sdk::block::{BlockDevice, Event, Extent, Geometry, Holder};
use fief_sdk::files::File;
use fief_sdk::payload::Data;
use fief_sdk::storage::{Access, Format};
use fief_sdk::{Error, ErrorCode, Result};

use crate::{FilePool, Settings, existing};

/// Offsets of a file may be any; the hypervisor's smallest sector is asked for.
const BLOCK: u32 = 512;
/// A page of the page cache.
const PREFERRED: u32 = 4 << 10;
/// Larger requests are cut, so that buffers stay small and others get their turn.
const MAXIMUM: u32 = 256 << 10;
/// Calls never wait for each other: a file answers at once.
const REQUESTS: u32 = 32;

pub struct Device {
    file: File,
    size: u64,
    read_only: bool,
    /// Why a flush failed, once one has: what was written before may be lost, and no later success says otherwise.
    lost: Cell<Option<&'static str>>,
    /// What this file system cannot do, found out by trying.
    no_holes: Cell<bool>,
    no_zeroes: Cell<bool>,
}

/// Once the file system has said that it cannot, it is not asked again.
fn remembered(result: Result<()>, cannot: &Cell<bool>) -> Result<()> {
    if result.as_ref().is_err_and(|error| error.code == ErrorCode::Unsupported) {
        cannot.set(true);
    }
    result
}

impl Device {
    fn sync(&self) -> Result<()> {
        if let Some(why) = self.lost.get() {
            return Err(Error::io(why));
        }
        self.file.sync().inspect_err(|_| self.lost.set(Some("an earlier flush failed: what was written may be lost")))
    }

    fn if_durable(&self, durable: bool) -> Result<()> {
        if durable { self.sync() } else { Ok(()) }
    }
}

impl BlockDevice for Device {
    type Settings = Settings;

    async fn open(pool: &FilePool, volume: &str, access: Access, holder: Option<&Holder>) -> Result<Self> {
        let entry = existing(pool, volume)?;
        match entry.format {
            Format::Raw => {}
            Format::Qcow2 => {
                return Err(Error::unsupported(format!("volume {volume} is qcow2; only raw volumes are served")));
            }
        }
        let read_only = access == Access::ReadOnly || holder.is_none();
        let file = File::open(&pool.settings.directory, &entry.file, !read_only)?;
        let size = file.size()?;
        // A raw volume is its file, byte for byte. Where the host does not take it, calls do.
        if pool.settings.lend
            && let Err(error) = file.lend(0, 0, size)
        {
            fief_sdk::debug!("each request is a call", cause = error.message);
        }
        let [no_holes, no_zeroes] = [Cell::new(false), Cell::new(false)];
        Ok(Device { file, size, read_only, lost: Cell::new(None), no_holes, no_zeroes })
    }

    fn geometry(&self) -> Geometry {
        Geometry {
            size: self.size,
            block_size: BLOCK,
            preferred_io: PREFERRED,
            maximum_io: MAXIMUM,
            maximum_requests: REQUESTS,
            can_discard: true,
            can_write_zeroes: true,
            can_extents: true,
            rotational: false,
            read_only: self.read_only,
        }
    }

    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.file.read(offset, length)
    }

    async fn write(&self, offset: u64, data: Vec<u8>, durable: bool) -> Result<()> {
        self.file.write(offset, &data)?;
        self.if_durable(durable)
    }

    async fn read_data(&self, offset: u64, length: u32) -> Result<Data> {
        self.file.read_payload(offset, length).await.map(Data::Payload)
    }

    async fn write_data(&self, offset: u64, data: Data, durable: bool) -> Result<()> {
        self.file.write_data(offset, &data).await?;
        self.if_durable(durable)
    }

    async fn flush(&self) -> Result<()> {
        self.sync()
    }

    async fn discard(&self, offset: u64, length: u64) -> Result<()> {
        if self.no_holes.get() {
            return Err(Error::unsupported("this file system has no holes"));
        }
        remembered(self.file.punch(offset, length), &self.no_holes)
    }

    async fn write_zeroes(&self, offset: u64, length: u64, keep: bool, durable: bool) -> Result<()> {
        // A hole reads as zeroes too, and takes no room.
        if !keep && !self.no_holes.get() && remembered(self.file.punch(offset, length), &self.no_holes).is_ok() {
            return self.if_durable(durable);
        }
        if self.no_zeroes.get() {
            return Err(Error::unsupported("this file system zeroes nothing by itself"));
        }
        remembered(self.file.zero(offset, length), &self.no_zeroes)?;
        self.if_durable(durable)
    }

    async fn extents(&self, offset: u64, length: u64) -> Result<Vec<Extent>> {
        self.file.extents(offset, length)
    }

    async fn next_event(&self) -> Event {
        // A file of this host's does not go away, and grows with its domain stopped.
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use fief_sdk::settings::Value;
    use fief_sdk::storage::Pool;
    use fief_sdk::{Directory, native};

    use super::*;

    #[test]
    fn what_is_written_is_read_and_holes_are_told() {
        let folder = std::env::temp_dir().join(format!("storage-file-device-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("disk"), vec![1; 1 << 20]).unwrap();
        native::grant_directory("images", &folder);
        let settings = Settings {
            directory: Directory::parse("images").unwrap(),
            transport: fief_sdk::storage::Transport::Served,
            lend: true,
        };
        let pool = Pool { name: "default".into(), settings };
        let holder = Holder { host: "h".into(), name: "n".into(), domain: "d".into(), generation: 1 };
        native::block_on(async {
            let device = Device::open(&pool, "disk", Access::Exclusive, Some(&holder)).await.unwrap();
            device.write(4096, vec![2; 512], true).await.unwrap();
            assert_eq!(device.read(4096, 513).await.unwrap()[510..], [2, 2, 1]);
            device.discard(64 << 10, 64 << 10).await.unwrap();
            device.write_zeroes(0, 4096, true, false).await.unwrap();
            assert_eq!(device.read(0, 4096).await.unwrap(), [0; 4096]);
            let first = device.extents(64 << 10, 512 << 10).await.unwrap()[0];
            assert_eq!((first.length, first.hole, first.zero), (64 << 10, true, true));
            device.close().await.unwrap();
            let reader = Device::open(&pool, "disk", Access::ReadOnly, None).await.unwrap();
            assert!(reader.geometry().read_only && reader.write(0, vec![0; 512], false).await.is_err());
        });
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
