//! Volumes on a real iSCSI target: through fief's verbs, through the hypervisor's own client, and served by the plugin.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fief_tests::boot_sector::{self, Then};
use fief_tests::host::target;
use fief_tests::served::Served;
use fief_tests::{Guest, Host, Tgt, command, eventually};

const PATIENCE: Duration = Duration::from_secs(90);
const TARGET: &str = "iqn.2026-01.test:disks";
const ADDRESS: &str = "10.9.0.1";
const MIB: u64 = 1 << 20;

/// A host whose policy has the plugin and the secrets of both sides; no pool is made.
fn host() -> Host {
    let host = Host::new();
    let path = host.root().join("policy.toml");
    let policy = fs::read_to_string(&path).unwrap().replace("[pools]\n", "[pools]\niscsi = \"storage-iscsi\"\n");
    let grant = "\n[plugins.storage-iscsi]\nsecrets = [\"ours\", \"theirs\"]\n\
                 connections = [{ name = \"portal\", to = \"{portal}:{port}\", allow = [\"this-host\"] }]\n";
    fs::write(&path, policy + grant).unwrap();
    let plugin = target().join("wasm32-wasip2/release/storage_iscsi.wasm");
    assert!(plugin.exists(), "{} is not built; `cargo xtask test` builds it", plugin.display());
    host.fief(&["plugin", "install", &plugin.to_string_lossy()]);
    for (name, secret) in [("ours", "secret123456"), ("theirs", "mutual123456")] {
        command::run_given(&mut host.command(&["secret", "set", name]), secret.as_bytes(), PATIENCE).expect_code(0);
    }
    host
}

/// A target beside this host, at an address that other hosts can be wired to.
fn target_of(host: &Host) -> Tgt {
    host.namespace().ip("link add portal type veth peer name portal-peer");
    host.namespace().ip(&format!("address add {ADDRESS}/32 dev portal"));
    host.namespace().ip("link set portal up");
    Tgt::start(host.namespace(), ADDRESS)
}

fn pool(host: &Host, settings: &[&str]) {
    let (portal, target) = (format!("portal={ADDRESS}"), format!("target={TARGET}"));
    let mut words = vec!["pool", "create", "san", "--kind", "iscsi", "--set", &portal, "--set", &target];
    words.extend(settings.iter().flat_map(|setting| ["--set", *setting]));
    host.fief(&words);
}

fn fence(host: &Host) -> String {
    let said = host.fief(&["volume", "show", "san/lun1"]);
    said.stdout.lines().find_map(|line| line.strip_prefix("fence")).unwrap_or_default().trim().to_owned()
}

/// So many bytes that do not compress.
fn noise(path: &Path, bytes: u64) {
    let make = format!("head -c {bytes} /dev/urandom > {}", path.display());
    command::run(Command::new("sh").args(["-c", &make]), PATIENCE).expect_code(0);
}

#[test]
fn units_are_volumes_and_every_verb_may_come_twice() {
    let host = host();
    let mut tgt = target_of(&host);
    let target = tgt.target(TARGET);
    tgt.disk(target, 1, 8 * MIB);
    for _ in 0..2 {
        pool(&host, &["transport=served"]);
    }
    let wrong = ["pool", "create", "no", "--kind", "iscsi", "--set", "portal=10.9.0.1", "--set", "target=iqn.a:b"];
    let said = host.fief_ends(&wrong, 3);
    assert!(said.stderr.contains(TARGET), "{}", said.stderr);
    for _ in 0..2 {
        host.fief(&["volume", "create", "san/lun1", "--size", "8MiB", "--format", "raw"]);
        host.fief(&["volume", "resize", "san/lun1", "8MiB"]);
    }
    let said = host.fief_ends(&["volume", "create", "san/lun2", "--size", "8MiB", "--format", "raw"], 2);
    assert!(said.stderr.contains("made on the target"), "{}", said.stderr);
    let said = host.fief_ends(&["volume", "resize", "san/lun1", "16MiB"], 2);
    assert!(said.stderr.contains("grow on the target"), "{}", said.stderr);
    tgt.grow(target, 1, 16 * MIB);
    for _ in 0..2 {
        host.fief(&["volume", "resize", "san/lun1", "16MiB"]);
    }
    let listed = host.fief(&["volume", "list"]).stdout;
    assert!(listed.contains("san/lun1") && listed.contains("16MiB"), "{listed}");
    host.fief_ends(&["volume", "delete", "san/lun1", "--yes"], 2);
    let said = host.fief_ends(&["volume", "rename", "san/lun1", "disk"], 2);
    assert!(said.stderr.contains("fief volume move"), "{}", said.stderr);
    for _ in 0..2 {
        host.fief(&["pool", "check", "san"]);
        assert!(host.fief(&["pool", "show", "san"]).stdout.contains(TARGET));
        assert!(host.fief(&["pool", "list"]).stdout.contains("san"));
        host.fief(&["volume", "unlock", "san/lun1"]);
    }
    for _ in 0..2 {
        host.fief(&["pool", "delete", "san", "--if-exists"]);
    }
    pool(&host, &["durable-writes=true"]);
    let shown = host.fief(&["volume", "show", "san/lun1"]).stdout;
    assert!(shown.contains("served, because") && shown.contains("durable-writes"), "{shown}");
    // Left held by a domain of this host, which ended while the target did not answer: that is no other host's.
    host.fief(&["create", "node1", "--memory", "32MiB", "--disk", "san/lun1"]);
    host.fief(&["start", "node1"]);
    assert!(fence(&host).starts_with("reservation held by "), "{}", fence(&host));
    tgt.freeze();
    host.fief(&["stop", "node1"]);
    tgt.thaw();
    assert!(fence(&host).starts_with("reservation held by "), "{}", fence(&host));
    for _ in 0..2 {
        host.fief(&["volume", "unlock", "san/lun1"]);
        assert_eq!(fence(&host), "reservation, held by nobody");
    }
    host.fief(&["delete", "node1", "--yes"]);
    // A target that is gone holds nobody up.
    tgt.kill();
    host.fief_ends(&["volume", "show", "san/lun1"], 8);
    host.fief(&["pool", "list"]);
    host.fief(&["list"]);
}

/// The pool leaves the way open: what is installed decides, at each start, and what the guest got is what was said.
#[test]
fn the_way_to_a_volume_is_picked_by_what_is_installed() {
    let host = host();
    let mut tgt = target_of(&host);
    let target = tgt.target(TARGET);
    boot_sector::write(&tgt.disk(target, 1, MIB), "hello from a unit", Then::Halt);
    pool(&host, &[]);
    host.fief(&["create", "node1", "--memory", "32MiB", "--accelerator", "tcg", "--disk", "san/lun1"]);
    let goes = |way: &str, why: &str, fence: &str| {
        let shown = host.fief(&["volume", "show", "san/lun1"]).stdout;
        let told = format!("{way}, because {why}");
        assert!(shown.contains(&told), "no {told:?} in {shown}");
        let json = host.fief(&["volume", "show", "san/lun1", "-o", "json"]).json();
        assert_eq!(json["item"]["transport"]["way"], way, "{json}");
        let pool = host.fief(&["pool", "show", "san"]).stdout;
        assert!(pool.contains(&format!("# transport {told}")), "{pool}");
        let before = command::run(&mut host.command(&["logs", "node1"]), PATIENCE).stdout.len();
        host.fief(&["start", "node1"]);
        Guest::of(&host, "node1").says_after(before, "hello from a unit");
        let holds = host.fief(&["volume", "show", "san/lun1"]).stdout;
        assert!(holds.contains(&format!("{fence} held by")), "{holds}");
        host.fief(&["stop", "node1"]);
    };
    goes("native", "QEMU has its libiscsi driver", "registration");
    // A QEMU without that driver.
    let qemu = host.root().join("qemu-without");
    let script = "#!/bin/sh\ncase \"$*\" in *'\"driver\":\"iscsi\"'*) \
                  echo \"qemu: -blockdev {}: Unknown driver 'iscsi'\" >&2; exit 1;; esac\n\
                  exec qemu-system-x86_64 \"$@\"\n";
    fs::write(&qemu, script).unwrap();
    command::run(Command::new("chmod").arg("755").arg(&qemu), PATIENCE).expect_code(0);
    let path = host.root().join("policy.toml");
    let policy = fs::read_to_string(&path).unwrap();
    fs::write(&path, hides(&policy, &qemu)).unwrap();
    goes("served", "this QEMU has no iscsi client (Unknown driver 'iscsi')", "reservation");
}

/// The policy with another QEMU.
fn hides(policy: &str, qemu: &Path) -> String {
    let line = format!("qemu = {:?}\n", qemu.display().to_string());
    match policy.contains("[host]\n") {
        true => policy.replace("[host]\n", &format!("[host]\n{line}")),
        false => format!("{policy}\n[host]\n{line}"),
    }
}

#[test]
fn a_guest_boots_by_the_hypervisors_own_client_and_on_one_host_at_a_time() {
    let (one, two) = (host(), host());
    let mut tgt = target_of(&one);
    one.namespace().wire(("to-two", "10.9.1.1/24"), two.namespace(), ("to-one", "10.9.1.2/24"));
    two.namespace().ip(&format!("route add {ADDRESS}/32 via 10.9.1.1"));
    let target = tgt.target(TARGET);
    boot_sector::write(&tgt.disk(target, 1, MIB), "hello from a unit", Then::Halt);
    tgt.chap(target, "alice", "secret123456");
    for host in [&one, &two] {
        pool(host, &["transport=native", "user=alice", "password=ours"]);
        host.fief(&["create", "node1", "--memory", "32MiB", "--accelerator", "tcg", "--disk", "san/lun1"]);
    }
    assert_eq!(fence(&one), "registration, held by nobody");
    for _ in 0..2 {
        one.fief(&["start", "node1"]);
    }
    Guest::of(&one, "node1").says("hello from a unit");
    let held = fence(&two);
    assert!(held.starts_with("registration held by ") && held.contains("generation 1"), "{held}");
    let said = two.fief_ends(&["start", "node1"], 4);
    assert!(said.stderr.contains("held by"), "{}", said.stderr);
    one.fief(&["stop", "node1"]);
    assert_eq!(fence(&one), "registration, held by nobody");
    two.fief(&["start", "node1"]);
    Guest::of(&two, "node1").says("hello from a unit");
    two.fief(&["stop", "node1"]);
}

#[test]
fn a_guest_writes_to_a_served_unit_and_goes_on_when_the_target_comes_back() {
    let host = host();
    let mut tgt = target_of(&host);
    let target = tgt.target(TARGET);
    tgt.disk(target, 1, 64 * MIB);
    pool(&host, &["transport=served"]);
    host.create_guest("node1", &["--disk", "san/lun1"], "fief.mode=count");
    host.fief(&["start", "node1"]);
    let guest = Guest::of(&host, "node1");
    guest.says("fief-guest: disk /dev/vda 64 MiB mounted, boot 1");
    let (place, _) = guest.says_after(0, "fief-guest: beat 2");
    tgt.kill();
    std::thread::sleep(Duration::from_secs(1));
    tgt.revive();
    let (place, _) = guest.says_after(place, "fief-guest: beat");
    tgt.freeze();
    std::thread::sleep(Duration::from_secs(2));
    tgt.thaw();
    guest.says_after(place, "fief-guest: beat");
    drop(guest);
    host.fief(&["stop", "node1"]);
    assert_eq!(fence(&host), "reservation, held by nobody");
    let before = host.fief(&["logs", "node1"]).stdout.len();
    host.fief(&["start", "node1"]);
    Guest::of(&host, "node1").says_after(before, "mounted, boot 2");
    host.fief(&["stop", "node1"]);
}

#[test]
fn a_served_unit_keeps_every_byte_while_its_target_is_killed_frozen_and_cut() {
    let host = host();
    let mut tgt = target_of(&host);
    let target = tgt.target(TARGET);
    tgt.disk(target, 1, 24 * MIB);
    tgt.chap(target, "alice", "secret123456");
    tgt.mutual(target, "bob", "mutual123456");
    let secrets = ["user=alice", "password=ours", "mutual-user=bob", "mutual-password=theirs"];
    pool(&host, &[&secrets[..], &["header-digest=crc32c", "data-digest=crc32c"]].concat());
    let served = Served::start(&host, "san/lun1", &[]);
    let source = served.file("source");
    noise(&source, 24 * MIB);
    assert!(fence(&host).starts_with("reservation held by "), "{}", fence(&host));

    let source = source.to_string_lossy().into_owned();
    let mut copy = Command::new("nbdcopy");
    let mut copy = copy.args(["--flush", "--connections=1", &source, &served.uri()]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    tgt.kill();
    std::thread::sleep(Duration::from_millis(500));
    tgt.revive();
    std::thread::sleep(Duration::from_millis(300));
    tgt.cut(target);
    tgt.freeze();
    std::thread::sleep(Duration::from_millis(1000));
    tgt.thaw();
    let ended = eventually("the copy ends", PATIENCE, || copy.try_wait().unwrap());
    assert!(ended.success(), "{}", served.stderr());
    served.tool("qemu-img", &["compare", "-f", "raw", "-F", "raw", &source, "URI"]);

    // It grows, and what is new can be written.
    tgt.grow(target, 1, 32 * MIB);
    eventually("the new size", PATIENCE, || {
        let size = served.tool("nbdinfo", &["--size", "URI"]).stdout;
        (size.trim() == (32 * MIB).to_string()).then_some(())
    });
    served.tool("qemu-io", &["-f", "raw", "-c", "write -P 7 31M 1M", "-c", "flush", "-c", "read -P 7 31M 1M", "URI"]);
    served.end();
    assert_eq!(fence(&host), "reservation, held by nobody");
}
