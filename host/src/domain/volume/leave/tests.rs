//! Real QEMU whose guest writes all the while, and both ends of a copy in one process.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{DuplexStream, duplex};

use super::*;
use crate::config::domain::DiskDevice;
use crate::gate::operation::ImageFormat;
use crate::hypervisor::qemu::qmp::RunState;
use crate::hypervisor::qemu::tests::{Bench, writable};
use crate::migration::copying::{Arrived, receive};

/// The witness of the end-to-end tests: it counts, and each count is a write.
#[allow(dead_code)]
#[path = "../../../../../tests/src/witness/code.rs"]
mod code;

#[allow(dead_code)]
enum Temper {
    StandsStill,
    TriesAgain,
    ReadsBack,
}

const LONG: Duration = Duration::from_secs(60);
const SIZE: usize = 8 << 20;

/// A disk that starts with it, with something behind.
fn witness() -> Vec<u8> {
    let mut disk = vec![0; SIZE];
    disk[..512].copy_from_slice(&code::sector(Temper::StandsStill));
    disk[4 << 20..5 << 20].fill(7);
    disk
}

fn counter(path: &Path) -> u32 {
    let mut bytes = [0; 4];
    File::open(path).unwrap().read_exact_at(&mut bytes, 512 + 8).unwrap();
    u32::from_le_bytes(bytes)
}

async fn counts(path: &Path, more: u32) {
    let (from, until) = (counter(path), Instant::now() + LONG);
    while counter(path) < from.saturating_add(more) {
        assert!(Instant::now() < until, "the guest does not write");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Takes one disk into a new file.
fn taken(path: &Path, stream: DuplexStream) -> tokio::task::JoinHandle<Result<Arrived>> {
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    file.set_len(SIZE as u64).unwrap();
    let disk = Arc::new(Disk::file(file).unwrap());
    tokio::spawn(async move { receive(stream, disk, false, &Progress::default()).await })
}

fn qcow2(path: &Path, words: &[&str]) {
    let run = |program: &str, words: &[&str]| {
        let done = std::process::Command::new(program).args(words).arg(path).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-o", "size=8M"]);
    for word in words {
        run("qemu-io", &["-f", "qcow2", "-c", word]);
    }
}

#[tokio::test]
async fn a_guest_writes_meanwhile_and_its_disks_come_to_be_the_same() {
    let mut bench = Bench::new();
    let source = bench.file("witness.raw", &witness());
    bench.add_disk(DiskDevice::Disk, vec![(ImageFormat::Raw, writable(&source))], false);
    let other = bench.path("other.qcow2");
    qcow2(&other, &["write -P 9 3M 100k"]);
    bench.add_disk(DiskDevice::Disk, vec![(ImageFormat::Qcow2, writable(&other))], false);
    bench.start().unwrap();
    let (monitor, _events) = bench.connect().await;
    monitor.resume().await.unwrap();
    counts(&source, 2).await;

    let (to, to_other) = (bench.path("to.raw"), bench.path("to-other.raw"));
    let ((here, there), (here_other, there_other)) = (duplex(64 << 10), duplex(64 << 10));
    let arriving = [taken(&to, there), taken(&to_other, there_other)];
    let (pace, progress) = (Arc::new(Pace::default()), Arc::new(Progress::default()));
    let disks = vec![(0, here), (1, here_other)];
    let mut leaving = Leaving::begin(&monitor, &bench.folder(), disks, &pace, &progress).await.unwrap();
    let first = leaving.round().await.unwrap();
    assert!(((1 << 20) + (100 << 10)..=2 << 20).contains(&first), "{first}");
    for _ in 0..3 {
        counts(&source, 2).await;
        // The block that the witness counts in, and its code beside it.
        assert_eq!(leaving.round().await.unwrap(), 4096);
    }
    monitor.pause().await.unwrap();
    leaving.round().await.unwrap();
    assert_eq!(leaving.round().await.unwrap(), 0, "a guest that stands still wrote");
    leaving.end().await.unwrap();
    for arrived in arriving {
        assert_eq!(arrived.await.unwrap().unwrap().size, SIZE as u64);
    }
    assert!(std::fs::read(&source).unwrap() == std::fs::read(&to).unwrap());
    let mut expected = vec![0; SIZE];
    expected[3 << 20..(3 << 20) + (100 << 10)].fill(9);
    assert!(std::fs::read(&to_other).unwrap() == expected);
    // Given up or not, it goes on as before.
    monitor.resume().await.unwrap();
    counts(&source, 2).await;
}

#[tokio::test]
async fn what_a_supervisor_that_was_killed_had_begun_is_cleared_away_below_a_guest_that_goes_on() {
    let mut bench = Bench::new();
    let source = bench.file("witness.raw", &witness());
    bench.add_disk(DiskDevice::Disk, vec![(ImageFormat::Raw, writable(&source))], false);
    bench.start().unwrap();
    let (monitor, events) = bench.connect().await;
    monitor.resume().await.unwrap();
    let (pace, progress) = (Arc::new(Pace::default()), Arc::new(Progress::default()));
    for round in 0..2 {
        let (here, there) = duplex(64 << 10);
        let arriving = taken(&bench.path(&format!("to{round}")), there);
        let disks = vec![(0, here)];
        let mut leaving = Leaving::begin(&monitor, &bench.folder(), disks, &pace, &progress).await.unwrap();
        leaving.round().await.unwrap();
        leaving.round().await.unwrap();
        drop(leaving);
        assert!(arriving.await.unwrap().is_err());
        clear(&monitor, &bench.folder()).await.unwrap();
        assert!(!bench.folder().join(SOCKET).exists());
        counts(&source, 1).await;
    }
    let (here, there) = duplex(64 << 10);
    let arriving = taken(&bench.path("to"), there);
    let mut leaving = Leaving::begin(&monitor, &bench.folder(), vec![(0, here)], &pace, &progress).await.unwrap();
    leaving.round().await.unwrap();
    leaving.round().await.unwrap();
    // Nobody says goodbye.
    drop((leaving, monitor, events));
    assert!(arriving.await.unwrap().is_err());
    let (monitor, _events) = bench.connect().await;
    clear(&monitor, &bench.folder()).await.unwrap();
    clear(&monitor, &bench.folder()).await.unwrap();
    assert_eq!(monitor.status().await.unwrap(), RunState::Running);
    counts(&source, 2).await;
}
