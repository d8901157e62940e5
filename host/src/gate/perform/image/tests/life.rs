//! What each operation brings forth.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use super::*;
use crate::error::Kind;

#[test]
fn a_new_image_is_whole_private_and_alone() {
    let mut host = Host::new();
    for (name, format) in [("a.img", ImageFormat::Raw), ("b.qcow2", ImageFormat::Qcow2)] {
        let outcome = host.change(create(name, format, 10 * MIB));
        let Outcome::ImageMade { facts, path, inode, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!((facts.format, facts.virtual_size.bytes(), facts.backing), (format, 10 * MIB, None));
        assert!(facts.allocated.bytes() < MIB);
        assert_eq!(path, host.path(name));
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!((metadata.ino(), metadata.nlink()), (inode, 1));
        assert_eq!(host.owner(name), (host.plugin_user(), 0o600));
        host.open(name, format).unwrap();
    }
    qemu("qemu-img", &["check", "-q", "-f", "qcow2"], &host.path("b.qcow2"));
    assert_eq!(host.names(), ["a.img", "b.qcow2"]);
}

#[test]
fn blocks_are_taken_ahead_where_there_is_room() {
    let mut host = Host::ready();
    let full = |name: &str, format, size| Operation::ImageCreate {
        image: image(name),
        format,
        size: ByteSize::from_bytes(size),
        preallocation: Preallocation::Full,
        backing: None,
    };
    for (name, format) in [("a", ImageFormat::Raw), ("b", ImageFormat::Qcow2)] {
        host.change(full(name, format, 4 * MIB));
        assert!(host.inspect(name).unwrap().allocated.bytes() >= 4 * MIB, "{name}");
        let failure = host.perform(full("huge", format, 1 << 60)).unwrap_err();
        assert_eq!(failure.kind, Kind::NoRoom, "{failure}");
    }
    let failure = host.perform(create("huge", ImageFormat::Raw, i64::MAX as u64)).unwrap_err();
    assert_eq!(failure.kind, Kind::NoRoom, "{failure}");
    assert_eq!(host.names(), ["a", "b"]);
    assert!(host.ledger.is_empty());
}

#[test]
fn an_existing_path_is_never_written_over() {
    let mut host = Host::ready();
    std::fs::write(host.path("taken"), "mine").unwrap();
    host.change(create("source", ImageFormat::Raw, MIB));
    for operation in [
        create("taken", ImageFormat::Qcow2, MIB),
        linked("taken", "source", 0),
        copy("source", None, "taken", ImageFormat::Raw),
        copy("source", None, "source", ImageFormat::Qcow2),
    ] {
        assert_eq!(host.perform(operation).unwrap_err().kind, Kind::Conflict);
    }
    host.undo();
    assert_eq!(std::fs::read(host.path("taken")).unwrap(), b"mine");
    assert_eq!(host.names(), ["source", "taken"]);
}

#[test]
fn names_of_the_hosts_own_and_paths_that_lead_out_are_refused() {
    let mut host = Host::ready();
    std::fs::write(host.root.path().join("secret"), "s").unwrap();
    std::os::unix::fs::symlink("../secret", host.path("link")).unwrap();
    std::os::unix::fs::symlink("..", host.path("up")).unwrap();
    std::fs::create_dir(host.path("folder")).unwrap();
    for path in [".fief-gone-a-0123456789abcdef", "folder/.fief-x", ".fief-x/a", "link", "up/secret", "folder"] {
        for operation in [Operation::ImageInspect { image: image(path) }, resize(path, MIB), delete(path)] {
            let failure = host.perform(operation.clone()).unwrap_err();
            // A link is deleted no more than it is followed.
            assert_eq!(failure.kind, Kind::Denied, "{operation:?}: {failure}");
        }
    }
    assert_eq!(host.perform(create("missing/a", ImageFormat::Raw, MIB)).unwrap_err().kind, Kind::NotFound);
    assert_eq!(host.inspect("missing").unwrap_err().kind, Kind::NotFound);
}

#[test]
fn growing_keeps_what_is_there_and_smaller_is_a_usage_error() {
    let mut host = Host::ready();
    host.change(create("base", ImageFormat::Raw, 8 * MIB));
    write(&host.path("base"), ImageFormat::Raw, 7);
    host.change(linked("over", "base", MIB));
    host.change(create("raw", ImageFormat::Raw, MIB));
    for name in ["over", "raw"] {
        let outcome = host.change(resize(name, 3 * MIB));
        let Outcome::ImageResized { facts, before, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!((before.bytes(), facts.virtual_size.bytes()), (MIB, 3 * MIB));
        assert_eq!(host.perform(resize(name, 2 * MIB)).unwrap_err().kind, Kind::Usage);
        host.change(resize(name, 3 * MIB));
        assert_eq!(host.inspect(name).unwrap().virtual_size.bytes(), 3 * MIB);
    }
    assert_eq!(host.inspect("over").unwrap().backing.unwrap().as_str(), "base");
    reads(&host.path("over"), ImageFormat::Qcow2, 7);
    assert_eq!(host.names(), ["base", "over", "raw"]);
}

#[test]
fn a_deleted_image_comes_back_until_it_is_sealed() {
    let mut host = Host::ready();
    for _ in 0..2 {
        host.perform(create("a", ImageFormat::Raw, MIB)).unwrap();
        host.perform(delete("a")).unwrap();
    }
    host.undo();
    assert!(host.names().is_empty(), "{:?}", host.names());

    host.change(create("a", ImageFormat::Raw, MIB));
    host.perform(delete("a")).unwrap();
    assert!(!host.path("a").exists());
    host.undo();
    assert_eq!(host.names(), ["a"]);

    host.change(delete("a"));
    assert!(host.names().is_empty());
    assert_eq!(host.change(delete("a")), Outcome::Unchanged);
    assert_eq!(host.change(delete("no/such/folder")), Outcome::Unchanged);
}

#[test]
fn an_image_is_renamed_within_its_folder_and_over_nothing() {
    let mut host = Host::ready();
    host.change(create("base", ImageFormat::Raw, MIB));
    write(&host.path("base"), ImageFormat::Raw, 7);
    host.change(linked("over", "base", 0));
    std::fs::create_dir(host.path("sub")).unwrap();
    for (from, to, kind) in [
        ("over", "base", Kind::Conflict),
        ("over", "over", Kind::Conflict),
        ("over", "sub/over", Kind::Usage),
        ("none", "new", Kind::NotFound),
        ("sub", "new", Kind::Denied),
        ("over", ".fief-new-a", Kind::Denied),
    ] {
        assert_eq!(host.perform(rename(from, to)).unwrap_err().kind, kind, "{from} to {to}");
    }
    host.seal();
    host.change(rename("over", "new"));
    assert_eq!(host.names(), ["base", "new"]);
    assert_eq!(host.inspect("new").unwrap().backing.unwrap().as_str(), "base");
    reads(&host.path("new"), ImageFormat::Qcow2, 7);
    // Another file has the name by then: it is not taken for the one that was renamed.
    host.perform(rename("new", "newer")).unwrap();
    std::fs::rename(host.path("newer"), host.path("elsewhere")).unwrap();
    std::fs::write(host.path("newer"), "someone else's").unwrap();
    host.undo();
    assert_eq!(host.names(), ["base", "elsewhere", "newer"]);
}

#[test]
fn a_copy_stands_alone_and_shows_the_same_to_a_guest() {
    let mut host = Host::ready();
    host.change(create("base.img", ImageFormat::Raw, 8 * MIB));
    write(&host.path("base.img"), ImageFormat::Raw, 1);
    host.change(linked("over.qcow2", "base.img", 0));
    host.change(snapshot("over.qcow2", "before"));
    write(&host.path("over.qcow2"), ImageFormat::Qcow2, 2);

    let cases = [
        ("base.img", None, "1.img", ImageFormat::Raw, 1),
        ("base.img", None, "2.qcow2", ImageFormat::Qcow2, 1),
        ("over.qcow2", None, "3.qcow2", ImageFormat::Qcow2, 2),
        ("over.qcow2", None, "4.img", ImageFormat::Raw, 2),
        ("over.qcow2", Some("before"), "5.qcow2", ImageFormat::Qcow2, 1),
    ];
    for (source, name, target, format, value) in cases {
        let outcome = host.change(copy(source, name, target, format));
        let Outcome::ImageMade { facts, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!((facts.format, facts.virtual_size.bytes(), facts.backing), (format, 8 * MIB, None), "{target}");
        assert!(facts.allocated.bytes() < 2 * MIB, "{target}: {:?}", facts.allocated);
        reads(&host.path(target), format, value);
        assert_eq!(host.owner(target), (host.plugin_user(), 0o600));
    }
    let failure = host.perform(copy("over.qcow2", Some("none"), "6", ImageFormat::Raw)).unwrap_err();
    assert_eq!(failure.kind, Kind::NotFound);
    let failure = host.perform(copy("base.img", Some("none"), "6", ImageFormat::Raw)).unwrap_err();
    assert_eq!(failure.kind, Kind::Usage);
    assert_eq!(host.names().len(), 7);
}

#[test]
fn snapshots_are_made_listed_gone_back_to_and_deleted_by_name() {
    let mut host = Host::ready();
    host.change(create("a", ImageFormat::Qcow2, MIB));
    let path = host.path("a");
    // The first snapshot gets the number 1, so that the second's name is the first's number.
    for (name, value) in [("first", 1), ("1", 2)] {
        write(&path, ImageFormat::Qcow2, value);
        let outcome = host.change(snapshot("a", name));
        let Outcome::Snapshot { facts, .. } = outcome else { panic!("{outcome:?}") };
        assert!(facts.name == name && facts.created > 1_600_000_000);
    }
    write(&path, ImageFormat::Qcow2, 3);
    assert_eq!(host.snapshot_names("a"), ["first", "1"]);
    assert_eq!(host.perform(snapshot("a", "first")).unwrap_err().kind, Kind::Conflict);

    let revert = |name: &str| Operation::SnapshotRevert { image: image("a"), snapshot: name.parse().unwrap() };
    for (name, value) in [("1", 2), ("first", 1)] {
        host.change(revert(name));
        reads(&path, ImageFormat::Qcow2, value);
    }
    assert_eq!(host.perform(revert("none")).unwrap_err().kind, Kind::NotFound);

    let remove = |name: &str| Operation::SnapshotDelete { image: image("a"), snapshot: name.parse().unwrap() };
    host.change(remove("1"));
    assert_eq!(host.snapshot_names("a"), ["first"]);
    assert_eq!(host.change(remove("1")), Outcome::Unchanged);
    host.change(create("raw", ImageFormat::Raw, MIB));
    assert_eq!(host.perform(snapshot("raw", "s")).unwrap_err().kind, Kind::Usage);
    assert_eq!(host.names(), ["a", "raw"]);
}

#[test]
fn an_image_that_another_process_has_open_is_left_alone() {
    let mut host = Host::ready();
    host.change(create("a", ImageFormat::Qcow2, MIB));
    let mut holder = Command::new("qemu-io")
        .args(["-f", "qcow2"])
        .arg(host.path("a"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = holder.stdin.take().unwrap();
    let mut output = BufReader::new(holder.stdout.take().unwrap());
    input.write_all(b"length\n").unwrap();
    // An answer means that it has the image, with its locks.
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let failure = host.perform(snapshot("a", "s")).unwrap_err();
    input.write_all(b"quit\n").unwrap();
    holder.wait().unwrap();
    assert_eq!(failure.kind, Kind::Conflict, "{failure}");
    assert!(failure.hint.unwrap().contains("in use"));
    host.change(snapshot("a", "s"));
    assert_eq!(host.names(), ["a"]);
}

#[test]
fn a_missing_tool_is_named_and_leaves_nothing() {
    let mut host = Host::with(|policy| policy.host.qemu_img = "/nonexistent/qemu-img".into());
    let failure = host.perform(create("a", ImageFormat::Qcow2, MIB)).unwrap_err();
    assert!(failure.to_string().contains("/nonexistent/qemu-img"), "{failure}");
    assert!(failure.hint.unwrap().contains("qemu-utils"));
    assert!(host.names().is_empty() && host.ledger.is_empty());
}

#[test]
fn an_operators_own_file_is_given_to_the_plugin_before_it_is_changed() {
    let mut host = Host::ready();
    for name in ["download", "twice"] {
        let output =
            Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(host.path(name)).arg("1M").output();
        assert!(output.unwrap().status.success());
    }
    host.change(snapshot("download", "s"));
    assert_eq!(host.owner("download").0, host.plugin_user());

    // A second name may lie where the plugin was granted nothing.
    std::fs::hard_link(host.path("twice"), host.root.path().join("elsewhere")).unwrap();
    let before = host.owner("twice");
    let result = host.perform(snapshot("twice", "s"));
    if rustix::process::geteuid().is_root() {
        assert_eq!(result.unwrap_err().kind, Kind::Denied);
        assert_eq!(host.owner("twice"), before);
    }
}
