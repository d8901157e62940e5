//! Each change, undone: by its outcome, after a fief that died in it, and after one that died just before.

use super::*;
use crate::error::Kind;

/// A host with an image of each format and a snapshot, and what they are like.
fn furnished() -> (Host, Vec<String>) {
    let mut host = Host::ready();
    host.change(create("raw", ImageFormat::Raw, 2 * MIB));
    host.change(create("qcow2", ImageFormat::Qcow2, 2 * MIB));
    host.change(snapshot("qcow2", "old"));
    host.change(linked("linked", "qcow2", 0));
    let state = state(&mut host);
    (host, state)
}

/// All that may be seen from outside: names, sizes, snapshots.
fn state(host: &mut Host) -> Vec<String> {
    let mut all = Vec::new();
    for name in host.names() {
        let facts = host.inspect(&name).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        let snapshots = host.snapshot_names(&name);
        all.push(format!("{name} {:?} {} {:?} {snapshots:?}", facts.format, facts.virtual_size, facts.backing));
    }
    all
}

fn changes() -> Vec<Operation> {
    vec![
        create("new", ImageFormat::Raw, MIB),
        create("new", ImageFormat::Qcow2, MIB),
        linked("new", "qcow2", 0),
        copy("raw", None, "new", ImageFormat::Raw),
        copy("qcow2", Some("old"), "new", ImageFormat::Qcow2),
        resize("raw", 3 * MIB),
        resize("linked", 3 * MIB),
        delete("raw"),
        delete("qcow2"),
        rename("raw", "new"),
        rename("linked", "new"),
        snapshot("linked", "new"),
    ]
}

#[test]
fn every_change_is_undone_by_what_was_recorded_of_it() {
    let (mut host, before) = furnished();
    for operation in changes() {
        host.perform(operation.clone()).unwrap();
        host.undo();
        assert_eq!(state(&mut host), before, "{operation:?}");
    }
}

#[test]
fn every_change_is_undone_after_a_death_in_it() {
    let (mut host, before) = furnished();
    for operation in changes() {
        host.die_after(&operation).unwrap();
        host.undo();
        assert_eq!(state(&mut host), before, "{operation:?}");
    }
}

#[test]
fn nothing_is_touched_after_a_death_before_the_act() {
    let (mut host, before) = furnished();
    for operation in changes() {
        host.die_before(&operation);
        host.undo();
        assert_eq!(state(&mut host), before, "{operation:?}");
    }
}

#[test]
fn what_was_there_before_outlives_the_undo_of_a_change_that_never_came_to_be() {
    let (mut host, before) = furnished();
    for operation in [
        create("raw", ImageFormat::Raw, MIB),
        copy("qcow2", None, "raw", ImageFormat::Raw),
        snapshot("qcow2", "old"),
        resize("raw", 2 * MIB),
        resize("raw", MIB),
        rename("raw", "qcow2"),
        rename("none", "raw"),
    ] {
        host.die_before(&operation);
        host.undo();
        assert_eq!(state(&mut host), before, "before {operation:?}");
        let _ = host.die_after(&operation);
        host.undo();
        assert_eq!(state(&mut host), before, "after {operation:?}");
    }
}

#[test]
fn a_call_of_many_changes_is_undone_as_a_whole_after_a_death_anywhere() {
    let (mut host, before) = furnished();
    let call = [
        create("new", ImageFormat::Qcow2, MIB),
        snapshot("new", "s"),
        resize("new", 4 * MIB),
        delete("new"),
        copy("raw", None, "new", ImageFormat::Raw),
        resize("new", 4 * MIB),
        rename("raw", "other"),
        rename("new", "raw"),
        rename("raw", "new"),
        delete("other"),
        delete("new"),
        create("raw", ImageFormat::Raw, MIB),
    ];
    for dies in 0..call.len() {
        for operation in &call[..dies] {
            host.perform(operation.clone()).unwrap();
        }
        host.die_after(&call[dies]).unwrap();
        host.undo();
        assert_eq!(state(&mut host), before, "died in {:?}", call[dies]);
        host.undo();
    }
}

#[test]
fn an_undo_leaves_another_file_of_the_same_name() {
    let mut host = Host::ready();
    host.perform(create("a", ImageFormat::Raw, MIB)).unwrap();
    std::fs::remove_file(host.path("a")).unwrap();
    std::fs::write(host.path("a"), "someone else's").unwrap();
    host.undo();
    assert_eq!(std::fs::read(host.path("a")).unwrap(), b"someone else's");
    assert_eq!(host.names(), ["a"]);

    host.perform(delete("a")).unwrap();
    std::fs::write(host.path("a"), "newer").unwrap();
    let failures = host.gate.undo(&mut host.ledger).unwrap_err();
    assert_eq!(failures[0].kind, Kind::Conflict);
    assert_eq!(host.names().len(), 2);
    std::fs::remove_file(host.path("a")).unwrap();
    host.undo();
    assert_eq!(std::fs::read(host.path("a")).unwrap(), b"someone else's");
}

#[test]
fn an_undo_needs_neither_the_grant_nor_the_directory() {
    let mut host = Host::ready();
    host.perform(create("a", ImageFormat::Raw, MIB)).unwrap();
    let bare = Gate::new(host.gate.layout().clone(), Arc::new(Policy::default()), Mode::Perform);
    bare.undo(&mut host.ledger).unwrap();
    assert!(host.names().is_empty());

    host.perform(create("a", ImageFormat::Raw, MIB)).unwrap();
    host.perform(delete("a")).unwrap();
    std::fs::remove_dir_all(host.path("")).unwrap();
    host.undo();
}
