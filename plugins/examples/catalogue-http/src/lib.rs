//! Images of an HTTP server as volumes, read where they lie, and writable volumes on top of them that keep on this host what
//! was changed.
//!
//! ```text
//!   index.json on the server  ─▸ index    which images there are
//!   an image there            ─▸ image    read in ranges, never mixed with what it was changed into
//!   NAME.image in a directory ─▸ pin      which bytes this host knows by that name
//!                                known    whether they are still there
//!   NAME.overlay beside it    ─▸ overlay  what was written on top of an image
//!                                device   both of them, served
//! ```
//! README.md is for those who use it.

mod device;
mod facts;
mod folder;
mod image;
mod index;
mod known;
mod overlay;
mod pin;

use fief_sdk::storage::{
    Access, Attachment, Clones, Pool, PoolInfo, Renames, StorageBackend, Style, Volume, VolumeSpec,
};
use fief_sdk::{Directory, DirectoryAccess, Error, Permission, Result, image_name};
use plain_http::{Once, now};

pub use crate::device::Device;
use crate::folder::Folder;
use crate::index::Entry;
pub use crate::overlay::{CLUSTER, DATA};

/// The grant by which the server is reached.
const SERVER: &str = "server";

fief_sdk::plugin! {
    storage: Catalogue with clones, renames, block(Device);
    id: "catalogue-http",
    summary: "images of an HTTP server, and volumes on top of them that keep on this host what was changed",
    permissions: [
        Permission::connect(SERVER, "{server}:{port}", "reads the index and the images on the HTTP server"),
        Permission::directory(DirectoryAccess::ReadWrite, "keeps what guests change, and notes which images it stands on"),
    ],
}

fief_sdk::settings! {
    /// Of a pool.
    pub struct Settings {
        /// Name or address of the HTTP server.
        server: String,
        /// Its TCP port.
        port: u16 = "80",
        /// Path of the index on the server; images lie beside it, or below.
        index: String = "/index.json",
        /// The directory grant that keeps what is changed, for this pool alone.
        directory: Directory,
        /// Streams to the server for each volume that is in use, 1 to 16.
        connections: u8 = "4",
    }
}

pub struct Catalogue;

type HttpPool = Pool<Settings>;

impl StorageBackend for Catalogue {
    type Settings = Settings;

    fn info(pool: &HttpPool) -> Result<PoolInfo> {
        let settings = &pool.settings;
        if !(1..=16).contains(&settings.connections) {
            return Err(Error::invalid("setting connections: it is 1 to 16"));
        }
        index(pool)?;
        Folder::of(settings).overlays()?;
        Ok(PoolInfo {
            // What was changed lies on this host: no other one reaches the same volumes.
            identity: format!("directory:{}", settings.directory.name()),
            capacity: None,
            available: None,
            reachable_from_peers: false,
            max_name: image_name::LONGEST,
        })
    }

    fn all(pool: &HttpPool) -> Result<Vec<Volume>> {
        let folder = Folder::of(&pool.settings);
        let mut all = Vec::new();
        for name in folder.overlays()? {
            match folder.overlay(&name) {
                Ok(overlay) => all.push(facts::of_overlay(&name, &overlay)),
                Err(error) => fief_sdk::warn!("left out of the list", volume = name, cause = error.message),
            }
        }
        for entry in index(pool)? {
            match all.iter().any(|volume| volume.name == entry.image.name) {
                false => all.push(facts::of_image(&entry.image)),
                true => fief_sdk::warn!("a volume here hides the image of its name", image = entry.image.name),
            }
        }
        Ok(all)
    }

    fn find(pool: &HttpPool, name: &str) -> Result<Volume> {
        let folder = Folder::of(&pool.settings);
        match folder.has(name)? {
            true => Ok(facts::of_overlay(name, &folder.overlay(name)?)),
            false => Ok(facts::of_image(&listed(pool, name)?.image)),
        }
    }

    fn create(pool: &HttpPool, spec: &VolumeSpec) -> Result<Volume> {
        Err(Error::unsupported(format!(
            "a volume of a catalogue stands on one of its images: fief volume clone --linked {0}/IMAGE {0}/{1}",
            pool.name, spec.name
        )))
    }

    fn delete(pool: &HttpPool, name: &str) -> Result<()> {
        let folder = Folder::of(&pool.settings);
        if folder.has(name)? {
            return folder.remove(name);
        }
        if index(pool)?.iter().any(|entry| entry.image.name == name) {
            return Err(Error::unsupported(format!("image {name} is the server's, and is deleted there")));
        }
        Ok(())
    }

    fn resize(pool: &HttpPool, name: &str, size: u64) -> Result<Volume> {
        let folder = Folder::of(&pool.settings);
        if !folder.has(name)? {
            listed(pool, name)?;
            return Err(Error::unsupported(format!("image {name} is the server's; a linked clone of it can grow")));
        }
        let before = folder.overlay(name)?;
        let size = size.next_multiple_of(facts::SECTOR);
        if size < before.size {
            return Err(Error::invalid(format!("volume {name} has {} bytes and cannot shrink", before.size)));
        }
        folder.grow(name, size)?;
        Ok(facts::of_overlay(name, &folder.overlay(name)?))
    }

    fn attach(pool: &HttpPool, name: &str, access: Access) -> Result<Attachment> {
        let folder = Folder::of(&pool.settings);
        let overlay = folder.has(name)?;
        match (overlay, access) {
            (_, Access::ReadOnly) | (true, Access::Exclusive) => {}
            (false, Access::Exclusive) => {
                return Err(Error::denied(format!(
                    "image {name} is only read; what is to be written is a clone: fief volume clone --linked {0}/{name} {0}/NEW",
                    pool.name
                )));
            }
            (_, Access::Handover) => {
                return Err(Error::unsupported(format!("what is changed of volume {name} lies on this host alone")));
            }
        }
        let base = if overlay { Some(folder.overlay(name)?.base) } else { None };
        // Now, where the operator sees what is wrong, and not when the guest reads.
        now(known::right(
            &Once::new(SERVER),
            &pool.settings,
            base.as_ref().map_or(name, |base| &base.name),
            base.as_ref(),
        ))?;
        Ok(Attachment::Served)
    }
}

impl Clones for Catalogue {
    fn clone(pool: &HttpPool, source: &str, snapshot: Option<&str>, target: &str, style: Style) -> Result<Volume> {
        let folder = Folder::of(&pool.settings);
        if style == Style::Full || snapshot.is_some() {
            return Err(Error::unsupported(
                "clones in a catalogue are linked (--linked); `fief volume copy` makes a full one in another pool",
            ));
        }
        if folder.has(source)? {
            return Err(Error::unsupported(format!("volume {source} is no image: clones stand on images alone")));
        }
        let entries = index(pool)?;
        if entries.iter().any(|entry| entry.image.name == target) || folder.has(target)? {
            return Err(Error::already_exists(format!("volume {target} is there already")));
        }
        let base = now(known::right(&Once::new(SERVER), &pool.settings, source, None))?;
        folder.create(target, &base.image)?;
        Ok(facts::of_overlay(target, &folder.overlay(target)?))
    }
}

impl Renames for Catalogue {
    fn rename(pool: &HttpPool, name: &str, to: &str) -> Result<Volume> {
        let folder = Folder::of(&pool.settings);
        match (folder.has(name)?, folder.has(to)?) {
            (true, true) => return Err(Error::already_exists(format!("volume {to} is there already"))),
            (true, false) => {
                if index(pool)?.iter().any(|entry| entry.image.name == to) {
                    return Err(Error::already_exists(format!("{to} is the name of an image of the catalogue")));
                }
                folder.rename(name, to)?;
            }
            (false, true) => {}
            (false, false) => {
                listed(pool, name)?;
                return Err(Error::unsupported(format!("image {name} is named by the server")));
            }
        }
        Ok(facts::of_overlay(to, &folder.overlay(to)?))
    }
}

fn index(pool: &HttpPool) -> Result<Vec<Entry>> {
    now(index::fetch(&Once::new(SERVER), &pool.settings))
}

/// The image of that name in the index, or `not-found`.
fn listed(pool: &HttpPool, name: &str) -> Result<Entry> {
    now(index::find(&Once::new(SERVER), &pool.settings, name))
}
