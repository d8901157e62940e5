//! A move that is only planned: two hosts, a real NFS server that both reach, and pools of one name that are not the same.
//! What stands in the way is told at once, what a host says of its storage is tried, and nothing is changed.
#![allow(clippy::unwrap_used)]

use std::fs;

use fief_tests::boot_sector::{self, Then};
use fief_tests::ganesha::Versions;
use fief_tests::pools::{nfs_plugin, nfs_pool};
use fief_tests::{Ganesha, Guest, Host, Serving};
use serde_json::Value;

const A: &str = "10.88.0.1";
const B: &str = "10.88.0.2";
const ACCEPT: &str = "[[relocation.accept]]\npeer = \"a\"\ndomains = [\"web*\"]\n";

/// What `fief migrate` says of a move, which must end with this code.
#[track_caller]
fn plan(host: &Host, words: &[&str], code: i32) -> Value {
    let words = [&["migrate"], words, &["--plan", "-o", "json"]].concat();
    host.fief_ends(&words, code).json()["item"].take()
}

fn codes(plan: &Value) -> Vec<&str> {
    let findings = plan["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["code"].as_str().unwrap()).collect()
}

fn sameness(plan: &Value) -> Vec<&str> {
    plan["disks"].as_array().unwrap().iter().map(|disk| disk["sameness"].as_str().unwrap()).collect()
}

/// Everything in the folder that the server exports.
fn exported(server: &Ganesha) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(server.export())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_plan_tells_all_that_is_in_the_way_at_once_and_changes_nothing() {
    let (a, b) = (Host::new(), Host::new());
    for host in [&a, &b] {
        host.namespace().run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1").expect_code(0);
    }
    a.namespace().wire(("peer0", &format!("{A}/24")), b.namespace(), ("peer0", &format!("{B}/24")));
    let server = Ganesha::start(a.namespace(), Versions::Four);
    server.namespace().wire(("to-b", "10.9.1.1/24"), b.namespace(), ("to-nfs", "10.9.1.2/24"));
    b.namespace().ip(&format!("route add {}/32 via 10.9.1.1", server.address()));
    for host in [&a, &b] {
        nfs_plugin(host);
        nfs_pool(host, "nas", &server, &["transport=served"]);
        host.relocates("");
    }
    let (at_a, at_b) = (Serving::start(&a), Serving::start(&b));
    b.pairs_with(&a, "a", "b", B);

    // A guest that runs on the server, and a card on a network of both.
    a.host_only("lab", "10.77.0.1/24");
    a.fief(&["network", "start", "lab"]);
    a.fief(&["volume", "create", "nas/web", "--size", "1MiB", "--format", "raw"]);
    boot_sector::write(&server.export().join("web"), "hello", Then::Halt);
    let create = ["create", "web", "--memory", "32MiB", "--accelerator", "tcg", "--disk", "nas/web", "--network", "lab"];
    a.fief(&create);
    a.fief(&["start", "web"]);
    Guest::of(&a, "web").says("hello");
    // One that is off, on a pool that b has too, in a folder of its own.
    a.fief(&["volume", "create", "default/db", "--size", "1MiB", "--format", "raw"]);
    b.fief(&["volume", "create", "default/db", "--size", "2MiB", "--format", "raw"]);
    a.fief(&["create", "db", "--memory", "32MiB", "--accelerator", "tcg", "--disk", "default/db"]);
    let before = [a.census(), b.census()];

    // All at once: policy, network, volume.
    let found = plan(&a, &["web", "b"], 6);
    assert_eq!(codes(&found), ["network-missing", "denied"], "{found}");
    let found = plan(&a, &["db", "b"], 6);
    assert_eq!((codes(&found), sameness(&found)), (vec!["volume-exists", "denied"], vec!["other"]), "{found}");
    // The same list comes back from a move that is refused.
    let refused = a.fief_ends(&["migrate", "db", "b", "-o", "json"], 6);
    assert_eq!(refused.json()["item"]["findings"], found["findings"]);
    let table = a.fief_ends(&["migrate", "db", "b"], 6);
    for part in ["migration-static", "default/db", "rename one of the two", "[[relocation.accept]]"] {
        assert!(table.stdout.contains(part), "{part:?} is not in\n{}", table.stdout);
    }
    assert!(table.stderr.contains("2 blockers were found"), "{}", table.stderr);

    // What both reach is proven to be the same, and what only has the same name is not.
    b.relocates(ACCEPT);
    b.host_only("lab", "10.77.0.2/24");
    b.fief(&["network", "start", "lab"]);
    let lists = exported(&server);
    let found = plan(&a, &["web", "b"], 0);
    assert_eq!((codes(&found), sameness(&found)), (vec!["network-inward"], vec!["proven"]), "{found}");
    assert_eq!(found["strategy"], "migration-live", "{found}");
    assert!(found["prediction"]["total-ms"].as_u64().unwrap() > 0, "{found}");
    assert_eq!(exported(&server), lists, "what was left there for the proof is gone");
    let dry = a.fief(&["--dry-run", "migrate", "web", "b", "--strategy", "migration-static", "--bandwidth", "8Mbit"]);
    assert!(dry.stdout.contains("(--strategy says so)") && dry.stdout.contains("the limit"), "{}", dry.stdout);

    b.fief(&["network", "delete", "lab", "--force", "--yes"]);
    a.fief_ends(&["migrate", "none", "b", "--plan"], 3);
    a.fief_ends(&["migrate", "web", "none", "--plan"], 3);
    // A word for it in a line of policy that counts, and the name of the line.
    let path = a.root().join("policy.toml");
    let policy = fs::read_to_string(&path).unwrap();
    let line = "[[select.migration]]\nwhen = { domain = \"db*\" }\nuse = \"mine\"\n[plugins.mine]\n";
    fs::write(&path, format!("{policy}{line}")).unwrap();
    let found = plan(&a, &["db", "b"], 6);
    assert_eq!(found["strategy"], "mine", "{found}");
    assert!(found["because"].as_str().unwrap().contains("domain = \"db*\""), "{found}");
    fs::write(&path, policy).unwrap();

    // Nobody there is another thing than something in the way.
    drop(at_b.end());
    a.fief_ends(&["migrate", "web", "b", "--plan"], 8);
    for (host, before) in [&a, &b].into_iter().zip(&before) {
        host.settles_to(before);
    }
    a.fief(&["stop", "web"]);
    drop(at_a.end());
}
