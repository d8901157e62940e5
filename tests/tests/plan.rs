//! A move that is only planned: two hosts, real servers that both reach, and pools of one name that are not the same. What
//! stands in the way is told at once, what storage says of itself is tried, and nothing is changed by it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use fief_tests::boot_sector::{self, Then};
use fief_tests::pair::{Pair, Side};
use fief_tests::{Guest, Host};
use serde_json::Value;

/// What `fief migrate NAME hostb --plan` says, which must end with this code.
#[track_caller]
fn plan(host: &Host, name: &str, code: i32) -> Value {
    host.fief_ends(&["migrate", name, "hostb", "--plan", "-o", "json"], code).json()["item"].take()
}

fn codes(plan: &Value) -> Vec<&str> {
    let findings = plan["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["code"].as_str().unwrap()).collect()
}

fn sameness(plan: &Value) -> &str {
    plan["disks"][0]["sameness"].as_str().unwrap()
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_plan_tells_all_that_is_in_the_way_at_once_and_changes_nothing() {
    let mut pair = Pair::new();
    pair.nfs();
    let units = pair.iscsi(&[1 << 20]);
    let export = pair.ganesha().export();
    let create = |name: &str, more: &[&str]| {
        pair.a().fief(&[&["create", name, "--memory", "32MiB", "--accelerator", "tcg"], more].concat());
    };
    // One that runs from a served disk, with a card on a network of a alone; one on a unit; one on a pool that b has too, in
    // a folder of its own.
    pair.a().host_only("lab", "10.77.0.1/24");
    pair.a().fief(&["network", "start", "lab"]);
    pair.a().fief(&["volume", "create", "nfs-served/web", "--size", "1MiB", "--format", "raw"]);
    boot_sector::write(&export.join("web"), "hello", Then::Halt);
    create("web", &["--disk", "nfs-served/web", "--network", "lab"]);
    pair.a().fief(&["start", "web"]);
    Guest::of(pair.a(), "web").says("hello");
    boot_sector::write(&units[0], "hello", Then::Halt);
    create("unit", &["--disk", "iscsi-served/lun1"]);
    pair.a().volume("default/db", "1MiB");
    create("db", &["--disk", "default/db"]);
    pair.b().volume("default/db", "2MiB");
    pair.is_made();
    let lists = files(&export);

    // All at once: its network, and what policy says there.
    pair.b().relocates("[[relocation.accept]]\npeer = \"hosta\"\ndomains = [\"other*\"]");
    let found = plan(pair.a(), "web", 6);
    assert_eq!((codes(&found), sameness(&found)), (vec!["network-missing", "denied"], "proven"), "{found}");
    let found = plan(pair.a(), "db", 6);
    assert_eq!((codes(&found), sameness(&found)), (vec!["volume-exists", "denied"], "other"), "{found}");
    assert_eq!(found["strategy"], "migration-static", "{found}");
    // A move that is refused says the same, and so does a dry run.
    let refused = pair.a().fief_ends(&["migrate", "db", "hostb", "-o", "json"], 6);
    assert_eq!(refused.json()["item"]["findings"], found["findings"]);
    let table = pair.a().fief_ends(&["--dry-run", "migrate", "db", "hostb"], 6);
    for part in ["default/db", "rename one of the two", "`relocation` in the policy of hostb"] {
        assert!(table.stdout.contains(part), "{part:?} is not in\n{}", table.stdout);
    }
    assert!(table.stderr.contains("2 blockers were found"), "{}", table.stderr);

    // What both reach is proven to be the same, whatever speaks with it, and whether it is used or not.
    pair.b().relocates("[[relocation.accept]]\npeer = \"hosta\"\ndomains = [\"*\"]");
    pair.b().host_only("lab", "10.77.0.2/24");
    pair.b().fief(&["network", "start", "lab"]);
    let found = plan(pair.a(), "web", 0);
    assert_eq!((codes(&found), sameness(&found)), (vec!["network-inward"], "proven"), "{found}");
    assert_eq!(found["strategy"], "migration-live", "{found}");
    assert!(found["prediction"]["total-ms"].as_u64().unwrap() > 0, "{found}");
    let found = plan(pair.a(), "unit", 0);
    assert_eq!((codes(&found), sameness(&found)), (vec![], "proven"), "{found}");
    assert_eq!(files(&export), lists, "the notes are gone");
    pair.b().fief(&["network", "delete", "lab", "--force", "--yes"]);
    pair.is_as_made();
    pair.a().fief(&["start", "unit"]);
    Guest::of(pair.a(), "unit").says("hello");
    let held = pair.a().fief(&["volume", "show", "iscsi-served/lun1"]).stdout;
    assert_eq!(sameness(&plan(pair.a(), "unit", 0)), "proven");
    // Its own guest goes on, and holds the unit as before.
    assert_eq!(pair.a().fief(&["volume", "show", "iscsi-served/lun1"]).stdout, held);
    assert_eq!(pair.a().state("unit"), "running");
    pair.a().fief(&["stop", "unit"]);

    how_it_would_move(&pair);
    what_not_every_host_does(&pair);
    pair.stops_serving(Side::B);
    pair.a().fief_ends(&["migrate", "web", "hostb", "--plan"], 8);
    pair.a().fief(&["stop", "web"]);
}

/// What a strategy may be set to, and not every host carries out, or none.
fn what_not_every_host_does(pair: &Pair) {
    let set = ["--strategy", "migration-live", "--set", "at-time-out=postcopy", "--set", "compress=true"];
    let words = [&["migrate", "web", "hostb", "--plan", "-o", "json"], &set[..]].concat();
    let found = || pair.a().fief_ends(&words, 6).json()["item"].take();
    let before = found();
    let of_settings = |code: &&str| ["compress", "migration-live/postcopy-not-granted"].contains(code);
    let of_settings = |plan: &Value| codes(plan).into_iter().filter(of_settings).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(of_settings(&before), ["compress", "migration-live/postcopy-not-granted"], "{before}");
    let there = |plan: &Value| {
        let findings = plan["findings"].as_array().unwrap().iter();
        findings.filter(|finding| finding["code"] == "postcopy").find(|finding| finding["object"] == "hostb").cloned()
    };
    let finding = there(&before).expect("the other host does not grant it");
    assert_eq!(finding["severity"], "blocker", "{finding}");
    assert!(finding["message"].to_string().contains("its policy does not grant it"), "{finding}");
    assert_eq!(finding["remedy"], "see to that, or set `at-time-out` to `give-up` or `switch-over`");
    for host in [pair.a(), pair.b()] {
        host.fief(&["plugin", "grant", "migration-live", "--postcopy"]);
    }
    let after = found();
    assert_eq!(of_settings(&after), ["compress"]);
    let refused = |finding: Value| finding["message"].to_string().contains("policy");
    assert!(!there(&after).is_some_and(refused), "{after}");
    // A move says the same, and its guest goes on.
    pair.a().fief_ends(&[&["migrate", "web", "hostb"], &set[..]].concat(), 6);
    assert_eq!(pair.a().state("web"), "running");
    for host in [pair.a(), pair.b()] {
        host.fief(&["plugin", "revoke", "migration-live", "--postcopy"]);
    }
}

/// What policy and the operator say, and what a listing does.
fn how_it_would_move(pair: &Pair) {
    let a = pair.a();
    let said = a.fief_ends(&["migrate", "db", "hostb", "--plan", "--strategy", "mine", "--bandwidth", "8Mbit"], 6);
    assert!(said.stdout.contains("mine (--strategy says so)") && said.stdout.contains("the limit"), "{}", said.stdout);
    a.fief_ends(&["migrate", "none", "hostb", "--plan"], 3);
    a.fief_ends(&["migrate", "db", "none", "--plan"], 3);
    a.fief_ends(&["migrate", "db", "hostb", "--plan", "--downtime", "2h"], 2);

    let path = a.root().join("policy.toml");
    let policy = fs::read_to_string(&path).unwrap();
    let line = "[[select.migration]]\nwhen = { domain = \"d*\" }\nuse = \"mine\"\n[plugins.mine]\n";
    fs::write(&path, format!("{policy}\n{line}")).unwrap();
    let found = plan(a, "db", 6);
    assert_eq!(found["strategy"], "mine", "{found}");
    let because = found["because"].as_str().unwrap();
    let explained = a.fief(&["policy", "explain", "migration", "db", "hostb", "-o", "json"]).json();
    assert!(explained["items"].as_array().unwrap().iter().all(|item| item["because"] == because), "{explained}");
    let checked = a.fief_ends(&["policy", "check"], 6);
    assert!(checked.stdout.contains("plugin mine is not installed"), "{}", checked.stdout);
    fs::write(&path, policy).unwrap();

    assert_eq!(a.listed("web")["moves"], true);
    assert!(a.fief(&["list", "-o", "wide"]).stdout.contains("MOVES"));
}
