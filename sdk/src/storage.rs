//! Storage plugins: the traits that an author implements. What each function is for, when the host calls it and what an
//! error means is in [the crate's manual](crate#storage-plugins).

use crate::bindings::{backend, clones, fences, host, notes, renames, snapshots};
use crate::error::Result;
use crate::manifest::SettingKind;
use crate::settings::{Settings, Value};

pub use backend::exports::fief::storage::backend::{
    Attachment, FileNode, IscsiNode, NbdNode, NfsNode, PoolInfo, VolumeSpec,
};
pub use clones::exports::fief::storage::clones::Style;
pub use fences::exports::fief::storage::fences::{Fence, Kind as FenceKind};
pub use host::fief::storage::volumes::{Access, Format, Holder, Preallocation, Volume};
pub use snapshots::exports::fief::storage::snapshots::Snapshot;

/// The pool that a call is about.
#[derive(Debug, Clone)]
pub struct Pool<S> {
    /// Its name on this host.
    pub name: String,
    pub settings: S,
}

/// The setting `transport` of a plugin that goes more than one way, by that very key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// The host picks, and says one of the others in its place before a volume is attached. Asked with this, a plugin names a
    /// way of the hypervisor's own that surely works, or says `unsupported` and why there is none.
    Auto,
    /// By a client of the hypervisor's own.
    Native,
    /// By the plugin's [`block`](crate::block).
    Served,
}

impl Value for Transport {
    const KIND: SettingKind = SettingKind::String;
    fn parse(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(Transport::Auto),
            "native" => Ok(Transport::Native),
            "served" => Ok(Transport::Served),
            _ => Err(format!("{text:?} is none of auto, native and served")),
        }
    }
}

/// Where volumes live.
pub trait StorageBackend {
    type Settings: Settings;
    /// What the storage is and how much room it has.
    fn info(pool: &Pool<Self::Settings>) -> Result<PoolInfo>;
    /// Every volume of the pool.
    fn all(pool: &Pool<Self::Settings>) -> Result<Vec<Volume>>;
    /// One volume; `not-found` where there is none of that name.
    fn find(pool: &Pool<Self::Settings>, name: &str) -> Result<Volume>;
    /// A new volume. The same name and size again is the same volume.
    fn create(pool: &Pool<Self::Settings>, spec: &VolumeSpec) -> Result<Volume>;
    /// Removes a volume; an absent one is already removed.
    fn delete(pool: &Pool<Self::Settings>, name: &str) -> Result<()>;
    /// Changes the size, in bytes.
    fn resize(pool: &Pool<Self::Settings>, name: &str, size: u64) -> Result<Volume>;
    /// How a domain reaches a volume.
    fn attach(pool: &Pool<Self::Settings>, name: &str, access: Access) -> Result<Attachment>;
    /// The domain has let go of it.
    fn detach(pool: &Pool<Self::Settings>, name: &str) -> Result<()> {
        let _ = (pool, name);
        Ok(())
    }
}

/// Optional: point-in-time copies kept with a volume.
pub trait Snapshots: StorageBackend {
    fn create(pool: &Pool<Self::Settings>, volume: &str, name: &str) -> Result<Snapshot>;
    /// An absent snapshot is already removed.
    fn delete(pool: &Pool<Self::Settings>, volume: &str, name: &str) -> Result<()>;
    fn revert(pool: &Pool<Self::Settings>, volume: &str, name: &str) -> Result<()>;
    fn all(pool: &Pool<Self::Settings>, volume: &str) -> Result<Vec<Snapshot>>;
}

/// Optional: new volumes from old ones.
pub trait Clones: StorageBackend {
    fn clone(
        pool: &Pool<Self::Settings>,
        source: &str,
        snapshot: Option<&str>,
        target: &str,
        style: Style,
    ) -> Result<Volume>;
}

/// Optional: other names for volumes.
pub trait Renames: StorageBackend {
    /// From now on the volume is called `to`; `already-exists` where another is. Said again after it was cut off, it goes on
    /// from there: where there is `to` and no `name`, that is the volume.
    fn rename(pool: &Pool<Self::Settings>, name: &str, to: &str) -> Result<Volume>;
}

/// Optional: notes kept with a volume, by which two hosts find out that they reach the very same one. A note is a number
/// below 2^56. Neither the volume's bytes nor its fence change by them.
pub trait Notes: StorageBackend {
    /// Beside those that are there; what is left over from long ago may go.
    fn leave(pool: &Pool<Self::Settings>, volume: &str, note: u64) -> Result<()>;
    /// All that there are, 64 at most; as the storage has it now.
    fn read(pool: &Pool<Self::Settings>, volume: &str) -> Result<Vec<u64>>;
    /// One that is absent is gone already.
    fn remove(pool: &Pool<Self::Settings>, volume: &str, note: u64) -> Result<()>;
}

/// Optional: who may write to a volume, kept with the volume itself.
pub trait Fences: StorageBackend {
    /// Who holds it now, and by what kind of fence.
    fn show(pool: &Pool<Self::Settings>, volume: &str) -> Result<Fence>;
    /// Takes it, or moves it on to a newer generation of the same host and domain. With `force` another's hold is broken.
    fn take(pool: &Pool<Self::Settings>, volume: &str, holder: &Holder, force: bool) -> Result<Fence>;
    /// Lets go of what `holder` holds.
    fn release(pool: &Pool<Self::Settings>, volume: &str, holder: &Holder) -> Result<()>;
}

pub(crate) fn read<S: Settings>(pool: host::fief::storage::volumes::Pool) -> Result<Pool<S>> {
    Ok(Pool { settings: S::read(&pool.settings)?, name: pool.name })
}

type RawPool = host::fief::storage::volumes::Pool;

impl<T: StorageBackend> backend::exports::fief::storage::backend::Guest for T {
    fn info(pool: RawPool) -> Result<PoolInfo> {
        <T as StorageBackend>::info(&read(pool)?)
    }
    fn all(pool: RawPool) -> Result<Vec<Volume>> {
        <T as StorageBackend>::all(&read(pool)?)
    }
    fn find(pool: RawPool, name: String) -> Result<Volume> {
        <T as StorageBackend>::find(&read(pool)?, &name)
    }
    fn create(pool: RawPool, spec: VolumeSpec) -> Result<Volume> {
        <T as StorageBackend>::create(&read(pool)?, &spec)
    }
    fn delete(pool: RawPool, name: String) -> Result<()> {
        <T as StorageBackend>::delete(&read(pool)?, &name)
    }
    fn resize(pool: RawPool, name: String, size: u64) -> Result<Volume> {
        <T as StorageBackend>::resize(&read(pool)?, &name, size)
    }
    fn attach(pool: RawPool, name: String, access: Access) -> Result<Attachment> {
        <T as StorageBackend>::attach(&read(pool)?, &name, access)
    }
    fn detach(pool: RawPool, name: String) -> Result<()> {
        <T as StorageBackend>::detach(&read(pool)?, &name)
    }
}

impl<T: Snapshots> snapshots::exports::fief::storage::snapshots::Guest for T {
    fn create(pool: RawPool, volume: String, name: String) -> Result<Snapshot> {
        <T as Snapshots>::create(&read(pool)?, &volume, &name)
    }
    fn delete(pool: RawPool, volume: String, name: String) -> Result<()> {
        <T as Snapshots>::delete(&read(pool)?, &volume, &name)
    }
    fn revert(pool: RawPool, volume: String, name: String) -> Result<()> {
        <T as Snapshots>::revert(&read(pool)?, &volume, &name)
    }
    fn all(pool: RawPool, volume: String) -> Result<Vec<Snapshot>> {
        <T as Snapshots>::all(&read(pool)?, &volume)
    }
}

impl<T: Clones> clones::exports::fief::storage::clones::Guest for T {
    fn clone(pool: RawPool, source: String, snapshot: Option<String>, target: String, style: Style) -> Result<Volume> {
        <T as Clones>::clone(&read(pool)?, &source, snapshot.as_deref(), &target, style)
    }
}

impl<T: Renames> renames::exports::fief::storage::renames::Guest for T {
    fn rename(pool: RawPool, name: String, to: String) -> Result<Volume> {
        <T as Renames>::rename(&read(pool)?, &name, &to)
    }
}

impl<T: Notes> notes::exports::fief::storage::notes::Guest for T {
    fn leave(pool: RawPool, volume: String, note: u64) -> Result<()> {
        <T as Notes>::leave(&read(pool)?, &volume, note)
    }
    fn read(pool: RawPool, volume: String) -> Result<Vec<u64>> {
        <T as Notes>::read(&read(pool)?, &volume)
    }
    fn remove(pool: RawPool, volume: String, note: u64) -> Result<()> {
        <T as Notes>::remove(&read(pool)?, &volume, note)
    }
}

impl<T: Fences> fences::exports::fief::storage::fences::Guest for T {
    fn show(pool: RawPool, volume: String) -> Result<Fence> {
        <T as Fences>::show(&read(pool)?, &volume)
    }
    fn take(pool: RawPool, volume: String, holder: Holder, force: bool) -> Result<Fence> {
        <T as Fences>::take(&read(pool)?, &volume, &holder, force)
    }
    fn release(pool: RawPool, volume: String, holder: Holder) -> Result<()> {
        <T as Fences>::release(&read(pool)?, &volume, &holder)
    }
}
