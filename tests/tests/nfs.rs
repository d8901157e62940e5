//! Pools on a real NFS server, through fief itself.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use std::time::Duration;

use fief_tests::boot_sector::{self, Then};
use fief_tests::ganesha::Versions;
use fief_tests::host::target;
use fief_tests::{Ganesha, Guest, Host, Namespace, Said, Tgt, Witness, command, eventually};

const PATIENCE: Duration = Duration::from_secs(120);

/// A client that is not ours sees what the server exports.
fn listed(namespace: &Namespace, server: &Ganesha, version: u8) -> String {
    let url = format!(
        "nfs://{}{}?nfsport={}&mountport={}&version={version}",
        server.address(),
        server.share(),
        server.port(),
        server.mount_port()
    );
    let mut list = namespace.command("nfs-ls");
    command::run(list.arg(url), Duration::from_secs(30)).expect_code(0).stdout
}

#[test]
fn the_server_of_these_tests_ends_and_comes_back() {
    let host = Namespace::new();
    let mut server = Ganesha::with_room(&host, Versions::ThreeAndFour, Some(16 << 20));
    fs::write(server.export().join("here"), "it is").unwrap();
    for version in [3, 4] {
        assert!(listed(&host, &server, version).contains("here"), "v{version}");
    }
    server.kill();
    server.restart();
    assert!(listed(&host, &server, 3).contains("here"));
}

/// The plugin, and a pool `nas` on the server.
fn pool(host: &Host, server: &Ganesha, more: &[&str]) {
    let path = host.root().join("policy.toml");
    let policy = fs::read_to_string(&path).unwrap();
    let policy = policy.replace("[pools]\n", "[pools]\nnfs = \"storage-nfs\"\n");
    let grants = r#"
[plugins.storage-nfs]
connections = [{ name = "server", to = "{server}:{port}" }, { name = "mount", to = "{server}:{mount-port}" }]
"#;
    fs::write(&path, policy + grants).unwrap();
    let plugin = target().join("wasm32-wasip2/release/storage_nfs.wasm");
    assert!(plugin.exists(), "{} is not built; `cargo xtask test` builds it", plugin.display());
    host.fief(&["plugin", "install", &plugin.to_string_lossy()]);
    let settings: Vec<String> = server.settings().iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut words = vec!["pool", "create", "nas", "--kind", "nfs"];
    words.extend(settings.iter().map(String::as_str).chain(more.iter().copied()).flat_map(|word| ["--set", word]));
    host.fief(&words);
}

#[test]
fn a_pool_on_a_server_does_every_verb_twice_and_says_when_it_is_away() {
    for (versions, more) in [(Versions::Four, "version=auto"), (Versions::Three, "version=3")] {
        let host = Host::new();
        let mut server = Ganesha::start(host.namespace(), versions);
        pool(&host, &server, &[more]);
        for _ in 0..2 {
            host.fief(&["volume", "create", "nas/disk", "--size", "4MiB", "--format", "raw"]);
            host.fief(&["volume", "create", "nas/cow", "--size", "1GiB", "--format", "qcow2"]);
        }
        host.fief_ends(&["volume", "create", "nas/disk", "--size", "5MiB", "--format", "raw"], 4);
        for _ in 0..2 {
            host.fief(&["volume", "resize", "nas/disk", "6MiB"]);
            host.fief(&["volume", "resize", "nas/cow", "2GiB"]);
        }
        host.fief_ends(&["volume", "resize", "nas/disk", "1MiB"], 2);
        let disk = fs::File::options().write(true).open(server.export().join("disk")).unwrap();
        disk.write_all_at(b"twin", 1 << 20).unwrap();
        host.fief(&["volume", "clone", "nas/disk", "nas/twin"]);
        let twin = fs::read(server.export().join("twin")).unwrap();
        assert!(twin.len() == 6 << 20 && twin[1 << 20..].starts_with(b"twin"));
        let volumes = host.fief(&["volume", "list", "nas", "-o", "json"]).stdout;
        for name in ["disk", "cow", "twin"] {
            assert!(volumes.contains(name), "{name} is not in {volumes}");
        }
        let shown = host.fief(&["volume", "show", "nas/disk"]).stdout;
        assert!(shown.contains("lease, held by nobody"), "{shown}");

        for _ in 0..2 {
            host.fief(&["pool", "check", "nas"]);
            assert!(host.fief(&["pool", "show", "nas"]).stdout.contains("server"));
            assert!(host.fief(&["pool", "list"]).stdout.contains("nas"));
            host.fief(&["volume", "unlock", "nas/disk"]);
        }

        server.kill();
        host.fief_ends(&["volume", "show", "nas/disk"], 8);
        host.fief(&["list"]);
        let pools = host.fief(&["pool", "list"]).stdout;
        assert!(pools.lines().any(|line| line.starts_with("nas ") && line.contains("unreachable")), "{pools}");
        server.restart();
        for name in ["nas/disk", "nas/cow", "nas/twin"] {
            for _ in 0..2 {
                host.fief(&["volume", "delete", name, "--yes", "--if-exists"]);
            }
        }
        assert_eq!(fs::read_dir(server.export()).unwrap().count(), 0);
        for _ in 0..2 {
            host.fief(&["pool", "delete", "nas", "--if-exists"]);
        }
    }
}

/// A volume that is served by hand, in the host's namespace.
struct Served<'h> {
    host: &'h Host,
    child: std::process::Child,
    socket: std::path::PathBuf,
}

impl<'h> Served<'h> {
    fn new(host: &'h Host, volume: &str) -> Self {
        let socket = host.root().join("served.sock");
        let mut command = host.command(&["volume", "serve", volume, "--socket", &socket.to_string_lossy()]);
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        eventually("the volume is served", PATIENCE, || socket.exists().then_some(()));
        Served { host, child, socket }
    }

    fn tool(&self, program: &str, words: &[&str]) -> Said {
        let url = format!("nbd+unix:///?socket={}", self.socket.display());
        let mut tool = self.host.namespace().command(program);
        command::run(tool.args(words.iter().map(|word| word.replace("URL", &url))), PATIENCE)
    }

    fn close(mut self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

/// The plugin in its sandbox: what tools write is on the server, also when that dies meanwhile.
#[test]
fn a_volume_is_served_from_the_sandbox_while_its_server_dies_and_comes_back() {
    for (versions, more) in [(Versions::Four, "version=4.1"), (Versions::Three, "version=3")] {
        let host = Host::new();
        let mut server = Ganesha::start(host.namespace(), versions);
        pool(&host, &server, &[more]);
        host.fief(&["volume", "create", "nas/disk", "--size", "16MiB", "--format", "raw"]);
        let served = Served::new(&host, "nas/disk");
        let info = served.tool("nbdinfo", &["--json", "URL"]).expect_code(0).json();
        assert_eq!(info["exports"][0]["export-size"], 16 << 20);
        assert!(host.fief(&["volume", "show", "nas/disk"]).stdout.contains("lease held by"));

        let source = host.root().join("source");
        let bytes: Vec<u8> = (0..16u32 << 20).map(|at| (at / 4096 + at % 251) as u8).collect();
        fs::write(&source, &bytes).unwrap();
        served.tool("nbdcopy", &["--flush", &source.to_string_lossy(), "URL"]).expect_code(0);
        assert!(fs::read(server.export().join("disk")).unwrap() == bytes, "what was copied is on the server");

        // Written while the server is away, and flushed when it is back.
        let write = "for at in range(64):\n    h.pwrite(bytes([at + 1]) * 65536, at * 65536)\nh.flush()";
        let url = format!("nbd+unix:///?socket={}", served.socket.display());
        // Debian's own Python, whichever comes first in PATH.
        let mut shell = host.namespace().command("/usr/bin/python3");
        server.kill();
        let mut shell = shell.args(["-m", "nbd", "--uri", &url, "-c", write]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        server.restart();
        assert!(shell.wait().unwrap().success());
        let disk = fs::read(server.export().join("disk")).unwrap();
        for at in 0..64 {
            assert!(disk[at * 65536..][..65536].iter().all(|byte| usize::from(*byte) == at + 1), "stretch {at}");
        }
        served.close();
        assert!(host.fief(&["volume", "show", "nas/disk"]).stdout.contains("held by nobody"));
    }
}

/// Waits until the guest has written twice more.
fn goes_on(host: &Host, name: &str) {
    let said = host.fief(&["logs", name]).stdout;
    let guest = Guest::of(host, name);
    let (place, _) = guest.says_after(said.len(), "fief-guest: beat");
    guest.says_after(place, "fief-guest: beat");
}

#[test]
fn a_guest_writes_to_its_disk_by_either_way_and_goes_on_when_the_server_comes_back() {
    let host = Host::new();
    let mut server = Ganesha::start(host.namespace(), Versions::ThreeAndFour);
    pool(&host, &server, &["transport=served"]);
    let settings: Vec<String> = server.settings().iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut words = vec!["pool", "create", "near", "--kind", "nfs", "--set", "transport=native"];
    words.extend(settings.iter().flat_map(|word| ["--set", word.as_str()]));
    host.fief(&words);
    let guests = [("served", "nas/one"), ("native", "near/two")];
    for (name, volume) in guests {
        host.fief(&["volume", "create", volume, "--size", "64MiB", "--format", "raw"]);
        host.create_guest(name, &["--disk", volume], "fief.mode=count");
        host.fief(&["start", name]);
    }
    for (name, _) in guests {
        let guest = Guest::of(&host, name);
        guest.says("fief-guest: disk /dev/vda 64 MiB mounted, boot 1");
        guest.says("fief-guest: beat 2");
    }
    server.freeze();
    std::thread::sleep(Duration::from_secs(2));
    host.fief(&["list"]);
    server.thaw();
    guests.iter().for_each(|(name, _)| goes_on(&host, name));
    server.kill();
    server.restart();
    guests.iter().for_each(|(name, _)| goes_on(&host, name));
    // What it wrote is there at the next start.
    for (name, _) in guests {
        host.fief(&["stop", name]);
    }
    for (name, volume) in guests {
        let before = host.fief(&["logs", name]).stdout.len();
        host.fief(&["start", name]);
        Guest::of(&host, name).says_after(before, "mounted, boot 2");
        host.fief(&["stop", name]);
        host.fief(&["delete", name, "--yes"]);
        host.fief(&["volume", "delete", volume, "--yes"]);
    }
    assert_eq!(fs::read_dir(server.export()).unwrap().count(), 0);
    host.fief(&["pool", "delete", "nas"]);
    host.fief(&["pool", "delete", "near"]);
}

/// A server that stands still is waited for by those alone who want something of it, and not for long by those who look.
#[test]
fn a_server_that_is_frozen_holds_up_no_other_pool_and_no_other_domain() {
    let host = Host::new();
    let server = Ganesha::start(host.namespace(), Versions::Four);
    pool(&host, &server, &["version=4.1"]);
    host.fief(&["volume", "create", "nas/disk", "--size", "1MiB", "--format", "raw"]);
    boot_sector::write(&server.export().join("disk"), "it runs on the server", Then::Halt);
    host.fief(&["volume", "create", "default/disk", "--size", "1MiB", "--format", "raw"]);
    for (name, volume) in [("far", "nas/disk"), ("near", "default/disk")] {
        host.fief(&["create", name, "--memory", "32MiB", "--accelerator", "tcg", "--disk", volume]);
    }
    let shown = host.fief(&["volume", "show", "nas/disk"]).stdout;
    assert!(shown.contains("served, because QEMU's own client speaks NFS 3 alone"), "{shown}");
    host.fief(&["start", "far"]);
    Guest::of(&host, "far").says("it runs on the server");

    server.freeze();
    let said = host.fief_ends(&["volume", "list", "nas"], 9);
    assert!(said.stderr.contains("said nothing for 3 s"), "{}", said.stderr);
    for (words, code) in
        [(&["volume", "list", "nas"][..], 8), (&["volume", "show", "nas/disk"], 8), (&["pool", "show", "nas"], 0)]
    {
        let said = host.fief_ends(words, code);
        assert!(said.stderr.contains("did not answer") && said.stderr.contains("s ago"), "{}", said.stderr);
    }
    let all = host.fief_ends(&["volume", "list"], 10);
    assert!(all.stdout.contains("default/disk"), "{}", all.stdout);
    let pools = host.fief(&["pool", "list"]).stdout;
    assert!(pools.lines().any(|line| line.starts_with("nas ") && line.contains("unreachable")), "{pools}");
    host.fief(&["list"]);
    host.fief(&["show", "far"]);
    host.fief(&["start", "near"]);
    host.fief(&["stop", "near"]);
    host.fief(&["delete", "near", "--yes"]);
    // What is on the server goes as well, and what it keeps there is left for later.
    host.fief(&["stop", "far"]);
    assert_eq!(host.state("far"), "off");
    server.thaw();
    host.fief(&["volume", "unlock", "nas/disk"]);
    host.fief(&["start", "far"]);
    host.fief(&["stop", "far"]);
    host.fief(&["delete", "far", "--yes"]);
    host.fief(&["volume", "delete", "nas/disk", "--yes"]);
    host.fief(&["pool", "delete", "nas"]);
}

const TARGET: &str = "iqn.2026-01.test:moves";

/// A pool `san` on a target beside this host.
fn target_of(host: &Host) -> (Tgt, std::path::PathBuf) {
    let path = host.root().join("policy.toml");
    let policy = fs::read_to_string(&path).unwrap().replace("[pools]\n", "[pools]\niscsi = \"storage-iscsi\"\n");
    let grant = "\n[plugins.storage-iscsi]\n\
                 connections = [{ name = \"portal\", to = \"{portal}:{port}\", allow = [\"this-host\"] }]\n";
    fs::write(&path, policy + grant).unwrap();
    let plugin = target().join("wasm32-wasip2/release/storage_iscsi.wasm");
    host.fief(&["plugin", "install", &plugin.to_string_lossy()]);
    let address = "10.9.7.1";
    host.namespace().ip("link add portal type veth peer name portal-peer");
    host.namespace().ip(&format!("address add {address}/32 dev portal"));
    host.namespace().ip("link set portal up");
    let mut tgt = Tgt::start(host.namespace(), address);
    let target = tgt.target(TARGET);
    let unit = tgt.disk(target, 1, 1 << 20);
    let settings = [format!("portal={address}"), format!("target={TARGET}"), "transport=served".to_owned()];
    let mut words = vec!["pool", "create", "san", "--kind", "iscsi"];
    words.extend(settings.iter().flat_map(|word| ["--set", word.as_str()]));
    host.fief(&words);
    (tgt, unit)
}

/// One without room, and one that dies half way and is given up: the guest's writes went to both by then.
fn a_new_place_that_fails_is_left(host: &Host, server: &Ganesha, witness: &mut Witness) {
    let nothing_is_left = || {
        // What a command could not take back the next one does.
        host.fief(&["volume", "list", "default"]);
        let left = fs::read_dir(server.export()).unwrap().flatten().map(|entry| entry.file_name());
        let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("web1")).collect();
        assert!(left.iter().all(|name| name.to_string_lossy().contains("lease")), "{left:?}");
        assert_eq!(host.shown("web1")["definition"]["disk"][0]["volume"], "default/web1");
    };
    let filler = server.export().join("filler");
    let full = fs::write(&filler, vec![1; 32 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let mut moving = host.command(&["volume", "move", "default/web1", "nas/web1"]);
    let said = command::run(&mut moving, PATIENCE);
    assert!(said.code.is_some_and(|code| code != 0), "{}", said.stderr);
    fs::remove_file(filler).unwrap();
    witness.goes_on(2);
    nothing_is_left();

    let mut moving = host.command(&["volume", "move", "default/web1", "nas/web1", "--bandwidth", "64KiB"]);
    let mut child = moving.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mirrors = || {
        fs::read_dir(host.root().join("domains/web1"))
            .unwrap()
            .flatten()
            .any(|entry| entry.file_name() == "served-0-moved.jsonl")
    };
    eventually("the new place is served", PATIENCE, || mirrors().then_some(()));
    std::thread::sleep(Duration::from_secs(2));
    server.freeze();
    std::thread::sleep(Duration::from_secs(2));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(!child.wait().unwrap().success());
    witness.goes_on(3);
    server.thaw();
    nothing_is_left();
    witness.is_sound();
}

/// From a file to NFS, to iSCSI and back to NFS, while the guest writes; and from a server that is frozen by force.
#[test]
fn the_disk_of_a_running_domain_moves_between_servers_and_is_taken_from_one_that_is_dead() {
    let host = Host::new();
    let mut server = Ganesha::with_room(host.namespace(), Versions::Four, Some(16 << 20));
    pool(&host, &server, &["version=4.1", "transport=served"]);
    let (_tgt, unit) = target_of(&host);
    let mut witness = Witness::create(&host, "web1", &[]);
    host.fief(&["start", "web1"]);
    witness.goes_on(3);
    let hypervisor = host.hypervisor("web1");
    a_new_place_that_fails_is_left(&host, &server, &mut witness);

    let ways: [(&str, &str, std::path::PathBuf, &[&str]); 3] = [
        ("default/web1", "nas/web1", server.export().join("web1"), &[]),
        ("nas/web1", "san/lun1", unit, &["--onto", "--yes"]),
        ("san/lun1", "nas/back", server.export().join("back"), &["--keep"]),
    ];
    for (from, to, image, more) in ways {
        host.fief(&[&["volume", "move", from, to], more].concat());
        witness.lies_at(&image);
        witness.goes_on(3);
        witness.is_sound();
        assert_eq!(host.shown("web1")["definition"]["disk"][0]["volume"], to);
        assert_eq!(host.hypervisor("web1"), hypervisor);
        assert!(host.fief(&["volume", "show", to]).stdout.contains("held by"), "{to}");
    }
    // What it left is nobody's.
    let left = host.fief(&["volume", "show", "san/lun1"]).stdout;
    assert!(left.contains("held by nobody"), "{left}");
    // A server that restarts meanwhile is waited for.
    server.kill();
    server.restart();
    witness.goes_on(3);
    witness.is_sound();

    // The server is frozen with writes under way: the guest does not let go (it knows nothing of that), its volume is.
    server.freeze();
    std::thread::sleep(Duration::from_secs(1));
    let said = host.fief_ends(&["detach", "disk", "web1", "nas/back", "--force", "--timeout", "2s"], 9);
    assert!(said.stderr.contains("cut off from its volume, which is free"), "{}", said.stderr);
    // What it had under way failed at once, and it was told: this disk began as a file, whose errors are reported.
    Guest::of(&host, "web1").says("fief-witness e");
    assert_eq!(host.state("web1"), "running");
    server.thaw();
    host.fief(&["volume", "unlock", "nas/back"]);
    let free = host.fief(&["volume", "show", "nas/back"]).stdout;
    assert!(free.contains("held by nobody"), "{free}");
    host.fief(&["stop", "web1"]);
    host.fief(&["delete", "web1", "--yes"]);
    host.fief(&["volume", "delete", "nas/back", "--yes"]);
    host.fief(&["pool", "delete", "nas"]);
    host.fief(&["pool", "delete", "san"]);
}
