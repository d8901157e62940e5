//! Where plugins come from: directories, https, registries, locks and archives; and what bad servers do.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fief_tests::command::Started;
use fief_tests::host::target;
use fief_tests::registry::{LOGIN, WASM};
use fief_tests::{Authority, Host, Registry, Said, Web, compiled, eventually};

fn plugin(name: &str) -> PathBuf {
    let file = target().join(format!("wasm32-wasip2/release/{name}.wasm"));
    assert!(file.exists(), "{} is not built; `cargo xtask test` builds it", file.display());
    file
}

/// Another host's state, in the same network.
struct Place<'a> {
    host: &'a Host,
    root: tempfile::TempDir,
}

impl<'a> Place<'a> {
    fn new(host: &'a Host) -> Place<'a> {
        let root = tempfile::Builder::new().prefix("fief-test-").tempdir().unwrap();
        compiled::lend(root.path());
        Place { host, root }
    }

    #[track_caller]
    fn ends(&self, code: i32, words: &[&str]) -> Said {
        let mut command = self.host.command(&[&["plugin"], words].concat());
        command.env("FIEF_ROOT", self.root.path());
        let said = fief_tests::command::run(&mut command, std::time::Duration::from_secs(90)).expect_code(code);
        compiled::keep(self.root.path());
        said
    }

    /// What it ends with, which must hold this.
    #[track_caller]
    fn refuses(&self, code: i32, words: &[&str], why: &str) {
        let said = self.ends(code, words);
        assert!(said.stderr.contains(why), "{why:?} is not in:\n{}", said.stderr);
    }

    #[track_caller]
    fn source(&self, id: &str) -> serde_json::Value {
        self.ends(0, &["show", id, "-o", "json"]).json()["item"]["source"].take()
    }

    #[track_caller]
    fn digest(&self, id: &str) -> String {
        self.ends(0, &["show", id, "-o", "json"]).json()["item"]["digest"].as_str().unwrap().to_owned()
    }

    /// Ids of what is installed.
    fn installed(&self) -> Vec<String> {
        self.ends(0, &["list", "-o", "name"]).stdout.lines().map(str::to_owned).collect()
    }

    /// No plugin, and no bytes of one.
    #[track_caller]
    fn is_empty(&self) {
        assert_eq!(self.installed(), [""; 0]);
        let store = self.root.path().join("store");
        let kept: Vec<_> = fs::read_dir(store).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        assert!(kept.is_empty(), "{kept:?}");
    }

    fn at(&self, name: &str) -> String {
        self.root.path().join(name).display().to_string()
    }
}

/// The same plugin with other bytes: signed by a new key.
fn signed(place: &Place<'_>, name: &str) -> Vec<u8> {
    let file = plugin(name).display().to_string();
    place.ends(0, &["keygen", &place.at("key")]);
    place.ends(0, &["sign", &file, "--key", &place.at("key"), "--to", &place.at("signed.wasm")]);
    fs::read(place.at("signed.wasm")).unwrap()
}

#[test]
fn a_directory_stands_for_the_plugin_in_it() {
    let host = Host::bare();
    let place = Place::new(&host);
    let folder = place.at("project");
    let built = Path::new(&folder).join("target/wasm32-wasip2/release");
    fs::create_dir_all(&built).unwrap();
    fs::write(Path::new(&folder).join("Cargo.toml"), "").unwrap();
    place.refuses(2, &["install", &folder], "cargo build --release --target wasm32-wasip2");
    fs::copy(plugin("network_user"), built.join("network_user.wasm")).unwrap();
    assert!(place.ends(0, &["show", &folder]).stdout.contains("network-user"));
    place.ends(0, &["install", &folder, "--dry-run"]);
    place.is_empty();
    place.ends(0, &["install", &folder]);
    let file = built.join("network_user.wasm").canonicalize().unwrap();
    assert_eq!(place.source("network-user")["from"], file.to_str().unwrap());
    place.ends(0, &["verify"]);
    fs::copy(plugin("storage_file"), built.join("storage_file.wasm")).unwrap();
    place.refuses(2, &["install", &folder], "storage_file.wasm");
    let digest = place.digest("network-user");
    let file = plugin("storage_file").display().to_string();
    place.refuses(5, &["install", &file, "--digest", &digest], "is not the plugin that was expected");
    assert_eq!(place.installed(), ["network-user"]);
}

#[test]
fn a_plugin_comes_by_https_from_who_can_prove_who_it_is() {
    let host = Host::bare();
    let place = Place::new(&host);
    let (authority, stranger) = (Authority::new(), Authority::new());
    let files = tempfile::tempdir().unwrap();
    fs::copy(plugin("network_user"), files.path().join("plugin.wasm")).unwrap();
    fs::write(files.path().join("page.html"), "<html>").unwrap();
    let web = Web::start(host.namespace(), 8443, &authority, files.path());
    let (ca, other) = (authority.file().display().to_string(), stranger.file().display().to_string());
    let install = |path: &str| -> Vec<String> { ["install", &web.at(path), "--ca", &ca].map(str::to_owned).to_vec() };
    let refuses = |code: i32, path: &str, why: &str| {
        let words = install(path);
        place.refuses(code, &words.iter().map(String::as_str).collect::<Vec<_>>(), why);
        place.is_empty();
    };
    refuses(3, "none.wasm", "answers 404");
    refuses(2, "page.html", "not a WebAssembly component");
    refuses(2, "large", "larger than a plugin may be");
    refuses(2, "endless", "larger than a plugin may be");
    refuses(8, "cut", "broke off");
    refuses(5, "to?http://127.0.0.1:8080/plugin.wasm", "which is not https");
    refuses(5, "round", "more than 5 times");
    place.refuses(5, &["install", &web.at("plugin.wasm")], "cannot prove who it is");
    place.refuses(5, &["install", &web.at("plugin.wasm"), "--ca", &other], "cannot prove who it is");
    place.refuses(9, &["install", &web.at("slow"), "--ca", &ca, "--timeout", "1s"], "longer than it may");
    place.refuses(2, &["install", "http://127.0.0.1:8080/plugin.wasm"], "plain http");
    let wrong = format!("sha256:{}", "0".repeat(64));
    place.refuses(5, &["install", &web.at("plugin.wasm"), "--ca", &ca, "--digest", &wrong], "was expected");
    place.is_empty();

    // Through one that moved it.
    let moved = web.at("to?/plugin.wasm");
    assert!(place.ends(0, &["show", &moved, "--ca", &ca]).stdout.contains("network-user"));
    place.ends(0, &["install", &moved, "--ca", &ca, "--dry-run"]);
    place.is_empty();
    place.ends(0, &["install", &moved, "--ca", &ca]);
    assert_eq!(place.source("network-user")["from"], moved.as_str());
    assert!(place.ends(0, &["show", "network-user"]).stdout.contains(&format!("source     {moved}\n")));
    place.ends(0, &["verify"]);
}

#[test]
fn a_download_that_is_broken_off_leaves_nothing() {
    let host = Host::bare();
    let place = Place::new(&host);
    let authority = Authority::new();
    let files = tempfile::tempdir().unwrap();
    let web = Web::start(host.namespace(), 8443, &authority, files.path());
    let before = host.census();
    let ca = authority.file().display().to_string();
    let mut command = host.command(&["plugin", "install", &web.at("slow"), "--ca", &ca]);
    let mut install = Started::start(command.env("FIEF_ROOT", place.root.path()));
    let fetching = || host.namespace().processes().into_iter().find(|pid| words(*pid).ends_with("fief\0fetch\0"));
    let pid = eventually("it fetches", std::time::Duration::from_secs(20), fetching);
    assert!(!install.is_over());
    // It is nobody: no user of ours, no capability.
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(!line("Uid:").contains("\t0\t") && line("CapEff:").ends_with("0000000000000000"), "{status}");
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(i32::try_from(install.pid()).unwrap()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    install.ends(std::time::Duration::from_secs(20));
    host.settles_to(&before);
    place.is_empty();
}

fn words(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

#[test]
fn a_plugin_comes_from_a_registry_by_its_tag_or_its_digest() {
    let host = Host::bare();
    let place = Place::new(&host);
    let registry = Registry::open(host.namespace(), 5000);
    let bytes = fs::read(plugin("network_user")).unwrap();
    let push = |name: &str, layers: &[(&str, &[u8])]| registry.push(host.namespace(), name, layers);
    let manifest = push("team/user:1.0", &[(WASM, &bytes)]);
    push("team/two:1", &[(WASM, &bytes), (WASM, b"\0asm")]);
    push("team/image:1", &[("application/vnd.oci.image.layer.v1.tar+gzip", b"\x1f\x8b")]);
    push("team/junk:1", &[(WASM, b"#!/bin/sh\n")]);
    let at = |name: &str| format!("oci://{}/{name}", registry.address());
    let refuses = |code: i32, name: &str, why: &str| {
        place.refuses(code, &["install", &at(name), "--plain-http"], why);
        place.is_empty();
    };
    refuses(3, "team/user:2.0", "answers 404");
    refuses(3, "team/none:1", "answers 404");
    refuses(2, "team/two:1", "has 2 layers");
    refuses(2, "team/image:1", "tar+gzip");
    refuses(2, "team/junk:1", "not a WebAssembly component");
    refuses(2, "team/user", "neither a tag nor a digest");
    refuses(3, &format!("team/user@sha256:{}", "0".repeat(64)), "answers 404");
    place.refuses(5, &["install", &at("team/user:1.0"), "--plain-http", "--digest", &manifest], "was expected");
    place.refuses(8, &["install", &at("team/user:1.0")], "cannot fetch oci://");
    place.refuses(2, &["install", "oci://registry.example/user:1", "--plain-http"], "is none");
    place.is_empty();

    let shown = place.ends(0, &["show", &at("team/user:1.0"), "--plain-http"]).stdout;
    assert!(shown.contains(&format!("source     {} ({manifest})\n", at("team/user:1.0"))), "{shown}");
    place.ends(0, &["install", &at("team/user:1.0"), "--plain-http", "--dry-run"]);
    place.is_empty();
    let said = place.ends(0, &["install", &at("team/user:1.0"), "--plain-http"]).stderr;
    assert!(said.contains(&format!("(manifest {manifest}) is network-user 0.1.0, sha256:")), "{said}");
    let source = place.source("network-user");
    assert_eq!((&source["from"], &source["manifest"]), (&at("team/user:1.0").into(), &manifest.as_str().into()));
    place.ends(0, &["verify"]);
    place.ends(0, &["remove", "network-user"]);
    place.ends(0, &["install", &at(&format!("team/user@{manifest}")), "--plain-http"]);
}

#[test]
fn a_closed_registry_is_told_who_we_are() {
    let host = Host::bare();
    let place = Place::new(&host);
    let registry = Registry::closed(host.namespace(), 5443, Authority::new());
    let ca = registry.ca().display().to_string();
    registry.push(host.namespace(), "user:1", &[(WASM, &fs::read(plugin("network_user")).unwrap())]);
    let at = format!("oci://{}/user:1", registry.address());
    let auth = place.at("auth.json");
    let write = |login: &str, mode: u32| {
        let text = format!("{{\"auths\":{{\"{}\":{login}}}}}", registry.address());
        fs::write(&auth, text).unwrap();
        fs::set_permissions(&auth, fs::Permissions::from_mode(mode)).unwrap();
    };
    let login = |password: &str| format!("{{\"username\":\"{}\",\"password\":\"{password}\"}}", LOGIN.0);
    place.refuses(5, &["install", &at], "cannot prove who it is");
    place.refuses(5, &["install", &at, "--ca", &ca], "--registry-auth FILE");
    let with = ["install", &at, "--ca", &ca, "--registry-auth", &auth];
    place.refuses(3, &with, "auth.json");
    write(&login(LOGIN.1), 0o644);
    place.refuses(5, &with, "others may read");
    write("{}", 0o600);
    place.refuses(2, &with, "no user and password");
    write(&login("wander"), 0o600);
    let said = place.ends(5, &with);
    assert!(!said.stderr.contains("wander"), "{}", said.stderr);
    place.is_empty();
    write(&login(LOGIN.1), 0o600);
    place.ends(0, &with);
    assert!(!fs::read_to_string(place.at("plugins/network-user/plugin.json")).unwrap().contains(LOGIN.1));
}

#[test]
fn a_registry_that_is_none_harms_nobody() {
    let host = Host::bare();
    let place = Place::new(&host);
    let authority = Authority::new();
    let files = tempfile::tempdir().unwrap();
    let web = Web::start(host.namespace(), 8443, &authority, files.path());
    let ca = authority.file().display().to_string();
    let refuses = |code: i32, name: &str, why: &str| {
        let at = format!("oci://{}/{name}", web.address());
        place.refuses(code, &["install", &at, "--ca", &ca], why);
        place.is_empty();
    };
    let registry = Registry::open(host.namespace(), 5000);
    registry.push(host.namespace(), "away:1", &[(WASM, &fs::read(plugin("network_user")).unwrap())]);
    // The client holds all of it in memory: the process that fetches may not.
    refuses(1, "bomb:1", "ended without an answer");
    refuses(8, "away:1", "leads to plain http, that is not followed");
    refuses(5, "realm:1", "--registry-auth FILE");
    refuses(3, "none:1", "answers 404");
}

#[test]
fn a_lock_brings_the_same_bytes_to_another_host_or_nothing() {
    let host = Host::bare();
    let (here, there) = (Place::new(&host), Place::new(&host));
    let registry = Registry::open(host.namespace(), 5000);
    let (user, only) = (fs::read(plugin("network_user")).unwrap(), plugin("network_host_only"));
    registry.push(host.namespace(), "user:1", &[(WASM, &user)]);
    let copy = here.at("only.wasm");
    fs::copy(&only, &copy).unwrap();
    here.ends(0, &["install", &format!("oci://{}/user:1", registry.address()), "--plain-http"]);
    here.ends(0, &["install", &copy]);
    let lock = here.at("plugins.lock");
    here.ends(0, &["lock", &lock, "--dry-run"]);
    assert!(!Path::new(&lock).exists());
    here.ends(0, &["lock", &lock]);
    assert_eq!(fs::read_to_string(&lock).unwrap(), here.ends(0, &["lock"]).stdout);
    here.refuses(4, &["lock", &copy], "it is no lock");

    // The tag leads elsewhere since: the lock does not follow.
    registry.push(host.namespace(), "user:1", &[(WASM, &signed(&here, "network_user"))]);
    let install = ["install", "--locked", &lock, "--plain-http"];
    fs::write(&copy, signed_again(&here, &only)).unwrap();
    there.refuses(5, &install, "is not the plugin that was expected");
    there.is_empty();
    fs::remove_file(&copy).unwrap();
    there.refuses(3, &install, "fief plugin export");
    there.is_empty();
    fs::copy(&only, &copy).unwrap();
    there.ends(0, &[&install[..], &["--dry-run"]].concat());
    there.is_empty();
    there.ends(0, &install);
    for id in ["network-user", "network-host-only"] {
        assert_eq!(here.digest(id), there.digest(id));
    }
    let again = there.ends(0, &install).stdout;
    assert_eq!(again.matches("is there already").count(), 2, "{again}");
    there.ends(0, &["verify"]);
}

fn signed_again(place: &Place<'_>, file: &Path) -> Vec<u8> {
    let (file, to) = (file.display().to_string(), place.at("again.wasm"));
    place.ends(0, &["sign", &file, "--key", &place.at("key"), "--to", &to]);
    fs::read(&to).unwrap()
}

#[test]
fn an_archive_brings_all_of_its_plugins_or_none() {
    let host = Host::bare();
    let (here, there) = (Place::new(&host), Place::new(&host));
    for name in ["network_user", "network_host_only"] {
        here.ends(0, &["install", &plugin(name).display().to_string()]);
    }
    let archive = here.at("plugins.tar");
    here.refuses(3, &["export", &archive, "none"], "no plugin none is installed");
    here.ends(0, &["export", &archive]);
    here.refuses(4, &["export", &archive], "already");
    let bytes = fs::read(&archive).unwrap();

    // A byte of the second plugin's was changed; the archive was cut; there is another file.
    let changed = there.at("changed.tar");
    let at = bytes.windows(12).rposition(|window| window == b"network-user").unwrap();
    let mut other = bytes.clone();
    other[at] ^= 0x20;
    fs::write(&changed, &other).unwrap();
    there.refuses(5, &["import", &changed], "is not the plugin that was expected");
    fs::write(&changed, &bytes[..bytes.len() / 2]).unwrap();
    there.refuses(2, &["import", &changed], "no archive of plugins");
    there.refuses(2, &["import", &plugin("network_user").display().to_string()], "no archive of plugins");
    there.refuses(2, &["import", "/dev/zero"], "is not a file");
    there.is_empty();

    // Policy does not take the second: the first is not installed either.
    let policy = there.at("policy.toml");
    fs::write(&policy, format!("[plugins.network-user]\ndigest = \"sha256:{}\"\n", "0".repeat(64))).unwrap();
    there.refuses(5, &["import", &archive], "policy pins other bytes");
    there.is_empty();
    fs::remove_file(&policy).unwrap();

    there.ends(0, &["import", &archive, "--dry-run"]);
    there.is_empty();
    let said = there.ends(0, &["import", &archive]);
    assert_eq!(said.stdout.matches(" installed\n").count(), 2, "{}", said.stdout);
    assert!(said.stderr.contains("fief plugin grant network-host-only"), "{}", said.stderr);
    assert_eq!(there.source("network-user")["from"], archive.as_str());
    there.ends(0, &["verify"]);
    assert_eq!(there.ends(0, &["import", &archive]).stdout.matches("is there already").count(), 2);
}
