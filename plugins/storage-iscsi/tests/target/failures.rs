//! A disk that is served, while the target fails.

use std::cell::Cell;
use std::rc::Rc;

use fief_sdk::ErrorCode;
use fief_sdk::block::{BlockDevice, Event};
use fief_sdk::native::block_on;
use storage_iscsi::block::Disk;

use crate::bed::{Bed, MIB, event, message, open, pattern, soon, wait};

const CHUNK: u32 = 128 << 10;

/// Writes round and round, four at a time, until `stop`; gives how many were answered.
pub async fn write_until(disk: &Disk, stop: &Cell<bool>) -> u64 {
    let mut round = 0;
    while !stop.get() {
        let spots = (0..4).map(|spot| (round * 4 + spot) % 256 * u64::from(CHUNK));
        let writes = spots.map(|spot| disk.write(spot, pattern(spot, CHUNK, 3), false));
        for outcome in futures_util::future::join_all(writes).await {
            outcome.unwrap();
        }
        round += 1;
    }
    round * 4
}

pub async fn verify(disk: &Disk, written: u64) {
    for spot in 0..written.min(256) {
        let spot = spot * u64::from(CHUNK);
        let read = soon("a read", disk.read(spot, CHUNK)).await.unwrap();
        assert!(read == pattern(spot, CHUNK, 3), "what was written at {spot} is not there");
    }
}

/// Runs `harm` in the midst of writes, of which none may fail or be lost.
fn survives(bed: &mut Bed, written: &[(&str, &str)], harm: impl AsyncFnOnce(&mut Bed)) {
    block_on(async {
        let disk = Rc::new(open(written).await);
        let stop = Rc::new(Cell::new(false));
        let writer = tokio::task::spawn_local({
            let (disk, stop) = (disk.clone(), stop.clone());
            async move { write_until(&disk, &stop).await }
        });
        wait(300).await;
        harm(bed).await;
        wait(300).await;
        stop.set(true);
        let count = soon("the last writes", writer).await.unwrap();
        assert!(count > 0);
        soon("a flush", disk.flush()).await.unwrap();
        verify(&disk, count).await;
        soon("a goodbye", disk.close()).await.unwrap();
    });
}

#[test]
fn connections_cut_in_the_middle_of_writes_lose_none() {
    let mut bed = Bed::with_disk(64 * MIB);
    survives(&mut bed, &[("data-digest", "crc32c")], async |bed| {
        for _ in 0..8 {
            bed.tgt.cut(bed.target);
            wait(150).await;
        }
    });
}

#[test]
fn a_target_that_is_killed_and_started_again_is_waited_for() {
    let mut bed = Bed::with_disk(64 * MIB);
    survives(&mut bed, &[], async |bed| {
        bed.tgt.kill();
        wait(2000).await;
        bed.tgt.revive();
    });
}

#[test]
fn the_host_is_told_when_calls_wait_and_when_they_go_on() {
    let mut bed = Bed::with_disk(MIB);
    block_on(async {
        let disk = open(&[]).await;
        bed.tgt.kill();
        event(&disk, "degraded", |event| matches!(event, Event::Degraded(_))).await;
        bed.tgt.revive();
        event(&disk, "restored", |event| matches!(event, Event::Restored)).await;
        soon("a read", disk.read(0, 512)).await.unwrap();
        // One that stands still, its connections open.
        bed.tgt.freeze();
        event(&disk, "degraded", |event| matches!(event, Event::Degraded(_))).await;
        bed.tgt.thaw();
        event(&disk, "restored", |event| matches!(event, Event::Restored)).await;
        soon("a read", disk.read(0, 512)).await.unwrap();
    });
}

#[test]
fn another_unit_behind_the_number_is_never_written_to() {
    let mut bed = Bed::with_disk(MIB);
    block_on(async {
        let disk = open(&[]).await;
        disk.write(0, vec![1; 512], true).await.unwrap();
        bed.tgt.unit(bed.target, 1, "scsi_id=another");
        bed.tgt.cut(bed.target);
        let write = disk.write(0, vec![2; 512], false);
        let told = event(&disk, "degraded", |event| matches!(event, Event::Degraded(_)));
        let (told, still_waits) = futures_util::future::join(told, async {
            tokio::time::timeout(std::time::Duration::from_secs(3), write).await.is_err()
        })
        .await;
        assert!(still_waits, "the write went to another unit");
        assert!(matches!(&told, Event::Degraded(why) if why.contains("another unit")), "{told:?}");
    });
}

#[test]
fn a_unit_that_is_not_ready_is_waited_for_and_one_that_is_gone_is_an_error() {
    let mut bed = Bed::with_disk(MIB);
    bed.tgt.unit(bed.target, 1, "removable=1");
    block_on(async {
        let disk = open(&[]).await;
        bed.tgt.offline(bed.target, 1);
        let read = soon("a read", disk.read(0, 512));
        let back = async {
            event(&disk, "degraded", |event| matches!(event, Event::Degraded(_))).await;
            bed.tgt.online(bed.target, 1);
        };
        let (read, ()) = futures_util::future::join(read, back).await;
        assert_eq!(read.unwrap(), [0; 512]);
        bed.tgt.remove(bed.target, 1);
        let error = message(soon("a refusal", disk.read(0, 512)).await);
        assert_eq!(error.code, ErrorCode::NotFound, "{}", error.message);
    });
}
