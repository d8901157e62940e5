//! What an operator asks of plugins: what one wants before it is installed, and whether it is still what was installed.

use std::path::PathBuf;

use fief_tests::Host;
use fief_tests::host::target;

fn plugin(file: &str) -> PathBuf {
    target().join(format!("wasm32-wasip2/release/{file}.wasm"))
}

#[test]
fn a_plugin_is_shown_before_it_is_installed_and_found_out_where_it_changes() {
    let host = Host::new();
    host.fief(&["plugin", "remove", "storage-file", "--if-exists", "--force"]);
    let file = plugin("storage_file");
    let said = host.fief(&["plugin", "show", &file.to_string_lossy(), "-o", "json"]);
    assert_eq!(said.json()["item"]["id"], "storage-file");
    host.fief_ends(&["plugin", "show", "storage-file"], 3);
    host.fief_ends(&["plugin", "verify", "storage-file"], 3);

    host.fief(&["plugin", "install", &file.to_string_lossy()]);
    host.fief(&["plugin", "verify"]);
    let shown = host.fief(&["plugin", "show", "storage-file", "-o", "json"]);
    assert_eq!(shown.json(), said.json());
    let installed = shown.json()["item"].clone();
    let digest = installed["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();

    // What is compiled is made again where it is gone.
    std::fs::remove_dir_all(host.root().join("cache")).unwrap();
    host.fief(&["plugin", "verify", "storage-file"]);

    let stored = host.root().join("store").join(format!("{digest}.wasm"));
    let before = std::fs::read(&stored).unwrap();
    let mut after = before.clone();
    *after.last_mut().unwrap() ^= 1;
    std::fs::write(&stored, after).unwrap();
    let said = host.fief_ends(&["plugin", "verify", "storage-file"], 5);
    assert!(said.stderr.contains("was changed after its installation"), "{}", said.stderr);
    std::fs::write(&stored, before).unwrap();

    let record = host.root().join("plugins/storage-file/plugin.json");
    let told = std::fs::read_to_string(&record).unwrap();
    std::fs::write(&record, told.replace("fief:storage/clones@0.1.0", "fief:storage/block@0.1.0")).unwrap();
    let said = host.fief_ends(&["plugin", "verify", "storage-file"], 5);
    assert!(said.stderr.contains("says other than its bytes"), "{}", said.stderr);
    std::fs::write(&record, told).unwrap();
    host.fief(&["plugin", "verify", "storage-file"]);
}

#[test]
fn every_interface_of_a_plugin_that_loads_is_one_that_the_host_tells_of() {
    let host = Host::new();
    let told = host.fief(&["plugin", "api", "-o", "json"]).json();
    let told: Vec<String> = told["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| format!("{}@{}", item["interface"].as_str().unwrap(), item["version"].as_str().unwrap()))
        .collect();
    for file in ["storage_file", "storage_nfs", "storage_iscsi", "network_host_only", "migration_live"] {
        let shown =
            host.fief(&["plugin", "show", &plugin(file).to_string_lossy(), "-o", "json"]).json()["item"].clone();
        for list in ["imports", "exports"] {
            let own = shown[list].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
            for name in own.filter(|name| name.starts_with("fief:")) {
                assert!(told.iter().any(|one| one == name), "{file} has {name}");
            }
        }
    }
}
