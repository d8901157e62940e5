//! Volumes that are copied from one host to another: between pools of every kind, cut off in the middle, and with either end
//! killed.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use fief_tests::command::Started;
use fief_tests::pair::Side;
use fief_tests::{Host, Pair, eventually};
use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(90);
const MIB: usize = 1 << 20;
/// The domain that volumes come for.
const NODE1: &str = "uuid=5b1c2f0e-0d5c-4b0a-9a52-3a7b1d0c9e11";

/// Bytes that no part of repeats; every third stretch of 300 KiB is a hole.
fn content(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = vec![0; size];
    for (place, piece) in bytes.chunks_mut(300 << 10).enumerate() {
        if place % 3 != 2 {
            for byte in piece.iter_mut() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *byte = (state >> 56) as u8;
            }
        }
    }
    bytes
}

/// What is left of these bytes without blocks of zeroes.
fn held(bytes: &[u8]) -> u64 {
    bytes.chunks(4096).filter(|block| block.iter().any(|byte| *byte != 0)).count() as u64 * 4096
}

/// A volume of a host with these bytes in it.
fn volume(host: &Host, name: &str, format: &str, bytes: &[u8]) {
    let file = host.root().join("content.raw");
    let writer = File::create(&file).unwrap();
    writer.set_len(bytes.len() as u64).unwrap();
    for (place, piece) in bytes.chunks(4096).enumerate() {
        if piece.iter().any(|byte| *byte != 0) {
            writer.write_all_at(piece, (place * 4096) as u64).unwrap();
        }
    }
    host.fief(&["volume", "import", &file.to_string_lossy(), name, "--volume-format", format]);
    fs::remove_file(file).unwrap();
}

/// All that a guest would read.
fn read(host: &Host, name: &str) -> Vec<u8> {
    let file = host.root().join("read.raw");
    host.fief(&["volume", "export", name, &file.to_string_lossy(), "--format", "raw"]);
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(file).unwrap();
    bytes
}

fn words<'a>(host: &'a Host, words: &[&'a str]) -> Vec<String> {
    let root = host.root().to_string_lossy().into_owned();
    ["copy-volume".to_owned(), root].into_iter().chain(words.iter().map(|word| (*word).to_owned())).collect()
}

/// Copies, which has to succeed; gives how much went over in the last attempt, and in all of them.
#[track_caller]
fn copies(host: &Host, more: &[&str]) -> (u64, u64) {
    let words = words(host, more);
    let said = host.fief(&words.iter().map(String::as_str).collect::<Vec<_>>()).stdout;
    let numbers: Vec<u64> = said.split_whitespace().map(|word| word.parse().unwrap()).collect();
    (numbers[0], numbers[1])
}

/// The same, begun.
fn begins(host: &Host, more: &[&str]) -> Child {
    let words = words(host, more);
    let mut command = host.command(&words.iter().map(String::as_str).collect::<Vec<_>>());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
fn orders(host: &Host, what: &str, target: &str) {
    let words = words(host, &[what, "hostb", target]);
    host.fief(&words.iter().map(String::as_str).collect::<Vec<_>>());
}

fn used_by(host: &Host, pool: &str, name: &str) -> String {
    let listing = host.fief(&["-o", "json", "volume", "list", pool]).json();
    let items = listing["items"].as_array().unwrap();
    let item = items.iter().find(|item| item["volume"] == name);
    item.map_or_else(|| "gone".to_owned(), |item| item["used-by"].to_string())
}

fn image(host: &Host, name: &str) -> PathBuf {
    let images = fs::read_dir(host.root().join("images")).unwrap().flatten().map(|entry| entry.path());
    images.into_iter().find(|path| path.file_name().unwrap().to_string_lossy().starts_with(name)).unwrap()
}

#[test]
fn a_volume_comes_to_a_peer_whatever_keeps_it_on_either_side() {
    let mut pair = Pair::new();
    pair.nfs();
    pair.iscsi(&[4 * MIB as u64, 4 * MIB as u64]);
    // The trial's service has policy as it was when it began.
    Side::BOTH.into_iter().for_each(|side| pair.serves(side));
    let (a, b) = (pair.a(), pair.b());
    let bytes = content(4 * MIB);
    let holds = held(&bytes);
    volume(a, "default/raw", "raw", &bytes);
    volume(a, "default/qcow2", "qcow2", &bytes);
    for (from, to, format) in [
        ("default/raw", "default/one", "raw"),
        ("default/qcow2", "default/two", "qcow2"),
        ("default/raw", "nfs-native/three", "raw"),
        ("nfs-served/three", "iscsi-native/lun1", "raw"),
        ("iscsi-native/lun1", "nfs-served/four", "raw"),
        ("nfs-native/four", "iscsi-served/lun2", "raw"),
        ("iscsi-served/lun2", "default/five", "raw"),
        ("default/qcow2", "nfs-served/six", "raw"),
    ] {
        let onto: &[&str] = if to.contains("lun") { &["onto"] } else { &[] };
        let (sent, _) = copies(a, &[&[from, "hostb", to, NODE1], onto].concat());
        assert!(sent <= holds, "{from} to {to}: {sent} of {holds}");
        orders(a, "take", to);
        let (pool, name) = to.split_once('/').unwrap();
        assert_eq!(used_by(b, pool, name), "[]", "{to}");
        assert!(read(b, to) == bytes, "{to} holds something else than {from}");
        let shown = b.fief(&["-o", "json", "volume", "show", to]).json();
        assert_eq!(shown["item"]["format"], format, "{to}");
        // Nothing is missing there: a second copy of the same sends nothing.
        if to.contains("lun") {
            assert_eq!(copies(a, &[from, "hostb", to, NODE1, "onto"]).0, 0, "{from} to {to}");
            orders(a, "take", to);
        }
    }
    // Sparse.
    assert!(image(b, "one").metadata().unwrap().blocks() * 512 <= holds + (64 << 10));
    for volume in ["default/raw", "default/qcow2", "nfs-served/three", "nfs-served/four", "nfs-served/six"] {
        a.fief(&["--yes", "volume", "delete", volume]);
    }
    for volume in ["default/one", "default/two", "default/five"] {
        b.fief(&["--yes", "volume", "delete", volume]);
    }
    pair.is_as_made();
}

/// So much of a volume is there.
#[track_caller]
fn half(pair: &Pair, name: &str, least: u64) {
    let host = pair.b();
    eventually("half of it is there", PATIENCE, || {
        let images = fs::read_dir(host.root().join("images")).unwrap().flatten();
        let named = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(name);
        let blocks = images.filter(named).map(|entry| entry.metadata().unwrap().blocks() * 512).sum::<u64>();
        (blocks >= least).then_some(())
    });
}

#[test]
fn a_copy_that_is_cut_off_goes_on_from_there_or_leaves_nothing() {
    let mut pair = Pair::new();
    let bytes = content(24 * MIB);
    volume(pair.a(), "default/disk", "raw", &bytes);
    pair.is_made();
    let holds = held(&bytes);
    let slowly = "bandwidth=6000000";

    // The target's host goes, and comes back: the same command goes on.
    let copying = begins(pair.a(), &["default/disk", "hostb", "default/one", NODE1, slowly]);
    half(&pair, "one", holds / 4);
    pair.stops_serving(Side::B);
    assert!(used_by(pair.b(), "default", "one").contains("arriving"), "{}", used_by(pair.b(), "default", "one"));
    // Nobody else has it meanwhile.
    pair.b().fief(&["create", "other", "--memory", "32MiB", "--disk", "default/one"]);
    let refused = pair.b().fief_ends(&["start", "other"], 4);
    assert!(refused.stderr.contains("on its way from another host"), "{}", refused.stderr);
    pair.b().fief(&["--yes", "delete", "other"]);
    pair.serves(Side::B);
    let ended = copying.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success(), "{said}{}", String::from_utf8_lossy(&ended.stderr));
    let numbers: Vec<u64> = said.split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert!(numbers[0] < holds * 4 / 5, "it began anew: {numbers:?} of {holds}");
    orders(pair.a(), "take", "default/one");
    assert!(read(pair.b(), "default/one") == bytes);
    pair.b().fief(&["--yes", "volume", "delete", "default/one"]);

    // The source is killed: what came stays, and another goes on, or it is given up.
    for gives_up in [false, true] {
        let mut copying = begins(pair.a(), &["default/disk", "hostb", "default/two", NODE1, slowly]);
        half(&pair, "two", holds / 4);
        copying.kill().unwrap();
        copying.wait().unwrap();
        eventually("it is known to be cut off", PATIENCE, || {
            used_by(pair.b(), "default", "two").contains("arriving").then_some(())
        });
        if gives_up {
            orders(pair.a(), "give-up", "default/two");
            assert_eq!(used_by(pair.b(), "default", "two"), "gone");
        } else {
            // One of another domain is not gone on with.
            let words = words(pair.a(), &["default/disk", "hostb", "default/two", "domain=other", "once"]);
            pair.a().fief_ends(&words.iter().map(String::as_str).collect::<Vec<_>>(), 1);
            let (sent, _) = copies(pair.a(), &["default/disk", "hostb", "default/two", NODE1]);
            assert!(sent < holds * 4 / 5, "it began anew: {sent} of {holds}");
            orders(pair.a(), "take", "default/two");
            assert!(read(pair.b(), "default/two") == bytes);
            pair.b().fief(&["--yes", "volume", "delete", "default/two"]);
        }
        // What a source that was killed has left goes with its next command.
        pair.a().fief(&["recover"]);
    }
    pair.is_as_made();
}

/// The process that moves a domain, whether that is off or not.
fn supervisor(host: &Host) -> u32 {
    let [only] = host.processes("supervise")[..] else { panic!("one supervisor, and no more, is at work") };
    only
}

/// Whoever comes next has what came kept, and the next move takes it up.
#[test]
fn a_move_whose_supervisor_is_killed_goes_on_with_the_volumes_that_came() {
    const NAME: &str = "big";
    let mut pair = Pair::new();
    let bytes = content(24 * MIB);
    let holds = held(&bytes);
    pair.is_made();
    for (strategy, runs) in [("migration-static", false), ("migration-static", true), ("migration-live", true)] {
        let (a, b) = (pair.a(), pair.b());
        volume(a, "default/big", "raw", &bytes);
        a.fief(&["create", NAME, "--memory", "32MiB", "--accelerator", "tcg", "--disk", "default/big"]);
        if runs {
            a.fief(&["start", NAME]);
        }
        let words = ["migrate", NAME, "hostb", "--strategy", strategy];
        let mut slowly = a.command(&[&words[..], &["--bandwidth", "50Mbit"]].concat());
        let moving = Started::start(&mut slowly);
        half(&pair, NAME, holds / 2);
        kill_process(Pid::from_raw(supervisor(a).cast_signed()).unwrap(), Signal::KILL).unwrap();
        assert_ne!(moving.ends(PATIENCE).code, Some(0));
        // The other host hears of it, where somebody takes the guest up.
        a.fief(&["recover"]);
        assert_eq!(a.state(NAME), if runs { "running" } else { "off" });
        eventually("it is known to be cut off", PATIENCE, || {
            used_by(b, "default", NAME).contains("arriving").then_some(())
        });
        let outcome = a.fief(&[&["-o", "json"], &words[..]].concat()).json()["item"]["outcome"].take();
        let transferred = outcome["transferred"].as_u64().unwrap();
        assert!(transferred < holds * 3 / 4, "{strategy} began anew: {transferred} of {holds}");
        if runs {
            assert_eq!(b.state(NAME), "running");
            b.fief(&["stop", NAME]);
        }
        assert!(read(b, "default/big") == bytes);
        b.fief(&["delete", NAME, "--volumes", "--yes"]);
    }
    pair.is_as_made();
}

#[test]
fn a_target_that_is_killed_anywhere_goes_on_or_leaves_nothing() {
    let mut pair = Pair::new();
    let bytes = content(2 * MIB);
    volume(pair.a(), "default/disk", "qcow2", &bytes);
    pair.is_made();
    for point in ["arrive.begun", "arrive.made", "arrive.copied", "arrive.left"] {
        for gives_up in [false, true] {
            let reached = pair.b().root().join("reached");
            let armed = |name: &str, value: String| (name.to_owned(), value);
            let fault = [
                armed("FIEF_FAULT", format!("{point}:kill")),
                armed("FIEF_FAULT_REACHED", reached.to_string_lossy().into_owned()),
            ];
            pair.serves_with(Side::B, &fault);
            let copy = ["default/disk", "hostb", "default/disk", NODE1, "once"];
            let copying = begins(pair.a(), &copy);
            eventually(point, PATIENCE, || reached.exists().then_some(()));
            copying.wait_with_output().unwrap();
            fs::remove_file(&reached).unwrap();
            pair.serves(Side::B);
            if gives_up {
                orders(pair.a(), "give-up", "default/disk");
            } else {
                copies(pair.a(), &["default/disk", "hostb", "default/disk", NODE1]);
                orders(pair.a(), "take", "default/disk");
                assert!(read(pair.b(), "default/disk") == bytes, "{point}");
                pair.b().fief(&["--yes", "volume", "delete", "default/disk"]);
            }
            pair.is_as_made();
        }
    }
}
