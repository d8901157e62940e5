//! Two hosts, each in a network namespace with a root of its own: paired by a token, asked for what they have, out of
//! each other's reach, strangers again.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fief_tests::command::{self, Said};
use fief_tests::{Canary, Host, Serving, eventually};
use rustix::process::Signal;

const PATIENCE: Duration = Duration::from_secs(90);
const A: &str = "10.88.0.1";
const B: &str = "10.88.0.2";

fn key(host: &Host) -> String {
    let kept = fs::read(host.root().join("host/peer-identity")).unwrap();
    let kept: serde_json::Value = serde_json::from_slice(&kept).unwrap();
    kept["key"].as_str().unwrap().to_owned()
}

/// The state of each peer, by name.
#[track_caller]
fn states(host: &Host) -> Vec<(String, String)> {
    let listing = host.fief(&["peer", "list", "-o", "json"]).json();
    let word = |value: &serde_json::Value| value.as_str().unwrap_or("?").to_owned();
    listing["items"].as_array().unwrap().iter().map(|item| (word(&item["name"]), word(&item["state"]))).collect()
}

/// They come to be so: a machine under load may take a host for away that is there, and asks it again.
#[track_caller]
fn state(host: &Host, wanted: &[(&str, &str)]) {
    let wanted: Vec<(String, String)> =
        wanted.iter().map(|(name, state)| ((*name).to_owned(), (*state).to_owned())).collect();
    eventually(&format!("{wanted:?}"), PATIENCE, || (states(host) == wanted).then_some(()));
}

/// What `fief peer show` says of one that answers.
#[track_caller]
fn shown(host: &Host, peer: &str) -> serde_json::Value {
    eventually("the peer answers", PATIENCE, || {
        let shown = host.fief(&["peer", "show", peer, "-o", "json"]).json()["item"].take();
        shown["facts"].is_object().then_some(shown)
    })
}

fn said(said: &Said) -> String {
    format!("{}{}", said.stdout, said.stderr)
}

#[test]
fn two_hosts_are_paired_by_a_token_and_tell_what_they_have_until_one_is_removed() {
    let (a, b) = (Host::new(), Host::bare());
    // An address of IPv6's own comes a moment after a link does, and would be taken for something new.
    for host in [&a, &b] {
        host.namespace().run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1").expect_code(0);
    }
    a.namespace().wire(("peer0", &format!("{A}/24")), b.namespace(), ("peer0", &format!("{B}/24")));
    let before = [a.census(), b.census()];

    // Off where nothing is said.
    for words in [&["serve"][..], &["peer", "invite"]] {
        assert!(a.fief_ends(words, 5).stderr.contains("[relocation]"));
    }
    a.relocates("");
    b.relocates(&format!("control-network = \"{B}\""));
    let early = a.fief(&["peer", "invite", "--for", "early", "--valid", "1h"]);
    assert!(early.stderr.contains("fief serve"), "{}", early.stderr);
    a.fief_ends(&["peer", "invite", "--valid", "25h"], 2);
    a.fief(&["--dry-run", "peer", "invite"]);

    let (at_a, at_b) = (Serving::start(&a), Serving::start(&b));
    assert!(a.fief_ends(&["serve"], 4).stderr.contains("already"));
    assert!(b.fief_ends(&["peer", "add", "a", A, "--token", "fief1-00"], 2).stderr.contains("no token"));
    let token = a.pairs_with(&b, "b", "a", A);
    let canary = Canary::of_bytes(&[&token[token.len() - 40..token.len() - 8], &key(&a)[32..], &key(&b)[32..]]);

    // Once; not by oneself; not under a name that is another's.
    let again = |host: &Host, name: &str, token: &str, code: i32| {
        let mut add = host.command(&["peer", "add", name, A, "--token", "-"]);
        let said = command::run_given(add.env("FIEF_LOG", "trace"), token.as_bytes(), PATIENCE).expect_code(code);
        canary.not_in(&said.line, format!("{}{}", said.stdout, said.stderr).as_bytes());
        said
    };
    again(&b, "a", &token, 5);
    again(&b, "c", &token, 4);
    again(&a, "me", &token, 4);
    again(&b, "a", "", 2);
    state(&a, &[("b", "ok")]);
    state(&b, &[("a", "ok")]);
    assert!(a.fief_ends(&["peer", "invite", "--for", "b"], 4).stderr.contains("already"));

    // What the other one has.
    a.host_only("lab", "10.77.0.1/24");
    a.fief(&["network", "start", "lab"]);
    let of_a = shown(&b, "a");
    assert_eq!((of_a["reachable"].as_bool(), of_a["protocol"].as_u64()), (Some(true), Some(2)), "{of_a}");
    let facts = &of_a["facts"];
    assert_eq!(facts["unknown"], serde_json::json!([]), "{facts}");
    assert_eq!(facts["networks"][0]["addresses"][0], "10.77.0.1/24", "{facts}");
    assert!(facts["pools"][0]["identity"].as_str().is_some_and(|identity| !identity.is_empty()), "{facts}");
    let plugins: Vec<&str> = facts["plugins"].as_array().unwrap().iter().filter_map(|p| p["id"].as_str()).collect();
    assert_eq!(plugins, ["network-bridge", "network-host-only", "network-user", "storage-file"]);
    let qemu = &facts["hypervisors"][0];
    let features = qemu["processor"]["features"].as_array().unwrap();
    assert!(features.contains(&"sse2".into()) && qemu["machines"].as_array().unwrap().len() > 10, "{qemu}");
    let answers = |text: &String| text.contains("plugins");
    let text = eventually("the peer answers", PATIENCE, || Some(b.fief(&["peer", "show", "a"]).stdout).filter(answers));
    for part in ["state        ok", "hypervisor   qemu", "lab (host-only on", "default (file, ok)", "storage-file"] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert_eq!(shown(&a, "b")["facts"]["pools"], serde_json::json!([]));
    a.fief(&["network", "delete", "lab", "--force", "--yes"]);

    // One that stands still holds up nobody, and is not waited for twice.
    at_b.signal(Signal::STOP);
    state(&a, &[("b", "unreachable")]);
    let begun = Instant::now();
    state(&a, &[("b", "unreachable")]);
    assert!(begun.elapsed() < PATIENCE / 2);
    let away = a.fief(&["peer", "show", "b"]);
    assert!(said(&away).contains("does not answer") && !said(&away).contains("seen last: never"), "{}", said(&away));
    at_b.signal(Signal::CONT);

    // Whoever knocks without a word of TLS is sent away, and has a few lines of the log at most.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            b.namespace().enter();
            for _ in 0..30 {
                let mut stream = TcpStream::connect(format!("{A}:8002")).unwrap();
                stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
                let _ = stream.read(&mut [0; 100]);
            }
        });
    });

    // A serve that starts again knows its peers.
    canary.not_in_processes();
    let log = at_a.end();
    let refused =
        log.lines().filter(|line| line.contains("a connection is refused") && line.contains("not-tls")).count();
    // A minute that ended meanwhile begins anew.
    assert!((1..=10).contains(&refused), "{refused} lines\n{log}");
    canary.not_in("the log of a", log.as_bytes());
    assert!(log.contains("paired"), "{log}");
    let at_a = Serving::start(&a);
    state(&b, &[("a", "ok")]);

    // A stranger from this moment on; the other way it is still known, and says why nobody answers.
    a.fief(&["peer", "remove", "b"]);
    a.fief_ends(&["peer", "remove", "b"], 3);
    a.fief(&["peer", "remove", "b", "--if-exists"]);
    state(&b, &[("a", "refused")]);
    let told = |text: &String| text.contains("does not know this host");
    eventually("b is told", PATIENCE, || Some(said(&b.fief(&["peer", "show", "a"]))).filter(told));
    a.pairs_with(&b, "b2", "a", &format!("{A}:8002"));
    state(&b, &[("a", "ok")]);
    state(&a, &[("b2", "ok")]);

    for host in [&a, &b] {
        canary.not_in_files(host.root(), &["host/peer-identity"]);
        let audit = fs::read_to_string(host.root().join("audit.jsonl")).unwrap();
        assert!(audit.contains("peer-pin"), "{audit}");
        let names = host.fief(&["peer", "list", "-o", "name"]).stdout;
        host.fief(&["peer", "remove", names.trim()]);
        // An invitation that nobody took ends with its time; here by hand.
        for entry in fs::read_dir(host.root().join("peers")).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with(".invitation-") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    }
    canary.not_in("the log of b", at_b.end().as_bytes());
    canary.not_in("the log of a", at_a.end().as_bytes());
    a.relocates("");
    for (host, before) in [&a, &b].into_iter().zip(&before) {
        host.settles_to(before);
    }
}
