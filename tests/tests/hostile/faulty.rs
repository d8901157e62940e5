//! A plugin that fails in the middle of serving a guest's disk: another sandbox takes its place and answers what had no
//! answer, to the guest and to another client with many requests under way; one that fails without an end is said to.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fief_tests::host::target;
use fief_tests::witness::Temper;
use fief_tests::{Host, Witness, eventually};

const PATIENCE: Duration = Duration::from_secs(90);
const SIZE: u64 = 4 << 20;
/// What the guest does not write to, in bytes from the start.
const REST: usize = 4096;

fn host() -> Host {
    let host = Host::new();
    let loot = host.root().join("loot");
    fs::create_dir(&loot).unwrap();
    open_to_all(&loot);
    told_to_fail(&host, 0);
    open_to_all(&loot.join("faults"));
    let path = host.root().join("policy.toml");
    let policy = fs::read_to_string(&path).unwrap().replace("[pools]\n", "[pools]\nfaulty = \"hostile-faulty\"\n");
    let grant = format!(
        "\n[plugins.hostile-faulty]\ninterfaces = [\"images\"]\n\
         directories = [{{ name = \"loot\", path = {loot:?}, access = \"read-write\" }}]\n"
    );
    fs::write(&path, policy + &grant).unwrap();
    let plugin = target().join("wasm32-wasip2/release/examples/faulty.wasm");
    assert!(plugin.exists(), "{} is not built; `cargo xtask test` builds it", plugin.display());
    host.fief(&["plugin", "install", "--untried", &plugin.to_string_lossy()]);
    host.fief(&["pool", "create", "faulty", "--kind", "faulty"]);
    host
}

/// Each plugin is a user of its own.
fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
}

/// So often, from now on.
fn told_to_fail(host: &Host, times: u8) {
    fs::write(host.root().join("loot/faults"), [times]).unwrap();
}

/// Reads all of the guest's disk, sixteen requests at a time, over the socket that QEMU has.
fn read_all(host: &Host, to: &Path) -> Child {
    let socket = host.root().join("domains/node1/served");
    let socket = fs::read_dir(socket).unwrap().next().unwrap().unwrap().path();
    let server =
        format!("driver=nbd,server.type=unix,server.path={},reconnect-delay=80,export=disk@1", socket.display());
    let mut convert = Command::new("qemu-img");
    convert.args(["convert", "-m", "16", "-W", "--image-opts", &server, "-O", "raw"]).arg(to);
    convert.stdin(Stdio::null()).spawn().unwrap()
}

fn was_read(mut reader: Child, image: &Path, copy: &Path) {
    let status = eventually("all of it is read", PATIENCE, || reader.try_wait().unwrap());
    assert!(status.success(), "a reader was told of an error: {status}");
    assert!(fs::read(copy).unwrap()[REST..] == fs::read(image).unwrap()[REST..], "answers went astray");
}

#[test]
fn what_a_plugin_that_fails_had_not_answered_its_replacement_does() {
    let host = host();
    host.fief(&["volume", "create", "faulty/disk", "--size", "4MiB", "--format", "raw"]);
    let image = host.root().join("loot/disk");
    let bytes: Vec<u8> = (0..SIZE / 512).flat_map(|block| [(block % 251) as u8 + 1; 512]).collect();
    fs::write(&image, &bytes).unwrap();
    let mut witness = Witness::on(&host, "node1", "faulty/disk", &image, Temper::ReadsBack, &[]);
    host.fief(&["start", "node1"]);
    witness.goes_on(2);
    let (copy, log) = (host.root().join("copy"), host.root().join("domains/node1/supervisor.log"));
    let ended = || fs::read_to_string(&log).unwrap().matches("the sandbox that serves it ended").count();

    // Once, and more often than one is replaced at once.
    for times in [1, 5] {
        let before = ended();
        told_to_fail(&host, times);
        was_read(read_all(&host, &copy), &image, &copy);
        assert_eq!(ended() - before, usize::from(times));
        witness.goes_on(2);
        witness.is_sound();
        assert_eq!(witness.look().iter().filter(|seen| seen.kind == fief_tests::witness::Kind::Failed).count(), 0);
    }

    // Without an end: an operator is told, and all is well again once it is.
    told_to_fail(&host, u8::MAX);
    let reader = read_all(&host, &copy);
    let said = eventually("it is told of", PATIENCE, || {
        let shown = host.fief(&["show", "node1"]).stdout;
        shown.lines().find(|line| line.starts_with("# storage: ")).map(str::to_owned)
    });
    assert!(said.contains("its plugin fails again and again"), "{said}");
    told_to_fail(&host, 0);
    was_read(reader, &image, &copy);
    witness.goes_on(2);
    eventually("it is well", PATIENCE, || host.listed("node1")["storage"].is_null().then_some(()));
    host.fief(&["stop", "node1"]);
    witness.is_sound();
}
