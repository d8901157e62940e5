//! NFS in trouble, under guests by either way.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use rustix::fs::FallocateFlags;

use fief_tests::ganesha::{Exported, Versions};
use fief_tests::pools::{nfs_plugin, nfs_pool};
use fief_tests::{Ganesha, Host};

use crate::trouble::{OnError, Subject, passes};

/// Of the export, in bytes.
const ROOM: u64 = 16 << 20;
const GUESTS: [(&str, &str, OnError); 4] = [
    ("served-waits", "nas", OnError::Pause),
    ("native-waits", "near", OnError::Pause),
    ("served-told", "nas", OnError::Report),
    ("native-told", "near", OnError::Report),
];

#[test]
fn guests_on_nfs_outlive_all_that_a_server_does_to_them() {
    let host = Host::new();
    let server = std::cell::RefCell::new(Ganesha::with_room(host.namespace(), Versions::ThreeAndFour, Some(ROOM)));
    nfs_plugin(&host);
    nfs_pool(&host, "nas", &server.borrow(), &["transport=served"]);
    nfs_pool(&host, "near", &server.borrow(), &["transport=native"]);
    let mut subjects: Vec<Subject> = GUESTS
        .iter()
        .map(|(name, pool, on_error)| {
            let volume = format!("{pool}/{name}");
            host.fief(&["volume", "create", &volume, "--size", "1MiB", "--format", "raw"]);
            Subject::start(&host, name, &volume, &server.borrow().export().join(name), *on_error)
        })
        .collect();

    let becomes = |exported: Exported, squashed: bool| {
        let mut server = server.borrow_mut();
        server.kill();
        server.export_as(exported);
        server.squash(squashed);
        server.restart();
    };
    let images = GUESTS.map(|(name, _, _)| server.borrow().export().join(name));
    let filler = server.borrow().export().join("filler");
    passes(
        &host,
        &mut subjects,
        "no room is left",
        || {
            server.borrow().freeze();
            images.iter().for_each(|image| let_go_of_blocks(image));
            fill(&filler);
            server.borrow().thaw();
        },
        || std::fs::remove_file(&filler).unwrap(),
    );
    let well = || becomes(Exported::ToWrite, false);
    passes(&host, &mut subjects, "the export is gone", || becomes(Exported::Nothing, false), well);
    passes(&host, &mut subjects, "the export is read-only", || becomes(Exported::ToRead, false), well);
    passes(&host, &mut subjects, "we may not write", || becomes(Exported::ToWrite, true), well);
    server.borrow().freeze();
    std::thread::sleep(Duration::from_secs(60));
    server.borrow().thaw();
    for subject in &mut subjects {
        subject.witness.goes_on(3);
        subject.witness.is_sound();
    }
    for (name, _, _) in GUESTS {
        host.fief(&["stop", name]);
    }
    subjects.iter_mut().for_each(|subject| subject.witness.is_sound());
}

/// What the guest writes to next needs room anew.
fn let_go_of_blocks(image: &Path) {
    let file = File::options().write(true).open(image).unwrap();
    let punched = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&file, punched, 0, file.metadata().unwrap().len()).unwrap();
}

/// Takes all the room that is left.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let block = [1; 4096];
    for _ in 0..=ROOM / 4096 {
        if let Err(error) = file.write_all(&block) {
            assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
            return;
        }
    }
    panic!("there is no end of room");
}
