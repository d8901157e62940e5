//! Does all that storage plugins can, rightly, but for one mistake that the setting `mistake` names: what `fief plugin test`
//! has to find. Volumes are files, `NAME.raw`; what is kept with them begins with a dot.

#[path = "planted/device.rs"]
mod device;
#[path = "planted/kept.rs"]
mod kept;

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use fief_sdk::storage::{
    Access, Attachment, Clones, FileNode, Format, PoolInfo, Preallocation, Renames, Snapshot, Snapshots,
    StorageBackend, Style, Volume, VolumeSpec,
};
use fief_sdk::{Directory, DirectoryAccess, Error, ErrorCode, Interface, Permission, Result, images};

use device::Device;

fief_sdk::plugin! {
    storage: Planted with snapshots, clones, renames, fences, notes, block(Device);
    id: "hostile-planted",
    summary: "makes one mistake, for a test",
    permissions: [
        Permission::interface(Interface::Images, "makes volumes"),
        Permission::directory(DirectoryAccess::ReadWrite, "keeps volumes"),
    ],
}

fief_sdk::settings! {
    pub struct Settings {
        /// The directory grant that volumes lie in.
        directory: Directory = "volumes",
        /// The mistake; none.
        mistake: String = "",
        /// Whether attach says that the plugin serves its volumes.
        served: bool = "false",
    }
}

struct Planted;

type Pool = fief_sdk::storage::Pool<Settings>;

fn errs(pool: &Pool, mistake: &str) -> bool {
    pool.settings.mistake == mistake
}

fn file(pool: &Pool, name: &str) -> String {
    let mut name = name.to_owned();
    if errs(pool, "names-cut") {
        name.truncate(60);
    }
    if errs(pool, "names-alike") {
        name = name.to_lowercase();
    }
    match name.strip_suffix(".raw") {
        Some(stem) if errs(pool, "names-of-files") => format!("{stem}.raw"),
        Some(_) | None => format!("{name}.raw"),
    }
}

fn path(pool: &Pool, file: &str) -> PathBuf {
    pool.settings.directory.path().join(file)
}

fn directory(pool: &Pool) -> &str {
    pool.settings.directory.name()
}

fn volume(name: &str, size: u64) -> Volume {
    Volume { name: name.to_owned(), size, allocated: None, format: Format::Raw, backing: None }
}

fn io(error: &std::io::Error) -> Error {
    Error::from_io(error, "cannot look at the volumes")
}

fn names(pool: &Pool) -> Result<Vec<String>> {
    let names = fief_sdk::directory::names(&pool.settings.directory.path());
    match names {
        Err(error) if errs(pool, "settings-trap") => panic!("{error}"),
        Err(_) if errs(pool, "unlisted-is-empty") => Ok(Vec::new()),
        names => names.map_err(|error| io(&error)),
    }
}

fn size_of(pool: &Pool, name: &str) -> Result<Option<u64>> {
    match fs::metadata(path(pool, &file(pool, name))) {
        Ok(facts) => Ok(Some(facts.len())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(_) if errs(pool, "unread-is-absent") => Ok(None),
        Err(error) if errs(pool, "files-trap") => panic!("{error}"),
        Err(error) if errs(pool, "files-stay") => {
            fs::write(path(pool, ".broken"), "for good").map_err(|error| io(&error))?;
            Err(io(&error))
        }
        Err(error) => Err(io(&error)),
    }
}

fn exists(pool: &Pool, file: &str) -> Result<bool> {
    fs::exists(path(pool, file)).map_err(|error| io(&error))
}

fn existing(pool: &Pool, name: &str) -> Result<u64> {
    size_of(pool, name)?.ok_or_else(|| Error::not_found(format!("there is no volume {name}")))
}

/// What the host said, with the mistakes that are about that.
fn heard<T>(pool: &Pool, result: Result<T>, done: impl FnOnce() -> T) -> Result<T> {
    match result {
        Err(_) if errs(pool, "errors-swallowed") => Ok(done()),
        Err(error) if errs(pool, "errors-trap") => panic!("{}", error.message),
        Err(error) if errs(pool, "timeouts-trap") && error.code == ErrorCode::Timeout => panic!("{}", error.message),
        Err(error) if errs(pool, "errors-stay") => {
            fs::write(path(pool, ".broken"), "for good").map_err(|error| io(&error))?;
            Err(error)
        }
        other => other,
    }
}

fn copy(pool: &Pool, from: &str, to: &str) -> Result<()> {
    images::copy(directory(pool), from, None, to, Format::Raw).map(drop)
}

impl StorageBackend for Planted {
    type Settings = Settings;

    fn info(pool: &Pool) -> Result<PoolInfo> {
        let room = heard(pool, images::space(directory(pool)), || images::SpaceInfo { capacity: 1, available: 1 })?;
        let count = names(pool)?.len();
        Ok(PoolInfo {
            identity: if errs(pool, "identity-changes") { format!("planted:{count}") } else { "planted".into() },
            capacity: Some(room.capacity),
            available: Some(if errs(pool, "available-invented") { room.capacity + 1 } else { room.available }),
            reachable_from_peers: false,
            max_name: 120,
        })
    }

    fn all(pool: &Pool) -> Result<Vec<Volume>> {
        let names = names(pool)?;
        let names: Vec<&str> =
            names.iter().filter(|name| !name.starts_with('.')).filter_map(|name| name.strip_suffix(".raw")).collect();
        if errs(pool, "list-races") {
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut all = Vec::new();
        for name in names {
            match size_of(pool, name)? {
                Some(size) => all.push(volume(name, size)),
                None if errs(pool, "list-races") => return Err(Error::io("a volume is gone")),
                None => {}
            }
        }
        if errs(pool, "list-forgets") {
            all.pop();
        }
        Ok(all)
    }

    fn find(pool: &Pool, name: &str) -> Result<Volume> {
        match size_of(pool, name)? {
            Some(size) => Ok(volume(name, size)),
            None if errs(pool, "find-invents") => Ok(volume(name, 1 << 20)),
            None if errs(pool, "find-confuses") => Err(Error::io("it cannot be read")),
            None => Err(Error::not_found(format!("there is no volume {name}"))),
        }
    }

    fn create(pool: &Pool, spec: &VolumeSpec) -> Result<Volume> {
        if spec.format != Format::Raw {
            return Err(Error::unsupported("volumes are raw here"));
        }
        if spec.name.len() > 120 && !errs(pool, "names-cut") {
            return Err(Error::invalid("names have 120 bytes at most"));
        }
        if exists(pool, ".broken")? {
            return Err(Error::corrupt("an earlier change was cut off"));
        }
        match size_of(pool, &spec.name)? {
            Some(_) if errs(pool, "create-once") => return Err(Error::already_exists("it is there")),
            Some(size) if errs(pool, "create-any-size") => return Ok(volume(&spec.name, size)),
            Some(size) if size == spec.size && errs(pool, "create-empties") => {
                let empty = fs::File::create(path(pool, &file(pool, &spec.name)));
                empty.and_then(|file| file.set_len(size)).map_err(|error| io(&error))?;
                return Ok(volume(&spec.name, size));
            }
            Some(size) if size == spec.size => return Ok(volume(&spec.name, size)),
            Some(size) => return Err(Error::already_exists(format!("it is there, with {size} bytes"))),
            None => {}
        }
        // What a deletion or a rename could not remove.
        kept::forget(pool, &spec.name)?;
        let wanted = if errs(pool, "create-small") { spec.size / 2 } else { spec.size };
        let made =
            images::create(directory(pool), &file(pool, &spec.name), Format::Raw, wanted, Preallocation::Sparse, None);
        heard(pool, made.map(drop), || ())?;
        Ok(volume(&spec.name, spec.size))
    }

    fn delete(pool: &Pool, name: &str) -> Result<()> {
        if size_of(pool, name)?.is_none() {
            return match errs(pool, "delete-once") {
                true => Err(Error::not_found("it is gone")),
                false => Ok(()),
            };
        }
        if errs(pool, "delete-lies") {
            return Ok(());
        }
        for clone in kept::clones_of(pool, name)? {
            if errs(pool, "linked-breaks") {
                images::delete(directory(pool), &file(pool, &clone))?;
            }
        }
        for snapshot in kept::snapshots(pool, name)? {
            images::delete(directory(pool), &kept::snapshot_file(name, &snapshot))?;
        }
        heard(pool, images::delete(directory(pool), &file(pool, name)), || ())?;
        // An error would bring the volume back, without what is gone already.
        let _ = kept::forget(pool, name);
        Ok(())
    }

    fn resize(pool: &Pool, name: &str, size: u64) -> Result<Volume> {
        let before = existing(pool, name)?;
        if size < before && errs(pool, "shrink-lies") {
            return Ok(volume(name, size));
        }
        if size < before {
            return Err(Error::invalid("volumes do not shrink"));
        }
        if !errs(pool, "resize-lies") {
            heard(pool, images::resize(directory(pool), &file(pool, name), size).map(drop), || ())?;
        }
        Ok(volume(name, size))
    }

    fn attach(pool: &Pool, name: &str, access: Access) -> Result<Attachment> {
        if !errs(pool, "attach-invents") {
            existing(pool, name)?;
        }
        if access == Access::Handover {
            return Err(Error::unsupported("no other host reaches it"));
        }
        if errs(pool, "attach-once") {
            let marker = path(pool, &format!(".{name}.attached"));
            if fs::exists(&marker).unwrap_or(false) {
                return Err(Error::in_use("somebody", "it is attached"));
            }
            fs::write(marker, "").map_err(|error| io(&error))?;
        }
        if pool.settings.served {
            return Ok(Attachment::Served);
        }
        let directory = if errs(pool, "attach-strays") { "elsewhere" } else { directory(pool) };
        Ok(Attachment::File(FileNode { directory: directory.into(), path: file(pool, name), format: Format::Raw }))
    }

    fn detach(pool: &Pool, name: &str) -> Result<()> {
        while errs(pool, "spins") {
            std::hint::black_box(name);
        }
        match errs(pool, "detach-fails") {
            true => existing(pool, name).and(Err(Error::wrong_state("it is not attached"))),
            false => Ok(()),
        }
    }
}

impl Renames for Planted {
    fn rename(pool: &Pool, name: &str, to: &str) -> Result<Volume> {
        let (from, there) = (size_of(pool, name)?, size_of(pool, to)?);
        match (from, there) {
            (Some(_), Some(_)) if errs(pool, "rename-replaces") => images::delete(directory(pool), &file(pool, to))?,
            (Some(_), Some(_)) => return Err(Error::already_exists("the name is taken")),
            (None, Some(size)) if !errs(pool, "rename-once") => {
                kept::forget(pool, name)?;
                return Ok(volume(to, size));
            }
            (None, _) if errs(pool, "rename-invents") => return Ok(volume(to, 1 << 20)),
            (None, _) => return Err(Error::not_found("there is no such volume")),
            (Some(_), None) => {}
        }
        if errs(pool, "rename-tears") {
            kept::move_to(pool, name, to)?;
        } else {
            kept::copy_to(pool, name, to)?;
        }
        if errs(pool, "rename-copies") {
            copy(pool, &file(pool, name), &file(pool, to))?;
        } else {
            heard(pool, images::rename(directory(pool), &file(pool, name), &file(pool, to)), || ())?;
        }
        // An error would give the volume its old name, without what is gone already.
        let _ = kept::forget(pool, name);
        Ok(volume(to, from.unwrap_or_default()))
    }
}

impl Clones for Planted {
    fn clone(pool: &Pool, source: &str, snapshot: Option<&str>, target: &str, style: Style) -> Result<Volume> {
        let size = existing(pool, source)?;
        if size_of(pool, target)?.is_some() {
            if !errs(pool, "clone-replaces") {
                return Err(Error::already_exists("the name is taken"));
            }
            images::delete(directory(pool), &file(pool, target))?;
        }
        let from = match snapshot {
            Some(snapshot) => kept::snapshot_file(source, snapshot),
            None => file(pool, source),
        };
        if errs(pool, "clone-empty") {
            images::create(directory(pool), &file(pool, target), Format::Raw, size, Preallocation::Sparse, None)?;
        } else {
            heard(pool, copy(pool, &from, &file(pool, target)), || ())?;
        }
        if style == Style::Linked {
            kept::note_clone(pool, source, target)?;
        }
        Ok(volume(target, size))
    }
}

impl Snapshots for Planted {
    fn create(pool: &Pool, volume: &str, name: &str) -> Result<Snapshot> {
        existing(pool, volume)?;
        let kept = kept::snapshot_file(volume, name);
        if exists(pool, &kept)? {
            if !errs(pool, "snapshot-replaces") {
                return Err(Error::already_exists("there is a snapshot of that name"));
            }
            images::delete(directory(pool), &kept)?;
        }
        heard(pool, copy(pool, &file(pool, volume), &kept), || ())?;
        Ok(Snapshot { name: name.to_owned(), created: 0 })
    }

    fn delete(pool: &Pool, volume: &str, name: &str) -> Result<()> {
        let kept = kept::snapshot_file(volume, name);
        if errs(pool, "snapshot-delete-once") && !exists(pool, &kept)? {
            return Err(Error::not_found("there is no such snapshot"));
        }
        match images::delete(directory(pool), &kept) {
            Err(_) if errs(pool, "snapshot-delete-lies") => Ok(()),
            done => done,
        }
    }

    fn revert(pool: &Pool, volume: &str, name: &str) -> Result<()> {
        let kept = kept::snapshot_file(volume, name);
        if errs(pool, "revert-lies") {
            return Ok(());
        }
        if !exists(pool, &kept)? {
            return Err(Error::not_found("there is no such snapshot"));
        }
        if errs(pool, "revert-tears") {
            fs::remove_file(path(pool, &file(pool, volume))).map_err(|error| io(&error))?;
        }
        images::delete(directory(pool), &file(pool, volume))?;
        match copy(pool, &kept, &file(pool, volume)) {
            Err(_) if errs(pool, "revert-swallows") => Ok(()),
            done => done,
        }
    }

    fn all(pool: &Pool, volume: &str) -> Result<Vec<Snapshot>> {
        existing(pool, volume)?;
        let mut all = kept::snapshots(pool, volume)?;
        if errs(pool, "snapshots-forgotten") {
            all.pop();
        }
        Ok(all.into_iter().map(|name| Snapshot { name, created: 0 }).collect())
    }
}
