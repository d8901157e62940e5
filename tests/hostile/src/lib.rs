//! Plugins that misbehave: each is an example of this crate, built as a component, and stands for one family of
//! hostile behaviour. What the host must answer is in `tests/tests/hostile.rs`, one line for each.
//!
//! A plugin behaves in everything but one call: `list!` takes over `all`, `create!` takes over `create`, `detach!`
//! takes over `detach`, `up!` takes over a network's `up`. Families that Rust cannot express are core modules in `wat/`,
//! which the test appends to the well-behaved `calm`.

use fief_sdk::network::{BridgePort, Finding, Network, Nic, Port};
use fief_sdk::storage::{Access, Attachment, FileNode, Format, Pool, PoolInfo, Volume, VolumeSpec};
use fief_sdk::{Directory, Error, Result, images};

fief_sdk::settings! {
    /// Of every storage plugin here.
    pub struct Settings {
        /// The directory grant that the plugin misuses.
        directory: Directory = "loot",
        /// What it tries to reach there.
        path: String = "",
    }
}

fief_sdk::settings! {
    /// Of every network plugin here.
    pub struct Wanted {
        /// The link that the plugin misuses.
        link: String = "",
        /// Which function it misuses it with.
        function: String = "ensure",
    }
}

/// What a plugin answers where it behaves: a pool of raw files.
pub mod calm {
    use super::*;

    pub fn info(_: &Pool<Settings>) -> Result<PoolInfo> {
        facts("hostile")
    }
    pub fn facts(identity: &str) -> Result<PoolInfo> {
        Ok(PoolInfo {
            identity: identity.into(),
            capacity: None,
            available: None,
            reachable_from_peers: false,
            max_name: 64,
        })
    }
    pub fn find(_: &Pool<Settings>, name: &str) -> Result<Volume> {
        Ok(volume(name, 1 << 20))
    }
    pub fn create(pool: &Pool<Settings>, spec: &VolumeSpec) -> Result<Volume> {
        let directory = pool.settings.directory.name();
        let image = images::create(directory, &spec.name, Format::Raw, spec.size, spec.preallocation, None)?;
        Ok(volume(&spec.name, image.virtual_size))
    }
    pub fn delete(pool: &Pool<Settings>, name: &str) -> Result<()> {
        images::delete(pool.settings.directory.name(), name)
    }
    pub fn attach(pool: &Pool<Settings>, name: &str, _: Access) -> Result<Attachment> {
        let directory = pool.settings.directory.name().to_owned();
        Ok(Attachment::File(FileNode { directory, path: name.to_owned(), format: Format::Raw }))
    }
    pub fn plug(network: &Network<Wanted>, _: &Nic) -> Result<Port> {
        let bridge = network.bridge.clone();
        Ok(Port::Bridge(BridgePort { bridge, admit_address: None, mtu: None, vlan: None }))
    }
    pub fn check(_: &Network<Wanted>) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }
    pub fn volume(name: &str, size: u64) -> Volume {
        Volume { name: name.to_owned(), size, allocated: None, format: Format::Raw, backing: None }
    }
    pub fn unsupported<T>() -> Result<T> {
        Err(Error::unsupported("this plugin only misbehaves"))
    }
}

/// Declares a storage plugin that misbehaves in `all`.
#[macro_export]
macro_rules! list {
    ($id:literal, $attack:path) => {
        $crate::storage!($id, $attack, $crate::calm::create, |_, _| Ok(()));
    };
}

/// Declares a storage plugin that misbehaves in `create`.
#[macro_export]
macro_rules! create {
    ($id:literal, $attack:path) => {
        $crate::storage!($id, |_| Ok(Vec::new()), $attack, |_, _| Ok(()));
    };
}

/// Declares a storage plugin that misbehaves in `detach`.
#[macro_export]
macro_rules! detach {
    ($id:literal, $attack:path) => {
        $crate::storage!($id, |_| Ok(Vec::new()), $crate::calm::create, $attack);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! storage {
    ($id:literal, $all:expr, $create:expr, $detach:expr) => {
        $crate::backend!($all, $create, $detach);

        fief_sdk::plugin! {
            storage: Hostile;
            id: $id,
            summary: "misbehaves, for a test",
            permissions: [
                fief_sdk::Permission::interface(fief_sdk::Interface::Images, "misuses it"),
                fief_sdk::Permission::directory(fief_sdk::DirectoryAccess::ReadWrite, "tries to leave it"),
            ],
        }
    };
}

/// The backend alone, without exports and manifest.
#[doc(hidden)]
#[macro_export]
macro_rules! backend {
    ($all:expr, $create:expr, $detach:expr) => {
        struct Hostile;

        type HostilePool = fief_sdk::storage::Pool<$crate::Settings>;

        impl fief_sdk::storage::StorageBackend for Hostile {
            type Settings = $crate::Settings;
            fn info(pool: &HostilePool) -> fief_sdk::Result<fief_sdk::storage::PoolInfo> {
                $crate::calm::info(pool)
            }
            fn all(pool: &HostilePool) -> fief_sdk::Result<Vec<fief_sdk::storage::Volume>> {
                let all: fn(&HostilePool) -> fief_sdk::Result<Vec<fief_sdk::storage::Volume>> = $all;
                all(pool)
            }
            fn find(pool: &HostilePool, name: &str) -> fief_sdk::Result<fief_sdk::storage::Volume> {
                $crate::calm::find(pool, name)
            }
            fn create(
                pool: &HostilePool,
                spec: &fief_sdk::storage::VolumeSpec,
            ) -> fief_sdk::Result<fief_sdk::storage::Volume> {
                $create(pool, spec)
            }
            fn delete(pool: &HostilePool, name: &str) -> fief_sdk::Result<()> {
                $crate::calm::delete(pool, name)
            }
            fn resize(_: &HostilePool, _: &str, _: u64) -> fief_sdk::Result<fief_sdk::storage::Volume> {
                $crate::calm::unsupported()
            }
            fn attach(
                pool: &HostilePool,
                name: &str,
                access: fief_sdk::storage::Access,
            ) -> fief_sdk::Result<fief_sdk::storage::Attachment> {
                $crate::calm::attach(pool, name, access)
            }
            fn detach(pool: &HostilePool, name: &str) -> fief_sdk::Result<()> {
                let detach: fn(&HostilePool, &str) -> fief_sdk::Result<()> = $detach;
                detach(pool, name)
            }
        }
    };
}

/// Declares a network plugin that misbehaves in `up`.
#[macro_export]
macro_rules! up {
    ($id:literal, $attack:path) => {
        struct Hostile;

        impl fief_sdk::network::NetworkMode for Hostile {
            type Settings = $crate::Wanted;
            fn up(network: &fief_sdk::network::Network<$crate::Wanted>) -> fief_sdk::Result<()> {
                $attack(network)
            }
            fn plug(
                network: &fief_sdk::network::Network<$crate::Wanted>,
                nic: &fief_sdk::network::Nic,
            ) -> fief_sdk::Result<fief_sdk::network::Port> {
                $crate::calm::plug(network, nic)
            }
            fn check(
                network: &fief_sdk::network::Network<$crate::Wanted>,
            ) -> fief_sdk::Result<Vec<fief_sdk::network::Finding>> {
                $crate::calm::check(network)
            }
        }

        fief_sdk::plugin! {
            network: Hostile;
            id: $id,
            summary: "misbehaves, for a test",
            permissions: [fief_sdk::Permission::interface(fief_sdk::Interface::Bridges, "misuses it")],
        }
    };
}
