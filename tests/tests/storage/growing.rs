//! Volumes that grow under running guests: the guest's kernel says the new size by itself.

use fief_tests::ganesha::Versions;
use fief_tests::pools::{iscsi_plugin, iscsi_pool, iscsi_portal, nfs_plugin, nfs_pool};
use fief_tests::{Ganesha, Guest, Host};

const TARGET: &str = "iqn.2026-01.test:growing";
const MIB: u64 = 1 << 20;
/// 16 MiB, in the kernel's words (`virtio_blk`, loglevel 5).
const GROWN: &str = "32768 512-byte logical blocks";

fn guest_on<'a>(host: &'a Host, name: &str, volume: &str) -> Guest<'a> {
    host.create_guest(name, &["--disk", volume], "fief.mode=count loglevel=6");
    host.fief(&["start", name]);
    let guest = Guest::of(host, name);
    guest.says("fief-guest: disk /dev/vda 8 MiB mounted");
    guest
}

fn sees_it(host: &Host, guest: &Guest<'_>) {
    let (place, line) = guest.says_after(0, "new size: ");
    assert!(line.contains(GROWN), "{line}");
    guest.says_after(place, "fief-guest: beat");
    host.fief(&["stop", guest.name()]);
}

#[test]
fn a_guest_sees_its_disk_on_nfs_and_in_a_file_grow() {
    let host = Host::new();
    let server = Ganesha::start(host.namespace(), Versions::ThreeAndFour);
    nfs_plugin(&host);
    nfs_pool(&host, "nas", &server, &["transport=served"]);
    nfs_pool(&host, "near", &server, &["transport=native"]);
    for volume in ["nas/one", "near/two", "default/three"] {
        host.fief(&["volume", "create", volume, "--size", "8MiB", "--format", "raw"]);
        let name = volume.rsplit('/').next().unwrap();
        let guest = guest_on(&host, name, volume);
        for _ in 0..2 {
            host.fief(&["volume", "resize", volume, "16MiB"]);
        }
        sees_it(&host, &guest);
    }
}

#[test]
fn a_guest_sees_its_unit_grow() {
    let host = Host::new();
    let mut tgt = iscsi_portal(host.namespace());
    let target = tgt.target(TARGET);
    for lun in [1, 2] {
        tgt.disk(target, lun, 8 * MIB);
    }
    iscsi_plugin(&host);
    iscsi_pool(&host, "san", &tgt, TARGET, &["transport=served"]);
    iscsi_pool(&host, "near", &tgt, TARGET, &["transport=native"]);
    // Served, it is told without a word of ours.
    let guest = guest_on(&host, "one", "san/lun1");
    tgt.grow(target, 1, 16 * MIB);
    sees_it(&host, &guest);
    let guest = guest_on(&host, "two", "near/lun2");
    tgt.grow(target, 2, 16 * MIB);
    for _ in 0..2 {
        host.fief(&["volume", "resize", "near/lun2", "16MiB"]);
    }
    sees_it(&host, &guest);
}
