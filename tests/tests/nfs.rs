//! Pools on a real NFS server, through fief itself.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::Duration;

use fief_tests::ganesha::Versions;
use fief_tests::host::target;
use fief_tests::{Ganesha, Host, Namespace, command};

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
        fs::write(server.export().join("disk"), "twin").unwrap();
        host.fief(&["volume", "clone", "nas/disk", "nas/twin"]);
        assert_eq!(fs::read(server.export().join("twin")).unwrap(), b"twin");
        let volumes = host.fief(&["volume", "list", "nas", "-o", "json"]).stdout;
        for name in ["disk", "cow", "twin"] {
            assert!(volumes.contains(name), "{name} is not in {volumes}");
        }
        let shown = host.fief(&["volume", "show", "nas/disk"]).stdout;
        assert!(shown.contains("lease, held by nobody"), "{shown}");

        server.kill();
        host.fief_ends(&["volume", "show", "nas/disk"], 8);
        host.fief(&["list"]);
        assert!(host.fief(&["pool", "list"]).stdout.contains("unreachable"));
        server.restart();
        for name in ["nas/disk", "nas/cow", "nas/twin"] {
            for _ in 0..2 {
                host.fief(&["volume", "delete", name, "--yes"]);
            }
        }
        assert_eq!(fs::read_dir(server.export()).unwrap().count(), 0);
        host.fief(&["pool", "delete", "nas"]);
    }
}
