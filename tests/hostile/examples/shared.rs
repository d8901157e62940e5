//! Behaves, and shares: raw and qcow2 files in a directory that several hosts are granted, each with a fence and notes beside it
//! and its snapshots inside. What the storage is called is read from a file, so that a test can exchange it.

use std::fs;
use std::path::PathBuf;

use fief_sdk::storage::{
    Access, Attachment, Fence, FenceKind, Fences, FileNode, Holder, Notes, Pool, PoolInfo, Snapshot, Snapshots,
    StorageBackend, Volume, VolumeSpec,
};
use fief_sdk::{Directory, Error, Result, images};

fief_sdk::settings! {
    pub struct Settings {
        /// The directory grant that volumes and fences lie in.
        directory: Directory = "shared",
    }
}

struct Shared;

/// The fence's file: host, name, domain, generation and whether it is held, a line each.
fn fence_file(pool: &Pool<Settings>, volume: &str) -> PathBuf {
    PathBuf::from(format!("/{}/.{volume}.fence", pool.settings.directory.name()))
}

fn read(pool: &Pool<Settings>, volume: &str) -> Result<Fence> {
    let free = Fence { kind: FenceKind::Lease, holder: None, generation: 0 };
    let text = match fs::read_to_string(fence_file(pool, volume)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(free),
        Err(error) => return Err(Error::unreachable(format!("the fence cannot be read: {error}"))),
    };
    let lines: Vec<&str> = text.lines().collect();
    let [host, name, domain, generation, held] = lines[..] else {
        return Err(Error::corrupt("the fence is half written"));
    };
    let generation = generation.parse().map_err(|_| Error::corrupt("the fence has no generation"))?;
    let holder = Holder { host: host.into(), name: name.into(), domain: domain.into(), generation };
    Ok(Fence { holder: (held == "held").then_some(holder), generation, ..free })
}

fn write(pool: &Pool<Settings>, volume: &str, holder: &Holder, held: bool) -> Result<()> {
    let Holder { host, name, domain, generation } = holder;
    let held = if held { "held" } else { "free" };
    let path = fence_file(pool, volume);
    let beside = path.with_extension(format!("new-{}", &host[..8]));
    fs::write(&beside, format!("{host}\n{name}\n{domain}\n{generation}\n{held}\n"))
        .and_then(|()| fs::rename(&beside, &path))
        .map_err(|error| Error::from_io(&error, "writing the fence"))
}

fn volume(pool: &Pool<Settings>, name: &str) -> Result<Volume> {
    let image = images::inspect(pool.settings.directory.name(), name)?;
    Ok(Volume {
        name: name.into(),
        size: image.virtual_size,
        allocated: Some(image.allocated),
        format: image.format,
        backing: None,
    })
}

impl StorageBackend for Shared {
    type Settings = Settings;
    fn info(pool: &Pool<Settings>) -> Result<PoolInfo> {
        let named = fs::read_to_string(format!("/{}/identity", pool.settings.directory.name()));
        let identity = named.unwrap_or_else(|_| "shared".into()).trim().to_owned();
        Ok(PoolInfo { identity, capacity: None, available: None, reachable_from_peers: true, max_name: 64 })
    }
    fn all(pool: &Pool<Settings>) -> Result<Vec<Volume>> {
        let entries = fs::read_dir(format!("/{}", pool.settings.directory.name()))
            .map_err(|error| Error::from_io(&error, "listing volumes"))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| !name.starts_with('.') && name != "identity").map(|name| volume(pool, &name)).collect()
    }
    fn find(pool: &Pool<Settings>, name: &str) -> Result<Volume> {
        volume(pool, name)
    }
    fn create(pool: &Pool<Settings>, spec: &VolumeSpec) -> Result<Volume> {
        images::create(pool.settings.directory.name(), &spec.name, spec.format, spec.size, spec.preallocation, None)?;
        volume(pool, &spec.name)
    }
    fn delete(pool: &Pool<Settings>, name: &str) -> Result<()> {
        images::delete(pool.settings.directory.name(), name)
    }
    fn resize(pool: &Pool<Settings>, name: &str, size: u64) -> Result<Volume> {
        images::resize(pool.settings.directory.name(), name, size)?;
        volume(pool, name)
    }
    fn attach(pool: &Pool<Settings>, name: &str, _: Access) -> Result<Attachment> {
        let directory = pool.settings.directory.name().to_owned();
        Ok(Attachment::File(FileNode { directory, path: name.to_owned(), format: volume(pool, name)?.format }))
    }
}

impl Snapshots for Shared {
    fn create(pool: &Pool<Settings>, volume: &str, name: &str) -> Result<Snapshot> {
        images::snapshot_create(pool.settings.directory.name(), volume, name).map(snapshot)
    }
    fn delete(pool: &Pool<Settings>, volume: &str, name: &str) -> Result<()> {
        images::snapshot_delete(pool.settings.directory.name(), volume, name)
    }
    fn revert(pool: &Pool<Settings>, volume: &str, name: &str) -> Result<()> {
        images::snapshot_revert(pool.settings.directory.name(), volume, name)
    }
    fn all(pool: &Pool<Settings>, volume: &str) -> Result<Vec<Snapshot>> {
        let all = images::snapshots(pool.settings.directory.name(), volume)?;
        Ok(all.into_iter().map(snapshot).collect())
    }
}

fn snapshot(image: images::ImageSnapshot) -> Snapshot {
    Snapshot { name: image.name, created: image.created }
}

/// A note is an empty file beside the volume, with the number in its name.
impl Notes for Shared {
    fn leave(pool: &Pool<Settings>, volume: &str, note: u64) -> Result<()> {
        fs::write(note_file(pool, volume, note), "").map_err(|error| Error::from_io(&error, "leaving a note"))
    }
    fn read(pool: &Pool<Settings>, volume: &str) -> Result<Vec<u64>> {
        let entries = fs::read_dir(format!("/{}", pool.settings.directory.name()))
            .map_err(|error| Error::from_io(&error, "reading notes"))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let note = |name: String| name.strip_prefix(&format!(".{volume}.note-"))?.parse().ok();
        Ok(names.filter_map(note).collect())
    }
    fn remove(pool: &Pool<Settings>, volume: &str, note: u64) -> Result<()> {
        match fs::remove_file(note_file(pool, volume, note)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::from_io(&error, "taking a note away"))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn note_file(pool: &Pool<Settings>, volume: &str, note: u64) -> PathBuf {
    PathBuf::from(format!("/{}/.{volume}.note-{note}", pool.settings.directory.name()))
}

impl Fences for Shared {
    fn show(pool: &Pool<Settings>, volume: &str) -> Result<Fence> {
        read(pool, volume)
    }
    fn take(pool: &Pool<Settings>, volume: &str, holder: &Holder, force: bool) -> Result<Fence> {
        let now = read(pool, volume)?;
        if let Some(other) = &now.holder
            && (&other.host, &other.domain) != (&holder.host, &holder.domain)
            && !force
        {
            return Err(Error::in_use(format!("{} on {}", other.domain, other.name), "another holds the fence"));
        }
        if holder.generation < now.generation {
            return Err(Error::wrong_state("a newer generation was seen"));
        }
        write(pool, volume, holder, true)?;
        Ok(Fence { holder: Some(holder.clone()), generation: holder.generation, kind: FenceKind::Lease })
    }
    fn release(pool: &Pool<Settings>, volume: &str, holder: &Holder) -> Result<()> {
        match read(pool, volume)?.holder {
            Some(now) if now.host == holder.host && now.domain == holder.domain => write(pool, volume, &now, false),
            Some(_) | None => Ok(()),
        }
    }
}

fief_sdk::plugin! {
    storage: Shared with snapshots, fences, notes;
    id: "hostile-shared",
    summary: "files that several hosts share, for a test",
    permissions: [
        fief_sdk::Permission::interface(fief_sdk::Interface::Images, "makes volumes"),
        fief_sdk::Permission::directory(fief_sdk::DirectoryAccess::ReadWrite, "keeps volumes and fences"),
    ],
}
