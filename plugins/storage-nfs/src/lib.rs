//! Volumes as image files on an NFS server, over streams that the host connects. The protocol is spoken here, without any
//! privilege: the server sees a client in user space, and a server that is dead holds up nobody but those who use it.
//!
//! ```text
//!   lib      what the host calls                     device   a volume that is served: block
//!   volumes copy rename fence notes: acts on it       kept gate lease qcow2 mapped name what they go by, pure
//!   export files              where that is, and files of either version
//!   v3  v4                    calls, and clients that make them
//!   wire                      how calls travel: one at a time, or many over several streams
//!   rpc xdr types status      words; bytes in, bytes out
//! ```

mod copy;
mod device;
mod export;
mod fence;
mod files;
mod gate;
mod kept;
mod lease;
mod mapped;
mod name;
mod notes;
mod qcow2;
mod rename;
mod settings;
mod trouble;
mod volumes;
mod wire;

// For the fuzzer: what decodes the bytes of servers.
#[doc(hidden)]
pub mod rpc;
#[doc(hidden)]
pub mod status;
#[doc(hidden)]
pub mod types;
#[doc(hidden)]
pub mod v3;
#[doc(hidden)]
pub mod v4;
#[doc(hidden)]
pub mod xdr;

use fief_sdk::block::Holder;
use fief_sdk::storage::{
    Access, Attachment, Clones, Fence, FenceKind, Fences, Format, NfsNode, Notes, Pool, PoolInfo, Renames,
    StorageBackend, Style, Transport, Volume, VolumeSpec,
};
use fief_sdk::{Error, Permission, Result};

pub use crate::device::Device;
use crate::export::with;
use crate::lease::Record;
pub use crate::settings::{Connections, Settings, Version};
use crate::settings::{MOUNT, SERVER};

fief_sdk::plugin! {
    storage: StorageNfs with clones, renames, fences, notes, block(Device);
    id: "storage-nfs",
    summary: "volumes as raw and qcow2 image files on an NFS server (4.1, or 3)",
    permissions: [
        Permission::connect(SERVER, "{server}:{port}", "reads and writes the image files on the NFS server"),
        Permission::connect(MOUNT, "{server}:{mount-port}", "asks an NFS 3 server for the handle of its exported folder"),
    ],
}

pub struct StorageNfs;

type NfsPool = Pool<Settings>;

impl StorageBackend for StorageNfs {
    type Settings = Settings;

    fn info(pool: &NfsPool) -> Result<PoolInfo> {
        with(&pool.settings, async |export| export.info(&pool.settings).await)
    }

    fn all(pool: &NfsPool) -> Result<Vec<Volume>> {
        with(&pool.settings, async |export| export.all().await)
    }

    fn find(pool: &NfsPool, name: &str) -> Result<Volume> {
        with(&pool.settings, async |export| export.volume(&export.existing(name).await?).await)
    }

    fn create(pool: &NfsPool, spec: &VolumeSpec) -> Result<Volume> {
        with(&pool.settings, async |export| export.create(spec).await)
    }

    fn delete(pool: &NfsPool, name: &str) -> Result<()> {
        with(&pool.settings, async |export| export.delete(name).await)
    }

    fn resize(pool: &NfsPool, name: &str, size: u64) -> Result<Volume> {
        with(&pool.settings, async |export| export.resize(name, size).await)
    }

    fn attach(pool: &NfsPool, name: &str, access: Access) -> Result<Attachment> {
        let settings = &pool.settings;
        let entry = with(settings, async |export| {
            let entry = export.existing(name).await?;
            // A header that reaches for other files goes no further.
            export.volume(&entry).await?;
            Ok(entry)
        })?;
        let served = match (settings.transport, entry.format) {
            // As a guest would see it: so it is copied.
            (Transport::Served, Format::Qcow2) if access == Access::ReadOnly => true,
            (Transport::Served, Format::Qcow2) => {
                return Err(Error::unsupported(format!(
                    "volume {name} is qcow2, which this plugin serves for reading only; set transport = \"native\", or copy \
                     it to a raw volume"
                )));
            }
            // The host asks which way is sure: its own choice comes back as one of the other two.
            (Transport::Auto, Format::Raw) if settings.version != Version::Three => {
                return Err(Error::unsupported(
                    "QEMU's own client speaks NFS 3 alone, and the pool's version is not 3".to_owned(),
                ));
            }
            (Transport::Served, Format::Raw) => true,
            (Transport::Native, Format::Raw | Format::Qcow2) | (Transport::Auto, Format::Raw | Format::Qcow2) => false,
        };
        if served {
            return Ok(Attachment::Served);
        }
        let inside = settings.directory.iter().flat_map(|path| path.split('/')).filter(|part| !part.is_empty());
        let path: Vec<&str> = inside.chain([entry.file.as_str()]).collect();
        Ok(Attachment::Nfs(NfsNode {
            server: settings.server.clone(),
            port: (settings.port != 2049).then_some(settings.port),
            share: settings.share.clone(),
            path: path.join("/"),
            format: entry.format,
        }))
    }
}

impl Clones for StorageNfs {
    fn clone(pool: &NfsPool, source: &str, snapshot: Option<&str>, target: &str, style: Style) -> Result<Volume> {
        match (style, snapshot) {
            (Style::Full, None) => with(&pool.settings, async |export| export.clone_volume(source, target).await),
            (Style::Linked, _) => Err(Error::unsupported("volumes on NFS stand alone: there are full clones only")),
            (Style::Full, Some(_)) => Err(Error::unsupported("volumes on NFS have no snapshots of their own")),
        }
    }
}

impl Renames for StorageNfs {
    fn rename(pool: &NfsPool, name: &str, to: &str) -> Result<Volume> {
        with(&pool.settings, async |export| export.rename_volume(name, to).await)
    }
}

impl Notes for StorageNfs {
    fn leave(pool: &NfsPool, volume: &str, note: u64) -> Result<()> {
        with(&pool.settings, async |export| export.leave_note(volume, note).await)
    }

    fn read(pool: &NfsPool, volume: &str) -> Result<Vec<u64>> {
        with(&pool.settings, async |export| export.notes(volume).await)
    }

    fn remove(pool: &NfsPool, volume: &str, note: u64) -> Result<()> {
        with(&pool.settings, async |export| export.remove_note(volume, note).await)
    }
}

impl Fences for StorageNfs {
    fn show(pool: &NfsPool, volume: &str) -> Result<Fence> {
        with(&pool.settings, async |export| {
            export.existing(volume).await?;
            let record = fence::read(&export.files, &export.folder, volume).await?;
            let kind = if export.limits.links { FenceKind::Lease } else { FenceKind::None };
            let generation = record.as_ref().map_or(0, |record| record.holder.generation);
            Ok(Fence { kind, holder: record.and_then(Record::holder), generation })
        })
    }

    fn take(pool: &NfsPool, volume: &str, holder: &Holder, force: bool) -> Result<Fence> {
        with(&pool.settings, async |export| {
            let record = export.take(volume, holder, force).await?;
            let generation = record.holder.generation;
            Ok(Fence { kind: FenceKind::Lease, holder: record.holder(), generation })
        })
    }

    fn release(pool: &NfsPool, volume: &str, holder: &Holder) -> Result<()> {
        with(&pool.settings, async |export| export.release(volume, holder).await)
    }
}
