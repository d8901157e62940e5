//! What an operator asks of plugins: what one wants before it is installed, and whether it is still what was installed.

use std::path::PathBuf;
use std::time::Duration;

use fief_tests::host::target;
use fief_tests::{Host, command};

/// The machine may be busy with other things.
const PATIENCE: Duration = Duration::from_secs(90);

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
    let mut of_file = said.json();
    assert_eq!(of_file["item"]["trial"], serde_json::Value::Null);
    of_file["item"]["trial"] = "passed".into();
    assert_eq!(shown.json(), of_file);
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
fn what_fails_its_trial_is_not_installed_without_the_operators_word() {
    let host = Host::bare();
    let tmp = host.root().join("tmp");
    std::fs::create_dir(&tmp).unwrap();
    let ends = |words: &[&str], code: i32| {
        let said = command::run(host.command(words).env("TMPDIR", &tmp), PATIENCE).expect_code(code);
        assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0, "{words:?} leaves something");
        said
    };
    let there = |folder: &str| std::fs::read_dir(host.root().join(folder)).map_or(0, Iterator::count);
    let listed = || ends(&["plugin", "list", "-o", "json"], 0).json()["items"].as_array().unwrap().clone();
    // One that never ends, and one that has every volume that it is asked for.
    for (file, case, got) in
        [("spin", "nothing-granted", "processor time"), ("calm", "list-agrees", "it is there 0 times")]
    {
        let file = plugin(&format!("examples/{file}")).display().to_string();
        // A dry run runs nothing of it.
        ends(&["--dry-run", "plugin", "install", &file], 0);
        let said = ends(&["plugin", "install", &file], 6);
        for part in [&format!("fails {case}"), got, "--untried", "fief plugin test"] {
            assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
        }
        assert_eq!((there("store"), there("cache"), listed().len()), (0, 0, 0), "{file}");
    }
    let calm = plugin("examples/calm").display().to_string();
    ends(&["plugin", "install", "--untried", &calm], 0);
    assert_eq!(listed()[0]["trial"], "passed-over");
    assert!(ends(&["plugin", "list"], 0).stdout.contains("  untried  "));
    assert!(ends(&["plugin", "show", "hostile-calm"], 0).stdout.contains("tried      no, as the operator said"));
    ends(&["plugin", "verify"], 0);
    // Said without the word it is tried after all, and stays what it is.
    ends(&["plugin", "install", &calm], 6);
    assert_eq!(listed()[0]["trial"], "passed-over");

    // One that passes is tried once.
    let file = plugin("storage_file").display().to_string();
    ends(&["plugin", "install", &file], 0);
    let notes = || {
        let names = std::fs::read_dir(host.root().join("cache")).unwrap().flatten().map(|entry| entry.file_name());
        names.filter(|name| name.to_string_lossy().contains(".tried-")).count()
    };
    assert_eq!(notes(), 1);
    ends(&["plugin", "remove", "storage-file", "--force"], 0);
    assert_eq!(notes(), 0, "what no plugin has any more is forgotten");

    // Sets are tried before the first is installed.
    let (set, other) = (host.root().join("set").display().to_string(), Host::bare());
    ends(&["plugin", "install", &file], 0);
    ends(&["plugin", "export", &set], 0);
    let said = other.fief_ends(&["plugin", "import", &set], 6);
    assert!(said.stderr.contains("hostile-calm fails list-agrees"), "{}", said.stderr);
    assert!(!other.root().join("store").exists());
    other.fief(&["plugin", "import", &set, "--untried"]);
    assert!(other.fief(&["plugin", "list"]).stdout.contains("untried"));
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
