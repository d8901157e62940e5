//! The way of an author in Python or JavaScript, whose plugins bring a whole language along. C is tried with Rust, in `authoring.rs`.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fief_tests::command::Said;
use fief_tests::host::{fief, target};
use fief_tests::{Host, command};

/// For a compilation of a language's whole engine by a fief that is not optimised.
const PATIENCE: Duration = Duration::from_secs(400);

struct Language {
    name: &'static str,
    /// What is said where its tool is missing.
    missing: &'static str,
}

const PYTHON: Language = Language { name: "python", missing: "pip install componentize-py" };
const JAVASCRIPT: Language = Language { name: "js", missing: "npm install" };

/// A project's folder and the host that it is tried on.
struct Project<'h> {
    host: &'h Host,
    folder: PathBuf,
    id: String,
}

/// Where `cargo xtask plugins` puts the tools of those languages.
fn tools() -> PathBuf {
    let tools = target().join("tools");
    for tool in ["python/bin/componentize-py", "python/bin/node", "javascript/node_modules"] {
        assert!(
            tools.join(tool).exists(),
            "{} is not there; cargo xtask plugins installs it",
            tools.join(tool).display()
        );
    }
    tools
}

impl<'h> Project<'h> {
    /// Begun, with the tools of its language beside it.
    fn new(host: &'h Host, language: &Language, kind: &str) -> Project<'h> {
        let id = format!("{}-{kind}", language.name);
        let work = host.root().join("work");
        std::fs::create_dir_all(&work).unwrap();
        let mut new = host.command(&["plugin", "new", &id, "--kind", kind, "--lang", language.name]);
        command::run(new.current_dir(&work), PATIENCE).expect_code(0);
        let project = Project { host, folder: work.join(&id), id };
        let mut bare = host.command(&["plugin", "build"]);
        let said =
            command::run(bare.current_dir(&project.folder).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), PATIENCE)
                .expect_code(1);
        assert!(said.stderr.contains(language.missing), "{}", said.stderr);
        if language.name == JAVASCRIPT.name {
            let there = tools().join("javascript/node_modules").canonicalize().unwrap();
            std::os::unix::fs::symlink(there, project.folder.join("node_modules")).unwrap();
        }
        project
    }

    /// What it takes to run a command with those tools.
    fn with_tools(&self, command: &mut Command) -> Said {
        let bin = tools().join("python/bin").canonicalize().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        command::run(command.current_dir(&self.folder).env("PATH", path), PATIENCE)
    }

    fn fief(&self, words: &[&str]) -> Said {
        self.with_tools(&mut self.host.command(words))
    }

    fn builds_and_passes_its_tests(&self) {
        let said = self.fief(&["plugin", "build"]).expect_code(0).stdout;
        assert!(said.contains(&format!("{} 0.1.0 built: ", self.id)), "{said}");
        let mut make = Command::new("make");
        self.with_tools(make.args(["--silent", "test"]).arg(format!("FIEF={}", fief().display()))).expect_code(0);
        let shown = self.fief(&["plugin", "show", "./", "-o", "json"]).expect_code(0).json();
        assert_eq!(shown["item"]["id"], self.id.as_str());
        let strays = [&shown["item"]["imports"], &shown["item"]["exports"]]
            .into_iter()
            .flat_map(|names| names.as_array().unwrap());
        for name in strays {
            assert!(name.as_str().unwrap().starts_with("fief:"), "{name} is none of fief's");
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// From nothing to volumes.
fn volumes_are_made_by(language: &Language) {
    let host = Host::new();
    let project = Project::new(&host, language, "storage");
    project.builds_and_passes_its_tests();
    let (id, host) = (project.id.as_str(), project.host);
    project.fief(&["plugin", "install", "."]).expect_code(0);
    let volumes = host.root().join("volumes");
    std::fs::create_dir(&volumes).unwrap();
    let directory = format!("volumes={}:rw", volumes.display());
    host.fief(&["plugin", "grant", id, "--all-asked", "--directory", &directory, "--serve", id]);
    host.fief(&["pool", "create", "mine", "--kind", id, "--set", "directory=volumes"]);
    host.fief(&["volume", "create", "mine/disk1", "--size", "1MiB", "--format", "raw"]);
    assert_eq!(std::fs::metadata(volumes.join("disk1.raw")).unwrap().len(), 1 << 20);
    host.fief_ends(&["volume", "create", "mine/disk1", "--size", "2MiB", "--format", "raw"], 4);
    host.fief_ends(&["volume", "show", "mine/disk2"], 3);
    host.fief(&["volume", "resize", "mine/disk1", "3MiB"]);
    assert!(host.fief(&["volume", "list", "mine"]).stdout.contains("disk1"));
    host.fief(&["volume", "delete", "mine/disk1", "--yes"]);
    assert!(!volumes.join("disk1.raw").exists());
    built_by_other_means(&project);
}

/// The same component, as if tools that fief knows nothing of had made it.
fn built_by_other_means(project: &Project<'_>) {
    let definition = project.file("fief-plugin.toml");
    let text = std::fs::read_to_string(&definition).unwrap();
    let line = text.lines().find(|line| line.starts_with("language")).unwrap();
    std::fs::write(&definition, text.replacen(line, "language = \"other\"", 1)).unwrap();
    let said = project.fief(&["plugin", "build"]).expect_code(2);
    assert!(said.stderr.contains("fief plugin pack"), "{}", said.stderr);
    let words = ["plugin", "pack", "build/parts/component.wasm", "--to", "other.wasm"];
    project.fief(&words).expect_code(0);
    let built = project.file("build").join(format!("{}.wasm", project.id));
    assert!(std::fs::read(built).unwrap() == std::fs::read(project.file("other.wasm")).unwrap(), "they differ");
    project.fief(&["plugin", "pack", "other.wasm"]).expect_code(2);
    let said = project.fief(&["plugin", "pack", "none.wasm"]).expect_code(3).stderr;
    assert!(said.contains("there is no file none.wasm") && said.contains("hint: name what your tools built"), "{said}");
    project.fief(&["plugin", "pack", "other.wasm", "--project", "src"]).expect_code(3);
}

#[test]
fn a_plugin_in_python_makes_volumes() {
    volumes_are_made_by(&PYTHON);
}

#[test]
fn a_plugin_in_javascript_makes_volumes() {
    volumes_are_made_by(&JAVASCRIPT);
}

fn passes_the_kit(project: &Project<'_>) {
    let definition = project.file("pool.toml");
    std::fs::write(&definition, "name = \"trial\"\nkind = \"any\"\n[settings]\ndirectory = \"volumes\"\n").unwrap();
    let said = project.fief(&["plugin", "test", ".", "--settings", "pool.toml", "-o", "json"]).expect_code(0).json();
    let passed = said["items"].as_array().unwrap().iter().filter(|item| item["result"] == "ok").count();
    assert!(passed >= 20, "{said}");
}

/// Some minutes of compilation where `cargo xtask plugins --all` asks for it; else the one that is quickest to build.
#[test]
fn plugins_of_other_kinds_are_built_too_and_those_of_storage_pass_the_kit() {
    let host = Host::new();
    if std::env::var_os("FIEF_LANGUAGES_ALL").is_none() {
        Project::new(&host, &JAVASCRIPT, "network").builds_and_passes_its_tests();
        return;
    }
    for language in [&PYTHON, &JAVASCRIPT] {
        for kind in ["storage", "network", "migration"] {
            let project = Project::new(&host, language, kind);
            project.builds_and_passes_its_tests();
            match kind {
                "storage" => passes_the_kit(&project),
                _ => drop(project.fief(&["plugin", "install", "."]).expect_code(0)),
            }
        }
    }
}

#[test]
fn a_tool_is_named_where_a_folder_is_no_project() {
    let host = Host::bare();
    let none = host.root().join("none");
    std::fs::create_dir(&none).unwrap();
    let said = command::run(host.command(&["plugin", "build"]).current_dir(&none), PATIENCE).expect_code(2);
    assert!(said.stderr.contains("no Cargo.toml and no fief-plugin.toml"), "{}", said.stderr);
    let place: &Path = &none;
    std::fs::write(place.join("fief-plugin.toml"), "language = \"c\"\n").unwrap();
    let said = command::run(host.command(&["plugin", "build"]).current_dir(&none), PATIENCE).expect_code(2);
    assert!(said.stderr.contains("missing field `manifest`"), "{}", said.stderr);
}

/// Bytes with stretches of zeroes, of a length that no block ends at.
fn disk() -> Vec<u8> {
    let mut bytes = vec![0; (11 << 20) + 3 * 512];
    for (from, length) in [(0, 5000), ((2 << 20) - 700, 3000), (6 << 20, 1), ((9 << 20) + 12345, 1_500_000)] {
        bytes[from..from + length].iter_mut().enumerate().for_each(|(at, byte)| *byte = (at % 251 + 1) as u8);
    }
    bytes
}

/// The example in C, as its README has it; the disks are made by QEMU.
#[test]
fn disks_in_vhds_are_read_and_copied_by_an_example_in_c() {
    let host = Host::new();
    let (project, disks) = (host.root().join("vhd"), host.root().join("disks"));
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/examples/vhd");
    // With what its links lead to, and built elsewhere.
    command::run(Command::new("cp").args(["-rL"]).arg(example).arg(&project), PATIENCE).expect_code(0);
    command::run(Command::new("rm").arg("-rf").arg(project.join("build")), PATIENCE).expect_code(0);
    let mut make = Command::new("make");
    make.args(["--silent", "test"]).arg(format!("FIEF={}", fief().display())).current_dir(&project);
    assert!(command::run(&mut make, PATIENCE).expect_code(0).stdout.contains("all tests passed"));
    let project = project.to_string_lossy();
    host.fief(&["plugin", "build", &project]);
    host.fief(&["plugin", "install", &project]);
    std::fs::create_dir(&disks).unwrap();
    let raw = host.root().join("raw");
    std::fs::write(&raw, disk()).unwrap();
    for kind in ["dynamic", "fixed"] {
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-f", "raw", "-O", "vpc", "-o", &format!("force_size=on,subformat={kind}")]);
        command::run(convert.arg(&raw).arg(disks.join(format!("{kind}.vhd"))), PATIENCE).expect_code(0);
    }
    std::fs::write(disks.join("broken.vhd"), "no disk").unwrap();
    let directory = format!("disks={}", disks.display());
    host.fief(&["plugin", "grant", "vhd", "--directory", &directory, "--serve", "vhd"]);
    host.fief(&["pool", "create", "old", "--kind", "vhd", "--set", "directory=disks"]);
    let listed = host.fief(&["volume", "list", "old"]).stdout;
    assert!(listed.contains("old/dynamic") && listed.contains("old/fixed") && !listed.contains("broken"), "{listed}");
    let said = host.fief_ends(&["volume", "show", "old/broken"], 1).stderr;
    assert!(said.contains("too short for a VHD"), "{said}");
    for kind in ["dynamic", "fixed"] {
        let (from, to) = (format!("old/{kind}"), format!("default/{kind}"));
        host.fief(&["volume", "copy", &from, &to]);
        for volume in [&from, &to] {
            let out = host.root().join(volume.replace('/', "-"));
            host.fief(&["volume", "export", volume, &out.to_string_lossy(), "--format", "raw"]);
            let got = std::fs::read(&out).unwrap();
            assert!(got == disk(), "{volume} is another disk, of {} bytes", got.len());
        }
        // What would write to it is refused, and says where to.
        let words = ["create", kind, "--memory", "32MiB", "--disk", &from];
        host.fief(&words);
        let mut start = host.command(&["start", kind]);
        let said = command::run(&mut start, PATIENCE);
        assert!(said.code != Some(0) && said.stderr.contains("fief volume copy"), "{said:?}");
        host.fief(&["delete", kind, "--yes"]);
    }
    host.fief_ends(&["volume", "create", "old/new", "--size", "1MiB"], 2);
}
