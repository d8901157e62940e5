//! Keeps volumes as files, and asks a register on a server about each of them, rightly, but for one mistake that the setting
//! `mistake` names: what `fief plugin test` has to find where streams break or fall silent.

#[path = "planted_remote/device.rs"]
mod device;

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use fief_sdk::connections::Connection;
use fief_sdk::storage::{
    Access, Attachment, FileNode, Format, PoolInfo, Preallocation, StorageBackend, Volume, VolumeSpec,
};
use fief_sdk::{Directory, DirectoryAccess, Error, ErrorCode, Interface, Permission, Result, images};

use device::Device;

fief_sdk::plugin! {
    storage: Planted with block(Device);
    id: "hostile-planted-remote",
    summary: "makes one mistake with a server, for a test",
    permissions: [
        Permission::interface(Interface::Images, "makes volumes"),
        Permission::directory(DirectoryAccess::ReadWrite, "keeps volumes"),
        Permission::connect("register", "{server}:{port}", "asks about volumes"),
    ],
}

fief_sdk::settings! {
    pub struct Settings {
        /// The directory grant that volumes lie in.
        directory: Directory = "volumes",
        /// Of the register.
        server: String = "127.0.0.1",
        /// Its TCP port.
        port: u16 = "4",
        /// The mistake; none.
        mistake: String = "",
    }
}

/// Of a length, in decimal digits.
const HEAD: u32 = 8;

struct Planted;

type Pool = fief_sdk::storage::Pool<Settings>;

fn errs(pool: &Pool, mistake: &str) -> bool {
    pool.settings.mistake == mistake
}

fn path(pool: &Pool, file: &str) -> PathBuf {
    pool.settings.directory.path().join(file)
}

fn io(error: &std::io::Error) -> Error {
    Error::from_io(error, "cannot look at the volumes")
}

/// So many bytes more.
fn read(pool: &Pool, stream: &Connection, length: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let more = stream.read((length - bytes.len()) as u32)?;
        let ended = more.is_empty();
        bytes.extend(more);
        if errs(pool, "read-once") {
            break;
        }
        if ended {
            return Err(Error::unreachable("the register ended the stream"));
        }
    }
    Ok(bytes)
}

fn answer(pool: &Pool, question: &str) -> Result<String> {
    match answered(pool, question) {
        Err(error) if error.code == ErrorCode::Timeout && errs(pool, "silent-twice") => answered(pool, question),
        Err(error) if error.code == ErrorCode::Timeout && errs(pool, "silent-is-broken") => {
            Err(Error::corrupt(error.message))
        }
        answer => answer,
    }
}

fn answered(pool: &Pool, question: &str) -> Result<String> {
    let stream = Connection::open("register")?;
    stream.write(format!("{question}\n").as_bytes())?;
    let corrupt = || Error::corrupt("the register's answer is none");
    let head = read(pool, &stream, HEAD as usize)?;
    let length = std::str::from_utf8(&head).ok().and_then(|head| head.parse().ok());
    let text = read(pool, &stream, length.ok_or_else(corrupt)?)?;
    String::from_utf8(text).map_err(|_| corrupt())
}

/// Whether the register knows the volume.
fn knows(pool: &Pool, verb: &str, volume: &str) -> Result<bool> {
    let question = format!("{verb} {volume}");
    match answer(pool, &question) {
        Ok(text) if text == format!("yes {question}") => Ok(true),
        Ok(_) => Err(Error::corrupt("the register answers something else")),
        Err(_) if errs(pool, "broken-is-no") => Ok(false),
        Err(error) if error.code == ErrorCode::Timeout && errs(pool, "silent-is-no") => Ok(false),
        Err(error) if errs(pool, "broken-traps") => panic!("{}", error.message),
        Err(error) if errs(pool, "broken-stays") => {
            fs::write(path(pool, ".broken"), "for good").map_err(|error| io(&error))?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

fn file(name: &str) -> String {
    format!("{name}.raw")
}

fn volume(name: &str, size: u64) -> Volume {
    Volume { name: name.to_owned(), size, allocated: None, format: Format::Raw, backing: None }
}

fn size_of(pool: &Pool, verb: &str, name: &str) -> Result<Option<u64>> {
    if fs::exists(path(pool, ".broken")).map_err(|error| io(&error))? {
        return Err(Error::corrupt("an earlier call was cut off"));
    }
    if !knows(pool, verb, name)? {
        return Ok(None);
    }
    match fs::metadata(path(pool, &file(name))) {
        Ok(facts) => Ok(Some(facts.len())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io(&error)),
    }
}

fn existing(pool: &Pool, verb: &str, name: &str) -> Result<u64> {
    size_of(pool, verb, name)?.ok_or_else(|| Error::not_found(format!("there is no volume {name}")))
}

impl StorageBackend for Planted {
    type Settings = Settings;

    fn info(pool: &Pool) -> Result<PoolInfo> {
        let room = images::space(pool.settings.directory.name())?;
        Ok(PoolInfo {
            identity: "planted-remote".into(),
            capacity: Some(room.capacity),
            available: Some(room.available),
            reachable_from_peers: false,
            max_name: 120,
        })
    }

    fn all(pool: &Pool) -> Result<Vec<Volume>> {
        let names = fief_sdk::directory::names(&pool.settings.directory.path()).map_err(|error| io(&error))?;
        let mut all = Vec::new();
        for name in names.iter().filter_map(|name| name.strip_suffix(".raw")) {
            all.extend(size_of(pool, "list", name)?.map(|size| volume(name, size)));
        }
        Ok(all)
    }

    fn find(pool: &Pool, name: &str) -> Result<Volume> {
        existing(pool, "find", name).map(|size| volume(name, size))
    }

    fn create(pool: &Pool, spec: &VolumeSpec) -> Result<Volume> {
        if spec.format != Format::Raw {
            return Err(Error::unsupported("volumes are raw here"));
        }
        if spec.name.len() > 120 {
            return Err(Error::invalid("names have 120 bytes at most"));
        }
        match size_of(pool, "create", &spec.name)? {
            Some(size) if size == spec.size => return Ok(volume(&spec.name, size)),
            Some(size) => return Err(Error::already_exists(format!("it is there, with {size} bytes"))),
            None => {}
        }
        let (directory, file) = (pool.settings.directory.name(), file(&spec.name));
        images::create(directory, &file, Format::Raw, spec.size, Preallocation::Sparse, None)?;
        match knows(pool, "made", &spec.name) {
            Ok(_) => Ok(volume(&spec.name, spec.size)),
            Err(error) => Err(error),
        }
    }

    fn delete(pool: &Pool, name: &str) -> Result<()> {
        match knows(pool, "delete", name) {
            Err(_) if errs(pool, "broken-is-done") => Ok(()),
            Err(error) => Err(error),
            Ok(_) => images::delete(pool.settings.directory.name(), &file(name)),
        }
    }

    fn resize(pool: &Pool, name: &str, size: u64) -> Result<Volume> {
        if size < existing(pool, "resize", name)? {
            return Err(Error::invalid("volumes do not shrink"));
        }
        images::resize(pool.settings.directory.name(), &file(name), size)?;
        Ok(volume(name, size))
    }

    fn attach(pool: &Pool, name: &str, access: Access) -> Result<Attachment> {
        existing(pool, "attach", name)?;
        if access == Access::Handover {
            return Err(Error::unsupported("no other host reaches it"));
        }
        let directory = pool.settings.directory.name().to_owned();
        Ok(Attachment::File(FileNode { directory, path: file(name), format: Format::Raw }))
    }

    fn detach(_: &Pool, _: &str) -> Result<()> {
        Ok(())
    }
}
