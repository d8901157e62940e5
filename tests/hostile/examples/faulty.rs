//! Serves raw volumes of a granted directory, and fails at one place: a read of the block there traps, as often as the
//! file `faults` beside the volume says, a byte that is counted down. Every read takes a moment, so that there are others
//! under way.

use fief_sdk::block::{BlockDevice, Event, Extent, Geometry, Holder};
use fief_sdk::files::File;
use fief_sdk::storage::{Access, Attachment, Format, Pool, PoolInfo, StorageBackend, Volume, VolumeSpec};
use fief_sdk::{Error, Result, images, timer};
use hostile::{Settings, calm};

/// Where it fails.
const PLACE: u64 = 2 << 20;
const BLOCK: u32 = 4096;
const FAULTS: &str = "faults";

struct Faulty;

fn volume(pool: &Pool<Settings>, name: &str) -> Result<Volume> {
    let size = images::inspect(pool.settings.directory.name(), name)?.virtual_size;
    Ok(Volume { name: name.into(), size, allocated: None, format: Format::Raw, backing: None })
}

impl StorageBackend for Faulty {
    type Settings = Settings;
    fn info(pool: &Pool<Settings>) -> Result<PoolInfo> {
        calm::info(pool)
    }
    fn all(_: &Pool<Settings>) -> Result<Vec<Volume>> {
        Ok(Vec::new())
    }
    fn find(pool: &Pool<Settings>, name: &str) -> Result<Volume> {
        volume(pool, name)
    }
    fn create(pool: &Pool<Settings>, spec: &VolumeSpec) -> Result<Volume> {
        calm::create(pool, spec)?;
        volume(pool, &spec.name)
    }
    fn delete(pool: &Pool<Settings>, name: &str) -> Result<()> {
        calm::delete(pool, name)
    }
    fn resize(_: &Pool<Settings>, _: &str, _: u64) -> Result<Volume> {
        calm::unsupported()
    }
    fn attach(_: &Pool<Settings>, _: &str, _: Access) -> Result<Attachment> {
        Ok(Attachment::Served)
    }
}

struct Device {
    file: File,
    faults: File,
}

impl Device {
    fn fail_if_due(&self) -> Result<()> {
        let left = self.faults.read(0, 1)?.first().copied().unwrap_or(0);
        if left > 0 {
            self.faults.write(0, &[left - 1])?;
            panic!("as it was told to");
        }
        Ok(())
    }
}

impl BlockDevice for Device {
    type Settings = Settings;

    async fn open(pool: &Pool<Settings>, volume: &str, _: Access, _: Option<&Holder>) -> Result<Self> {
        let open = |name: &str| File::open(&pool.settings.directory, name, true);
        Ok(Device { file: open(volume)?, faults: open(FAULTS)? })
    }

    fn geometry(&self) -> Geometry {
        Geometry {
            size: self.file.size().unwrap_or(0),
            block_size: 512,
            preferred_io: BLOCK,
            maximum_io: BLOCK,
            maximum_requests: 32,
            can_discard: false,
            can_write_zeroes: false,
            can_extents: false,
            rotational: false,
            read_only: false,
        }
    }

    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        timer::wait(1).await;
        if offset <= PLACE && PLACE < offset + u64::from(length) {
            self.fail_if_due()?;
        }
        self.file.read(offset, length)
    }

    async fn write(&self, offset: u64, data: Vec<u8>, durable: bool) -> Result<()> {
        self.file.write(offset, &data)?;
        if durable { self.file.sync() } else { Ok(()) }
    }

    async fn flush(&self) -> Result<()> {
        self.file.sync()
    }

    async fn discard(&self, _: u64, _: u64) -> Result<()> {
        Err(Error::unsupported("it makes no holes"))
    }

    async fn extents(&self, _: u64, length: u64) -> Result<Vec<Extent>> {
        Ok(vec![Extent { length, hole: false, zero: false }])
    }

    async fn next_event(&self) -> Event {
        std::future::pending().await
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

fief_sdk::plugin! {
    storage: Faulty with block(Device);
    id: "hostile-faulty",
    summary: "fails when it is told to, for a test",
    permissions: [
        fief_sdk::Permission::interface(fief_sdk::Interface::Images, "makes volumes"),
        fief_sdk::Permission::directory(fief_sdk::DirectoryAccess::ReadWrite, "keeps volumes"),
    ],
}
