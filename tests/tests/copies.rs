//! Copies of domains, and snapshots of them: all of a domain's disks as they are at one moment, and nothing half.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fief_tests::boot_sector;
use fief_tests::guest::SPEAKS;
use fief_tests::{Guest, Host, eventually};
use rustix::process::{Pid, Signal, kill_process};

const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;
const CONFLICT: i32 = 4;
const FINDINGS: i32 = 6;
const NEEDS_YES: i32 = 13;

/// Of the second disk, and of the first where it is a qcow2 image too.
const SIZE: &str = "8MiB";

/// A domain that writes the same numbers to two disks, the first of them a raw image, or both qcow2.
fn define_pair(host: &Host, name: &str, options: &[&str], first: Format) {
    let file = host.root().join("sector");
    std::fs::write(&file, boot_sector::pair(&format!("{name} counts"))).expect("a boot sector");
    let (system, data) = (format!("default/{name}"), format!("default/{name}-data"));
    match first {
        Format::Raw => drop(host.volume_with(&system, "1MiB", &file)),
        Format::Qcow2 => {
            host.volume(&system, SIZE);
            let image = host.root().join(format!("images/{name}.qcow2"));
            let mut write = Command::new("qemu-io");
            write.arg("-c").arg(format!("write -q -s {} 0 512", file.display())).arg(image);
            fief_tests::command::run(&mut write, Duration::from_secs(30)).expect_code(0);
        }
    }
    std::fs::remove_file(file).expect("the sector");
    host.volume(&data, SIZE);
    let words = ["create", name, "--memory", "32MiB", "--disk", &system, "--disk", &data];
    host.fief(&[&words[..], options].concat());
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Raw,
    Qcow2,
}

fn start<'a>(host: &'a Host, name: &str) -> Guest<'a> {
    host.fief(&["start", name]);
    Guest::of(host, name)
}

fn image(host: &Host, volume: &str) -> PathBuf {
    let found = ["raw", "img", "qcow2"].map(|end| host.root().join(format!("images/{volume}.{end}")));
    let plain = host.root().join(format!("images/{volume}"));
    found.into_iter().chain([plain]).find(|path| path.exists()).unwrap_or_else(|| panic!("no image of {volume}"))
}

/// The number that a guest has written to a disk, of a domain that is off.
fn number(host: &Host, volume: &str) -> u32 {
    number_of(&image(host, volume))
}

fn number_of(image: &Path) -> u32 {
    let format = if image.extension().is_some_and(|end| end == "qcow2") { "qcow2" } else { "raw" };
    let mut read = Command::new("qemu-img");
    let out = image.with_file_name(".sector");
    read.args(["dd", "-U", "-f", format, "-O", "raw", "bs=512", "count=2"]);
    read.arg(format!("if={}", image.display())).arg(format!("of={}", out.display()));
    fief_tests::command::run(&mut read, Duration::from_secs(30)).expect_code(0);
    let bytes = std::fs::read(&out).expect("two sectors");
    std::fs::remove_file(out).expect("the sectors");
    u32::from_le_bytes(bytes[512..516].try_into().expect("four bytes"))
}

/// Both disks as at one moment; gives the first one's number.
fn one_moment(host: &Host, first: &str, second: &str) -> u32 {
    let (first, second) = (number(host, first), number(host, second));
    assert!(first == second || first == second + 1, "the disks are of two moments: {first} and {second}");
    first
}

fn guest_has_written(host: &Host, volume: &str, more_than: u32) {
    let image = image(host, volume);
    eventually("numbers on the disk", SPEAKS, || (number_of(&image) > more_than).then_some(()));
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::KILL).expect("a process of this test");
}

#[test]
fn a_domain_that_is_off_is_copied_with_an_identity_of_its_own() {
    let host = Host::new();
    host.host_only("lab", "10.77.0.1/24");
    define_pair(&host, "web1", &["--network", "lab"], Format::Raw);
    let guest = start(&host, "web1");
    guest.says("web1 counts");
    guest_has_written(&host, "web1", 3);
    host.fief(&["stop", "web1"]);
    drop(guest);

    // All is looked at before anything is made.
    host.fief_ends(&["clone", "web9", "web2"], NOT_FOUND);
    host.fief_ends(&["clone", "web1", "web1"], USAGE);
    host.fief_ends(&["clone", "web1", "WEB1"], CONFLICT);
    host.fief_ends(&["clone", "web1", "../web2"], USAGE);
    host.volume("default/web2-2", "1MiB");
    let said = host.fief_ends(&["clone", "web1", "web2"], CONFLICT);
    assert!(said.stderr.contains("default/web2-2") && said.stderr.contains("hint:"), "{}", said.stderr);
    host.fief(&["volume", "delete", "default/web2-2", "--yes"]);
    let said = host.fief_ends(&["clone", "web1", "web2", "--reset-identity"], FINDINGS);
    assert!(said.stderr.contains("no file system that fief knows") && said.stderr.contains("virt-sysprep"));
    host.fief_ends(&["clone", "web1", "web2", "--reset-identity", "--linked"], USAGE);
    host.fief_ends(&["volume", "show", "default/web2"], NOT_FOUND);

    let dry = host.fief(&["--dry-run", "clone", "web1", "web2"]).stdout;
    assert_eq!(dry.matches("\"image-copy\"").count(), 2, "{dry}");
    host.fief(&["clone", "web1", "web2"]);
    host.fief_ends(&["clone", "web1", "web2"], CONFLICT);
    assert_eq!(one_moment(&host, "web2", "web2-2"), one_moment(&host, "web1", "web1-data"));
    let (source, copy) = (host.shown("web1")["definition"].take(), host.shown("web2")["definition"].take());
    for own in ["uuid", "generation-id"] {
        assert_ne!(source[own], copy[own], "{own}");
    }
    assert_ne!(source["card"][0]["mac"], copy["card"][0]["mac"]);
    assert_eq!(source["memory"], copy["memory"]);
    // Both at once, on one network.
    let (first, second) = (start(&host, "web1"), start(&host, "web2"));
    first.says("web1 counts");
    second.says("web1 counts");
    drop((first, second));
    host.fief(&["stop", "web1", "web2"]);
    host.fief(&["delete", "web1", "web2", "--volumes", "--yes"]);
    host.fief(&["network", "delete", "lab"]);
    host.finish();
}

#[test]
fn the_system_in_a_copy_gets_an_identity_of_its_own() {
    let host = Host::new();
    let system = host.root().join("system");
    std::fs::create_dir_all(system.join("etc")).expect("a folder");
    std::fs::write(system.join("etc/hostname"), "web1\n").expect("a file");
    std::fs::write(system.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").expect("a file");
    let disk = host.root().join("disk");
    let mut make = Command::new("/sbin/mke2fs");
    make.args(["-q", "-t", "ext4", "-d"]).arg(&system).arg(&disk).arg("16M");
    fief_tests::command::run(&mut make, Duration::from_secs(30)).expect_code(0);
    host.volume_with("default/web1", "16MiB", &disk);
    std::fs::remove_file(disk).expect("the disk");
    std::fs::remove_dir_all(system).expect("the folder");
    host.fief(&["create", "web1", "--memory", "32MiB", "--disk", "default/web1"]);
    host.fief(&["clone", "web1", "web2", "--reset-identity"]);
    let file = |volume: &str, path: &str| {
        let mut cat = Command::new("/sbin/debugfs");
        cat.args(["-R", &format!("cat {path}")]).arg(image(&host, volume));
        fief_tests::command::run(&mut cat, Duration::from_secs(30)).expect_code(0).stdout
    };
    assert_eq!((file("web2", "etc/hostname"), file("web2", "etc/machine-id")), ("web2\n".into(), String::new()));
    assert_eq!(file("web1", "etc/hostname"), "web1\n");
    host.fief(&["delete", "web1", "web2", "--volumes", "--yes"]);
    host.finish();
}

#[test]
fn a_linked_copy_shares_what_its_source_holds_which_then_stays_as_it_is() {
    let host = Host::new();
    define_pair(&host, "web1", &[], Format::Qcow2);
    let guest = start(&host, "web1");
    guest.says("web1 counts");
    let said = host.fief_ends(&["clone", "web1", "web2", "--linked"], CONFLICT);
    assert!(said.stderr.contains("while it runs") && said.stderr.contains("fief shutdown web1"), "{}", said.stderr);
    host.fief(&["stop", "web1"]);
    drop(guest);
    host.fief(&["clone", "web1", "web2", "--linked"]);
    let guest = start(&host, "web2");
    guest.says("web1 counts");
    drop(guest);
    let said = host.fief_ends(&["start", "web1"], CONFLICT);
    assert!(said.stderr.contains("linked clone"), "{}", said.stderr);
    host.fief(&["stop", "web2"]);
    host.fief(&["delete", "web2", "--volumes", "--yes"]);
    host.fief(&["start", "web1"]);
    host.fief(&["stop", "web1"]);
    host.fief(&["delete", "web1", "--volumes", "--yes"]);
    host.finish();
}

#[test]
fn a_running_domain_is_copied_as_at_one_moment_and_goes_on() {
    let host = Host::new();
    define_pair(&host, "web1", &[], Format::Raw);
    let guest = start(&host, "web1");
    guest.says("web1 counts");
    guest_has_written(&host, "web1", 3);
    let hypervisor = host.hypervisor("web1");
    host.fief(&["clone", "web1", "web2"]);
    assert_eq!(host.state("web1"), "running");
    let copied = one_moment(&host, "web2", "web2-2");
    guest_has_written(&host, "web1", copied + 3);
    // Paused, it is copied too, and stays paused.
    host.fief(&["pause", "web1"]);
    host.fief(&["clone", "web1", "web3"]);
    assert_eq!((host.state("web1").as_str(), host.hypervisor("web1")), ("paused", hypervisor));
    assert!(one_moment(&host, "web3", "web3-2") > copied);
    host.fief(&["resume", "web1"]);
    let copy = start(&host, "web2");
    copy.says("web1 counts");
    drop((guest, copy));
    host.fief(&["stop", "web1", "web2"]);
    host.fief(&["delete", "web1", "web2", "web3", "--volumes", "--yes"]);
    host.finish();
}

#[test]
fn a_copy_that_is_killed_leaves_nothing_and_its_source_runs_on() {
    let host = Host::new();
    define_pair(&host, "web1", &[], Format::Raw);
    let guest = start(&host, "web1");
    guest.says("web1 counts");
    guest_has_written(&host, "web1", 3);
    let hypervisor = host.hypervisor("web1");
    let before = host.census();
    // The command, the supervisor, or the command after a moment: whatever the copy is about just then.
    for delay in [0, 5, 10, 20, 40, 80] {
        let mut clone = host.command(&["clone", "web1", "web2"]).spawn().expect("fief clone can be started");
        std::thread::sleep(Duration::from_millis(delay));
        clone.kill().expect("a child of this test");
        clone.wait().expect("a child of this test");
        // Cut off between the pool's books and its own, the pool's wait for the next command about the pool.
        host.fief(&["volume", "list", "default"]);
        if host.fief(&["list", "-o", "name"]).stdout.contains("web2") {
            host.fief(&["delete", "web2", "--volumes", "--yes"]);
        }
        host.settles_to(&before);
        assert_eq!((host.state("web1").as_str(), host.hypervisor("web1")), ("running", hypervisor));
    }
    // With its supervisor killed, the copy is begun again by the next one, or fails.
    let mut clone = host.command(&["clone", "web1", "web2"]).spawn().expect("fief clone can be started");
    eventually("volumes of the copy", SPEAKS, || host.root().join("images/web2-2.qcow2").exists().then_some(()));
    kill(host.supervisor("web1"));
    let copied = clone.wait().expect("a child of this test").success();
    assert_eq!((host.state("web1").as_str(), host.hypervisor("web1")), ("running", hypervisor));
    assert_eq!(host.fief(&["list", "-o", "name"]).stdout.contains("web2"), copied);
    let written = number(&host, "web1");
    guest_has_written(&host, "web1", written + 3);
    drop(guest);
    host.fief(&["stop", "web1"]);
    if copied {
        one_moment(&host, "web2", "web2-2");
        host.fief(&["delete", "web2", "--volumes", "--yes"]);
    }
    host.fief(&["delete", "web1", "--volumes", "--yes"]);
    host.finish();
}

#[test]
fn a_snapshot_of_all_disks_is_of_one_moment_and_can_be_gone_back_to() {
    let host = Host::new();
    define_pair(&host, "web1", &[], Format::Qcow2);
    host.fief(&["snapshot", "create", "web1", "fresh"]);
    let guest = start(&host, "web1");
    guest.says("web1 counts");
    guest_has_written(&host, "web1-data", 3);
    host.fief(&["snapshot", "create", "web1", "running"]);
    let soon = number(&host, "web1-data");
    guest_has_written(&host, "web1-data", soon + 3);
    let said = host.fief_ends(&["snapshot", "create", "web1", "running"], CONFLICT);
    assert!(said.stderr.contains("already"), "{}", said.stderr);
    host.fief_ends(&["snapshot", "revert", "web1", "running", "--yes"], CONFLICT);
    host.fief_ends(&["snapshot", "delete", "web1", "never", "--yes"], NOT_FOUND);
    host.fief(&["snapshot", "create", "web1", "extra"]);
    host.fief(&["snapshot", "delete", "web1", "extra", "--yes"]);
    let listed = host.fief(&["snapshot", "list", "web1"]).stdout;
    let rows: Vec<Vec<&str>> = listed.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), ["fresh", "running"]);
    assert!(rows.iter().all(|row| row[2..] == ["all", "2"]), "{listed}");
    host.fief(&["stop", "web1"]);
    drop(guest);

    let last = one_moment(&host, "web1", "web1-data");
    host.fief_ends(&["snapshot", "revert", "web1", "running"], NEEDS_YES);
    host.fief_ends(&["snapshot", "revert", "web1", "never", "--yes"], NOT_FOUND);
    host.fief(&["snapshot", "revert", "web1", "running", "--yes"]);
    let then = one_moment(&host, "web1", "web1-data");
    assert!(then > 3 && then < last, "{then} {last}");
    host.fief(&["snapshot", "revert", "web1", "fresh", "--yes"]);
    assert_eq!(one_moment(&host, "web1", "web1-data"), 0);
    let guest = start(&host, "web1");
    guest.says("web1 counts");
    drop(guest);
    host.fief(&["stop", "web1"]);
    host.fief(&["snapshot", "delete", "web1", "fresh", "running", "--yes"]);
    host.fief(&["snapshot", "delete", "web1", "fresh", "--yes", "--if-exists"]);
    host.fief(&["delete", "web1", "--volumes", "--yes"]);
    host.finish();
}

#[test]
fn what_cannot_be_kept_in_a_snapshot_is_refused_before_any_disk_is_touched() {
    let host = Host::new();
    define_pair(&host, "web1", &[], Format::Raw);
    for runs in [false, true] {
        let guest = runs.then(|| start(&host, "web1"));
        let said = host.fief_ends(&["snapshot", "create", "web1", "before"], CONFLICT);
        assert!(said.stderr.contains("default/web1 is raw") && said.stderr.contains("fief clone web1"));
        assert_eq!(host.fief(&["snapshot", "list", "web1", "-o", "name"]).stdout, "");
        drop(guest);
    }
    host.fief(&["stop", "web1"]);
    host.fief_ends(&["snapshot", "create", "web9", "before"], NOT_FOUND);
    host.fief_ends(&["snapshot", "create", "web1", "a/b"], USAGE);
    host.fief(&["create", "none", "--memory", "32MiB"]);
    host.fief_ends(&["snapshot", "create", "none", "before"], CONFLICT);
    host.fief(&["delete", "web1", "--volumes", "--yes"]);
    host.fief(&["delete", "none", "--yes"]);
    host.finish();
}
