//! The verbs of a pool.

use fief_sdk::ErrorCode;
use fief_sdk::native::{grant, grant_secret};
use fief_sdk::storage::{Access, Attachment, Format, Preallocation, StorageBackend, VolumeSpec};
use storage_iscsi::StorageIscsi;
use storage_iscsi::protocol::header::{Header, request, response};

use crate::bed::{Bed, MIB, TARGET, message, pool};
use crate::fake::{Fake, Say};

fn spec(name: &str, size: u64) -> VolumeSpec {
    VolumeSpec { name: name.into(), size, format: Format::Raw, preallocation: Preallocation::Sparse }
}

#[test]
fn every_disk_of_the_target_is_a_volume_and_nothing_else() {
    let mut bed = Bed::new();
    let pool = pool(&[]);
    assert!(StorageIscsi::all(&pool).unwrap().is_empty(), "unit 0 is tgt's controller");
    bed.tgt.disk(bed.target, 7, 3 * MIB);
    bed.tgt.disk_of_blocks(bed.target, 1, 2 * MIB, 4096);
    bed.tgt.disk(bed.target, 300, MIB);
    let all: Vec<_> = StorageIscsi::all(&pool).unwrap().into_iter().map(|volume| (volume.name, volume.size)).collect();
    assert_eq!(all, [("lun1".into(), 2 * MIB), ("lun7".into(), 3 * MIB), ("lun300".into(), MIB)]);
    assert_eq!(StorageIscsi::find(&pool, "lun300").unwrap().size, MIB);
    for missing in ["lun0", "lun2", "lun07", "disk", "lun99999"] {
        assert_eq!(message(StorageIscsi::find(&pool, missing)).code, ErrorCode::NotFound, "{missing}");
    }
}

#[test]
fn units_are_made_grown_and_removed_on_the_target_alone() {
    let mut bed = Bed::with_disk(2 * MIB);
    let pool = pool(&[]);
    assert_eq!(StorageIscsi::create(&pool, &spec("lun1", 2 * MIB)).unwrap().size, 2 * MIB);
    assert_eq!(message(StorageIscsi::create(&pool, &spec("lun1", MIB))).code, ErrorCode::AlreadyExists);
    let error = message(StorageIscsi::create(&pool, &spec("lun2", MIB)));
    assert_eq!(error.code, ErrorCode::Unsupported);
    assert!(error.message.contains("made on the target"), "{}", error.message);
    assert_eq!(message(StorageIscsi::delete(&pool, "lun1")).code, ErrorCode::Unsupported);
    StorageIscsi::delete(&pool, "lun2").unwrap();

    assert_eq!(StorageIscsi::resize(&pool, "lun1", 2 * MIB).unwrap().size, 2 * MIB);
    assert_eq!(message(StorageIscsi::resize(&pool, "lun1", MIB)).code, ErrorCode::Invalid);
    let error = message(StorageIscsi::resize(&pool, "lun1", 4 * MIB));
    assert_eq!(error.code, ErrorCode::Unsupported);
    assert!(error.message.contains("grow on the target"), "{}", error.message);
    bed.tgt.grow(bed.target, 1, 4 * MIB);
    for _ in 0..2 {
        assert_eq!(StorageIscsi::resize(&pool, "lun1", 4 * MIB).unwrap().size, 4 * MIB);
    }
}

#[test]
fn a_volume_is_attached_as_the_pool_says_or_not_at_all() {
    let mut bed = Bed::with_disk(MIB);
    let attach = |written: &[(&str, &str)], access| StorageIscsi::attach(&pool(written), "lun1", access);
    assert_eq!(attach(&[("transport", "served")], Access::Exclusive).unwrap(), Attachment::Served);
    let native = [("transport", "native"), ("header-digest", "crc32c"), ("initiator-name", "iqn.2026-01.test:me")];
    let Attachment::Iscsi(node) = attach(&native, Access::Handover).unwrap() else { panic!("a native node") };
    assert_eq!((node.portal.as_str(), node.target.as_str(), node.lun), ("127.0.0.1:3260", TARGET, 1));
    assert_eq!((node.initiator.as_deref(), node.header_digest), (Some("iqn.2026-01.test:me"), true));
    for (transport, setting) in [
        ("native", ("data-digest", "crc32c")),
        ("native", ("durable-writes", "true")),
        ("auto", ("durable-writes", "true")),
    ] {
        let error = message(attach(&[("transport", transport), setting], Access::Exclusive));
        assert_eq!(error.code, ErrorCode::Unsupported);
        assert!(error.message.contains("served") && error.message.contains(setting.0), "{}", error.message);
    }
    let missing = StorageIscsi::attach(&pool(&[]), "lun9", Access::Exclusive);
    assert_eq!(message(missing).code, ErrorCode::NotFound);
    bed.tgt.unit(bed.target, 1, "readonly=1");
    assert_eq!(message(attach(&[], Access::Exclusive)).code, ErrorCode::Denied);
    attach(&[], Access::ReadOnly).unwrap();
}

#[test]
fn a_pool_with_mutual_chap_is_never_native() {
    grant_secret("ours", b"secret123456");
    grant_secret("theirs", b"mutual123456");
    let mut bed = Bed::with_disk(MIB);
    bed.tgt.chap(bed.target, "alice", "secret123456");
    bed.tgt.mutual(bed.target, "bob", "mutual123456");
    let mutual = [("user", "alice"), ("password", "ours"), ("mutual-user", "bob"), ("mutual-password", "theirs")];
    let attach = |way: &'static str| {
        StorageIscsi::attach(&pool(&[&mutual[..], &[("transport", way)]].concat()), "lun1", Access::Exclusive)
    };
    assert_eq!(attach("served").unwrap(), Attachment::Served);
    let error = message(attach("native"));
    assert_eq!(error.code, ErrorCode::Unsupported);
    assert!(error.message.contains("mutual-user") && error.message.contains("served"), "{}", error.message);
}

/// The hypervisor's own client would follow: so the plugin logs in before it, under the name that it will have.
#[test]
fn a_target_that_sends_initiators_elsewhere_is_not_attached() {
    let fake = Fake::start(|asked| match asked.header.opcode() {
        request::LOGIN => {
            let moved = Header::new(response::LOGIN, 0).tagged(asked.header.tag()).put(36, &[1, 1]);
            Say::These(vec![(moved, b"TargetAddress=192.0.2.66:3260,1\0".to_vec())])
        }
        _ => Say::Nothing,
    });
    grant("portal", &fake.address);
    let error = message(StorageIscsi::attach(&pool(&[("transport", "native")]), "lun1", Access::Exclusive));
    assert_eq!(error.code, ErrorCode::WrongState, "{}", error.message);
    assert!(error.message.contains("192.0.2.66:3260"), "{}", error.message);
}

#[test]
fn a_portal_that_is_not_there_is_unreachable() {
    let mut bed = Bed::new();
    bed.tgt.kill();
    assert_eq!(message(StorageIscsi::info(&pool(&[]))).code, ErrorCode::Unreachable);
}
