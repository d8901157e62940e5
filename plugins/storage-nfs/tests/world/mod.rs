//! A real server, and the thread of a test where it can be reached.
#![allow(dead_code)] // Each test is a program of its own and uses a part.

pub mod proxy;
pub mod walk;

use std::fs;

use fief_sdk::block::Holder;
use fief_sdk::settings::Setting;
use fief_sdk::storage::{Format, Pool, Preallocation, VolumeSpec};
use fief_sdk::{Settings as _, native};
use fief_tests::ganesha::Versions;
use fief_tests::{Ganesha, Namespace};
use storage_nfs::Settings;

/// Where the calling thread reaches the server.
pub struct World {
    pub server: Ganesha,
    _here: Namespace,
}

impl World {
    pub fn new(versions: Versions) -> World {
        World::of(|here| Ganesha::start(here, versions))
    }

    pub fn with_room(versions: Versions, room: u64) -> World {
        World::of(|here| Ganesha::with_room(here, versions, Some(room)))
    }

    fn of(start: impl FnOnce(&Namespace) -> Ganesha) -> World {
        let here = Namespace::new();
        let server = start(&here);
        here.enter();
        native::grant("server", &format!("{}:{}", server.address(), server.port()));
        native::grant("mount", &format!("{}:{}", server.address(), server.mount_port()));
        World { server, _here: here }
    }

    pub fn pool(&self, more: &[(&str, &str)]) -> Pool<Settings> {
        let mut written: Vec<Setting> =
            self.server.settings().into_iter().map(|(key, value)| Setting { key: key.into(), value }).collect();
        written.extend(more.iter().map(|(key, value)| Setting { key: (*key).into(), value: (*value).into() }));
        Pool { name: "nas".into(), settings: Settings::read(&written).unwrap() }
    }

    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.server.export())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

pub fn spec(name: &str, size: u64, format: Format) -> VolumeSpec {
    VolumeSpec { name: name.into(), size, format, preallocation: Preallocation::Sparse }
}

pub fn holder(host: &str, generation: u64) -> Holder {
    Holder { host: host.into(), name: format!("{host}.example"), domain: "web".into(), generation }
}
