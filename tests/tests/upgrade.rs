//! One version of a plugin in the place of another: what is shown, what is refused, what runs on, and the way back.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use fief_tests::host::target;
use fief_tests::{Host, Witness, eventually, kill};

/// The machine may be busy with other things.
const PATIENCE: Duration = Duration::from_secs(90);

/// storage-file with one text in it changed for another of the same length, in a file of this name.
fn variant(host: &Host, name: &str, changes: &[(&str, &str)]) -> String {
    variant_of(host, "storage_file", name, changes)
}

fn variant_of(host: &Host, plugin: &str, name: &str, changes: &[(&str, &str)]) -> String {
    let mut bytes = fs::read(target().join(format!("wasm32-wasip2/release/{plugin}.wasm"))).unwrap();
    for (from, to) in changes {
        assert_eq!(from.len(), to.len());
        let places: Vec<usize> = bytes
            .windows(from.len())
            .enumerate()
            .filter(|(_, part)| *part == from.as_bytes())
            .map(|(at, _)| at)
            .collect();
        assert!(!places.is_empty(), "{from}");
        // What the linker took from the code into a section may still be where it was.
        places.into_iter().for_each(|at| bytes[at..at + from.len()].copy_from_slice(to.as_bytes()));
    }
    let path = host.root().join(name);
    fs::write(&path, bytes).unwrap();
    path.to_string_lossy().into_owned()
}

const THIS: &str = "\"version\":\"0.1.0\"";
const NEWER: (&str, &str) = (THIS, "\"version\":\"0.2.0\"");
const NEWEST: (&str, &str) = (THIS, "\"version\":\"0.3.0\"");

fn shown(host: &Host, of: &str) -> serde_json::Value {
    host.fief(&["plugin", "show", of, "-o", "json"]).json()["item"].clone()
}

fn hex(host: &Host, of: &str) -> String {
    shown(host, of)["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned()
}

/// The compiled plugin that a sandbox has mapped.
fn runs(pid: u32, hex: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/maps")).unwrap().contains(hex)
}

fn stored(host: &Host, hex: &str) -> bool {
    host.root().join(format!("store/{hex}.wasm")).exists()
}

fn codes(said: &fief_tests::command::Said) -> Vec<String> {
    said.json()["items"].as_array().unwrap().iter().map(|item| item["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_a_new_version_wants_is_shown_and_taken_only_with_the_operators_word() {
    let host = Host::new();
    let policy = || fs::read_to_string(host.root().join("policy.toml")).unwrap();
    let at_first = hex(&host, "storage-file");
    host.volume("default/kept", "1MiB");

    // The same, what is of another kind, and what is not installed.
    let same = variant(&host, "same.wasm", &[]);
    assert!(host.fief(&["plugin", "upgrade", &same]).stdout.contains("is that already"));
    let newer = variant(&host, "newer.wasm", &[NEWER]);
    let said = host.fief_ends(&["plugin", "install", &newer], 4);
    assert!(said.stderr.contains("fief plugin upgrade"), "{}", said.stderr);
    host.fief_ends(&["plugin", "rollback", "storage-file"], 4);

    // One that asks for less is taken as it is; back to what asks for more takes a word.
    let humble = variant(&host, "humble.wasm", &[("\"read-write\"", "\"read-only\" "), NEWER]);
    let dry = host.fief(&["--dry-run", "plugin", "upgrade", &humble, "-o", "json"]);
    assert_eq!(codes(&dry), ["changed"]);
    assert_eq!(hex(&host, "storage-file"), at_first);
    let before = policy();
    let said = host.fief(&["plugin", "upgrade", &humble]);
    assert!(said.stdout.contains("upgraded from 0.1.0 to 0.2.0"), "{}", said.stdout);
    assert!(said.stderr.contains("it asks for directory, read-write no more"), "{}", said.stderr);
    assert_eq!(policy(), before);

    let newest = variant(&host, "newest.wasm", &[NEWEST]);
    let refused = host.fief_ends(&["plugin", "upgrade", &newest, "-o", "json"], 6);
    assert_eq!(codes(&refused), ["asks-more"]);
    let refused = host.fief_ends(&["plugin", "upgrade", &same, "-o", "json"], 6);
    assert_eq!(codes(&refused), ["asks-more", "older"]);
    assert_eq!(shown(&host, "storage-file")["version"], "0.2.0");
    assert!(!stored(&host, &hex(&host, &newest)), "what was refused is not kept");
    host.fief(&["plugin", "upgrade", &newest, "--accept"]);
    assert_eq!(shown(&host, "storage-file")["version"], "0.3.0");
    host.fief(&["volume", "show", "default/kept"]);

    // One earlier version is kept, and the pin goes with what runs.
    assert!(!stored(&host, &at_first) && stored(&host, &hex(&host, &humble)));
    host.fief(&["plugin", "grant", "storage-file", "--pin"]);
    let said = host.fief_ends(&["plugin", "upgrade", &same, "-o", "json"], 6);
    assert_eq!(codes(&said), ["older", "pinned"]);
    host.fief(&["plugin", "rollback", "storage-file"]);
    assert!(policy().contains(&hex(&host, &humble)), "{}", policy());
    host.fief(&["plugin", "rollback", "storage-file"]);
    assert!(policy().contains(&hex(&host, &newest)), "{}", policy());
    host.fief(&["plugin", "verify"]);
    host.fief(&["volume", "delete", "default/kept", "--yes"]);
}

#[test]
fn one_that_answers_otherwise_is_not_taken_and_leaves_nothing() {
    let host = Host::new();
    let at_first = hex(&host, "storage-file");
    let other = variant(&host, "other.wasm", &[NEWER, ("directory:", "dire_tory:")]);
    let refused = host.fief_ends(&["plugin", "upgrade", &other, "--accept", "-o", "json"], 6);
    assert_eq!(codes(&refused), ["answers-otherwise"]);
    assert!(refused.stdout.contains("pool default"), "{}", refused.stdout);
    assert_eq!(hex(&host, "storage-file"), at_first);
    assert!(!stored(&host, &hex(&host, &other)));
    // What was set to one word and means another to the new one.
    let setting = variant(&host, "setting.wasm", &[NEWER, ("\"key\":\"directory\"", "\"key\":\"direktory\"")]);
    let refused = host.fief_ends(&["plugin", "upgrade", &setting, "-o", "json"], 6);
    assert_eq!(codes(&refused), ["fails"]);
    host.fief(&["pool", "check", "default"]);
}

#[test]
fn networks_are_compared_too() {
    let host = Host::new();
    host.host_only("lab", "10.99.4.1/24");
    host.fief(&["network", "start", "lab"]);
    host.fief(&["network", "create", "out", "--kind", "user"]);
    let of = |file: &str, name: &str, changes: &[(&str, &str)]| variant_of(&host, file, name, changes);
    // The same, under another version; it takes the network that is up as it is.
    host.fief(&["plugin", "upgrade", &of("network_host_only", "newer.wasm", &[NEWER])]);
    assert!(host.fief(&["network", "check", "lab"]).stdout.contains("nothing"));
    // One that has another word for a setting finds the network wrong.
    let other = of("network_host_only", "other.wasm", &[NEWEST, ("\"key\":\"address\"", "\"key\":\"addresz\"")]);
    let refused = host.fief_ends(&["plugin", "upgrade", &other, "--accept", "-o", "json"], 6);
    assert_eq!(codes(&refused), ["fails"]);
    assert!(refused.stdout.contains("network lab"), "{}", refused.stdout);
    assert_eq!(shown(&host, "network-host-only")["version"], "0.2.0");
    host.fief(&["plugin", "upgrade", &of("network_user", "user.wasm", &[NEWER])]);
    // One that gives cards another port is taken with a word.
    let closes = ("\"default\":\"false\"", "\"default\":\"true\" ");
    let closed = of("network_user", "closed.wasm", &[NEWEST, closes]);
    let refused = host.fief_ends(&["plugin", "upgrade", &closed, "-o", "json"], 6);
    assert_eq!(codes(&refused), ["other-port"]);
    assert!(refused.stdout.contains("network out") && refused.stdout.contains("--accept"), "{}", refused.stdout);
    assert_eq!(shown(&host, "network-user")["version"], "0.2.0");
    host.fief(&["plugin", "upgrade", &closed, "--accept"]);
    assert_eq!(shown(&host, "network-user")["version"], "0.3.0");
    host.fief(&["network", "stop", "lab"]);
    for name in ["lab", "out"] {
        host.fief(&["network", "delete", name]);
    }
}

#[test]
fn a_domain_keeps_the_version_that_it_began_with() {
    let host = Host::new();
    let pool = host.root().join("pools/default/pool.toml");
    let text = fs::read_to_string(&pool).unwrap();
    fs::write(&pool, text + "transport = \"served\"\n").unwrap();
    let mut witness = Witness::create(&host, "node1", &[]);
    host.fief(&["start", "node1"]);
    witness.goes_on(2);
    let (at_first, upgrade) = (hex(&host, "storage-file"), |file: &str| {
        host.fief(&["plugin", "upgrade", file]);
    });
    let sandbox = || host.sandbox("node1", 0);
    let another = |than: u32| eventually("another sandbox", PATIENCE, || sandbox().filter(|pid| *pid != than));
    let first = sandbox().unwrap();
    assert!(runs(first, &at_first));

    // Twice, so that only the domain holds on to the first.
    upgrade(&variant(&host, "newer.wasm", &[NEWER]));
    upgrade(&variant(&host, "newest.wasm", &[NEWEST]));
    assert!(stored(&host, &at_first));
    kill(first);
    let second = another(first);
    witness.goes_on(2);
    assert!(runs(second, &at_first));
    // And over its supervisor's death.
    kill(host.supervisor("node1"));
    host.fief(&["start", "node1"]);
    let third = another(second);
    witness.goes_on(2);
    assert!(runs(third, &at_first));

    host.fief(&["stop", "node1"]);
    host.fief(&["start", "node1"]);
    witness.goes_on(2);
    assert!(runs(sandbox().unwrap(), &hex(&host, "storage-file")));
    witness.is_sound();
    host.fief(&["stop", "node1"]);
    host.fief(&["plugin", "rollback", "storage-file"]);
    host.fief(&["plugin", "upgrade", &variant(&host, "last.wasm", &[(THIS, "\"version\":\"0.4.0\"")])]);
    assert!(!Path::new(&host.root().join(format!("store/{at_first}.wasm"))).exists());
    host.fief(&["delete", "node1", "--yes"]);
    host.fief(&["volume", "delete", "default/node1", "--yes"]);
}
