//! A target and a pool that leads to it, for one test on one thread.

use std::time::{Duration, Instant};

use fief_sdk::block::{BlockDevice, Event, Holder};
use fief_sdk::settings::{Setting, Settings as _};
use fief_sdk::storage::{Access, Pool, StorageBackend};
use fief_sdk::{Error, Result, native, timer};
use fief_tests::tgt::Target;
use fief_tests::{Namespace, Tgt};
use storage_iscsi::StorageIscsi;
use storage_iscsi::block::Disk;
use storage_iscsi::settings::{IscsiPool, Settings};

pub const TARGET: &str = "iqn.2026-01.test:disks";
pub const MIB: u64 = 1 << 20;

/// For what a machine under load does late.
pub const PATIENCE: Duration = Duration::from_secs(90);

pub struct Bed {
    pub tgt: Tgt,
    pub target: Target,
    _namespace: Namespace,
}

impl Bed {
    /// A target with no disks; this thread is in its network.
    pub fn new() -> Bed {
        let namespace = Namespace::new();
        let mut tgt = Tgt::start(&namespace, "127.0.0.1");
        let target = tgt.target(TARGET);
        namespace.enter();
        native::grant("portal", tgt.portal());
        Bed { tgt, target, _namespace: namespace }
    }

    /// With `lun1` of so many bytes.
    pub fn with_disk(bytes: u64) -> Bed {
        let mut bed = Bed::new();
        bed.tgt.disk(bed.target, 1, bytes);
        bed
    }
}

/// A pool with these settings beside the ones that every pool has.
pub fn pool(written: &[(&str, &str)]) -> IscsiPool {
    let all = [("portal", "127.0.0.1"), ("target", TARGET)].into_iter().chain(written.iter().copied());
    let mut settings: Vec<Setting> = Vec::new();
    for (key, value) in all {
        settings.retain(|setting| setting.key != key);
        settings.push(Setting { key: key.into(), value: value.into() });
    }
    Pool { name: "san".into(), settings: Settings::read(&settings).unwrap() }
}

pub fn holder(host: &str, domain: &str, generation: u64) -> Holder {
    Holder { host: host.into(), name: format!("host {host}"), domain: domain.into(), generation }
}

pub fn info(written: &[(&str, &str)]) -> Result<String> {
    StorageIscsi::info(&pool(written)).map(|info| info.identity)
}

/// `lun1`, opened by the holder `("a", "web", 1)`, which has taken it.
pub async fn open(written: &[(&str, &str)]) -> Disk {
    open_as(written, &holder("a", "web", 1)).await.unwrap()
}

pub async fn open_as(written: &[(&str, &str)], holder: &Holder) -> Result<Disk> {
    Disk::open(&pool(written), "lun1", Access::Exclusive, Some(holder)).await
}

/// The next event that is not the one to be expected on the way.
pub async fn event(disk: &Disk, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
    let until = Instant::now() + PATIENCE;
    loop {
        let event = soon(what, disk.next_event()).await;
        if wanted(&event) {
            return event;
        }
        assert!(Instant::now() < until, "{what}: not within {} s", PATIENCE.as_secs());
    }
}

/// The outcome, or a panic where it takes too long.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {} s", PATIENCE.as_secs()))
}

/// Bytes that tell where they belong.
pub fn pattern(offset: u64, length: u32, salt: u8) -> Vec<u8> {
    (0..u64::from(length)).map(|at| ((offset + at) / 512 + (offset + at) * 7) as u8 ^ salt).collect()
}

pub async fn wait(milliseconds: u32) {
    timer::wait(milliseconds).await;
}

pub fn message(outcome: Result<impl Sized>) -> Error {
    match outcome {
        Ok(_) => panic!("it should not have worked"),
        Err(error) => error,
    }
}
