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
    new(&["acme-c", "--kind", "storage", "--lang", "cobol"]).expect_code(2);

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

/// What a project in C says to `make test`, with the command that is tried here.
fn make(folder: &Path) -> Said {
    let mut make = Command::new("make");
    make.args(["--silent", "test"]).arg(format!("FIEF={}", fief_tests::host::fief().display())).current_dir(folder);
    command::run(&mut make, PATIENCE)
}

#[test]
fn a_project_in_c_of_each_kind_passes_its_tests_is_installed_and_used() {
    let host = Host::new();
    let work = host.root().join("work");
    std::fs::create_dir(&work).unwrap();
    for (name, kind) in [("c-disks", "storage"), ("c-cards", "network"), ("c-moves", "migration")] {
        let mut new = host.command(&["plugin", "new", name, "--kind", kind, "--lang", "c"]);
        command::run(new.current_dir(&work), PATIENCE).expect_code(0);
        let folder = work.join(name);
        let said = host.fief_ends(&["plugin", "install", &folder.to_string_lossy()], 2).stderr;
        assert!(said.contains("fief plugin build"), "{said}");
        let said = in_project(&host, &folder, &["plugin", "build"]).expect_code(0).stdout;
        assert!(said.contains(&format!("{name} 0.1.0 built: ")) && said.contains("build/"), "{said}");
        // Warnings of the compiler's would be told here, too.
        assert_eq!(make(&folder).expect_code(0).stdout.trim(), "all tests passed");
        let shown = host.fief(&["plugin", "show", &folder.to_string_lossy(), "-o", "json"]).json();
        assert_eq!((&shown["item"]["id"], &shown["item"]["kind"]), (&name.into(), &kind.into()));
        host.fief(&["plugin", "install", &folder.to_string_lossy()]);
    }

    // The same pool as that of the project in Rust.
    let folder = work.join("c-disks");
    let (project, definition) = (folder.to_string_lossy(), folder.join("pool.toml"));
    std::fs::write(&definition, "name = \"trial\"\nkind = \"c-disks\"\n[settings]\ndirectory = \"volumes\"\n").unwrap();
    let said =
        host.fief(&["plugin", "test", &project, "--settings", &definition.to_string_lossy(), "-o", "json"]).json();
    let passed = said["items"].as_array().unwrap().iter().filter(|item| item["result"] == "ok").count();
    assert!(passed >= 15, "{said}");
    let volumes = host.root().join("volumes");
    std::fs::create_dir(&volumes).unwrap();
    let directory = format!("volumes={}:rw", volumes.display());
    host.fief(&["plugin", "grant", "c-disks", "--all-asked", "--directory", &directory, "--serve", "c-disks"]);
    host.fief(&["plugin", "grant", "c-cards", "--serve", "c-cards"]);
    host.fief(&["plugin", "grant", "c-moves", "--all-asked"]);
    host.fief(&["pool", "create", "mine", "--kind", "c-disks", "--set", "directory=volumes"]);
    host.fief(&["volume", "create", "mine/disk1", "--size", "1MiB", "--format", "raw"]);
    host.fief_ends(&["volume", "create", "mine/disk1", "--size", "2MiB", "--format", "raw"], 4);
    assert_eq!(std::fs::metadata(volumes.join("disk1.raw")).unwrap().len(), 1 << 20);
    assert!(host.fief(&["volume", "list", "mine"]).stdout.contains("disk1"));
    host.fief(&["network", "create", "mine", "--kind", "c-cards"]);
    host.fief(&["create", "node1", "--memory", "32MiB", "--disk", "mine/disk1", "--network", "mine"]);
    host.fief(&["start", "node1"]);
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--yes"]);
    host.fief(&["volume", "delete", "mine/disk1", "--yes"]);
    assert!(!volumes.join("disk1.raw").exists());
    mistakes_in_c(&host, &folder, &definition);
}

/// What is amiss in a project is told by what it is, and a trap by name.
fn mistakes_in_c(host: &Host, folder: &Path, definition: &Path) {
    let place = |file: &str| folder.join(file);
    let spoiled = |file: &str, from: &str, to: &str, words: &[&str], code: i32| {
        let good = std::fs::read_to_string(place(file)).unwrap();
        assert!(good.contains(from), "{file} has no {from}");
        std::fs::write(place(file), good.replacen(from, to, 1)).unwrap();
        let said = in_project(host, folder, words).expect_code(code);
        std::fs::write(place(file), good).unwrap();
        said
    };
    let build = ["plugin", "build"];
    for (file, from, to, code, told) in [
        ("src/plugin.c", "return true;", "retrun true;", 1, "src/plugin.c:"),
        (
            "src/plugin.c",
            "backend_resize(",
            "backend_grow(",
            1,
            "undefined symbol: exports_fief_storage_backend_resize",
        ),
        ("fief-plugin.toml", "kind = \"storage\"", "kind = \"boat\"", 2, "fief-plugin.toml:"),
        ("fief-plugin.toml", "interface = \"images\"", "interface = \"bridges\"", 2, "does not ask for"),
        ("wit/plugin.wit", "fief:storage/backend", "fief:storage/nothing", 2, "nothing"),
    ] {
        let said = spoiled(file, from, to, &build, code);
        assert!(said.stderr.contains(told), "{told}: {}", said.stderr);
    }
    let definition = definition.to_string_lossy();
    let dev = ["plugin", "dev", "--once", "--settings", &definition, "--only", "delete-absent"];
    in_project(host, folder, &dev).expect_code(0);
    let said = spoiled("src/plugin.c", "/* One that is absent is deleted. */", "__builtin_trap();", &dev, 6);
    assert!(said.stdout.contains("delete-absent  FAILED"), "{}", said.stdout);
}

/// The blocks of a page, in order: commands as they are, a change of the code as what `patch` is told.
fn script(page: &str) -> String {
    let mut script = String::from("set -eux\n");
    for block in page.split("```").skip(1).step_by(2) {
        match block.split_once('\n') {
            Some(("sh", commands)) => script.push_str(commands),
            Some(("diff", change)) => script.push_str(&format!("patch -p1 <<'END'\n{change}END\n")),
            other => panic!("a block of another kind: {other:?}"),
        }
    }
    script
}

#[test]
fn the_first_afternoon_is_as_the_page_says_to_the_letter() {
    let host = Host::new();
    let (work, built) = (host.root().join("work"), target().join("afternoon"));
    std::fs::create_dir(&work).unwrap();
    std::fs::create_dir_all(&built).unwrap();
    let page = include_str!("../../docs/first-plugin.md");
    // What it stands on is compiled once, and nothing is kept outside of the test's own folder.
    let script = script(page)
        .replace("cd attic\n", &format!("cd attic\nln -s {} target\n", built.display()))
        .replace("/var/lib/attic", &host.root().join("attic").to_string_lossy());
    let path = format!("{}:{}", fief_tests::host::fief().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(&work).env("PATH", path).env("FIEF_ROOT", host.root());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_") || name == "RUSTFLAGS") {
        shell.env_remove(name);
    }
    let said = command::run(&mut shell, PATIENCE).expect_code(0);
    for part in ["attic 0.1.0 built", "cases passed", "mine/disk1", "running", "attic 0.2.0 built"] {
        assert!(said.stdout.contains(part), "{part}:\n{}\n{}", said.stdout, said.stderr);
    }
    assert!(said.stderr.contains("has 1073741824 bytes at most"), "{}", said.stderr);
    assert!(host.fief(&["plugin", "list", "-o", "name"]).stdout.lines().all(|line| line != "attic"));
}
