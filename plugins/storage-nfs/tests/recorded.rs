//! What a real server has said, byte for byte, is understood.
//!
//! The recordings below `recorded/` are of nfs-ganesha 4.3. They are made anew by
//! `FIEF_RECORD=1 cargo test -p storage-nfs --test recorded`.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::PathBuf;

use fief_sdk::block::BlockDevice;
use fief_sdk::native;
use fief_sdk::storage::{Access, Clones, Fences, Format, StorageBackend, Style};
use fief_tests::ganesha::Versions;
use storage_nfs::rpc::{self, Records};
use storage_nfs::v4::compound::op;
use storage_nfs::xdr::Decoder;
use storage_nfs::{Device, StorageNfs};

mod world;
use world::proxy::{Heard, Proxy};
use world::{World, holder, spec, walk};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(name)
}

/// A little of everything that the plugin asks a server.
fn exchange(versions: Versions) -> Vec<Heard> {
    let world = World::new(versions);
    let pool = world.pool(&[("connections", "1")]);
    let proxy = Proxy::before(format!("{}:{}", world.server.address(), world.server.port()));
    let mount = Proxy::before(format!("{}:{}", world.server.address(), world.server.mount_port()));
    native::grant("server", &proxy.address);
    native::grant("mount", &mount.address);
    StorageNfs::info(&pool).unwrap();
    StorageNfs::create(&pool, &spec("cow", 1 << 20, Format::Qcow2)).unwrap();
    StorageNfs::create(&pool, &spec("disk", 8 << 10, Format::Raw)).unwrap();
    StorageNfs::find(&pool, "none").unwrap_err();
    StorageNfs::take(&pool, "disk", &holder("a", 1), false).unwrap();
    StorageNfs::take(&pool, "disk", &holder("a", 2), false).unwrap();
    native::block_on(async {
        let device = Device::open(&pool, "disk", Access::Exclusive, Some(&holder("a", 2))).await.unwrap();
        device.write(4096, vec![7; 512], false).await.unwrap();
        device.flush().await.unwrap();
        device.read(4096, 512).await.unwrap();
        if versions == Versions::Four {
            device.extents(0, 8 << 10).await.unwrap();
            device.write_zeroes(0, 4096, false, true).await.unwrap();
        }
        device.close().await.unwrap();
    });
    StorageNfs::release(&pool, "disk", &holder("a", 2)).unwrap();
    StorageNfs::clone(&pool, "disk", None, "twin", Style::Full).unwrap();
    StorageNfs::all(&pool).unwrap();
    for volume in ["cow", "disk"] {
        StorageNfs::delete(&pool, volume).unwrap();
    }
    [proxy.heard(), mount.heard()].concat()
}

fn records(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Records::new(1 << 20);
    records.push(stream);
    std::iter::from_fn(|| records.take().unwrap()).collect()
}

/// Every answer is to a call and is understood; gives how many say yes, and the operations and procedures seen.
fn understood(heard: &[Heard]) -> (usize, Vec<u32>) {
    let (mut good, mut seen) = (0, Vec::new());
    for Heard { calls, answers } in heard {
        let calls = records(calls);
        let asked: HashMap<u32, _> =
            calls.iter().map(|call| (rpc::xid(call).unwrap(), walk::procedure(call).unwrap())).collect();
        for answer in records(answers) {
            let procedure = asked[&rpc::xid(&answer).unwrap()];
            good += usize::from(walk::answer(procedure, &answer).unwrap());
            seen.push(procedure.number);
        }
    }
    (good, seen)
}

fn saved(name: &str) -> Vec<Heard> {
    let bytes = std::fs::read(path(name)).unwrap();
    let mut read = Decoder::new(&bytes);
    let mut all = Vec::new();
    while !read.rest().is_empty() {
        let mut side = || read.opaque(1 << 20).unwrap().to_vec();
        all.push(Heard { calls: side(), answers: side() });
    }
    all
}

fn save(name: &str, heard: &[Heard]) {
    let mut bytes = storage_nfs::xdr::Encoder::default();
    for Heard { calls, answers } in heard {
        bytes.opaque(calls);
        bytes.opaque(answers);
    }
    std::fs::create_dir_all(path("")).unwrap();
    std::fs::write(path(name), bytes.into_bytes()).unwrap();
}

#[test]
fn what_servers_said_is_understood() {
    for (name, versions) in [("v4", Versions::Four), ("v3", Versions::Three)] {
        if std::env::var_os("FIEF_RECORD").is_some() {
            save(name, &exchange(versions));
        }
        let (good, seen) = understood(&saved(name));
        assert!(good > 60, "{name}: {good}");
        if versions == Versions::Three {
            for procedure in [1, 2, 3, 6, 7, 8, 9, 12, 13, 14, 15, 17, 18, 19, 21] {
                assert!(seen.contains(&procedure), "{procedure}");
            }
        }
    }
    let v4: Vec<u8> = saved("v4").into_iter().flat_map(|heard| heard.answers).collect();
    for number in [
        op::CREATE,
        op::OPEN,
        op::LOCK,
        op::LINK,
        op::RENAME,
        op::SEEK,
        op::DEALLOCATE,
        op::READDIR,
        op::RECLAIM_COMPLETE,
    ] {
        assert!(v4.windows(8).any(|window| window == [number.to_be_bytes(), [0; 4]].concat()), "{number}");
    }
}

/// Bytes that are wrong anywhere are found to be, or read as something else; they never do harm.
#[test]
fn what_servers_said_may_be_damaged_anywhere() {
    for name in ["v4", "v3"] {
        for Heard { calls, answers } in saved(name) {
            let asked: HashMap<u32, _> =
                records(&calls).iter().map(|call| (rpc::xid(call).unwrap(), walk::procedure(call).unwrap())).collect();
            for answer in records(&answers) {
                let procedure = asked[&rpc::xid(&answer).unwrap()];
                for at in 0..answer.len() {
                    let mut damaged = answer.clone();
                    damaged[at] ^= 0x81;
                    let _ = walk::answer(procedure, &damaged);
                    let _ = walk::answer(procedure, &answer[..at]);
                }
            }
        }
    }
}
