//! Domains whose disks have snapshots and are copied to the other host: to and fro, off and running, cut off in the middle, and
//! where they cannot go along; and where nothing has to be copied.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fief_tests::guest::SPEAKS;
use fief_tests::host::target;
use fief_tests::pair::{Pair, Side};
use fief_tests::trouble::resets;
use fief_tests::{Guest, Host, boot_sector, command, eventually, fault};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);
const CONFLICT: i32 = 4;
const FINDINGS: i32 = 6;
const NAME: &str = "web1";
const MIB: u64 = 1 << 20;

fn image(host: &Host, volume: &str) -> PathBuf {
    host.root().join(format!("images/{volume}.qcow2"))
}

/// Writes to a disk of a domain that is off, as a guest does.
fn writes(image: &Path, pieces: &[(u8, &str)]) {
    let mut tool = Command::new("qemu-io");
    for (pattern, place) in pieces {
        tool.arg("-c").arg(format!("write -q -P {pattern} {place}"));
    }
    command::run(tool.arg(image), PATIENCE).expect_code(0);
}

/// All that a guest would read of a volume, now or as it was in a snapshot.
fn read(host: &Host, volume: &str, snapshot: Option<&str>) -> Vec<u8> {
    let file = host.root().join("read.raw");
    let named = file.to_string_lossy().into_owned();
    let then = snapshot.map_or(vec![], |snapshot| vec!["--snapshot", snapshot]);
    host.fief(&[&["volume", "export", volume, &named, "--format", "raw"][..], &then].concat());
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(file).unwrap();
    bytes
}

fn listed(host: &Host) -> Value {
    host.fief(&["snapshot", "list", NAME, "-o", "json"]).json()["items"].take()
}

#[track_caller]
fn moves(pair: &Pair, to: Side, more: &[&str]) -> Value {
    let words = [&["-o", "json", "migrate", NAME, to.name()][..], more].concat();
    pair[to.other()].fief(&words).json()["item"]["outcome"].take()
}

/// A domain that is off, whose disk holds 3 MiB and has grown between its two snapshots: 5 MiB went into it in all.
fn domain(pair: &Pair) {
    let a = pair.a();
    a.volume("default/web1", "8MiB");
    a.fief(&["create", NAME, "--memory", "32MiB", "--accelerator", "tcg", "--disk", "default/web1"]);
    writes(&image(a, NAME), &[(1, "0 1M"), (2, "4M 1M")]);
    a.fief(&["snapshot", "create", NAME, "first"]);
    writes(&image(a, NAME), &[(3, "4M 1M"), (4, "5M 64k")]);
    a.fief(&["volume", "resize", "default/web1", "10MiB"]);
    writes(&image(a, NAME), &[(5, "9M 1M")]);
    // By name it comes before the other one.
    a.fief(&["snapshot", "create", NAME, "a-second"]);
    writes(&image(a, NAME), &[(6, "0 1M")]);
    writes(&image(a, NAME), &[(0, "5M 64k")]);
}

#[test]
fn snapshots_go_to_and_fro_with_a_domain_that_is_off() {
    let pair = Pair::new();
    domain(&pair);
    let volume = "default/web1";
    let now = read(pair.a(), volume, None);
    let dates = listed(pair.a());
    assert_eq!(dates.as_array().unwrap().len(), 2, "{dates}");
    let then: Vec<Vec<u8>> = ["first", "a-second"].map(|name| read(pair.a(), volume, Some(name))).into();
    let used = image(pair.a(), NAME).metadata().unwrap().blocks() * 512;
    for to in [Side::B, Side::A, Side::B] {
        assert_eq!(pair[to.other()].listed(NAME)["moves"], true);
        let outcome = moves(&pair, to, &[]);
        // What a snapshot shares with the one before goes over once.
        assert!(outcome["transferred"].as_u64().unwrap() <= 6 * MIB, "{outcome}");
        let host = &pair[to];
        assert_eq!(listed(host), dates);
        assert!(read(host, volume, None) == now);
        for (name, then) in ["first", "a-second"].iter().zip(&then) {
            assert!(read(host, volume, Some(name)) == *then, "{name} on {}", to.name());
        }
        let there = image(host, NAME).metadata().unwrap().blocks() * 512;
        assert!(there <= used + MIB, "{there} of {used}");
        assert!(!image(&pair[to.other()], NAME).exists());
        // It is one like all others.
        host.fief(&["snapshot", "create", NAME, "more"]);
        host.fief(&["snapshot", "delete", NAME, "more", "--yes"]);
    }
    for (name, size, begins) in [("a-second", 10, 1), ("first", 8, 1)] {
        pair.b().fief(&["snapshot", "revert", NAME, name, "--yes"]);
        let bytes = read(pair.b(), volume, None);
        assert_eq!((bytes.len() as u64, bytes[0]), (size * MIB, begins), "{name}");
    }
    // What is larger in a snapshot than now does not go along, and nothing is changed by that.
    let refused = pair.b().fief_ends(&["migrate", NAME, "hosta", "-o", "json"], FINDINGS).json();
    let finding = &refused["item"]["findings"][0];
    assert_eq!(
        (finding["code"].as_str(), finding["object"].as_str()),
        (Some("snapshot"), Some("a-second")),
        "{refused}"
    );
    pair.b().fief(&["snapshot", "delete", NAME, "a-second", "--yes"]);
    moves(&pair, Side::A, &[]);
    assert_eq!(read(pair.a(), volume, None).len() as u64, 8 * MIB);
    pair.a().fief(&["delete", NAME, "--volumes", "--yes"]);
    pair.is_as_made();
}

/// The number that a guest has written to a disk.
fn number(image: &Path) -> u32 {
    let out = image.with_file_name(".sectors");
    let mut tool = Command::new("qemu-img");
    tool.args(["dd", "-U", "-f", "qcow2", "-O", "raw", "bs=512", "count=2"]);
    tool.arg(format!("if={}", image.display())).arg(format!("of={}", out.display()));
    command::run(&mut tool, PATIENCE).expect_code(0);
    let bytes = fs::read(&out).unwrap();
    fs::remove_file(out).unwrap();
    u32::from_le_bytes(bytes[512..516].try_into().unwrap())
}

fn goes_on(data: &Path) -> u32 {
    let from = number(data);
    eventually("the guest writes on", SPEAKS, || Some(number(data)).filter(|number| *number > from + 1))
}

/// A guest that runs, and writes the same numbers to its two disks, in this order.
fn running(host: &Host, disks: [&str; 2], first: &Path) {
    let sector = host.root().join("sector");
    fs::write(&sector, boot_sector::pair("web1 counts")).unwrap();
    disks.iter().for_each(|volume| host.volume(volume, "8MiB"));
    let mut tool = Command::new("qemu-io");
    tool.args(["-f", "qcow2", "-c"]).arg(format!("write -q -s {} 0 512", sector.display())).arg(first);
    command::run(&mut tool, PATIENCE).expect_code(0);
    fs::remove_file(sector).unwrap();
    let disks = ["--disk", disks[0], "--disk", disks[1]];
    host.fief(&[&["create", NAME, "--memory", "32MiB", "--accelerator", "tcg"], &disks[..]].concat());
    host.fief(&["start", NAME]);
    Guest::of(host, NAME).says("web1 counts");
}

/// Two snapshots of it, each with the numbers between which its own is.
fn snapshots(host: &Host, data: &Path) -> Vec<(&'static str, u32, u32)> {
    let take = |name| {
        let least = goes_on(data);
        host.fief(&["snapshot", "create", NAME, name]);
        (name, least, goes_on(data))
    };
    ["first", "second"].map(take).into()
}

/// It is stopped, and goes back to each of them.
#[track_caller]
fn reverts(host: &Host, (first, data): (&Path, &Path), bounds: Vec<(&str, u32, u32)>) {
    host.fief(&["stop", NAME]);
    let last = number(data);
    for (name, least, most) in bounds.into_iter().rev() {
        host.fief(&["snapshot", "revert", NAME, name, "--yes"]);
        let (one, other) = (number(first), number(data));
        assert!(one == other || one == other + 1, "{name} is of two moments: {one} and {other}");
        assert!((least..=most).contains(&other) && most < last, "{name} is of {other}, not of {least} to {most}");
    }
    host.fief(&["start", NAME]);
    Guest::of(host, NAME).says("web1 counts");
    host.fief(&["stop", NAME]);
}

#[test]
fn snapshots_go_to_and_fro_while_the_guest_runs() {
    let pair = Pair::new();
    let of = |side: Side| [NAME, "web1-data"].map(|volume| image(&pair[side], volume));
    let [first, data] = of(Side::A);
    running(pair.a(), ["default/web1", "default/web1-data"], &first);
    let bounds = snapshots(pair.a(), &data);
    let dates = listed(pair.a());
    for (to, strategy) in [(Side::B, "migration-static"), (Side::A, "migration-live"), (Side::B, "migration-live")] {
        moves(&pair, to, &["--strategy", strategy]);
        assert_eq!((pair[to].state(NAME).as_str(), listed(&pair[to])), ("running", dates.clone()));
        goes_on(&of(to)[1]);
    }
    let [first, data] = of(Side::B);
    reverts(pair.b(), (&first, &data), bounds);
    pair.b().fief(&["delete", NAME, "--volumes", "--yes"]);
    pair.is_as_made();
}

/// Storage of both hosts that keeps snapshots is played by a plugin of `tests/hostile`.
#[test]
fn snapshots_of_storage_that_both_hosts_reach_stay_where_they_are() {
    let mut pair = Pair::new();
    let directory = tempfile::Builder::new().prefix("fief-shared-").tempdir().unwrap();
    // Each plugin is a user of its own.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    for side in Side::BOTH {
        let host = &pair[side];
        let path = host.root().join("policy.toml");
        let policy = fs::read_to_string(&path).unwrap().replace("[pools]\n", "[pools]\nshared = \"hostile-shared\"\n");
        let grant = format!(
            "\n[plugins.hostile-shared]\ninterfaces = [\"images\"]\ndirectories = [{{ name = \"shared\", path = \"{}\", access = \"read-write\" }}]\n",
            directory.path().display()
        );
        fs::write(&path, policy + &grant).unwrap();
        let plugin = target().join("wasm32-wasip2/release/examples/shared.wasm");
        assert!(plugin.exists(), "{} is not built; `cargo xtask test` builds it", plugin.display());
        host.fief(&["plugin", "install", "--untried", &plugin.to_string_lossy()]);
        host.fief(&["pool", "create", "shared", "--kind", "shared"]);
    }
    pair.is_made();
    let [first, data] = [NAME, "web1-data"].map(|volume| directory.path().join(volume));
    running(pair.a(), ["shared/web1", "shared/web1-data"], &first);
    let bounds = snapshots(pair.a(), &data);
    let dates = listed(pair.a());
    for (to, strategy) in [(Side::B, "migration-live"), (Side::A, "migration-static"), (Side::B, "migration-live")] {
        let plan = pair[to.other()].fief(&["migrate", NAME, to.name(), "--plan", "-o", "json"]).json();
        assert_eq!(plan["item"]["disks"][0]["sameness"], "proven", "{plan}");
        moves(&pair, to, &["--strategy", strategy]);
        assert_eq!((pair[to].state(NAME).as_str(), listed(&pair[to])), ("running", dates.clone()));
        goes_on(&data);
    }
    // Off, too.
    pair.b().fief(&["stop", NAME]);
    moves(&pair, Side::A, &[]);
    assert_eq!((pair.a().state(NAME).as_str(), listed(pair.a())), ("off", dates));
    pair.a().fief(&["start", NAME]);
    reverts(pair.a(), (&first, &data), bounds);
    pair.a().fief(&["delete", NAME, "--volumes", "--yes"]);
    pair.is_as_made();
}

#[test]
fn a_move_that_is_cut_off_between_two_snapshots_goes_on_or_leaves_nothing() {
    let mut pair = Pair::new();
    domain(&pair);
    let volume = "default/web1";
    let dates = listed(pair.a());
    let now = read(pair.a(), volume, None);
    let then = read(pair.a(), volume, Some("a-second"));
    let reached = |side: Side| pair[side].root().join("reached");

    // Given up: nothing of it is left there, and all is as it was here.
    let file = reached(Side::A);
    let before = pair.census(Side::B);
    let mut migrate = pair.a().command(&["migrate", NAME, "hostb"]);
    let said = command::run(migrate.envs(fault::armed("kept.sent:fail", &file)), PATIENCE);
    assert!(said.code.is_some_and(|code| code != 0) && file.exists(), "{}{}", said.stdout, said.stderr);
    fs::remove_file(file).unwrap();
    pair.b().settles_to_but(&before, Some(pair.serving(Side::B).pid()));
    assert_eq!(listed(pair.a()), dates);

    // The other host's agent dies when it has taken one that it has not written down: what came stays, and is not sent again.
    let file = reached(Side::B);
    pair.serves_with(Side::B, &fault::armed("kept.taken:kill", &file));
    let mut migrate = pair.a().command(&["-o", "json", "migrate", NAME, "hostb"]);
    let moving = command::Started::start(&mut migrate);
    eventually("it is cut off", PATIENCE, || file.exists().then_some(()));
    pair.serves(Side::B);
    resets(pair.a().namespace(), fief_tests::pair::PORT);
    fs::remove_file(file).unwrap();
    let said = moving.ends(PATIENCE).expect_code(0);
    let transferred = said.json()["item"]["outcome"]["transferred"].as_u64().unwrap();
    assert!(transferred <= 6 * MIB, "{transferred}");
    assert_eq!(listed(pair.b()), dates);
    assert!(read(pair.b(), volume, None) == now && read(pair.b(), volume, Some("a-second")) == then);
    pair.b().fief(&["delete", NAME, "--volumes", "--yes"]);
    pair.is_as_made();
}

#[test]
fn where_snapshots_cannot_go_along_nothing_moves_unless_they_are_left() {
    let mut pair = Pair::new();
    pair.nfs();
    pair.mixed();
    let a = pair.a();
    a.volume("mixed/web1", "8MiB");
    a.fief(&["create", NAME, "--memory", "32MiB", "--accelerator", "tcg", "--disk", "mixed/web1"]);
    writes(&image(a, NAME), &[(1, "0 1M")]);
    a.fief(&["snapshot", "create", NAME, "first"]);
    writes(&image(a, NAME), &[(2, "0 1M")]);
    let before = [pair.census(Side::A), pair.census(Side::B)];
    let refused = a.fief_ends(&["migrate", NAME, "hostb", "-o", "json"], FINDINGS).json();
    let finding = &refused["item"]["findings"][0];
    assert_eq!((finding["code"].as_str(), finding["object"].as_str()), (Some("snapshot"), Some("first")), "{refused}");
    assert!(finding["remedy"].as_str().unwrap().contains("--leave-snapshots"), "{refused}");
    for side in Side::BOTH {
        pair[side].settles_to_but(&before[side as usize], Some(pair.serving(side).pid()));
    }
    let plan = a.fief(&["migrate", NAME, "hostb", "--leave-snapshots", "--plan", "-o", "json"]).json();
    assert_eq!(plan["item"]["findings"][0]["code"], "snapshot-lost", "{plan}");
    moves(&pair, Side::B, &["--leave-snapshots"]);
    assert!(read(pair.b(), "mixed/web1", None)[..MIB as usize].iter().all(|byte| *byte == 2));
    assert_eq!(listed(pair.b()), serde_json::json!([]));
    pair.b().fief_ends(&["snapshot", "create", NAME, "first"], CONFLICT);
    moves(&pair, Side::A, &[]);
    assert_eq!(listed(pair.a()), serde_json::json!([]));
    pair.a().fief(&["delete", NAME, "--volumes", "--yes"]);
    pair.is_as_made();
}
