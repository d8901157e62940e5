//! A whole Debian boots from shared storage, and fio writes to it and verifies what it wrote, while what serves it is
//! killed and its server starts anew. Then the image is looked at where the server keeps it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fief_tests::ganesha::Versions;
use fief_tests::pools::{iscsi_plugin, iscsi_pool, iscsi_portal, nfs_plugin, nfs_pool};
use fief_tests::{Ganesha, Host, Terminal, Tgt, command, eventually, guest, kill};

const TARGET: &str = "iqn.2026-01.test:debian";
/// 20 s on an idle machine, all of it emulated.
const BOOT: Duration = Duration::from_secs(400);
/// A copy, a shell's answer, fio: a few seconds each, and storage that is away in the middle.
const PATIENCE: Duration = Duration::from_secs(300);
const MIB: u64 = 1 << 20;
/// What fio writes to.
const DATA: u64 = 32 * MIB;
/// Of the root partition in the image (`xtask/src/guest/debian.rs`), in bytes.
const ROOT: u64 = 34 * MIB;

/// Every block once, in random order, each with a checksum, slowly enough to be met in the middle; then all are read.
const FIO: &str = "--name=verify --rw=randwrite --bs=16k --iodepth=8 --direct=1 --verify=crc32c --verify_fatal=1 \
                   --randseed=11 --verify_state_save=0 --eta=never";

/// What keeps the disks, and is ended and started again.
enum Server<'a> {
    Nfs(&'a mut Ganesha),
    Iscsi(&'a mut Tgt),
}

impl Server<'_> {
    fn starts_anew(&mut self) {
        match self {
            Server::Nfs(server) => {
                server.kill();
                server.restart();
            }
            Server::Iscsi(tgt) => {
                tgt.kill();
                tgt.revive();
            }
        }
    }
}

/// Two volumes, and the files that the server has them in.
struct Disks<'a> {
    system: (&'a str, &'a Path),
    data: (&'a str, &'a Path),
}

#[test]
fn on_nfs_served() {
    on_nfs("served");
}

#[test]
fn on_nfs_native() {
    on_nfs("native");
}

#[test]
fn on_iscsi_served() {
    on_iscsi("served");
}

#[test]
fn on_iscsi_native() {
    on_iscsi("native");
}

fn on_nfs(transport: &str) {
    let host = Host::new();
    let mut server = Ganesha::start(host.namespace(), Versions::ThreeAndFour);
    nfs_plugin(&host);
    nfs_pool(&host, "nas", &server, &[&format!("transport={transport}")]);
    let image = guest::debian();
    host.fief(&["volume", "import", &image.to_string_lossy(), "nas/debian"]);
    host.fief(&["volume", "create", "nas/data", "--size", &format!("{}MiB", DATA / MIB), "--format", "raw"]);
    let (system, data) = (server.export().join("debian"), server.export().join("data"));
    let disks = Disks { system: ("nas/debian", &system), data: ("nas/data", &data) };
    boots_and_verifies(&host, &disks, &mut Server::Nfs(&mut server));
    for volume in ["nas/debian", "nas/data"] {
        host.fief(&["volume", "delete", volume, "--yes"]);
    }
    host.fief(&["pool", "delete", "nas"]);
}

fn on_iscsi(transport: &str) {
    let host = Host::new();
    let mut tgt = iscsi_portal(host.namespace());
    let target = tgt.target(TARGET);
    let size = std::fs::metadata(guest::debian()).unwrap().len();
    let (system, data) = (tgt.disk(target, 1, size), tgt.disk(target, 2, DATA));
    iscsi_plugin(&host);
    iscsi_pool(&host, "san", &tgt, TARGET, &[&format!("transport={transport}")]);
    host.fief(&["volume", "import", &guest::debian().to_string_lossy(), "default/debian"]);
    host.fief(&["volume", "copy", "default/debian", "san/lun1", "--onto", "--yes"]);
    host.fief(&["volume", "delete", "default/debian", "--yes"]);
    let disks = Disks { system: ("san/lun1", &system), data: ("san/lun2", &data) };
    boots_and_verifies(&host, &disks, &mut Server::Iscsi(&mut tgt));
    host.fief(&["pool", "delete", "san"]);
}

fn boots_and_verifies(host: &Host, disks: &Disks<'_>, server: &mut Server<'_>) {
    host.volume_with("default/fio", "128MiB", &guest::fio());
    let words = ["create", "debian", "--memory", "512MiB", "--disk", disks.system.0, "--disk", disks.data.0];
    host.fief(&[&words[..], &["--disk", "default/fio"]].concat());
    host.fief(&["start", "debian"]);
    let mut terminal = Terminal::start(host.command(&["console", "debian"]));
    terminal.shows("fief-debian login:", BOOT);
    terminal.types("root\r");
    terminal.shows("root@fief-debian:~#", PATIENCE);
    // Split, here and below, so that the echo of the keys is not taken for the answer.
    terminal.types("mount -o ro /dev/vdc /mnt && echo mount''ed\r");
    terminal.shows("mounted", PATIENCE);
    let fio = "/mnt/ld.so --library-path /mnt/lib /mnt/fio --ioengine=libaio";
    terminal.types(&format!(
        "{fio} {FIO} --filename=/dev/vdb --rate=1m,,8m && echo disk''-verified || echo disk''-wrong\r"
    ));

    // Met in the middle, by how much is there already.
    written(disks.data.1, DATA / 16);
    if let Some(sandbox) = host.sandbox("debian", 1) {
        kill(sandbox);
    }
    written(disks.data.1, DATA / 4);
    server.starts_anew();
    terminal.shows("disk-", PATIENCE);
    terminal.shows("verified", PATIENCE);
    // Its own disk, through its file system; that of a server that starts anew as well.
    terminal.types(&format!(
        "{fio} {FIO} --filename=/root/data --size=8m --fsync=64 && echo root''-verified || echo root''-wrong\r"
    ));
    terminal.shows("root-", PATIENCE);
    terminal.shows("verified", PATIENCE);
    assert_eq!(host.state("debian"), "running");
    terminal.types("systemctl poweroff --force\r");
    host.fief(&["wait", "debian", "--state", "off", "--timeout", "80s"]);
    assert!(terminal.ends(PATIENCE).success());
    host.fief(&["delete", "debian", "--yes"]);
    host.fief(&["volume", "delete", "default/fio", "--yes"]);

    // All of it is where the server keeps it, and the guest's file system is sound.
    let mut verify = Command::new("fio");
    verify.args(FIO.split_whitespace()).args(["--ioengine=psync", "--verify_only"]);
    command::run(verify.arg(format!("--filename={}", disks.data.1.display())), PATIENCE).expect_code(0);
    let mut check = Command::new("e2fsck");
    command::run(check.arg("-fn").arg(format!("{}?offset={ROOT}", disks.system.1.display())), PATIENCE).expect_code(0);
}

/// Waits until so many bytes of a disk are there.
#[track_caller]
fn written(image: &Path, bytes: u64) {
    let there = || std::fs::metadata(image).unwrap().blocks() * 512;
    let what = format!("{bytes} bytes are written to {}", image.display());
    eventually(&what, PATIENCE, || (there() >= bytes).then_some(()));
}
