//! The disk of a running domain moves between servers, to QEMU's own clients and to plugins, while its guest writes and
//! reads back what it wrote; nothing else on the disk changes.

use std::os::unix::fs::FileExt;
use std::path::Path;

use fief_tests::ganesha::Versions;
use fief_tests::pools::{iscsi_plugin, iscsi_pool, iscsi_portal, nfs_plugin, nfs_pool};
use fief_tests::witness::Temper;
use fief_tests::{Ganesha, Host, Witness};

const TARGET: &str = "iqn.2026-01.test:moving";
const SIZE: u64 = 1 << 20;
/// Where the guest's own sectors end.
const REST: u64 = 4096;

/// Each block is unlike the others.
fn rest() -> Vec<u8> {
    (REST / 512..SIZE / 512).flat_map(|block| [(block % 251) as u8 + 1; 512]).collect()
}

fn rest_of(image: &Path) -> Vec<u8> {
    let mut bytes = vec![0; (SIZE - REST) as usize];
    std::fs::File::open(image).unwrap().read_exact_at(&mut bytes, REST).unwrap();
    bytes
}

#[test]
fn a_running_guests_disk_moves_between_plugins_and_native_clients() {
    let host = Host::new();
    let server = Ganesha::start(host.namespace(), Versions::ThreeAndFour);
    let mut tgt = iscsi_portal(host.namespace());
    let target = tgt.target(TARGET);
    let units = [1, 2].map(|lun| tgt.disk(target, lun, SIZE));
    nfs_plugin(&host);
    iscsi_plugin(&host);
    for transport in ["served", "native"] {
        let setting = format!("transport={transport}");
        nfs_pool(&host, &format!("nfs-{transport}"), &server, &[&setting]);
        iscsi_pool(&host, &format!("iscsi-{transport}"), &tgt, TARGET, &[&setting]);
    }
    // Begun on a native one: a machine that needs no network of the host's has none later.
    host.fief(&["volume", "create", "nfs-native/one", "--size", "1MiB", "--format", "raw"]);
    let image = server.export().join("one");
    std::fs::File::options().write(true).open(&image).unwrap().write_all_at(&rest(), REST).unwrap();
    let mut witness = Witness::on(&host, "web1", "nfs-native/one", &image, Temper::ReadsBack, &[]);
    host.fief(&["start", "web1"]);
    witness.goes_on(3);
    let hypervisor = host.hypervisor("web1");

    let file = |name: &str| server.export().join(name);
    let ways = [
        ("nfs-native/one", "nfs-served/two", file("two")),
        ("nfs-served/two", "nfs-native/three", file("three")),
        ("nfs-native/three", "iscsi-served/lun1", units[0].clone()),
        ("iscsi-served/lun1", "iscsi-native/lun2", units[1].clone()),
        ("iscsi-native/lun2", "nfs-served/four", file("four")),
    ];
    for (from, to, image) in ways {
        let onto: &[&str] = if to.starts_with("iscsi") { &["--onto", "--yes"] } else { &[] };
        let keep: &[&str] = if from.starts_with("iscsi") { &["--keep"] } else { &[] };
        host.fief(&[&["volume", "move", from, to], onto, keep].concat());
        witness.lies_at(&image);
        witness.goes_on(3);
        witness.is_heard(2);
        witness.is_sound();
        assert!(rest_of(&image) == rest(), "{to} holds something else than {from} did");
        assert_eq!(host.shown("web1")["definition"]["disk"][0]["volume"], to);
        assert_eq!(host.hypervisor("web1"), hypervisor);
        let way = if to.contains("served") { "served" } else { "native" };
        let shown = host.fief(&["volume", "show", to]).stdout;
        assert!(shown.contains(way) && shown.contains("held by"), "{to}: {shown}");
    }
    host.fief(&["stop", "web1"]);
    witness.is_sound();
    assert!(rest_of(&file("four")) == rest());
    host.fief(&["start", "web1"]);
    witness.goes_on(2);
    host.fief(&["stop", "web1"]);
    witness.is_sound();
}
