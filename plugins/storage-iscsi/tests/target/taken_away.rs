//! A disk that is served, while the target takes away the unit, itself, or the right to use it: what its guest is told
//! meanwhile, and that it goes on by itself.

use fief_sdk::ErrorCode;
use fief_sdk::block::{BlockDevice, Event};
use fief_sdk::native::{block_on, grant_secret};
use storage_iscsi::block::Disk;

use crate::bed::{Bed, MIB, event, message, open, pattern, soon};

/// Until the host is told that calls wait, and why.
async fn degraded(disk: &Disk) -> String {
    match event(disk, "degraded", |event| matches!(event, Event::Degraded(_))).await {
        Event::Degraded(why) => why,
        other => panic!("{other:?}"),
    }
}

/// Runs `harm`, which ends the session, and `mend`, with a write under way that has to wait and then be done. Gives what
/// the host was told.
async fn waits(bed: &mut Bed, disk: &Disk, harm: impl FnOnce(&mut Bed), mend: impl FnOnce(&mut Bed)) -> String {
    let before = pattern(4096, 4096, 1);
    disk.write(4096, before.clone(), true).await.unwrap();
    harm(bed);
    let write = soon("the write", disk.write(8192, pattern(8192, 4096, 2), true));
    let there = async {
        let why = degraded(disk).await;
        mend(bed);
        event(disk, "restored", |event| matches!(event, Event::Restored)).await;
        why
    };
    let (write, why) = futures_util::future::join(write, there).await;
    write.unwrap();
    assert_eq!(disk.read(4096, 4096).await.unwrap(), before);
    assert_eq!(disk.read(8192, 4096).await.unwrap(), pattern(8192, 4096, 2));
    why
}

#[test]
fn a_target_that_is_deleted_is_waited_for_and_so_is_the_right_to_use_it() {
    grant_secret("ours", b"secret123456");
    let mut bed = Bed::with_disk(MIB);
    bed.tgt.chap(bed.target, "alice", "secret123456");
    block_on(async {
        let disk = open(&[("user", "alice"), ("password", "ours")]).await;
        waits(&mut bed, &disk, |bed| bed.tgt.withdraw(bed.target), |bed| bed.tgt.restore(bed.target)).await;
        let harm = |bed: &mut Bed| {
            bed.tgt.forbid(bed.target);
            bed.tgt.cut(bed.target);
        };
        let why = waits(&mut bed, &disk, harm, |bed| bed.tgt.allow(bed.target)).await;
        assert!(why.contains("no such target") || why.contains("does not let"), "{why}");
        let harm = |bed: &mut Bed| {
            bed.tgt.forget(bed.target, "alice");
            bed.tgt.chap(bed.target, "alice", "another12345");
            bed.tgt.cut(bed.target);
        };
        let mend = |bed: &mut Bed| {
            bed.tgt.forget(bed.target, "alice");
            bed.tgt.chap(bed.target, "alice", "secret123456");
        };
        let why = waits(&mut bed, &disk, harm, mend).await;
        assert!(why.contains("does not take the user"), "{why}");
        soon("a goodbye", disk.close()).await.unwrap();
    });
}

#[test]
fn a_unit_that_is_offline_and_one_that_comes_back_are_used_again_though_nobody_asks() {
    let mut bed = Bed::with_disk(MIB);
    bed.tgt.unit(bed.target, 1, "scsi_id=mine");
    // tgt heeds "offline" of these alone.
    bed.tgt.unit(bed.target, 1, "removable=1");
    let file = bed.tgt.folder().join("disk-1-1");
    block_on(async {
        let disk = open(&[]).await;
        disk.write(0, pattern(0, 4096, 4), true).await.unwrap();
        // Offline: a guest that is paused by an error asks for nothing, and is to go on all the same.
        bed.tgt.offline(bed.target, 1);
        let first = soon("an error or a wait", async {
            tokio::time::timeout(std::time::Duration::from_secs(3), disk.read(0, 4096)).await
        });
        let (first, _) = futures_util::future::join(first, degraded(&disk)).await;
        assert!(!matches!(first, Ok(Ok(_))), "a unit that is offline was read");
        bed.tgt.online(bed.target, 1);
        event(&disk, "restored", |event| matches!(event, Event::Restored)).await;
        assert_eq!(soon("a read", disk.read(0, 4096)).await.unwrap(), pattern(0, 4096, 4));
        // Gone, with its file left.
        let kept = std::fs::read(&file).unwrap();
        bed.tgt.remove(bed.target, 1);
        assert_eq!(message(soon("a refusal", disk.read(0, 512)).await).code, ErrorCode::NotFound);
        let why = degraded(&disk).await;
        assert!(why.contains("no such unit"), "{why}");
        // Another one at its number is not it, until it says that it is.
        bed.tgt.disk(bed.target, 1, MIB);
        bed.tgt.unit(bed.target, 1, "removable=1");
        bed.tgt.unit(bed.target, 1, "scsi_id=another");
        let write = disk.write(0, vec![9; 512], true);
        assert!(
            !matches!(tokio::time::timeout(std::time::Duration::from_secs(3), write).await, Ok(Ok(()))),
            "another unit was written to"
        );
        assert_eq!(std::fs::read(&file).unwrap(), vec![0; MIB as usize]);
        std::fs::write(&file, kept).unwrap();
        bed.tgt.unit(bed.target, 1, "scsi_id=mine");
        event(&disk, "restored", |event| matches!(event, Event::Restored)).await;
        assert_eq!(soon("a read", disk.read(512, 3584)).await.unwrap(), pattern(0, 4096, 4)[512..]);
    });
}
