//! The way of an author: a project is begun, passes its own tests, is built, signed, installed and used.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fief_tests::command::Said;
use fief_tests::host::target;
use fief_tests::{Host, command};

/// For a compilation of all that a plugin stands on.
const PATIENCE: Duration = Duration::from_secs(600);

fn cargo(folder: &Path, words: &[&str]) {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What plugins stand on is compiled once for all of them.
    cargo.args(words).current_dir(folder).env("CARGO_TARGET_DIR", target().join("authoring"));
    // What the workspace was built with must not leak into it.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG") || name == "RUSTFLAGS") {
        cargo.env_remove(name);
    }
    command::run(&mut cargo, PATIENCE).expect_code(0);
}

/// A command in a project, which builds where the others build.
fn in_project(host: &Host, folder: &Path, words: &[&str]) -> Said {
    let mut fief = host.command(words);
    fief.current_dir(folder).env("CARGO_TARGET_DIR", target().join("authoring"));
    command::run(&mut fief, PATIENCE)
}

/// A mistake in the code is found, once it is there; one in the words too.
fn dev(host: &Host, folder: &Path, definition: &str) {
    let words = ["plugin", "dev", "--once", "--settings", definition, "--only", "delete-absent"];
    in_project(host, folder, &words).expect_code(0);
    let code = folder.join("src/lib.rs");
    let good = std::fs::read_to_string(&code).unwrap();
    let place = good.find("fn delete(").unwrap();
    let body = place + good[place..].find('{').unwrap() + 1;
    let change = |with: &str| std::fs::write(&code, format!("{}{with}{}", &good[..body], &good[body..])).unwrap();
    change("\n        fief_sdk::warn!(\"odd {name}\");\n        panic!(\"mine\");");
    let said = in_project(host, folder, &words).expect_code(6);
    assert!(said.stdout.contains("delete-absent  FAILED"), "{}", said.stdout);
    assert!(said.stderr.contains("acme-disks said:") && said.stderr.contains("odd fieftest"), "{}", said.stderr);
    change("\n        nonsense");
    let said = in_project(host, folder, &words).expect_code(1);
    assert!(said.stderr.contains("does not build") && said.stderr.contains("nonsense"), "{}", said.stderr);
    std::fs::write(&code, good).unwrap();
    in_project(host, folder, &["plugin", "build", "src"]).expect_code(2);
}

#[test]
fn a_project_of_each_kind_passes_its_tests_is_installed_and_used() {
    let host = Host::new();
    let work = host.root().join("work");
    std::fs::create_dir(&work).unwrap();
    let new = |words: &[&str]| {
        let mut new = host.command(&[&["plugin", "new"], words].concat());
        command::run(new.current_dir(&work), PATIENCE)
    };
    for (name, kind) in [("acme-disks", "storage"), ("acme-cards", "network"), ("acme-moves", "migration")] {
        new(&[name, "--kind", kind]).expect_code(0);
        new(&[name, "--kind", kind]).expect_code(4);
        let folder = work.join(name);
        cargo(&folder, &["test", "--quiet"]);
        let file = target().join("authoring/wasm32-wasip2/release").join(name.replace('-', "_") + ".wasm");
        let said = in_project(&host, &folder, &["plugin", "build"]).expect_code(0).stdout;
        assert!(said.contains(&format!("{name} 0.1.0 built: {}", file.display())), "{said}");
        let shown = host.fief(&["plugin", "show", &file.to_string_lossy(), "-o", "json"]).json();
        assert_eq!((&shown["item"]["id"], &shown["item"]["kind"]), (&name.into(), &kind.into()));
        host.fief(&["plugin", "install", &file.to_string_lossy()]);
    }
    new(&["../outside", "--kind", "storage"]).expect_code(2);
    new(&["acme-c", "--kind", "storage", "--lang", "c"]).expect_code(2);

    // As the projects' own READMEs have it.
    let definition = host.root().join("pool.toml");
    std::fs::write(&definition, "name = \"trial\"\nkind = \"acme-disks\"\n[settings]\ndirectory = \"volumes\"\n")
        .unwrap();
    let file = target().join("authoring/wasm32-wasip2/release/acme_disks.wasm");
    let (file, definition) = (file.to_string_lossy(), definition.to_string_lossy());
    let said = host.fief(&["plugin", "test", &file, "--settings", &definition, "-o", "json"]).json();
    let passed = said["items"].as_array().unwrap().iter().filter(|item| item["result"] == "ok").count();
    assert!(passed >= 15, "{said}");
    dev(&host, &work.join("acme-disks"), &definition);
    let volumes = host.root().join("volumes");
    std::fs::create_dir(&volumes).unwrap();
    let directory = format!("volumes={}:rw", volumes.display());
    let words = ["--all-asked", "--directory", &directory, "--serve", "acme-disks"];
    host.fief(&[&["plugin", "grant", "acme-disks"], &words[..]].concat());
    host.fief(&["plugin", "grant", "acme-cards", "--serve", "acme-cards"]);
    host.fief(&["plugin", "grant", "acme-moves", "--all-asked"]);
    host.fief(&["pool", "create", "mine", "--kind", "acme-disks", "--set", "directory=volumes"]);
    host.fief(&["volume", "create", "mine/disk1", "--size", "1MiB", "--format", "raw"]);
    assert_eq!(std::fs::metadata(volumes.join("disk1.raw")).unwrap().len(), 1 << 20);
    host.fief(&["network", "create", "mine", "--kind", "acme-cards"]);
    host.fief(&["create", "node1", "--memory", "32MiB", "--disk", "mine/disk1", "--network", "mine"]);
    host.fief(&["start", "node1"]);
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--yes"]);
    host.fief(&["volume", "delete", "mine/disk1", "--yes"]);
    assert!(!volumes.join("disk1.raw").exists());
}
