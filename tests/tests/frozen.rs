//! Plugins that were built for each published version of the interfaces, and never again (`tests/frozen`): they are installed, and
//! what they do works, as it did for whoever wrote them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use fief_tests::boot_sector::{self, Then};
use fief_tests::pair::{Pair, Side};
use fief_tests::{Guest, Host, Nginx, command};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
/// The plugins of a version, by name, and their kinds. That in C has what other languages than Rust need.
const PLUGINS: [(&str, &str); 4] =
    [("storage", "storage"), ("network", "network"), ("migration", "migration"), ("c", "storage")];

fn frozen(version: &str, name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("frozen").join(version).join(format!("{name}.wasm"));
    path.to_string_lossy().into_owned()
}

/// The versions that there are plugins of.
fn versions() -> BTreeSet<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("frozen");
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir());
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn each_interface_of_each_version_that_this_host_speaks_is_used_by_a_frozen_plugin() {
    let host = Host::bare();
    let api = host.fief(&["plugin", "api", "-o", "name"]).stdout;
    let spoken: BTreeSet<&str> = api.lines().collect();
    let mut used = BTreeSet::new();
    for version in versions() {
        for (name, kind) in PLUGINS {
            let item = host.fief(&["plugin", "show", &frozen(&version, name), "-o", "json"]).json()["item"].take();
            assert_eq!(item["kind"], kind);
            for side in ["imports", "exports"] {
                used.extend(item[side].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()));
            }
        }
    }
    let unused: Vec<_> = spoken.iter().filter(|name| !used.contains(**name)).collect();
    assert!(!spoken.is_empty() && unused.is_empty(), "no frozen plugin uses {unused:?}");
}

#[test]
fn volumes_and_cards_of_plugins_of_the_first_version_serve_a_guest() {
    let host = Host::new();
    let server = Nginx::start(Some(host.namespace()));
    for kind in ["storage", "network"] {
        host.fief(&["plugin", "install", &frozen("0.1.0", kind)]);
    }
    let mut set = host.command(&["secret", "set", "password"]);
    command::run_given(&mut set, b"of no use\n", PATIENCE).expect_code(0);
    let folder = host.root().join("frozen");
    fs::create_dir(&folder).unwrap();
    let directory = format!("frozen={}:rw", folder.display());
    let words = ["plugin", "grant", "frozen-storage", "--interface", "images", "--directory", &directory];
    let more = ["--connection", "server={server}:{port},allow=loopback", "--secret", "password", "--serve", "frozen"];
    host.fief(&[&words[..], &more].concat());
    let grant = ["plugin", "grant", "frozen-network", "--all-asked", "--bridge", "fief-*", "--serve", "frozen"];
    host.fief(&grant);

    // Each call of a pool of files.
    let port = format!("port={}", server.port());
    let pool = |name: &str, way: &str| {
        let words =
            ["pool", "create", name, "--kind", "frozen", "--set", "directory=frozen", "--set", "server=127.0.0.1"];
        host.fief(&[&words[..], &["--set", &port, "--set", "password=password", "--set", way]].concat());
    };
    pool("old", "way=file");
    host.fief(&["pool", "check", "old"]);
    host.volume("old/a", "1MiB");
    host.fief(&["volume", "resize", "old/a", "2MiB"]);
    host.fief(&["volume", "snapshot", "create", "old/a", "before"]);
    let listed = host.fief(&["volume", "snapshot", "list", "old/a", "-o", "name"]).stdout;
    assert!(listed.contains("before"), "{listed}");
    host.fief(&["volume", "snapshot", "revert", "old/a", "before", "--yes"]);
    host.fief(&["volume", "snapshot", "delete", "old/a", "before", "--yes"]);
    host.fief(&["volume", "clone", "old/a", "old/b"]);
    host.fief(&["volume", "rename", "old/b", "c"]);
    assert_eq!(host.fief(&["volume", "list", "old", "-o", "name"]).stdout, "old/a\nold/c\n");
    host.fief(&["volume", "delete", "old/a", "old/c", "--yes"]);

    // Its bytes: by calls in the first half of a volume, by the host itself in the other.
    pool("served", "way=served");
    let image = host.root().join("disk");
    let bytes: Vec<u8> = (0..4 << 20).map(|at: u32| (at / 512 * 7 + at % 512) as u8).collect();
    fs::write(&image, &bytes).unwrap();
    let image = image.to_string_lossy().into_owned();
    host.fief(&["volume", "import", &image, "served/disk", "--format", "raw"]);
    let back = host.root().join("back");
    host.fief(&["volume", "export", "served/disk", &back.to_string_lossy()]);
    assert!(fs::read(&back).unwrap() == bytes, "what was written is read");

    // One in C, of the same folder.
    host.fief(&["plugin", "install", &frozen("0.1.0", "c")]);
    host.fief(&["plugin", "grant", "frozen-c", "--all-asked", "--directory", &directory, "--serve", "frozen-c"]);
    host.fief(&["pool", "create", "c", "--kind", "frozen-c", "--set", "directory=frozen"]);
    host.fief(&["volume", "create", "c/a", "--size", "1MiB"]);
    assert_eq!(host.fief(&["volume", "list", "c", "-o", "name"]).stdout, "c/a\nc/disk\n");
    host.fief(&["volume", "delete", "c/a", "--yes"]);

    // A guest from its disk, on its network.
    let network = ["network", "create", "lab", "--kind", "frozen", "--set", "address=10.66.0.1/24"];
    let range = ["--set", "from=10.66.0.10", "--set", "to=10.66.0.20", "--set", "mask=255.255.255.0"];
    host.fief(&[&network[..], &range].concat());
    host.fief(&["network", "start", "lab"]);
    host.fief(&["network", "check", "lab"]);
    boot_sector::write(&folder.join("disk.raw"), "hello", Then::Halt);
    let machine = ["create", "node1", "--memory", "32MiB", "--accelerator", "tcg"];
    host.fief(&[&machine[..], &["--disk", "served/disk", "--network", "lab"]].concat());
    host.fief(&["start", "node1"]);
    Guest::of(&host, "node1").says("hello");
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--yes"]);
    host.fief(&["network", "delete", "lab", "--force", "--yes"]);
}

#[test]
fn a_strategy_of_the_first_version_moves_a_domain() {
    let pair = Pair::new();
    pair.a().fief(&["plugin", "install", &frozen("0.1.0", "migration")]);
    pair.a().fief(&["plugin", "grant", "frozen-migration", "--all-asked"]);
    pair.a().volume("default/disk", "1MiB");
    pair.a().fief(&["create", "node1", "--memory", "32MiB", "--accelerator", "tcg", "--disk", "default/disk"]);
    pair.a().fief(&["migrate", "node1", "hostb", "--strategy", "frozen-migration"]);
    assert_eq!(pair[Side::B].state("node1"), "off");
    pair.b().fief(&["delete", "node1", "--yes"]);
}
