//! Two hosts and one unit.

use fief_sdk::ErrorCode;
use fief_sdk::block::{BlockDevice, Event};
use fief_sdk::native::block_on;
use fief_sdk::storage::{FenceKind, Fences, Notes};
use storage_iscsi::StorageIscsi;

use crate::bed::{Bed, MIB, event, holder, message, open_as, pool, soon};

#[test]
fn a_unit_has_one_holder_until_it_lets_go() {
    let _bed = Bed::with_disk(MIB);
    let pool = pool(&[]);
    let (ours, newer, other) = (holder("a", "web", 1), holder("a", "web", 2), holder("b", "web", 9));
    assert_eq!(StorageIscsi::show(&pool, "lun1").unwrap().holder, None);
    for _ in 0..2 {
        let fence = StorageIscsi::take(&pool, "lun1", &ours, false).unwrap();
        assert_eq!((fence.kind, fence.holder), (FenceKind::Reservation, Some(ours.clone())));
    }
    let shown = StorageIscsi::show(&pool, "lun1").unwrap();
    assert_eq!((shown.kind, shown.generation), (FenceKind::Reservation, 1));
    let error = message(StorageIscsi::take(&pool, "lun1", &other, false));
    assert!(matches!(error.code, ErrorCode::InUse(_)), "{}", error.message);

    StorageIscsi::take(&pool, "lun1", &newer, false).unwrap();
    assert_eq!(message(StorageIscsi::take(&pool, "lun1", &ours, false)).code, ErrorCode::WrongState);
    // Letting go of what one does not hold changes nothing.
    StorageIscsi::release(&pool, "lun1", &ours).unwrap();
    StorageIscsi::release(&pool, "lun1", &other).unwrap();
    assert_eq!(StorageIscsi::show(&pool, "lun1").unwrap().generation, 2);
    for _ in 0..2 {
        StorageIscsi::release(&pool, "lun1", &newer).unwrap();
    }
    assert_eq!(StorageIscsi::show(&pool, "lun1").unwrap().holder, None);
    StorageIscsi::take(&pool, "lun1", &other, false).unwrap();
}

#[test]
fn what_a_server_took_by_itself_it_lets_go_of_and_no_more() {
    let _bed = Bed::with_disk(MIB);
    let pool = pool(&[]);
    let ours = holder("a", "web", 1);
    let close = || block_on(async { open_as(&[], &ours).await.unwrap().close().await.unwrap() });
    close();
    assert_eq!(StorageIscsi::show(&pool, "lun1").unwrap().holder, None);
    StorageIscsi::take(&pool, "lun1", &ours, false).unwrap();
    close();
    assert!(StorageIscsi::show(&pool, "lun1").unwrap().holder.is_some());
}

#[test]
fn a_server_that_was_put_out_never_writes_again() {
    let _bed = Bed::with_disk(MIB);
    let pool = pool(&[]);
    let (ours, other) = (holder("a", "web", 1), holder("b", "web", 1));
    StorageIscsi::take(&pool, "lun1", &ours, false).unwrap();
    block_on(async {
        let disk = open_as(&[], &ours).await.unwrap();
        disk.write(0, vec![1; 512], false).await.unwrap();
        // The other may not open it, whatever its host believes.
        let error = message(open_as(&[], &other).await);
        assert!(matches!(error.code, ErrorCode::InUse(_)), "{}", error.message);

        StorageIscsi::take(&pool, "lun1", &other, true).unwrap();
        let theirs = open_as(&[], &other).await.unwrap();
        theirs.write(0, vec![2; 512], false).await.unwrap();
        for _ in 0..2 {
            let error = message(soon("a refusal", disk.write(0, vec![1; 512], false)).await);
            assert!(matches!(error.code, ErrorCode::InUse(_)), "{}", error.message);
        }
        event(&disk, "fenced", |event| matches!(event, Event::Fenced(_))).await;
        assert_eq!(theirs.read(0, 512).await.unwrap(), [2; 512]);
        theirs.close().await.unwrap();
    });
    StorageIscsi::release(&pool, "lun1", &other).unwrap();
}

#[test]
fn notes_are_read_by_others_and_neither_hold_the_unit_nor_let_go_of_it() {
    let _bed = Bed::with_disk(MIB);
    let pool = pool(&[]);
    let notes = || {
        let mut notes = StorageIscsi::read(&pool, "lun1").unwrap();
        notes.sort_unstable();
        notes
    };
    // With a unit that nobody holds: nobody holds it afterwards, and anyone may.
    StorageIscsi::leave(&pool, "lun1", 7).unwrap();
    assert_eq!((notes(), StorageIscsi::show(&pool, "lun1").unwrap().holder), (vec![7], None));
    let ours = holder("a", "web", 1);
    StorageIscsi::take(&pool, "lun1", &ours, false).unwrap();
    StorageIscsi::remove(&pool, "lun1", 7).unwrap();
    block_on(async {
        // Under whoever serves it, who is opened anew meanwhile, and writes on.
        let disk = open_as(&[], &ours).await.unwrap();
        StorageIscsi::leave(&pool, "lun1", 8).unwrap();
        StorageIscsi::leave(&pool, "lun1", u64::MAX >> 8).unwrap();
        assert_eq!(notes(), [8, u64::MAX >> 8]);
        disk.write(0, vec![1; 512], false).await.unwrap();
        drop(disk);
        let disk = open_as(&[], &ours).await.unwrap();
        for _ in 0..2 {
            StorageIscsi::remove(&pool, "lun1", 8).unwrap();
        }
        disk.write(512, vec![2; 512], false).await.unwrap();
        assert_eq!(notes(), [u64::MAX >> 8]);
        disk.close().await.unwrap();
    });
    assert_eq!(StorageIscsi::show(&pool, "lun1").unwrap().generation, 1);
    // One that is left over is in nobody's way.
    StorageIscsi::release(&pool, "lun1", &ours).unwrap();
    StorageIscsi::take(&pool, "lun1", &holder("b", "db", 2), false).unwrap();
    assert_eq!(notes(), [u64::MAX >> 8]);
}

#[test]
fn an_older_attachment_of_the_same_domain_is_put_out_too() {
    let _bed = Bed::with_disk(MIB);
    let pool = pool(&[]);
    let (older, newer) = (holder("a", "web", 1), holder("a", "web", 2));
    StorageIscsi::take(&pool, "lun1", &older, false).unwrap();
    block_on(async {
        let disk = open_as(&[], &older).await.unwrap();
        disk.write(0, vec![1; 512], false).await.unwrap();
        StorageIscsi::take(&pool, "lun1", &newer, false).unwrap();
        message(soon("a refusal", disk.write(0, vec![1; 512], false)).await);
        assert_eq!(message(open_as(&[], &older).await).code, ErrorCode::WrongState);
        // A sandbox that is replaced keeps its generation, and takes its predecessor's place.
        let first = open_as(&[], &newer).await.unwrap();
        let second = open_as(&[], &newer).await.unwrap();
        second.write(0, vec![2; 512], false).await.unwrap();
        drop(first);
    });
}

#[test]
fn a_unit_of_the_hypervisors_own_client_is_registered_for_and_not_locked() {
    let _bed = Bed::with_disk(MIB);
    let native = pool(&[("transport", "native")]);
    let (ours, other) = (holder("a", "web", 1), holder("b", "web", 1));
    let fence = StorageIscsi::take(&native, "lun1", &ours, false).unwrap();
    assert_eq!(fence.kind, FenceKind::Registration);
    // Another initiator may write, as QEMU's does; fief's other hosts keep away by either transport.
    block_on(async {
        let stranger = storage_iscsi::block::Disk::open(&native, "lun1", fief_sdk::storage::Access::Exclusive, None);
        stranger.await.unwrap().write(0, vec![1; 512], false).await.unwrap();
    });
    for pool in [&native, &pool(&[])] {
        assert!(matches!(message(StorageIscsi::take(pool, "lun1", &other, false)).code, ErrorCode::InUse(_)));
    }
    let moved = holder("a", "web", 2);
    // From native to served and back, of one domain, each time with a newer generation.
    assert_eq!(StorageIscsi::take(&pool(&[]), "lun1", &moved, false).unwrap().kind, FenceKind::Reservation);
    StorageIscsi::take(&native, "lun1", &holder("a", "web", 3), false).unwrap();
    StorageIscsi::take(&native, "lun1", &other, true).unwrap();
    StorageIscsi::release(&native, "lun1", &other).unwrap();
    assert_eq!(StorageIscsi::show(&native, "lun1").unwrap().holder, None);
}
