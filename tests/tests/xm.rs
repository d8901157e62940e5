//! fief, called `xm`: the old words and the old output.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use fief_tests::boot_sector::{self, Then};
use fief_tests::{Guest, Host, Said};
use tempfile::TempDir;

const NOT_FOUND: i32 = 3;
const CONFLICT: i32 = 4;

struct Xm<'a> {
    host: &'a Host,
    folder: TempDir,
}

impl Xm<'_> {
    fn new(host: &Host) -> Xm<'_> {
        let folder = tempfile::Builder::new().prefix("fief-xm-").tempdir().expect("a folder");
        std::os::unix::fs::symlink(fief_tests::host::fief(), folder.path().join("xm")).expect("a link");
        Xm { host, folder }
    }
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    #[track_caller]
    fn ends(&self, words: &[&str], code: i32) -> Said {
        let mut command: Command = self.host.namespace().command(self.path("xm"));
        command.args(words).env("FIEF_ROOT", self.host.root()).env_remove("FIEF_LOG");
        fief_tests::command::run(&mut command, Duration::from_secs(120)).expect_code(code)
    }
    #[track_caller]
    fn says(&self, words: &[&str]) -> String {
        self.ends(words, 0).stdout
    }
    /// The columns of one domain's row.
    #[track_caller]
    fn row(&self, name: &str) -> Vec<String> {
        let said = self.says(&["list", name]);
        let row = said.lines().nth(1).unwrap_or_else(|| panic!("no row of {name} in\n{said}"));
        row.split_whitespace().map(str::to_owned).collect()
    }
}

#[test]
fn the_old_words_do_what_they_did() {
    let host = Host::new();
    let xm = Xm::new(&host);
    host.host_only("xenbr0", "10.77.0.1/24");
    boot_sector::write(&xm.path("node1.img"), "hello from xen", Then::Halt);
    let disk = xm.path("node1.img").canonicalize().expect("the disk");
    let text = format!(
        "name = 'node1'\nmemory = 32\nvcpus = 1\ndisk = [ 'tap:aio:{},xvda,w' ]\nvif = [ 'mac=00:16:3e:00:00:01' ]\n",
        disk.display()
    );
    let file = xm.path("node1.cfg").to_string_lossy().into_owned();
    std::fs::write(&file, text).expect("room");

    let said = xm.ends(&["create", &file], NOT_FOUND);
    assert!(said.stderr.contains(&format!("`fief import {file}`")), "{}", said.stderr);
    host.fief(&["import", &file]);
    let empty = xm.says(&["list"]);
    let mut lines = empty.lines();
    assert_eq!(lines.next(), Some("Name                                        ID   Mem VCPUs      State   Time(s)"));
    assert!(lines.next().is_some_and(|line| line.starts_with(&format!("{:<40}     0 ", "Domain-0"))), "{empty}");
    assert_eq!(lines.next(), Some(&*format!("{:<40} {:>5}    32     1            {:>8}", "node1", "", "0.0")));

    let said = xm.says(&["create", &file]);
    assert!(said.starts_with("Using config file ") && said.contains("\nStarted domain node1 (id="), "{said}");
    Guest::of(&host, "node1").says("hello from xen");
    let row = xm.row("node1");
    let id = row[1].clone();
    assert_eq!((row.len(), &row[2..4]), (6, &["32".to_owned(), "1".to_owned()][..]));
    assert!(row[4] == "r-----" || row[4] == "-b----", "{row:?}");
    assert_eq!((xm.says(&["domid", "node1"]), xm.says(&["domname", &id])), (format!("{id}\n"), "node1\n".to_owned()));
    let long = xm.says(&["list", "-l", &id]);
    for part in [format!("    (domid {id})\n"), "(name node1)".into(), "(mac 00:16:3e:00:00:01)".into()] {
        assert!(long.contains(&part), "{part} is missing in\n{long}");
    }
    assert!(xm.says(&["list", "--long"]).starts_with("(domain\n    (domid 0)\n"));

    let said = xm.ends(&["create", &file], CONFLICT);
    assert!(said.stderr.contains("already in use by domain"), "{}", said.stderr);
    assert_eq!(xm.says(&["pause", &id]), "");
    assert_eq!(xm.row("node1")[4], "--p---");
    xm.says(&["unpause", "node1"]);
    assert_eq!(host.state("node1"), "running");
    xm.says(&["mem-max", "node1", "64"]);
    assert!(host.fief(&["show", "node1"]).stdout.contains("max-memory = \"64MiB\""));
    let said = xm.ends(&["migrate", "-l", "node1", "other"], 1);
    assert!(said.stderr.contains("moves no domains"), "{}", said.stderr);

    let state = xm.path("node1.state").to_string_lossy().into_owned();
    xm.says(&["save", &id, &state]);
    assert_eq!(host.state("node1"), "off");
    xm.says(&["restore", &state]);
    assert_eq!(host.state("node1"), "running");
    xm.says(&["destroy", "node1"]);
    assert_eq!(host.state("node1"), "off");
    xm.says(&["rename", "node1", "node2"]);
    xm.ends(&["destroy", "node1"], NOT_FOUND);
    xm.ends(&["destroy", "Domain-0"], 2);
    xm.ends(&["fly"], 2);
    assert!(xm.says(&["info"]).contains("nr_cpus                : "));

    host.fief(&["delete", "node2", "--volumes", "--yes"]);
    host.fief(&["network", "delete", "xenbr0"]);
    host.finish();
}

#[test]
fn a_guest_without_disks_is_made_of_its_file_and_shut_down_by_either_name() {
    let host = Host::new();
    let xm = Xm::new(&host);
    let guest = host.run_guest("linux", &[], "fief.mode=idle");
    guest.says("fief-guest: ready");
    let listed = host.fief(&["list", "--host", "-o", "json"]).json();
    let (machine, domain) = (&listed["items"][0], &listed["items"][1]);
    assert_eq!((&machine["id"], &machine["host"], &domain["name"]), (&0.into(), &true.into(), &"linux".into()));
    assert!(machine["memory"].as_u64() > machine["memory-used"].as_u64(), "{machine}");
    assert!(host.fief(&["list", "--host"]).stdout.contains("\n(host) "));
    assert_eq!(host.fief(&["list", "--host", "-o", "name"]).stdout, "linux\n");

    std::fs::write(xm.path("small.cfg"), "name = 'small'\nmemory = 8\non_crash = 'preserve'\n").expect("room");
    let file = xm.path("small.cfg").to_string_lossy().into_owned();
    let said = xm.says(&["create", &file, "name=tiny", "memory=16"]);
    assert!(said.contains("Started domain tiny (id="), "{said}");
    assert_eq!(xm.row("tiny")[2], "16");
    xm.ends(&["create", &file, "name=tiny", "memory=32"], 2);
    xm.says(&["destroy", "tiny"]);
    host.fief(&["delete", "tiny", "--yes"]);

    assert_eq!(xm.says(&["shutdown", "-a", "-w"]), "Domain linux terminated\nAll domains terminated\n");
    assert_eq!(host.shown("linux")["last-end"]["reason"], "powered-off");
    drop(guest);
    // Not waited for.
    host.fief(&["start", "linux"]);
    let guest = Guest::of(&host, "linux");
    let (place, _) = guest.says_after(0, "reboot: Power down");
    guest.says_after(place, "fief-guest: ready");
    xm.says(&["shutdown", "linux"]);
    host.fief(&["wait", "linux", "--state", "off", "--timeout", "60s"]);
    xm.ends(&["reboot", "linux"], CONFLICT);
    drop(guest);
    host.fief(&["delete", "linux", "--yes"]);
    host.finish();
}
