//! A storage plugin that uses all that `fief:storage@0.1.0` and `fief:types@0.1.0` have. Volumes are raw or qcow2 files.

use fief_sdk::block::{BlockDevice, Extent, Geometry, Holder};
use fief_sdk::connections::Connection;
use fief_sdk::files::File;
use fief_sdk::payload::Data;
use fief_sdk::storage::{
    Access, Attachment, Clones, Fence, FenceKind, Fences, FileNode, Format, Notes, Pool, PoolInfo, Renames, Snapshot,
    Snapshots, StorageBackend, Style, Volume, VolumeSpec,
};
use fief_sdk::{
    Directory, DirectoryAccess, Error, Interface, Permission, Result, SecretName, directory, images, secrets, timer,
};

fief_sdk::plugin! {
    storage: Frozen with snapshots, clones, renames, fences, notes, block(Device);
    id: "frozen-storage",
    summary: "was built for version 0.1.0 of the interfaces, and goes on working",
    permissions: [
        Permission::interface(Interface::Images, "makes the volumes' files"),
        Permission::directory(DirectoryAccess::ReadWrite, "keeps the volumes"),
        Permission::connect("server", "{server}:{port}", "asks it for a greeting"),
        Permission::secret("{password}", "looks how long it is"),
    ],
}

fief_sdk::settings! {
    /// Of a pool.
    pub struct Settings {
        /// The directory grant whose files are the volumes.
        directory: Directory,
        /// Name or address.
        server: String,
        /// Of TCP.
        port: u32,
        /// The name of a secret.
        password: SecretName,
        /// How domains reach a volume.
        way: String = "file",
    }
}

struct Frozen;

type Mine = Pool<Settings>;

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

fn parts(name: &str) -> (&str, Format) {
    match name.strip_suffix(".qcow2") {
        Some(name) => (name, Format::Qcow2),
        None => (name.strip_suffix(".raw").unwrap_or(name), Format::Raw),
    }
}

fn file(name: &str, format: Format) -> String {
    match format {
        Format::Raw => format!("{name}.raw"),
        Format::Qcow2 => format!("{name}.qcow2"),
    }
}

fn files(pool: &Mine) -> Result<Vec<String>> {
    directory::names(&pool.settings.directory.path()).map_err(|error| Error::from_io(&error, "cannot list"))
}

fn found(pool: &Mine, name: &str) -> Result<(String, Format)> {
    let all = files(pool)?;
    let own = all.iter().find(|file| file.contains('.') && parts(file).0 == name);
    let own = own.ok_or_else(|| Error::not_found(format!("there is no volume {name}")))?;
    Ok((own.clone(), parts(own).1))
}

fn volume(pool: &Mine, file: &str) -> Result<Volume> {
    let image = images::inspect(pool.settings.directory.name(), file)?;
    let (name, format) = parts(file);
    Ok(Volume {
        name: name.to_owned(),
        size: image.virtual_size,
        allocated: Some(image.allocated),
        format,
        backing: image.backing,
    })
}

impl StorageBackend for Frozen {
    type Settings = Settings;

    fn info(pool: &Mine) -> Result<PoolInfo> {
        let directory = pool.settings.directory.name();
        let space = images::space(directory)?;
        fief_sdk::info!("looked at", capacity = space.capacity);
        Ok(PoolInfo {
            identity: format!("frozen:{directory}"),
            capacity: Some(space.capacity),
            available: Some(space.available),
            reachable_from_peers: false,
            max_name: 100,
        })
    }
    fn all(pool: &Mine) -> Result<Vec<Volume>> {
        files(pool)?.iter().filter(|file| file.contains('.')).map(|file| volume(pool, file)).collect()
    }
    fn find(pool: &Mine, name: &str) -> Result<Volume> {
        volume(pool, &found(pool, name)?.0)
    }
    fn create(pool: &Mine, spec: &VolumeSpec) -> Result<Volume> {
        if let Ok((file, _)) = found(pool, &spec.name) {
            let there = volume(pool, &file)?;
            return match there.size == spec.size {
                true => Ok(there),
                false => Err(Error::already_exists("it is there, with another size")),
            };
        }
        let path = file(&spec.name, spec.format);
        let image =
            images::create(pool.settings.directory.name(), &path, spec.format, spec.size, spec.preallocation, None)?;
        Ok(Volume { name: spec.name.clone(), size: image.virtual_size, allocated: None, format: spec.format, backing: None })
    }
    fn delete(pool: &Mine, name: &str) -> Result<()> {
        match found(pool, name) {
            Ok((file, _)) => images::delete(pool.settings.directory.name(), &file),
            Err(_) => Ok(()),
        }
    }
    fn resize(pool: &Mine, name: &str, size: u64) -> Result<Volume> {
        let (file, format) = found(pool, name)?;
        let image = images::resize(pool.settings.directory.name(), &file, size)?;
        Ok(Volume { name: name.to_owned(), size: image.virtual_size, allocated: None, format, backing: image.backing })
    }
    fn attach(pool: &Mine, name: &str, _: Access) -> Result<Attachment> {
        let (path, format) = found(pool, name)?;
        Ok(match pool.settings.way.as_str() {
            "served" => Attachment::Served,
            _ => Attachment::File(FileNode { directory: pool.settings.directory.name().to_owned(), path, format }),
        })
    }
}

impl Snapshots for Frozen {
    fn create(pool: &Mine, volume: &str, name: &str) -> Result<Snapshot> {
        images::snapshot_create(pool.settings.directory.name(), &found(pool, volume)?.0, name)
            .map(|made| Snapshot { name: made.name, created: made.created })
    }
    fn delete(pool: &Mine, volume: &str, name: &str) -> Result<()> {
        images::snapshot_delete(pool.settings.directory.name(), &found(pool, volume)?.0, name)
    }
    fn revert(pool: &Mine, volume: &str, name: &str) -> Result<()> {
        images::snapshot_revert(pool.settings.directory.name(), &found(pool, volume)?.0, name)
    }
    fn all(pool: &Mine, volume: &str) -> Result<Vec<Snapshot>> {
        let all = images::snapshots(pool.settings.directory.name(), &found(pool, volume)?.0)?;
        Ok(all.into_iter().map(|one| Snapshot { name: one.name, created: one.created }).collect())
    }
}

impl Clones for Frozen {
    fn clone(pool: &Mine, source: &str, snapshot: Option<&str>, target: &str, _: Style) -> Result<Volume> {
        let (from, format) = found(pool, source)?;
        let to = file(target, format);
        let image = images::copy(pool.settings.directory.name(), &from, snapshot, &to, format)?;
        Ok(Volume { name: target.to_owned(), size: image.virtual_size, allocated: None, format, backing: None })
    }
}

impl Renames for Frozen {
    fn rename(pool: &Mine, name: &str, to: &str) -> Result<Volume> {
        let (from, format) = found(pool, name)?;
        let size = volume(pool, &from)?.size;
        images::rename(pool.settings.directory.name(), &from, &file(to, format))?;
        Ok(Volume { name: to.to_owned(), size, allocated: None, format, backing: None })
    }
}

impl Fences for Frozen {
    fn show(_: &Mine, _: &str) -> Result<Fence> {
        Ok(Fence { kind: FenceKind::None, holder: None, generation: 0 })
    }
    fn take(_: &Mine, _: &str, holder: &Holder, _: bool) -> Result<Fence> {
        Ok(Fence { kind: FenceKind::None, holder: Some(holder.clone()), generation: holder.generation })
    }
    fn release(_: &Mine, _: &str, _: &Holder) -> Result<()> {
        Ok(())
    }
}

/// A note is as long as the server's greeting and the secret.
impl Notes for Frozen {
    fn leave(_: &Mine, _: &str, _: u64) -> Result<()> {
        Ok(())
    }
    fn read(pool: &Mine, _: &str) -> Result<Vec<u64>> {
        let stream = Connection::open("server")?;
        stream.write(REQUEST)?;
        let greeting = stream.read(8)?;
        Ok(vec![greeting.len() as u64, secrets::reveal(&pool.settings.password)?.len() as u64])
    }
    fn remove(_: &Mine, _: &str, _: u64) -> Result<()> {
        Ok(())
    }
}

struct Device {
    file: File,
    size: u64,
    read_only: bool,
}

impl BlockDevice for Device {
    type Settings = Settings;

    async fn open(pool: &Mine, volume: &str, _: Access, holder: Option<&Holder>) -> Result<Self> {
        let stream = Connection::connect("server").await?;
        stream.send(REQUEST.to_vec()).await?;
        let greeting = stream.receive(1, 4).await?;
        let more = stream.receive_payload(4).await?;
        stream.shut();
        let length = secrets::reveal(&pool.settings.password)?.len();
        timer::wait(1).await;
        if (greeting.len() + more.len(), more.bytes().len()) != (8, 4) || length == 0 {
            return Err(Error::unreachable("the server does not greet"));
        }
        let (path, _) = found(pool, volume)?;
        let file = File::open(&pool.settings.directory, &path, holder.is_some())?;
        let size = file.size()?;
        // The second half is the host's own to read and write.
        file.lend(size / 2, size / 2, size - size / 2)?;
        Ok(Device { file, size, read_only: holder.is_none() })
    }
    fn geometry(&self) -> Geometry {
        Geometry {
            size: self.size,
            block_size: 512,
            preferred_io: 4096,
            maximum_io: 1 << 20,
            maximum_requests: 16,
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
        if durable { self.file.sync() } else { Ok(()) }
    }
    async fn read_data(&self, offset: u64, length: u32) -> Result<Data> {
        match length {
            0..8192 => self.file.read(offset, length).map(Data::Bytes),
            _ => self.file.read_payload(offset, length).await.map(Data::Payload),
        }
    }
    async fn write_data(&self, offset: u64, data: Data, durable: bool) -> Result<()> {
        self.file.write_data(offset, &data)?;
        if durable { self.file.sync() } else { Ok(()) }
    }
    async fn flush(&self) -> Result<()> {
        self.file.sync()
    }
    async fn discard(&self, offset: u64, length: u64) -> Result<()> {
        self.file.punch(offset, length)
    }
    async fn write_zeroes(&self, offset: u64, length: u64, _: bool, durable: bool) -> Result<()> {
        self.file.zero(offset, length)?;
        if durable { self.file.sync() } else { Ok(()) }
    }
    async fn extents(&self, offset: u64, length: u64) -> Result<Vec<Extent>> {
        self.file.extents(offset, length)
    }
}
