//! Volumes that come from files, go to files and to other pools: what a guest sees stays the same, holes stay holes, and
//! what fails, is broken off or killed leaves nothing.

mod reader;
mod renaming;
mod running;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use fief_tests::{Host, Witness, command, eventually};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;
const CONFLICT: i32 = 4;

const SIZE: u64 = 8 << 20;
/// Where data lies: at the start, in the middle of nowhere and of a sector, at the very end.
const DATA: [(u64, u64); 3] = [(0, 4096), ((3 << 20) + 513, 70_001), (SIZE - 1000, 1000)];
/// As `--format` says it, and as QEMU does.
const FORMATS: [(&str, &str); 6] =
    [("raw", "raw"), ("qcow2", "qcow2"), ("vmdk", "vmdk"), ("vhdx", "vhdx"), ("vdi", "vdi"), ("vhd", "vpc")];

/// A folder of the operator's.
struct Files(TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::Builder::new().prefix("fief-files-").tempdir().expect("a folder"))
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().expect("the folder").join(name)
    }
    fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }
    fn names(&self) -> Vec<String> {
        let all = std::fs::read_dir(self.0.path()).expect("the folder");
        let mut all: Vec<String> =
            all.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        all.sort();
        all
    }
    /// A raw disk with data in odd places.
    fn disk(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::File::create(&path).and_then(|file| file.set_len(SIZE)).expect("room for a disk");
        for (at, length) in DATA {
            qemu(&["qemu-io", "-f", "raw", "-c", &format!("write -q -P 0x5a {at} {length}")], &path);
        }
        path
    }
    fn converted(&self, disk: &Path, name: &str, format: &str) -> String {
        let path = self.path(name);
        let force: &[&str] = if format == "vpc" { &["-o", "force_size=on"] } else { &[] };
        let words = ["qemu-img", "convert", "-f", "raw", "-O", format];
        qemu(&[&words[..], force, &[&disk.to_string_lossy()]].concat(), &path);
        path.to_string_lossy().into_owned()
    }
}

#[track_caller]
fn qemu(words: &[&str], last: &Path) {
    command::run(Command::new(words[0]).args(&words[1..]).arg(last), Duration::from_secs(60)).expect_code(0);
}

fn options(path: &Path, format: &str) -> String {
    let size = if format == "vpc" { ",force_size_calc=current_size" } else { "" };
    format!("driver={format}{size},file.filename={}", path.display())
}

/// What a guest sees is the same, and what is hole has not become data.
#[track_caller]
fn same(a: (&Path, &str), b: (&Path, &str)) {
    qemu(&["qemu-img", "compare", "--image-opts", &options(a.0, a.1)], Path::new(&options(b.0, b.1)));
    for path in [a.0, b.0] {
        let takes = std::fs::metadata(path).expect("an image").blocks() * 512;
        assert!(takes < 5 << 20, "{} takes {takes} bytes: its holes were filled", path.display());
    }
}

fn image(host: &Host, volume: &str) -> (PathBuf, &'static str) {
    image_below(&host.root().join("images"), volume)
}

fn image_below(folder: &Path, volume: &str) -> (PathBuf, &'static str) {
    let found = |(name, format)| (folder.join(format!("{volume}{name}")), format);
    [(".qcow2", "qcow2"), (".raw", "raw"), ("", "raw")]
        .map(found)
        .into_iter()
        .find(|(path, _)| path.exists())
        .unwrap_or_else(|| panic!("no image of {volume}"))
}

#[test]
fn every_format_comes_in_and_goes_out_again() {
    let (host, files) = (Host::new(), Files::new());
    let disk = files.disk("disk.img");
    for (name, format) in FORMATS {
        let file = files.converted(&disk, &format!("in.{name}"), format);
        for volume_format in ["raw", "qcow2"] {
            let said = host.fief(&["volume", "import", &file, "default/a", "--volume-format", volume_format]);
            assert!(said.stdout.contains(&format!("({name}) to default/a")), "{}", said.stdout);
            assert!(said.stdout.ends_with("volume default/a imported\n"), "{}", said.stdout);
            let (path, kept_as) = image(&host, "a");
            assert_eq!(kept_as, volume_format);
            same((&disk, "raw"), (&path, kept_as));
            let out = files.text(&format!("out.{name}"));
            host.fief(&["volume", "export", "default/a", &out]);
            same((&disk, "raw"), (Path::new(&out), format));
            std::fs::remove_file(out).expect("what was exported");
            host.fief(&["volume", "delete", "default/a", "--yes"]);
        }
    }
    // For a program.
    let file = files.text("in.vmdk");
    let item = host.fief(&["volume", "import", &file, "default/a", "-o", "json"]).json()["item"].take();
    assert_eq!((&item["source"]["format"], &item["format"]), (&"vmdk".into(), &"qcow2".into()));
    let out = files.text("out");
    let item =
        host.fief(&["volume", "export", "default/a", &out, "--format", "vhdx", "-o", "json"]).json()["item"].take();
    assert_eq!((&item["file"], &item["format"]), (&out.into(), &"vhdx".into()));
    host.fief(&["volume", "delete", "default/a", "--yes"]);
    host.finish();
}

#[test]
fn what_cannot_be_taken_or_written_is_refused_and_leaves_nothing() {
    let (host, files) = (Host::new(), Files::new());
    let disk = files.disk("disk.img");
    let qcow2 = files.converted(&disk, "qcow2.img", "qcow2");
    // A guest wrote what looks like another format, or the operator named it so: nobody knows but the operator.
    let said = host.fief_ends(&["volume", "import", &qcow2, "default/a"], USAGE);
    assert!(said.stderr.contains("say --format qcow2 or --format raw"), "{}", said.stderr);
    host.fief(&["volume", "import", &qcow2, "default/a", "--format", "raw"]);
    assert_eq!(std::fs::read(image(&host, "a").0).expect("the image")[..4], *b"QFI\xfb");
    host.fief_ends(&["volume", "import", &qcow2, "default/a", "--format", "qcow2"], CONFLICT);
    // Another file would be needed.
    let backed = files.path("backed.qcow2");
    qemu(&["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", &disk.to_string_lossy()], &backed);
    let said = host.fief_ends(&["volume", "import", &backed.to_string_lossy(), "default/b"], USAGE);
    assert!(said.stderr.contains("stands on another image"), "{}", said.stderr);
    std::fs::write(files.path("list.vmdk"), "# Disk DescriptorFile\nversion=1\n").expect("room");
    let said = host.fief_ends(&["volume", "import", &files.text("list.vmdk"), "default/b"], USAGE);
    assert!(said.stderr.contains("list of other files"), "{}", said.stderr);
    host.fief_ends(&["volume", "import", &files.text("none"), "default/b"], NOT_FOUND);
    host.fief_ends(&["volume", "import", &qcow2, "nowhere/b", "--format", "qcow2"], NOT_FOUND);
    host.fief_ends(&["volume", "import", &qcow2, "default/b", "--format", "zip"], USAGE);

    let names = files.names();
    for (file, code) in [("disk.img", CONFLICT), ("..", USAGE), ("no/where", NOT_FOUND), (".fief-new-a", 5)] {
        host.fief_ends(&["volume", "export", "default/a", &files.text(file)], code);
    }
    host.fief_ends(&["volume", "export", "default/z", &files.text("out")], NOT_FOUND);
    let dry = host.fief(&["--dry-run", "volume", "export", "default/a", &files.text("out")]).stdout;
    assert!(dry.contains("\"disk-copy\""), "{dry}");
    host.fief(&["--dry-run", "volume", "import", &disk.to_string_lossy(), "default/b"]);
    host.fief_ends(&["volume", "show", "default/b"], NOT_FOUND);
    assert_eq!(files.names(), names);

    // A domain that runs writes to it.
    host.fief(&["create", "web1", "--memory", "32MiB", "--disk", "default/a"]);
    host.fief(&["start", "web1"]);
    let said = host.fief_ends(&["volume", "export", "default/a", &files.text("out")], CONFLICT);
    assert!(said.stderr.contains("web1, which runs") && said.stderr.contains("fief shutdown web1"), "{}", said.stderr);
    host.fief(&["stop", "web1"]);
    host.fief(&["delete", "web1", "--volumes", "--yes"]);
    host.finish();
}

/// A second pool of files, and one whose raw volumes the plugin serves itself, both in a directory of their own.
fn more_pools(host: &Host) {
    let policy = host.root().join("policy.toml");
    let text = std::fs::read_to_string(&policy).expect("the policy");
    let path = host.root().join("more");
    let granted =
        format!("access = \"read-write\" }}, {{ name = \"more\", path = {path:?}, access = \"read-write\" }}]");
    let text = text.replacen("access = \"read-write\" }]", &granted, 1);
    std::fs::write(&policy, text).expect("the policy");
    host.fief(&["pool", "create", "more", "--kind", "file", "--set", "directory=more"]);
    host.fief(&["pool", "create", "served", "--kind", "file", "--set", "directory=more", "--set", "transport=served"]);
}

fn no_more_pools(host: &Host) {
    host.fief(&["pool", "delete", "more"]);
    host.fief(&["pool", "delete", "served"]);
    std::fs::remove_dir(host.root().join("more")).expect("an empty folder");
}

fn image_in(host: &Host, volume: &str) -> (PathBuf, &'static str) {
    let (pool, name) = volume.split_once('/').expect("POOL/NAME");
    let folder = host.root().join(if pool == "default" { "images" } else { "more" });
    image_below(&folder, name)
}

#[test]
fn a_volume_is_copied_to_a_pool_of_any_kind() {
    let (host, files) = (Host::new(), Files::new());
    more_pools(&host);
    let disk = files.disk("disk.img");
    let qcow2 = files.converted(&disk, "disk.qcow2", "qcow2");
    host.fief(&["volume", "import", &disk.to_string_lossy(), "default/raw"]);
    host.fief(&["volume", "import", &qcow2, "default/qcow2"]);
    // To images, kept in their format or in another; out of a pool that serves, into one, and from one to another.
    for (from, to, options, becomes) in [
        ("default/raw", "more/a", &[][..], "raw"),
        ("default/qcow2", "more/a", &[][..], "qcow2"),
        ("default/raw", "more/a", &["--format", "qcow2"][..], "qcow2"),
        ("default/qcow2", "more/a", &["--format", "raw"][..], "raw"),
        ("default/raw", "default/a", &[][..], "raw"),
        ("default/raw", "served/a", &[][..], "raw"),
        ("default/qcow2", "served/a", &["--format", "raw"][..], "raw"),
    ] {
        host.fief(&[&["volume", "copy", from, to], options].concat());
        let (path, format) = image_in(&host, to);
        assert_eq!(format, becomes, "{from} to {to}");
        same((&disk, "raw"), (&path, format));
        if to == "served/a" {
            host.fief(&["volume", "copy", to, "default/back", "--format", "qcow2"]);
            let (path, format) = image_in(&host, "default/back");
            same((&disk, "raw"), (&path, format));
            host.fief(&["volume", "copy", to, "served/twice"]);
            let (path, format) = image_in(&host, "served/twice");
            same((&disk, "raw"), (&path, format));
            let out = files.text("out.vmdk");
            host.fief(&["volume", "export", to, &out]);
            same((&disk, "raw"), (Path::new(&out), "vmdk"));
            std::fs::remove_file(out).expect("what was exported");
            host.fief(&["volume", "delete", "default/back", "served/twice", "--yes"]);
        }
        host.fief(&["volume", "delete", to, "--yes"]);
    }
    // A file of another format into what is served; onto a volume that is there.
    host.fief(&["volume", "import", &files.converted(&disk, "in.vhdx", "vhdx"), "served/a"]);
    same((&disk, "raw"), (&image_in(&host, "served/a").0, "raw"));
    host.fief(&["volume", "create", "served/lun", "--size", "9MiB", "--format", "raw"]);
    let lun = image_in(&host, "served/lun").0;
    qemu(&["qemu-io", "-f", "raw", "-c", "write -q -P 0xff 0 8M"], &lun);
    host.fief_ends(&["volume", "copy", "default/qcow2", "served/lun"], CONFLICT);
    host.fief_ends(&["volume", "copy", "default/qcow2", "served/lun", "--onto"], 13);
    host.fief(&["volume", "copy", "default/qcow2", "served/lun", "--onto", "--yes"]);
    std::fs::File::options().write(true).open(&lun).and_then(|file| file.set_len(SIZE)).expect("the image");
    qemu(&["qemu-img", "compare", "-f", "raw", "-F", "raw", &disk.to_string_lossy()], &lun);

    host.fief_ends(&["volume", "copy", "default/raw", "default/raw"], USAGE);
    host.fief_ends(&["volume", "copy", "default/none", "more/b"], NOT_FOUND);
    host.fief_ends(&["volume", "copy", "default/raw", "default/qcow2", "--onto", "--yes"], USAGE);
    host.volume("served/small", "1MiB");
    host.fief_ends(&["volume", "copy", "default/raw", "served/small", "--onto", "--yes"], CONFLICT);
    let all = ["default/raw", "default/qcow2", "served/a", "served/lun", "served/small"];
    host.fief(&[&["volume", "delete"], &all[..], &["--yes"]].concat());
    no_more_pools(&host);
    host.finish();
}

#[test]
fn a_volume_moves_and_its_domains_have_it_there() {
    let (host, files) = (Host::new(), Files::new());
    more_pools(&host);
    let disk = files.disk("disk.img");
    host.fief(&["volume", "import", &disk.to_string_lossy(), "default/data"]);
    let mut witness = Witness::create(&host, "web1", &["--disk", "default/data"]);
    host.fief(&["create", "web2", "--memory", "32MiB", "--cdrom", "default/data"]);
    let names = |domain: &str, volume: &str| {
        let disks = host.shown(domain)["definition"]["disk"].as_array().cloned().unwrap_or_default();
        disks.iter().any(|disk| disk["volume"] == volume)
    };
    let item = host.fief(&["volume", "move", "default/data", "more/data", "-o", "json"]).json()["item"].take();
    assert_eq!(item["domains"], serde_json::json!(["web1", "web2"]));
    assert!(names("web1", "more/data") && names("web2", "more/data") && !names("web1", "default/data"));
    host.fief_ends(&["volume", "show", "default/data"], NOT_FOUND);
    same((&disk, "raw"), (&image_in(&host, "more/data").0, "raw"));
    // What it boots from; then it runs there.
    host.fief(&["volume", "move", "default/web1", "more/system", "--keep"]);
    host.fief(&["volume", "show", "default/web1"]);
    witness.lies_at(&image_in(&host, "more/system").0);
    host.fief(&["start", "web1"]);
    witness.goes_on(2);
    // Read by a domain that runs.
    host.fief(&["stop", "web1"]);
    host.fief(&["start", "web2"]);
    let said = host.fief_ends(&["volume", "move", "more/data", "default/data"], CONFLICT);
    assert!(said.stderr.contains("web2 runs"), "{}", said.stderr);
    host.fief(&["stop", "web2"]);
    // What would be lost.
    host.volume("default/snapped", "1MiB");
    host.fief(&["volume", "snapshot", "create", "default/snapped", "kept"]);
    let said = host.fief_ends(&["volume", "move", "default/snapped", "more/snapped"], CONFLICT);
    assert!(said.stderr.contains("1 snapshots"), "{}", said.stderr);
    host.fief(&["volume", "snapshot", "delete", "default/snapped", "kept", "--yes"]);
    host.fief(&["volume", "clone", "default/snapped", "default/linked", "--linked"]);
    let said = host.fief_ends(&["volume", "move", "default/snapped", "more/snapped"], CONFLICT);
    assert!(said.stderr.contains("linked clone"), "{}", said.stderr);
    host.fief(&["delete", "web1", "--volumes", "--yes"]);
    host.fief(&["delete", "web2", "--yes"]);
    host.fief(&["volume", "delete", "default/linked", "default/snapped", "default/web1", "--yes"]);
    no_more_pools(&host);
    host.finish();
}

/// A disk that takes a while, and whose every block has to be looked at.
fn large(files: &Files) -> String {
    let path = files.path("large.img");
    let file = std::fs::File::create(&path).expect("a file");
    let block: Vec<u8> = (0..1 << 20).map(|at| (at % 251) as u8).collect();
    for at in 0..192 {
        std::os::unix::fs::FileExt::write_all_at(&file, &block, at << 20).expect("room");
    }
    path.to_string_lossy().into_owned()
}

#[test]
fn what_is_broken_off_takes_itself_back_and_what_is_killed_goes_with_the_next_command() {
    let (host, files) = (Host::new(), Files::new());
    let disk = large(&files);
    let (names, before) = (files.names(), host.census());
    let holding = || host.root().join("pools/default/leases/a").exists();
    let images = || std::fs::read_dir(host.root().join("images")).expect("images").count();
    for signal in [Signal::INT, Signal::KILL] {
        let mut import = host.command(&["volume", "import", &disk, "default/a", "--volume-format", "qcow2"]);
        let mut child = import.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("fief");
        eventually("the volume is being filled", Duration::from_secs(60), || (images() > 0).then_some(()));
        // While it is, nobody else changes it.
        let said = host.fief_ends(&["volume", "delete", "default/a", "--yes"], CONFLICT);
        assert!(said.stderr.contains("is being copied"), "{}", said.stderr);
        kill_process(Pid::from_child(&child), signal).expect("a child of this test");
        let status = child.wait().expect("a child of this test");
        match signal {
            Signal::INT => {
                assert_eq!(status.code(), Some(1));
                let said = std::io::read_to_string(child.stderr.take().expect("a pipe")).expect("words");
                assert!(said.contains("it was broken off"), "{said}");
                assert_eq!((images(), holding()), (0, false), "it takes itself back");
            }
            _ => assert!(images() > 0 && holding(), "what is killed leaves it to the next command"),
        }
        host.fief(&["list"]);
        host.settles_to(&before);
    }

    host.fief(&["volume", "import", &disk, "default/a"]);
    let before = host.census();
    let there = || files.names() != names;
    for signal in [Signal::INT, Signal::KILL] {
        let broken_off = || {
            let mut export = host.command(&["volume", "export", "default/a", &files.text("out.qcow2")]);
            let mut child = export.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("fief");
            eventually("the file is being written", Duration::from_secs(60), || there().then_some(()));
            let said = host.fief_ends(&["volume", "resize", "default/a", "1GiB"], CONFLICT);
            assert!(said.stderr.contains("is being copied"), "{}", said.stderr);
            kill_process(Pid::from_child(&child), signal).expect("a child of this test");
            if !child.wait().expect("a child of this test").success() {
                return Some(());
            }
            // It was done before the signal came.
            std::fs::remove_file(files.text("out.qcow2")).expect("what was exported");
            None
        };
        eventually("an export that is broken off", Duration::from_secs(120), broken_off);
        assert!(!files.names().contains(&"out.qcow2".to_owned()), "a name is given to what is whole");
        host.fief(&["list"]);
        assert_eq!(files.names(), names);
        host.settles_to(&before);
    }
    host.fief(&["volume", "export", "default/a", &files.text("out.qcow2")]);
    host.fief(&["volume", "delete", "default/a", "--yes"]);
    host.finish();
}
