//! The plugins below `plugins/examples`, as a stranger uses them: installed and granted by the commands of their READMEs, on real
//! servers that restart and change what they have.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fief_tests::{Census, Host, Nginx, Served, Witness, command, eventually, kill};

const PATIENCE: Duration = Duration::from_secs(60);
/// Where an overlay of `catalogue-http` keeps the volume's first byte.
const OVERLAY_DATA: u64 = 16 << 20;

/// Bytes that no other place of the file has.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 512 * 31 + at % 512) as u8).collect()
}

struct Catalogue {
    host: Host,
    server: Nginx,
    before: Census,
}

impl Catalogue {
    fn new() -> Catalogue {
        let host = Host::new();
        host.installs("catalogue-http");
        let directory = format!("overlays={}:rw", host.root().join("overlays").display());
        let words = ["plugin", "grant", "catalogue-http", "--connection", "server={server}:{port},allow=loopback"];
        host.fief(&[&words[..], &["--directory", &directory, "--serve", "catalogue"]].concat());
        let before = host.census();
        let server = Nginx::start(Some(host.namespace()));
        let catalogue = Catalogue { host, server, before };
        fs::write(catalogue.image("base"), pattern(4 << 20)).unwrap();
        fief_tests::witness::write(&catalogue.image("witness"));
        catalogue.publish();
        let port = format!("port={}", catalogue.server.port());
        let words = ["pool", "create", "images", "--kind", "catalogue", "--set", "server=127.0.0.1", "--set", &port];
        catalogue.host.fief(&[&words[..], &["--set", "directory=overlays"]].concat());
        catalogue
    }

    fn image(&self, name: &str) -> PathBuf {
        self.server.root().join(format!("{name}.raw"))
    }

    fn overlay(&self, name: &str) -> PathBuf {
        self.host.root().join(format!("overlays/{name}.overlay"))
    }

    /// As the README has it.
    fn publish(&self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/examples/catalogue-http/make-index.sh");
        command::run(Command::new("sh").arg(script).arg(self.server.root()), PATIENCE).expect_code(0);
    }

    fn end(self) {
        let Catalogue { host, server, before } = self;
        host.fief(&["pool", "delete", "images", "--yes"]);
        drop(server);
        let left = fs::read_dir(host.root().join("overlays")).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(
            left.into_iter().all(|name| name.to_string_lossy().ends_with(".image")),
            "more than what is known of images"
        );
        fs::remove_dir_all(host.root().join("overlays")).unwrap();
        host.settles_to(&before);
    }
}

#[test]
fn an_image_of_a_catalogue_is_read_and_what_is_written_lies_on_top_of_it() {
    let mut catalogue = Catalogue::new();
    let host = &catalogue.host;
    let listed = host.fief(&["volume", "list", "images", "-o", "json"]).json();
    let names = listed["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned());
    assert_eq!(names.collect::<Vec<_>>(), ["images/base", "images/witness"], "{listed}");
    let said = host.fief_ends(&["volume", "create", "images/a", "--size", "1MiB"], 2);
    assert!(said.stderr.contains("fief volume clone --linked images/IMAGE images/a"), "{}", said.stderr);
    host.fief_ends(&["volume", "delete", "images/base", "--yes"], 2);
    host.fief(&["volume", "clone", "--linked", "images/base", "images/a"]);

    let base = pattern(4 << 20);
    let read_only = Served::start(host, "images/base", &["--read-only"]);
    let copy = read_only.file("copy");
    read_only.tool("nbdcopy", &["URI", &copy.to_string_lossy()]);
    assert!(fs::read(&copy).unwrap() == base, "what is served is not what the server has");
    read_only.end();

    let served = Served::start(host, "images/a", &[]);
    let write = ["-c", "write -P 0x5a 100k 200k", "-c", "write -P 0x77 1M 512", "-c", "flush"];
    served.tool("qemu-io", &[&["-f", "raw"], &write[..], &["URI"]].concat());
    kill(served.process);
    served.ends(7);
    let mut model = base.clone();
    model[100 << 10..300 << 10].fill(0x5a);
    model[1 << 20..(1 << 20) + 512].fill(0x77);
    let again = Served::start(host, "images/a", &[]);
    let copy = again.file("copy");
    again.tool("nbdcopy", &["URI", &copy.to_string_lossy()]);
    assert!(fs::read(&copy).unwrap() == model, "what was flushed is not there, or something else is");
    // Written by many requests at a time while the server restarts, each checked when it is read again.
    let fio = "--name=verify --ioengine=nbd --uri=URI --rw=randwrite --bsrange=512-96k --iodepth=16 --size=4M --io_size=4M \
               --verify=crc32c --do_verify=1 --verify_fatal=1 --randseed=7 --fsync=32 --verify_state_save=0 --output-format=terse";
    std::thread::scope(|scope| {
        let restarting = scope.spawn(|| {
            for _ in 0..3 {
                catalogue.server.kill();
                std::thread::sleep(Duration::from_millis(300));
                catalogue.server.restart();
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        again.tool("fio", &fio.split_whitespace().collect::<Vec<_>>());
        restarting.join().unwrap();
    });
    again.end();
    assert!(fs::read(catalogue.image("base")).unwrap() == base, "the image was written to");

    // Another image under the old name.
    fs::write(catalogue.image("base"), vec![9; 4 << 20]).unwrap();
    catalogue.publish();
    let host = &catalogue.host;
    let socket = host.root().join("socket");
    let refused = host.fief_ends(&["volume", "serve", "images/a", "--socket", &socket.to_string_lossy()], 1);
    assert!(refused.stderr.contains("was changed on the server"), "{}", refused.stderr);
    host.fief_ends(&["volume", "clone", "--linked", "images/base", "images/b"], 1);
    catalogue.server.kill();
    host.fief_ends(&["volume", "list", "images"], 8);
    catalogue.server.restart();
    host.fief(&["volume", "delete", "images/a", "--yes"]);
    catalogue.end();
}

#[test]
fn a_domain_boots_from_an_image_and_keeps_what_it_wrote() {
    let mut catalogue = Catalogue::new();
    let host = &catalogue.host;
    host.fief(&["volume", "clone", "--linked", "images/witness", "images/node1"]);
    let mut witness = Witness::booting(host, "node1", "images/node1", &catalogue.overlay("node1"), OVERLAY_DATA);
    host.fief(&["start", "node1"]);
    witness.goes_on(2);
    for _ in 0..3 {
        let serves = host.sandbox("node1", 0).unwrap();
        kill(serves);
        eventually("another sandbox", PATIENCE, || host.sandbox("node1", 0).filter(|pid| *pid != serves));
        witness.goes_on(2);
    }
    // What it reads and writes by now is all on this host.
    catalogue.server.kill();
    witness.goes_on(2);
    catalogue.server.restart();
    witness.is_sound();
    let host = &catalogue.host;
    host.fief(&["stop", "node1"]);
    host.fief(&["volume", "rename", "images/node1", "node2"]);
    witness.lies_within(&catalogue.overlay("node2"), OVERLAY_DATA);
    host.fief(&["start", "node1"]);
    witness.goes_on(2);
    host.fief(&["stop", "node1"]);
    witness.is_sound();
    host.fief(&["delete", "node1", "--yes"]);
    host.fief(&["volume", "delete", "images/node2", "--yes"]);
    catalogue.end();
}

#[test]
fn an_encrypted_volume_is_nothing_but_noise_in_the_pool_beneath() {
    let host = Host::new();
    host.installs("crypt");
    let directory = format!("images={}:rw", host.root().join("images").display());
    let words = ["plugin", "grant", "crypt", "--all-asked", "--directory", &directory];
    host.fief(&[&words[..], &["--secret", "disks", "--secret", "other", "--serve", "crypt"]].concat());
    for (name, secret) in [("disks", "0123456789abcdef".repeat(3)), ("other", "another one".repeat(3))] {
        let mut set = host.command(&["secret", "set", name]);
        command::run_given(&mut set, secret.as_bytes(), PATIENCE).expect_code(0);
    }
    let before = host.census();
    host.fief(&["pool", "create", "safe", "--kind", "crypt", "--set", "directory=images", "--set", "key=disks"]);
    host.fief(&["volume", "create", "safe/disk", "--size", "8MiB", "--format", "raw"]);
    host.fief(&["volume", "create", "safe/node1", "--size", "1MiB", "--format", "raw"]);
    host.fief(&["volume", "resize", "safe/disk", "16MiB"]);
    let served = Served::start(&host, "safe/disk", &[]);
    served.tool("qemu-io", &["-f", "raw", "-c", "write -P 0x5a 1M 1M", "-c", "flush", "URI"]);
    kill(served.process);
    served.ends(7);
    let raw = fs::read(host.root().join("images/disk.crypt")).unwrap();
    assert!(
        raw.len() == (16 << 20) + 4096 && !raw.windows(8).any(|bytes| bytes == [0x5a; 8]),
        "it lies there as it is"
    );

    let again = Served::start(&host, "safe/disk", &[]);
    let fio = "--name=verify --ioengine=nbd --uri=URI --rw=randwrite --bsrange=512-96k --iodepth=16 --size=12M --io_size=4M \
               --offset=4M --verify=crc32c --do_verify=1 --verify_fatal=1 --randseed=7 --fsync=32 --verify_state_save=0 \
               --output-format=terse";
    again.tool("fio", &fio.split_whitespace().collect::<Vec<_>>());
    let check = ["-c", "read -P 0 0 1M", "-c", "read -P 0x5a 1M 1M", "-c", "discard 1M 1M", "-c", "read -P 0 1M 1M"];
    let said = again.tool("qemu-io", &[&["-f", "raw"], &check[..], &["URI"]].concat());
    assert!(!said.stdout.contains("failed"), "{}", said.stdout);
    again.end();

    // The pool beneath has it as a raw volume; another key opens nothing.
    let listed = host.fief(&["volume", "list", "default", "-o", "json"]).stdout;
    assert!(listed.contains("default/disk.crypt"), "{listed}");
    host.fief(&["pool", "create", "wrong", "--kind", "crypt", "--set", "directory=images", "--set", "key=other"]);
    let socket = host.root().join("socket");
    let refused = host.fief_ends(&["volume", "serve", "wrong/disk", "--socket", &socket.to_string_lossy()], 5);
    assert!(refused.stderr.contains("another secret"), "{}", refused.stderr);

    let served = Served::start(&host, "safe/node1", &[]);
    let image = served.file("witness");
    fief_tests::witness::write(&image);
    served.tool("nbdcopy", &["--flush", &image.to_string_lossy(), "URI"]);
    served.end();
    let encrypted = host.root().join("images/node1.crypt");
    let mut witness = Witness::booting(&host, "node1", "safe/node1", &encrypted, 4096);
    host.fief(&["start", "node1"]);
    witness.is_heard(4);
    let serves = host.sandbox("node1", 0).unwrap();
    kill(serves);
    eventually("another sandbox", PATIENCE, || host.sandbox("node1", 0).filter(|pid| *pid != serves));
    witness.is_heard(4);
    host.fief(&["stop", "node1"]);
    host.fief(&["start", "node1"]);
    witness.is_heard(4);
    host.fief(&["stop", "node1"]);
    // Its disk is not looked at: nobody but the plugin can read it.
    let way = [host.namespace().name()];
    fief_tests::witness::check(witness.look(), &way, None).unwrap();
    host.fief(&["delete", "node1", "--yes"]);
    for volume in ["safe/disk", "safe/node1"] {
        host.fief(&["volume", "delete", volume, "--yes"]);
    }
    for pool in ["safe", "wrong"] {
        host.fief(&["pool", "delete", pool, "--yes"]);
    }
    host.settles_to(&before);
}
