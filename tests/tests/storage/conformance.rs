//! The plugins of the tree that speak with servers are held against their interface, on real ones (`fief plugin test`).

use std::fs;
use std::time::Duration;

use fief_tests::ganesha::Versions;
use fief_tests::host::target;
use fief_tests::pools::iscsi_portal;
use fief_tests::{Ganesha, Host, command};

const TARGET: &str = "iqn.2026-01.test:conformance";
const PATIENCE: Duration = Duration::from_secs(400);
const MIB: u64 = 1 << 20;

/// All cases, of which none may fail; gives those that passed.
#[track_caller]
fn passes(host: &Host, plugin: &str, settings: &str, words: &[&str]) -> Vec<String> {
    let file = target().join(format!("wasm32-wasip2/release/{plugin}.wasm"));
    assert!(file.exists(), "{} is not built; `cargo xtask storage` builds it", file.display());
    let definition = host.root().join("pool.toml");
    fs::write(&definition, format!("name = \"trial\"\nkind = \"trial\"\n[settings]\n{settings}\n")).unwrap();
    let (file, definition) = (file.to_string_lossy(), definition.to_string_lossy());
    let before = ["plugin", "test", &file, "--settings", &definition, "--seed", "7", "-o", "json"];
    let said = command::run(&mut host.command(&[&before, words].concat()), PATIENCE).expect_code(0).json();
    let passed = said["items"].as_array().unwrap().iter().filter(|item| item["result"] == "ok");
    passed.map(|item| item["case"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn are_among(wanted: &[&str], passed: &[String]) {
    for case in wanted {
        assert!(passed.iter().any(|one| one == case), "{case} was skipped: {passed:?}");
    }
}

/// On a server of these versions, which the pool's settings `words` are about; gives the cases that passed.
#[track_caller]
fn passes_on_nfs(versions: Versions, words: &str) -> Vec<String> {
    let host = Host::bare();
    // Compiled once, and lent to each run.
    host.installs("storage-nfs");
    let server = Ganesha::start(host.namespace(), versions);
    let place = server.settings().into_iter().map(|(key, value)| format!("{key} = \"{value}\"\n"));
    let settings = format!("{}{words}", place.collect::<String>());
    let words = ["--connection", "server,allow=this-host", "--connection", "mount,allow=this-host"];
    let passed = passes(&host, "storage_nfs", &settings, &words);
    are_among(&["create-twice", "rename-twice", "clone-full", "block-model", "connections-cut"], &passed);
    // What the cases made is gone, with all that was kept with it.
    let left: Vec<_> = fs::read_dir(server.export()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    let left: Vec<_> = left.iter().filter(|name| name.to_string_lossy().contains("fieftest")).collect();
    assert!(left.is_empty(), "{left:?}");
    passed
}

#[test]
fn the_plugin_of_nfs_does_what_its_interface_says() {
    let passed = passes_on_nfs(Versions::Four, "version = \"auto\"\ntransport = \"served\"");
    are_among(&["fence-older", "notes-kept", "block-old-holder"], &passed);
}

#[test]
fn the_plugin_of_nfs_does_so_where_the_server_has_but_version_3() {
    passes_on_nfs(Versions::Three, "version = \"3\"\ntransport = \"native\"");
}

#[test]
fn the_plugin_of_iscsi_does_what_its_interface_says() {
    let host = Host::bare();
    host.installs("storage-iscsi");
    let mut tgt = iscsi_portal(host.namespace());
    let unit = tgt.target(TARGET);
    for lun in [1, 2] {
        tgt.disk(unit, lun, 16 * MIB);
    }
    let address = tgt.portal().rsplit_once(':').unwrap().0.to_owned();
    let settings = format!("portal = \"{address}\"\ntarget = \"{TARGET}\"\ntransport = \"served\"");
    let words = ["--connection", "portal,allow=this-host", "--volume", "lun1", "--yes"];
    let passed = passes(&host, "storage_iscsi", &settings, &words);
    are_among(&["find-absent", "fence-older", "notes-kept", "block-model", "block-flush", "connections-cut"], &passed);
}
