//! Recordings: what a plugin was asked and told, run again without its storage. No secret is in one, and one that comes from a
//! stranger reaches nothing.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fief_tests::host::target;
use fief_tests::{Host, Nginx, command};
use serde_json::Value;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
const CANARY: &str = "c4n4ry/7Qx9+zKw2p";

/// A file of `target/` with texts in it changed for others of the same length, under a name in the host's root.
fn variant(host: &Host, wasm: &str, name: &str, changes: &[(&str, &str)]) -> String {
    let mut bytes = fs::read(target().join("wasm32-wasip2/release").join(wasm)).unwrap();
    for (from, to) in changes {
        assert_eq!(from.len(), to.len());
        let found = |part: &[u8]| part == from.as_bytes();
        let places: Vec<usize> =
            bytes.windows(from.len()).enumerate().filter(|(_, part)| found(part)).map(|(at, _)| at).collect();
        assert!(!places.is_empty(), "{from}");
        places.into_iter().for_each(|at| bytes[at..at + from.len()].copy_from_slice(to.as_bytes()));
    }
    let path = host.root().join(name);
    fs::write(&path, bytes).unwrap();
    path.to_string_lossy().into_owned()
}

fn file(host: &Host, name: &str) -> String {
    host.root().join(name).to_string_lossy().into_owned()
}

/// Ends the recording of a pool.
fn stopped(host: &Host, pool: &str, name: &str) -> PathBuf {
    let into = file(host, name);
    host.fief(&["plugin", "record", pool, "--stop", "--into", &into]);
    into.into()
}

fn results(listing: &Value) -> Vec<(String, String)> {
    let text = |item: &Value, key: &str| item[key].as_str().unwrap().to_owned();
    listing["items"].as_array().unwrap().iter().map(|item| (text(item, "function"), text(item, "result"))).collect()
}

fn recorded(host: &Host) -> PathBuf {
    host.fief(&["plugin", "record", "default"]);
    host.volume("default/one", "1MiB");
    host.fief(&["volume", "resize", "default/one", "2MiB"]);
    host.fief_ends(&["volume", "show", "default/none"], 3);
    host.fief(&["volume", "list", "default"]);
    host.fief(&["volume", "delete", "default/one", "--yes"]);
    stopped(host, "default", "default.recording")
}

#[test]
fn what_was_recorded_goes_the_same_way_without_the_storage() {
    let host = Host::new();
    host.volume_with("default/held", "1MiB", Path::new("/etc/os-release"));
    let path = recorded(&host);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let words = path.to_string_lossy().into_owned();
    let text = fs::read_to_string(&path).unwrap();
    // Names and lengths, and nothing that a volume holds.
    assert!(text.contains("\"held\"") && text.contains("1048576"), "{text}");
    assert!(!text.contains("PRETTY_NAME") && !text.contains("UFJFVFRZX05BTUU"));

    // The storage is gone, and so is the pool.
    host.fief(&["volume", "delete", "default/held", "--yes"]);
    host.fief(&["pool", "delete", "default", "--yes"]);
    fs::remove_dir_all(host.root().join("images")).unwrap();
    let said = host.fief(&["plugin", "replay", &words, "-o", "json"]).json();
    let all = results(&said);
    assert!(all.iter().all(|(_, result)| result == "same"), "{said:#}");
    for function in ["backend.create", "backend.resize", "backend.find", "backend.all", "backend.delete"] {
        assert!(all.iter().any(|(name, _)| name == function), "{function}: {all:?}");
    }
    assert!(!host.root().join("images").exists());

    // A plugin of another mind is found out at the call in which it shows.
    let other = variant(&host, "storage_file.wasm", "other.wasm", &[("there is no volume ", "there was no volume")]);
    let refused = host.fief_ends(&["plugin", "replay", &words, "--plugin", &other], 6);
    let first = all.iter().position(|(name, _)| name == "backend.find").unwrap();
    let find = said["items"].as_array().unwrap().iter().position(|item| item["then"]["failed"].is_object()).unwrap();
    assert!(first <= find);
    assert!(refused.stderr.contains(&format!("the first is call {}", find + 1)), "{}", refused.stderr);
    assert!(refused.stdout.contains("there was no volume"), "{}", refused.stdout);
    // One that is not that plugin is told at once.
    let stranger = target().join("wasm32-wasip2/release/storage_nfs.wasm").to_string_lossy().into_owned();
    host.fief_ends(&["plugin", "replay", &words, "--plugin", &stranger], 2);
    let lonely = Host::bare();
    let said = lonely.fief_ends(&["plugin", "replay", &words], 3);
    assert!(said.stderr.contains("--plugin FILE"), "{}", said.stderr);
}

#[test]
fn a_recording_is_begun_and_ended_by_the_operator_alone_and_ends_by_itself_when_it_is_full() {
    let host = Host::new();
    host.fief_ends(&["plugin", "record", "nowhere"], 3);
    host.fief_ends(&["plugin", "record", "default", "--stop", "--into", &file(&host, "a")], 3);
    host.fief_ends(&["plugin", "record", "default", "--stop"], 2);
    host.fief_ends(&["plugin", "record", "default", "--most", "1KiB"], 2);
    host.fief_ends(&["plugin", "record", "default", "--heads", "1GiB"], 2);
    host.fief(&["--dry-run", "plugin", "record", "default"]);
    assert!(host.fief(&["plugin", "record", "-o", "name"]).stdout.is_empty());
    host.fief(&["plugin", "record", "default", "--most", "1MiB"]);
    assert!(host.fief(&["plugin", "record", "default", "--most", "1MiB"]).stdout.contains("already"));
    host.fief_ends(&["plugin", "record", "default", "--most", "2MiB"], 4);
    assert_eq!(host.fief(&["plugin", "record", "-o", "name"]).stdout, "default\n");
    let spool = host.root().join("pools/default/recording.jsonl");
    assert_eq!(fs::metadata(&spool).unwrap().permissions().mode() & 0o7777, 0o600);

    // A line that a kill cut off is left out, and the next one is whole.
    host.fief(&["volume", "list", "default"]);
    let mut bytes = fs::read(&spool).unwrap();
    bytes.truncate(bytes.len() - 10);
    fs::write(&spool, &bytes).unwrap();
    host.fief(&["volume", "list", "default"]);
    fs::write(host.root().join("taken"), "mine").unwrap();
    host.fief_ends(&["plugin", "record", "default", "--stop", "--into", &file(&host, "taken")], 4);
    assert_eq!(fs::read(host.root().join("taken")).unwrap(), b"mine");
    let said = host.fief(&["plugin", "record", "default", "--stop", "--into", &file(&host, "torn")]);
    assert!(said.stdout.contains("holds 1 calls") && said.stderr.contains("1 calls were left out"), "{said:?}");
    host.fief(&["plugin", "replay", &file(&host, "torn")]);

    // Full: calls go on, and are not kept.
    host.fief(&["plugin", "record", "default", "--most", "1MiB"]);
    (0..2_000).for_each(|n| fs::write(host.root().join(format!("images/{n:0100}.raw")), "").unwrap());
    for _ in 0..6 {
        host.fief(&["volume", "list", "default"]);
    }
    assert!(!spool.exists());
    let listed = host.fief(&["plugin", "record", "-o", "json"]).json();
    assert_eq!(listed["items"][0]["state"], "full");
    assert!(listed["items"][0]["bytes"].as_u64().unwrap() <= 1 << 20);
    let said = host.fief(&["plugin", "record", "default", "--stop", "--into", &file(&host, "full")]);
    assert!(said.stderr.contains("was full"), "{}", said.stderr);
    host.fief(&["plugin", "record", "default"]);
    host.fief(&["plugin", "record", "default", "--discard"]);
    assert!(host.fief(&["plugin", "record", "-o", "name"]).stdout.is_empty());
}

#[test]
fn what_is_no_whole_recording_is_refused_before_anything_of_it_runs() {
    let host = Host::new();
    let whole = fs::read(recorded(&host)).unwrap();
    let refused = |bytes: &[u8], words: &str| {
        let path = file(&host, "bad");
        fs::write(&path, bytes).unwrap();
        let said = host.fief_ends(&["plugin", "replay", &path], 2);
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
        assert!(said.stdout.is_empty(), "{}", said.stdout);
    };
    refused(b"", "is no recording of a plugin");
    refused(b"[pool]\nname = \"default\"\n", "is no recording of a plugin");
    refused(&vec![b'x'; 60 << 20], "is no recording of a plugin");
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    refused(&lines[..3].concat(), "breaks off after call 2");
    refused(&whole[..whole.len() - 5], "breaks off after call");
    let mut damaged = whole.clone();
    let at = lines[0].len() + lines[1].len() / 2;
    damaged[at] ^= 1;
    refused(&damaged, "call 1 is not what was written");
    let newer = String::from_utf8_lossy(lines[0]).replace("\"fief-recording\":1", "\"fief-recording\":9");
    refused(newer.as_bytes(), "form 9");
    host.fief_ends(&["plugin", "replay", &file(&host, "absent")], 3);
}

/// A recording with its calls changed, and its checks made anew, as a stranger would.
fn forged(bytes: &[u8], change: impl Fn(usize, &mut Value)) -> Vec<u8> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .enumerate()
        .flat_map(|(number, line)| {
            let mut value: Value = serde_json::from_slice(&line[17..]).unwrap();
            change(number, &mut value);
            let document = serde_json::to_vec(&value).unwrap();
            let mut digest = std::process::Command::new("sha256sum");
            let check = command::run_given(&mut digest, &document, PATIENCE).expect_code(0).stdout[..16].to_owned();
            [check.as_bytes(), b" ", &document, b"\n"].concat()
        })
        .collect()
}

#[test]
fn a_recording_from_a_stranger_reaches_nothing() {
    let host = Host::new();
    let whole = fs::read(recorded(&host)).unwrap();
    let path = file(&host, "forged");
    // Of its own: what others are at in the usual one is theirs.
    let temporary = host.root().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let replay = |change: &dyn Fn(usize, &mut Value), code: i32| {
        fs::write(&path, forged(&whole, change)).unwrap();
        let mut command = host.command(&["plugin", "replay", &path]);
        let said = command::run(command.env("TMPDIR", &temporary), PATIENCE).expect_code(code);
        assert!(!said.stdout.contains('\x1b') && !said.stderr.contains('\x1b'));
        said
    };
    let entry = |length: u64, at: &str| serde_json::json!({ "path": at, "what": { "file": { "length": length, "modified": 0, "head": "aGVsbG8=" } } });
    let with = |entries: Vec<Value>| {
        move |_: usize, value: &mut Value| {
            if let Some(directories) = value.pointer_mut("/call/directories") {
                directories[0]["tree"] = serde_json::json!({ "entries": entries });
            }
        }
    };
    // Out of the folder, through a link, and more than any file can be.
    let out = host.root().join("escaped");
    let climb = format!("../../../../../../../..{}", out.display());
    let said = replay(&with(vec![entry(5, &climb)]), 2);
    assert!(said.stderr.contains("names the path"), "{}", said.stderr);
    replay(&with(vec![entry(5, &out.to_string_lossy())]), 2);
    replay(&with(vec![serde_json::json!({ "path": "link", "what": "link" }), entry(5, "link/x")]), 1);
    replay(&with(vec![entry(u64::MAX, "huge")]), 1);
    replay(&with((0..20_000).map(|n| entry(1, &n.to_string())).collect()), 2);
    assert!(!out.exists());
    // Names that a sandbox would make a path of, and limits without a limit.
    replay(
        &|_, value| {
            if let Some(preopen) = value.pointer_mut("/call/directories/0/preopen/name") {
                *preopen = "../etc".into();
            }
        },
        2,
    );
    replay(
        &|_, value| {
            if let Some(silence) = value.pointer_mut("/call/silence-ms") {
                *silence = u32::MAX.into();
            }
        },
        2,
    );
    replay(
        &|_, value| {
            if let Some(limits) = value.pointer_mut("/call/limits") {
                limits["memory"] = "16384TiB".into();
                limits["wall"] = serde_json::json!({ "secs": u64::MAX, "nanos": 0 });
            }
        },
        0,
    );
    // A descriptor that it has not got, words for a terminal, an interface that the plugin is not given.
    replay(
        &|_, value| {
            if let Some(asked) = value.pointer_mut("/call/asked").and_then(Value::as_array_mut) {
                asked.iter_mut().for_each(|asked| asked["answer"] = serde_json::json!({ "reply": "secret" }));
            }
        },
        2,
    );
    let said = replay(
        &|_, value| {
            if let Some(end) = value.pointer_mut("/call/end") {
                *end = serde_json::json!({ "failed": { "trapped": "\x1b[2Jgone" } });
            }
        },
        0,
    );
    assert!(said.stdout.contains("cured"), "{}", said.stdout);
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "something of it is left");
}

/// What would be the secret in other clothes.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = |before: &str| {
        let words = ["-c", "printf %s \"$1\" | base64 -w0", "sh", &format!("{before}{secret}")];
        let said = command::run(std::process::Command::new("sh").args(words), PATIENCE).expect_code(0);
        // Without what the neighbours have a share in.
        let text = said.stdout.trim().trim_end_matches('=').to_owned();
        text[(before.len() * 8).div_ceil(6)..text.len() - 2].to_owned()
    };
    let escaped: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
    let all = [secret.to_owned(), hex.to_uppercase(), hex, escaped, base64(""), base64("u:"), base64("it:")];
    all.to_vec()
}

/// All texts in a recording, and all bytes in it.
fn contents(bytes: &[u8]) -> Vec<Vec<u8>> {
    fn walk(value: &Value, into: &mut Vec<Vec<u8>>) {
        match value {
            Value::String(text) => {
                let mut decode = std::process::Command::new("base64");
                decode.arg("-d");
                // Bytes are base64; other texts may look like it.
                if text.len() > 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)) {
                    let said = command::run_given(&mut decode, text.as_bytes(), PATIENCE);
                    into.push(said.stdout.into_bytes());
                }
                into.push(text.clone().into_bytes());
            }
            Value::Array(all) => all.iter().for_each(|one| walk(one, into)),
            Value::Object(fields) => fields.iter().for_each(|(name, one)| {
                into.push(name.clone().into_bytes());
                walk(one, into);
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut all = vec![bytes.to_vec()];
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        walk(&serde_json::from_slice(&line[17..]).unwrap(), &mut all);
    }
    all
}

#[test]
fn no_secret_is_in_a_recording_and_a_fault_is_seen_cured() {
    let host = Host::new();
    let server = Nginx::start(Some(host.namespace()));
    fs::write(server.root().join("index"), "hello").unwrap();
    let wasm = file(&host, "blab.wasm");
    fs::copy(target().join("wasm32-wasip2/release/examples/blab.wasm"), &wasm).unwrap();
    host.fief(&["plugin", "install", &wasm]);
    let set = |secret: &str| {
        let mut set = host.command(&["secret", "set", "password"]);
        command::run_given(&mut set, format!("{secret}\n").as_bytes(), PATIENCE).expect_code(0);
    };
    set(CANARY);
    let grants = ["--connection", "server={server}:{port},allow=loopback", "--secret", "password", "--serve", "blab"];
    host.fief(&[&["plugin", "grant", "hostile-blab"], &grants[..]].concat());
    let port = format!("port={}", server.port());
    let pool = ["--set", "server=127.0.0.1", "--set", &port, "--set", "password=password"];
    host.fief(&[&["pool", "create", "told", "--kind", "blab"], &pool[..]].concat());

    host.fief(&["plugin", "record", "told"]);
    host.fief(&["pool", "check", "told"]);
    host.fief(&["volume", "list", "told"]);
    let told = host.fief_ends(&["volume", "show", "told/other"], 3);
    assert!(told.stderr.contains(CANARY), "the plugin blabs: {}", told.stderr);
    host.fief_ends(&["volume", "show", "told/trap"], 7);
    let spool = host.root().join("pools/told/recording.jsonl");
    let (first, path) = (fs::read(&spool).unwrap(), stopped(&host, "told", "told.recording"));
    let bytes = fs::read(&path).unwrap();
    for form in forms(CANARY) {
        for all in [contents(&first), contents(&bytes)] {
            for part in all {
                let found = part.windows(form.len()).any(|window| window == form.as_bytes());
                assert!(!found, "{form} is in {}", String::from_utf8_lossy(&part));
            }
        }
    }
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains(&"0".repeat(CANARY.len())) && text.contains("\"password\""), "{text}");

    // The server is gone. What the plugin sends is what it sent, with what stands for the secret.
    drop(server);
    let path = path.to_string_lossy().into_owned();
    let said = host.fief(&["plugin", "replay", &path, "-o", "json"]).json();
    assert!(results(&said).iter().all(|(_, result)| result == "same"), "{said:#}");
    let notes = |said: &Value| {
        said["items"].as_array().unwrap().iter().map(|item| item["notes"].to_string()).collect::<String>()
    };
    assert!(!notes(&said).contains("other bytes"), "{said:#}");
    // The cured one goes on where the recording has no answer.
    let cured = variant(&host, "examples/blab.wasm", "cured.wasm", &[("mood:careless", "mood:careful!")]);
    let said = host.fief(&["plugin", "replay", &path, "--plugin", &cured, "-o", "json"]).json();
    let all = results(&said);
    assert_eq!(all.iter().filter(|(_, result)| result == "cured").count(), 1, "{said:#}");
    assert!(all.iter().all(|(_, result)| result == "cured" || result == "same"), "{said:#}");
    // Another one that speaks otherwise to its server.
    let other = variant(&host, "examples/blab.wasm", "other.wasm", &[("GET /index", "GET /other")]);
    let said = host.fief(&["plugin", "replay", &path, "--plugin", &other, "-o", "json"]).json();
    assert!(notes(&said).contains("other bytes from byte 5 on"), "{said:#}");

    // A secret that nothing could be told from is not recorded around.
    set("abc");
    host.fief(&["plugin", "record", "told"]);
    host.fief_ends(&["volume", "show", "told/other"], 3);
    let path = stopped(&host, "told", "short.recording");
    assert!(fs::read_to_string(&path).unwrap().contains("shorter than 4 bytes"));
    let said = host.fief(&["plugin", "replay", &path.to_string_lossy()]);
    assert!(said.stdout.contains("left out"), "{}", said.stdout);
}
