//! The example `store-s3` on a real object store: what is answered is there, whoever is killed.

use std::fs;
use std::time::Duration;

use fief_tests::object_store::{BUCKET, KEY_ID, SECRET};
use fief_tests::{Census, Host, ObjectStore, Served, Witness, command, eventually, kill};

const PATIENCE: Duration = Duration::from_secs(60);

struct Objects {
    host: Host,
    store: ObjectStore,
    before: Census,
}

impl Objects {
    fn new() -> Objects {
        let host = Host::new();
        host.installs("store-s3");
        let words = ["plugin", "grant", "store-s3", "--connection", "server={server}:{port},allow=loopback"];
        host.fief(&[&words[..], &["--secret", "s3", "--secret", "wrong", "--serve", "s3"]].concat());
        for (name, secret) in [("s3", SECRET), ("wrong", "another")] {
            command::run_given(&mut host.command(&["secret", "set", name]), secret.as_bytes(), PATIENCE).expect_code(0);
        }
        let before = host.census();
        let store = ObjectStore::start(host.namespace());
        Objects { host, store, before }
    }

    /// A pool `objects` with more settings; `code` is how that ends.
    fn pool(&self, name: &str, settings: &[&str], code: i32) {
        let (port, bucket, key) =
            (format!("port={}", self.store.port()), format!("bucket={BUCKET}"), format!("key-id={KEY_ID}"));
        let fixed = ["server=127.0.0.1", &port, &bucket, &key, "secret=s3"];
        let key = |setting: &str| setting.split('=').next().map(str::to_owned);
        let fixed = fixed.iter().filter(|one| !settings.iter().any(|other| key(one) == key(other)));
        let words = fixed.chain(settings).flat_map(|setting| ["--set", *setting]);
        let words: Vec<&str> = ["pool", "create", name, "--kind", "s3"].into_iter().chain(words).collect();
        self.host.fief_ends(&words, code);
    }

    fn objects(&self, volume: &str) -> usize {
        let folder = fs::read_dir(self.store.bucket().join(volume));
        folder.into_iter().flatten().filter(|entry| entry.as_ref().unwrap().file_name().len() == 10).count()
    }

    fn end(self) {
        let Objects { host, store, before } = self;
        drop(store);
        host.settles_to(&before);
    }
}

#[test]
fn what_an_object_store_has_answered_for_is_there() {
    let mut objects = Objects::new();
    objects.pool("refused", &["secret=wrong"], 5);
    objects.pool("refused", &["bucket=none"], 3);
    objects.pool("refused", &["chunk=100KiB"], 2);
    objects.pool("objects", &["chunk=256KiB", "prefix=a/b"], 0);
    let host = &objects.host;
    host.fief(&["volume", "create", "objects/disk+1", "--size", "16MiB"]);
    host.fief(&["volume", "create", "objects/disk+1", "--size", "16MiB"]);
    host.fief_ends(&["volume", "create", "objects/disk+1", "--size", "17MiB"], 4);
    host.fief(&["volume", "resize", "objects/disk+1", "20MiB"]);
    let listed = host.fief(&["volume", "list", "objects", "-o", "json"]).json();
    assert_eq!((&listed["items"][0]["name"], listed["items"].as_array().unwrap().len()), (&"objects/disk+1".into(), 1));

    let served = Served::start(host, "objects/disk+1", &[]);
    served.tool("qemu-io", &["-f", "raw", "-c", "write -P 0x5a 300k 700k", "-c", "write -P 0x77 19M 1M", "URI"]);
    kill(served.process);
    served.ends(7);
    let again = Served::start(host, "objects/disk+1", &[]);
    let check = [
        "-c",
        "read -P 0 0 300k",
        "-c",
        "read -P 0x5a 300k 700k",
        "-c",
        "read -P 0 1000k 1M",
        "-c",
        "read -P 0x77 19M 1M",
    ];
    let said = again.tool("qemu-io", &[&["-r", "-f", "raw"], &check[..], &["URI"]].concat());
    assert!(!said.stdout.contains("failed"), "{}", said.stdout);
    assert_eq!(objects.objects("a/b/disk+1"), 7, "no more than was written to");
    again.tool("qemu-io", &["-f", "raw", "-c", "discard 19M 1M", "-c", "write -z -u 512k 256k", "URI"]);
    assert_eq!(objects.objects("a/b/disk+1"), 2);
    let fio = "--name=verify --ioengine=nbd --uri=URI --rw=randwrite --bsrange=512-96k --iodepth=16 --size=12M --io_size=6M \
               --verify=crc32c --do_verify=1 --verify_fatal=1 --randseed=7 --fsync=32 --verify_state_save=0 --output-format=terse";
    std::thread::scope(|scope| {
        let restarting = scope.spawn(|| {
            for _ in 0..3 {
                std::thread::sleep(Duration::from_millis(300));
                objects.store.kill();
                std::thread::sleep(Duration::from_millis(200));
                objects.store.restart();
            }
        });
        again.tool("fio", &fio.split_whitespace().collect::<Vec<_>>());
        restarting.join().unwrap();
    });
    again.end();

    // Another host writes to an object that this one knows: it writes no more.
    let served = Served::start(&objects.host, "objects/disk+1", &[]);
    served.tool("qemu-io", &["-f", "raw", "-c", "write -P 1 0 4k", "URI"]);
    let first = objects.store.bucket().join("a/b/disk+1/0000000000");
    let rival = Served::start(&objects.host, "objects/disk+1", &["--read-only"]);
    rival.end();
    fs::write(&first, vec![9; 256 << 10]).unwrap();
    // What the store notes of an object that it was given is of the old one.
    for entry in fs::read_dir(objects.store.bucket().parent().unwrap()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().contains("internal") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    served.tool_ends("qemu-io", &["-f", "raw", "-c", "write -P 2 4k 4k", "URI"], 1);
    assert!(fs::read(&first).unwrap() == vec![9; 256 << 10], "it was written over");
    served.tool_ends("qemu-io", &["-f", "raw", "-c", "write -P 2 1M 4k", "URI"], 1);
    drop(served);

    let host = &objects.host;
    host.fief(&["volume", "delete", "objects/disk+1", "--yes"]);
    host.fief_ends(&["volume", "delete", "objects/disk+1", "--yes"], 3);
    assert!(!objects.store.bucket().join("a/b/disk+1/volume").exists() && objects.objects("a/b/disk+1") == 0);
    objects.store.kill();
    host.fief_ends(&["volume", "list", "objects"], 8);
    host.fief(&["pool", "delete", "objects", "--yes"]);
    objects.end();
}

#[test]
fn a_domain_boots_from_objects() {
    let mut objects = Objects::new();
    objects.pool("objects", &["chunk=64KiB"], 0);
    let host = &objects.host;
    host.fief(&["volume", "create", "objects/node1", "--size", "1MiB"]);
    let served = Served::start(host, "objects/node1", &[]);
    let image = served.file("witness");
    fief_tests::witness::write(&image);
    served.tool("nbdcopy", &[&image.to_string_lossy(), "URI"]);
    served.end();
    let first = objects.store.bucket().join("node1/0000000000");
    let mut witness = Witness::booting(host, "node1", "objects/node1", &first, 0);
    host.fief(&["start", "node1"]);
    witness.goes_on(2);
    let serves = host.sandbox("node1", 0).unwrap();
    kill(serves);
    eventually("another sandbox", PATIENCE, || host.sandbox("node1", 0).filter(|pid| *pid != serves));
    witness.goes_on(2);
    for _ in 0..2 {
        objects.store.kill();
        std::thread::sleep(Duration::from_millis(500));
        objects.store.restart();
        witness.goes_on(2);
    }
    witness.is_sound();
    let host = &objects.host;
    host.fief(&["stop", "node1"]);
    witness.is_sound();
    host.fief(&["delete", "node1", "--yes"]);
    host.fief(&["volume", "delete", "objects/node1", "--yes"]);
    host.fief(&["pool", "delete", "objects", "--yes"]);
    objects.end();
}
