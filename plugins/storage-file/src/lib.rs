//! Volumes as image files in a directory that the operator granted.
//!
//! The plugin sees the directory through its preopen, which it only reads: names and lengths. All that looks into an
//! image or changes one is asked of the host (`images`), which knows the formats, keeps the ledger and undoes.
//!
//! ```text
//!   volume node1, qcow2     ◂▸  node1.qcow2
//!   volume debian.iso, raw  ◂▸  debian.iso
//! ```
//! The name of a file says its format, always (see [`name`](fief_sdk::image_name)): a guest writes every byte of a raw volume, so its
//! content must never be asked.
//!
//! A dry run answers changes with what they would most likely have given, so every answer below is made of what the
//! host answered, and nothing is looked at again after a change.

pub mod device;
mod facts;
mod folder;

use fief_sdk::storage::{
    Access, Attachment, Clones, FileNode, Format, Pool, PoolInfo, Preallocation, Renames, Snapshot, Snapshots,
    StorageBackend, Style, Transport, Volume, VolumeSpec,
};
use fief_sdk::{Directory, DirectoryAccess, Error, Interface, Permission, Result, image_name as name, images};

use crate::device::Device;
use crate::facts::{changeable, dependents, grown, made, volume};
use crate::folder::{Entry, Folder};

fief_sdk::plugin! {
    storage: StorageFile with snapshots, clones, renames, block(Device);
    id: "storage-file",
    summary: "volumes as qcow2 and raw image files in a granted directory",
    permissions: [
        Permission::interface(Interface::Images, "makes, grows, renames, copies, snapshots and deletes the image files"),
        Permission::directory(DirectoryAccess::ReadWrite, "lists the image files; reads and writes those it serves itself"),
    ],
}

fief_sdk::settings! {
    /// Of a pool.
    pub struct Settings {
        /// The directory grant whose files are the volumes.
        directory: Directory,
        /// How domains reach a volume: `native` and `auto`, the file itself, which is fastest; `served`, raw volumes through
        /// this plugin, as any other plugin serves its own.
        transport: Transport = "native",
        /// Whether the host itself moves the bytes of a served volume between its file and the guest. Otherwise each
        /// request is a call of this plugin, which is slower and for trying out.
        lend: bool = "true",
    }
}

struct StorageFile;

type FilePool = Pool<Settings>;

/// The volume, or `not-found`.
fn existing(pool: &FilePool, name: &str) -> Result<Entry> {
    Folder::of(&pool.settings.directory)
        .find(name)?
        .ok_or_else(|| Error::not_found(format!("there is no volume {name} in pool {}", pool.name)))
}

impl StorageBackend for StorageFile {
    type Settings = Settings;

    fn info(pool: &FilePool) -> Result<PoolInfo> {
        let directory = pool.settings.directory.name();
        let space = images::space(directory)?;
        Ok(PoolInfo {
            // Another host's directory of the same name holds other files: no peer reaches this one, so that two
            // equal identities never meet.
            identity: format!("directory:{directory}"),
            capacity: Some(space.capacity),
            available: Some(space.available),
            reachable_from_peers: false,
            max_name: name::LONGEST,
        })
    }

    fn all(pool: &FilePool) -> Result<Vec<Volume>> {
        let directory = pool.settings.directory.name();
        let mut all = Vec::new();
        for entry in Folder::of(&pool.settings.directory).entries()? {
            match volume(directory, &entry) {
                Ok(volume) => all.push(volume),
                Err(error) => fief_sdk::warn!("left out of the list", file = entry.file, cause = error.message),
            }
        }
        Ok(all)
    }

    fn find(pool: &FilePool, name: &str) -> Result<Volume> {
        volume(pool.settings.directory.name(), &existing(pool, name)?)
    }

    fn create(pool: &FilePool, spec: &VolumeSpec) -> Result<Volume> {
        let directory = pool.settings.directory.name();
        let file = name::file(&spec.name, spec.format)?;
        if spec.size == 0 {
            return Err(Error::invalid(format!("volume {} would have no size", spec.name)));
        }
        if let Some(there) = Folder::of(&pool.settings.directory).find(&spec.name)? {
            let there = volume(directory, &there)?;
            return match there.format == spec.format && there.size == facts::whole_sectors(spec.size) {
                true => Ok(there),
                false => Err(Error::already_exists(format!(
                    "volume {} is there already, {} with {} bytes",
                    spec.name,
                    name::word(there.format),
                    there.size
                ))),
            };
        }
        let image = images::create(directory, &file, spec.format, spec.size, spec.preallocation, None)?;
        Ok(made(&spec.name, spec.format, &image))
    }

    fn delete(pool: &FilePool, name: &str) -> Result<()> {
        let directory = pool.settings.directory.name();
        let folder = Folder::of(&pool.settings.directory);
        match folder.find(name)? {
            None => Ok(()),
            Some(entry) => {
                must_stand_alone(pool, &entry, "deleted")?;
                images::delete(directory, &entry.file)
            }
        }
    }

    fn resize(pool: &FilePool, name: &str, size: u64) -> Result<Volume> {
        let directory = pool.settings.directory.name();
        let entry = existing(pool, name)?;
        let before = changeable(directory, &entry)?;
        if size < before.virtual_size {
            return Err(Error::invalid(format!(
                "volume {name} has {} bytes and cannot shrink: what lies at its end would be lost",
                before.virtual_size
            )));
        }
        let after = images::resize(directory, &entry.file, size)?;
        Ok(grown(&entry, &before, &after))
    }

    fn attach(pool: &FilePool, name: &str, access: Access) -> Result<Attachment> {
        let entry = existing(pool, name)?;
        match access {
            Access::ReadOnly => {}
            Access::Exclusive => must_stand_alone(pool, &entry, "written to")?,
            Access::Handover => {
                return Err(Error::unsupported(format!(
                    "volume {name} lies in a directory of this host, which no other host reaches"
                )));
            }
        }
        match (pool.settings.transport, entry.format) {
            (Transport::Native | Transport::Auto, _) => {}
            (Transport::Served, Format::Raw) => return Ok(Attachment::Served),
            (Transport::Served, Format::Qcow2) => {
                return Err(Error::unsupported(format!(
                    "volume {name} is qcow2, and a pool with transport = \"served\" attaches raw volumes only"
                )));
            }
        }
        Ok(Attachment::File(FileNode {
            directory: pool.settings.directory.name().to_owned(),
            path: entry.file,
            format: entry.format,
        }))
    }
}

/// # Errors
/// `in-use`, naming the first linked clone that stands on the volume.
fn must_stand_alone(pool: &FilePool, entry: &Entry, what: &str) -> Result<()> {
    let others = Folder::of(&pool.settings.directory).entries()?;
    match dependents(pool.settings.directory.name(), entry, &others)?.as_slice() {
        [] => Ok(()),
        [clone, rest @ ..] => Err(Error::in_use(
            clone.clone(),
            match rest.len() {
                0 => format!("the linked clone {clone} stands on volume {}, which may not be {what}", entry.volume),
                more => format!(
                    "the linked clone {clone} and {more} more stand on volume {}, which may not be {what}",
                    entry.volume
                ),
            },
        )),
    }
}

/// The volume as one whose format keeps snapshots.
fn with_snapshots(pool: &FilePool, volume: &str) -> Result<Entry> {
    let entry = existing(pool, volume)?;
    match entry.format {
        Format::Qcow2 => Ok(entry),
        Format::Raw => Err(Error::unsupported(format!(
            "volume {volume} is raw, a format without snapshots; a full clone of it in qcow2 has them"
        ))),
    }
}

fn snapshot(image: images::ImageSnapshot) -> Snapshot {
    Snapshot { name: image.name, created: image.created }
}

impl Snapshots for StorageFile {
    fn create(pool: &FilePool, volume: &str, name: &str) -> Result<Snapshot> {
        let entry = with_snapshots(pool, volume)?;
        images::snapshot_create(pool.settings.directory.name(), &entry.file, name).map(snapshot)
    }

    fn delete(pool: &FilePool, volume: &str, name: &str) -> Result<()> {
        let entry = with_snapshots(pool, volume)?;
        images::snapshot_delete(pool.settings.directory.name(), &entry.file, name)
    }

    fn revert(pool: &FilePool, volume: &str, name: &str) -> Result<()> {
        let entry = with_snapshots(pool, volume)?;
        must_stand_alone(pool, &entry, "changed")?;
        images::snapshot_revert(pool.settings.directory.name(), &entry.file, name)
    }

    fn all(pool: &FilePool, volume: &str) -> Result<Vec<Snapshot>> {
        let entry = existing(pool, volume)?;
        match entry.format {
            Format::Raw => Ok(Vec::new()),
            Format::Qcow2 => {
                let all = images::snapshots(pool.settings.directory.name(), &entry.file)?;
                Ok(all.into_iter().map(snapshot).collect())
            }
        }
    }
}

impl Renames for StorageFile {
    fn rename(pool: &FilePool, name: &str, to: &str) -> Result<Volume> {
        let directory = pool.settings.directory.name();
        let folder = Folder::of(&pool.settings.directory);
        let (entry, there) = (folder.find(name)?, folder.find(to)?);
        match (entry, there) {
            (Some(_), Some(_)) => Err(Error::already_exists(format!("volume {to} is there already"))),
            (None, Some(renamed)) => volume(directory, &renamed),
            (None, None) => Err(Error::not_found(format!("there is no volume {name} in pool {}", pool.name))),
            (Some(entry), None) => {
                must_stand_alone(pool, &entry, "renamed")?;
                let before = volume(directory, &entry)?;
                images::rename(directory, &entry.file, &name::file(to, entry.format)?)?;
                Ok(Volume { name: to.to_owned(), ..before })
            }
        }
    }
}

impl Clones for StorageFile {
    fn clone(pool: &FilePool, source: &str, snapshot: Option<&str>, target: &str, style: Style) -> Result<Volume> {
        let directory = pool.settings.directory.name();
        let entry = existing(pool, source)?;
        if Folder::of(&pool.settings.directory).find(target)?.is_some() {
            return Err(Error::already_exists(format!("volume {target} is there already")));
        }
        let before = changeable(directory, &entry)?;
        match (style, snapshot) {
            (Style::Linked, Some(_)) => Err(Error::unsupported(format!(
                "a linked clone stands on volume {source} as it is now; of a snapshot there are full clones only"
            ))),
            (Style::Linked, None) => {
                let file = name::file(target, Format::Qcow2)?;
                let size = before.virtual_size;
                let backing = Some(entry.file.as_str());
                let image = images::create(directory, &file, Format::Qcow2, size, Preallocation::Sparse, backing)?;
                Ok(made(target, Format::Qcow2, &image))
            }
            (Style::Full, snapshot) => {
                if snapshot.is_some() && entry.format == Format::Raw {
                    return Err(Error::unsupported(format!("volume {source} is raw, a format without snapshots")));
                }
                let file = name::file(target, entry.format)?;
                let image = images::copy(directory, &entry.file, snapshot, &file, entry.format)?;
                Ok(made(target, entry.format, &image))
            }
        }
    }
}
