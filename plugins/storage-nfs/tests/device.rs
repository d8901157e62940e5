//! Volumes that are served, on a real server, natively: the same code as in the sandbox.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use fief_sdk::block::{BlockDevice, Event, Holder};
use fief_sdk::storage::{Access, Fences, Format, Pool, StorageBackend};
use fief_sdk::{ErrorCode, native, timer};
use fief_tests::Meddler;
use fief_tests::ganesha::Versions;
use fief_tests::meddler::{Lie, Protocol};
use futures_util::future::{Either, join_all, select};
use storage_nfs::{Device, Settings, StorageNfs};

mod world;
use world::proxy::Proxy;
use world::{World, holder, spec};

const SIZE: u64 = 16 << 20;

/// A volume, its lease taken.
fn volume(pool: &Pool<Settings>) -> Holder {
    StorageNfs::create(pool, &spec("disk", SIZE, Format::Raw)).unwrap();
    StorageNfs::take(pool, "disk", &holder("a", 1), false).unwrap();
    holder("a", 1)
}

async fn opened(pool: &Pool<Settings>, holder: &Holder) -> Device {
    Device::open(pool, "disk", Access::Exclusive, Some(holder)).await.unwrap()
}

fn block(number: u64, byte: u8) -> Vec<u8> {
    let mut block = vec![byte; 4096];
    block[..8].copy_from_slice(&number.to_be_bytes());
    block
}

/// Many writes at a time, each block once, in an order that jumps about.
async fn fill(device: &Device, blocks: u64, byte: u8) {
    let mut numbers = (0..blocks).collect::<Vec<_>>();
    while !numbers.is_empty() {
        let now: Vec<u64> = numbers.drain(..numbers.len().min(32)).collect();
        join_all(now.iter().map(|at| {
            let number = at * 7 % blocks;
            async move { device.write(number * 4096, block(number, byte), at % 16 == 0).await.unwrap() }
        }))
        .await;
    }
}

fn is_filled(world: &World, blocks: u64, byte: u8) {
    let disk = fs::read(world.server.export().join("disk")).unwrap();
    for number in 0..blocks {
        let at = usize::try_from(number).unwrap() * 4096;
        assert!(disk[at..at + 4096] == block(number, byte)[..], "block {number}");
    }
}

/// The next event that is not a mere sign of slowness.
async fn event(device: &Device, seconds: u64) -> Option<Event> {
    let until = Box::pin(timer::wait(u32::try_from(seconds * 1000).unwrap()));
    match select(Box::pin(device.next_event()), until).await {
        Either::Left((event, _)) => Some(event),
        Either::Right(_) => None,
    }
}

fn reads_and_writes(versions: Versions) {
    let world = World::new(versions);
    let pool = world.pool(&[]);
    let holder = volume(&pool);
    let holes = versions == Versions::Four;
    native::block_on(async {
        let device = opened(&pool, &holder).await;
        let geometry = device.geometry();
        assert_eq!((geometry.size, geometry.block_size, geometry.read_only), (SIZE, 512, false));
        assert_eq!((geometry.can_discard, geometry.can_extents), (holes, holes));
        fill(&device, 512, 7).await;
        device.flush().await.unwrap();
        is_filled(&world, 512, 7);
        let reads = join_all((0..64).map(|number| device.read(number * 4096, 4096))).await;
        for (number, read) in (0..).zip(reads) {
            assert_eq!(read.unwrap(), block(number, 7));
        }
        let large: Vec<u8> = (0..geometry.maximum_io).map(|at| (at / 512) as u8).collect();
        device.write(8 << 20, large.clone(), false).await.unwrap();
        assert_eq!(device.read(8 << 20, geometry.maximum_io).await.unwrap(), large);
        assert!(device.read(15 << 20, 4096).await.unwrap().iter().all(|byte| *byte == 0));

        let hole = device.write_zeroes(4096, 8192, false, true).await;
        if holes {
            hole.unwrap();
            assert!(device.read(4096, 8192).await.unwrap().iter().all(|byte| *byte == 0));
            device.discard(0, 4096).await.unwrap();
            let extents = device.extents(0, SIZE).await.unwrap();
            assert_eq!(extents.iter().map(|extent| extent.length).sum::<u64>(), SIZE);
            assert_eq!((extents[0].length, extents[0].hole, extents[1].hole), (12288, true, false));
            assert!(extents.last().unwrap().hole);
        } else {
            assert_eq!(hole.unwrap_err().code, ErrorCode::Unsupported);
        }

        StorageNfs::resize(&pool, "disk", SIZE + 1024).unwrap();
        assert_eq!(event(&device, 30).await, Some(Event::Resized(SIZE + 1024)));
        assert_eq!(device.geometry().size, SIZE + 1024);
        device.close().await.unwrap();
        assert!(device.read(0, 512).await.is_err());

        let reader = Device::open(&pool, "disk", Access::ReadOnly, None).await.unwrap();
        assert_eq!(reader.write(0, vec![1; 512], false).await.unwrap_err().code, ErrorCode::Denied);
        reader.read(0, 512).await.unwrap();
        reader.close().await.unwrap();
    });
}

#[test]
fn version_4_reads_writes_and_makes_holes() {
    reads_and_writes(Versions::Four);
}

#[test]
fn version_3_reads_and_writes() {
    reads_and_writes(Versions::Three);
}

/// What was answered as flushed is there after a restart that lost what was not: the file is put back to what it was
/// before the writes, as a machine that crashed would have it.
fn survives_a_restart(versions: Versions) {
    let mut world = World::new(versions);
    let pool = world.pool(&[]);
    let holder = volume(&pool);
    native::block_on(async {
        let device = opened(&pool, &holder).await;
        fill(&device, 256, 1).await;
        device.flush().await.unwrap();
        let safe = fs::read(world.server.export().join("disk")).unwrap();
        for number in 0..100 {
            device.write(number * 4096, block(number, 2), false).await.unwrap();
        }
        device.write(50 * 4096, block(50, 3), false).await.unwrap();
        world.server.kill();
        let file = fs::File::options().write(true).open(world.server.export().join("disk")).unwrap();
        file.write_all_at(&safe, 0).unwrap();
        let flush = device.flush();
        let restart = async {
            timer::wait(1500).await;
            world.server.restart();
        };
        let (flushed, ()) = futures_util::join!(flush, restart);
        flushed.unwrap();
        let disk = fs::read(world.server.export().join("disk")).unwrap();
        for number in 0..256 {
            let byte = if number == 50 { 3 } else { 1 + u8::from(number < 100) };
            let at = usize::try_from(number).unwrap() * 4096;
            assert!(disk[at..at + 4096] == block(number, byte)[..], "block {number}");
        }
        assert!(matches!(event(&device, 20).await, Some(Event::Degraded(_))));
        assert_eq!(event(&device, 20).await, Some(Event::Restored));
        device.close().await.unwrap();
    });
}

#[test]
fn what_was_flushed_is_there_after_the_server_crashed() {
    survives_a_restart(Versions::Four);
}

#[test]
fn what_was_flushed_is_there_after_a_crash_of_version_3() {
    survives_a_restart(Versions::Three);
}

#[test]
fn connections_that_are_cut_lose_nothing() {
    for versions in [Versions::Four, Versions::Three] {
        let world = World::new(versions);
        let pool = world.pool(&[("connections", "3")]);
        let holder = volume(&pool);
        let proxy = Proxy::before(format!("{}:{}", world.server.address(), world.server.port()));
        native::grant("server", &proxy.address);
        native::block_on(async {
            let device = opened(&pool, &holder).await;
            let cut = async {
                let mut cuts = 0;
                for _ in 0..6 {
                    timer::wait(50).await;
                    cuts += proxy.cut();
                }
                cuts
            };
            let write = async {
                for round in 0..3 {
                    fill(&device, 512, round).await;
                    device.flush().await.unwrap();
                }
            };
            let (cuts, ()) = futures_util::join!(cut, write);
            assert!(cuts >= 6, "{cuts}");
            is_filled(&world, 512, 2);
            device.close().await.unwrap();
        });
    }
}

#[test]
fn a_frozen_server_is_waited_for_and_said_to_be_slow() {
    let world = World::new(Versions::Four);
    let pool = world.pool(&[]);
    let holder = volume(&pool);
    native::block_on(async {
        let device = opened(&pool, &holder).await;
        world.server.freeze();
        let write = device.write(0, block(0, 9), true);
        let wait = async {
            assert!(matches!(event(&device, 30).await, Some(Event::Degraded(_))));
            world.server.thaw();
            assert_eq!(event(&device, 30).await, Some(Event::Restored));
        };
        let (written, ()) = futures_util::join!(write, wait);
        written.unwrap();
        is_filled(&world, 1, 9);
        device.close().await.unwrap();
    });
}

#[test]
fn two_hosts_never_write_to_one_volume() {
    for versions in [Versions::Four, Versions::Three] {
        let world = World::new(versions);
        let pool = world.pool(&[]);
        let first = volume(&pool);
        native::block_on(async {
            let device = opened(&pool, &first).await;
            device.write(0, block(0, 1), true).await.unwrap();
            // A sandbox that takes the place of one that was killed does not wait for the server to notice.
            let began = Instant::now();
            let again = opened(&pool, &first).await;
            assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
            again.write(0, block(0, 2), true).await.unwrap();

            let other = holder("b", 2);
            let refused = Device::open(&pool, "disk", Access::Exclusive, Some(&other)).await.err().unwrap();
            assert!(matches!(refused.code, ErrorCode::InUse(_)), "{refused:?}");
            // The operator's word: the first one finds out by itself, and stops.
            StorageNfs::take(&pool, "disk", &other, true).unwrap();
            let second = opened(&pool, &other).await;
            second.write(0, block(0, 3), true).await.unwrap();
            // On a slow machine it may be told before that the server is slow.
            let fenced = async {
                loop {
                    match event(&again, 60).await {
                        Some(Event::Fenced(_)) => return true,
                        Some(Event::Degraded(_) | Event::Restored | Event::Resized(_)) => {}
                        None => return false,
                    }
                }
            };
            assert!(fenced.await);
            assert!(again.write(0, block(0, 4), true).await.is_err());
            is_filled(&world, 1, 3);
            let older = Device::open(&pool, "disk", Access::Exclusive, Some(&first)).await.err().unwrap();
            assert!(matches!(older.code, ErrorCode::InUse(_)), "{older:?}");
            second.close().await.unwrap();
            let _ = device.close().await;
        });
    }
}

#[test]
fn errors_that_waiting_does_not_cure_are_told() {
    let mut world = World::with_room(Versions::Four, 8 << 20);
    let pool = world.pool(&[]);
    let holder = volume(&pool);
    native::block_on(async {
        let device = opened(&pool, &holder).await;
        let mut full = Ok(());
        for at in 0..40u64 {
            full = device.write(at * (256 << 10), vec![1; 256 << 10], false).await;
            if full.is_err() {
                break;
            }
        }
        assert_eq!(full.unwrap_err().code, ErrorCode::Exhausted);
        let _ = device.flush().await;
        device.read(0, 4096).await.unwrap();
        world.server.kill();
        fs::rename(world.server.export().join("disk"), world.server.export().join("moved")).unwrap();
        fs::File::create(world.server.export().join("disk")).unwrap().set_len(SIZE).unwrap();
        fs::remove_file(world.server.export().join("moved")).unwrap();
        world.server.restart();
        let gone = device.read(0, 4096).await.unwrap_err();
        assert!(gone.message.contains("cannot be used"), "never the other file: {gone:?}");
        let _ = device.close().await;
    });
}

#[test]
fn answers_that_are_none_are_waited_out_and_told_of_and_never_data() {
    let world = World::new(Versions::Four);
    let pool = world.pool(&[]);
    let holder = volume(&pool);
    let meddler = Meddler::before(world.server.socket(), world.server.namespace(), Protocol::Nfs);
    native::grant("server", &format!("{}:{}", world.server.address(), meddler.port()));
    native::block_on(async {
        let device = opened(&pool, &holder).await;
        fill(&device, 64, 5).await;
        let all: Vec<u8> = (0..64).flat_map(|number| block(number, 5)).collect();
        meddler.lies(Lie::Short);
        assert!(device.read(0, 64 * 4096).await.unwrap() == all);
        meddler.lies(Lie::Ends);
        let shorter = device.read(0, 4096).await.unwrap_err();
        assert!(shorter.message.contains("has become shorter"), "{shorter:?}");
        for lie in [Lie::Missing, Lie::Garbage] {
            meddler.lies(lie);
            let mend = async {
                assert!(matches!(event(&device, 30).await, Some(Event::Degraded(_))), "{lie:?}");
                assert!((1..100).contains(&meddler.told()), "{lie:?} {} times", meddler.told());
                meddler.is_honest();
            };
            let (read, ()) = futures_util::join!(device.read(0, 64 * 4096), mend);
            assert!(read.unwrap() == all, "{lie:?}");
            assert_eq!(event(&device, 30).await, Some(Event::Restored), "{lie:?}");
        }
        device.close().await.unwrap();
    });
}
