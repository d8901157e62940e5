//! Changes of what is installed and of policy, cut off at each of their points: afterwards the host is as before or as after,
//! and the same command again makes it as after.

use std::collections::BTreeSet;
use std::fs;

use fief_tests::host::{fief, target};
use fief_tests::{Host, command, compiled, fault};

use super::bench::PATIENCE;

/// A change, with what has to be there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Grant,
    Install,
    /// Which moves a pin.
    Upgrade,
    /// Which moves it back.
    Rollback,
}

const CHANGES: [Change; 4] = [Change::Grant, Change::Install, Change::Upgrade, Change::Rollback];

fn wasm(host: &Host, name: &str, version: &str) -> String {
    let bytes = fs::read(target().join("wasm32-wasip2/release/storage_file.wasm")).expect("a plugin that was built");
    let from = b"\"version\":\"0.1.0\"";
    let mut changed = bytes.clone();
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, part)| part == from).map(|(at, _)| at).collect();
    let to = format!("\"version\":\"{version}\"");
    places.into_iter().for_each(|at| changed[at..at + to.len()].copy_from_slice(to.as_bytes()));
    let path = host.root().join(name);
    fs::write(&path, changed).expect("a plugin");
    path.to_string_lossy().into_owned()
}

impl Change {
    fn prepare(self, host: &Host) {
        let (old, new) = (wasm(host, "old.wasm", "0.1.0"), wasm(host, "new.wasm", "0.2.0"));
        compiled::lend(host.root());
        if self != Change::Install {
            host.fief(&["plugin", "install", &old]);
        }
        if matches!(self, Change::Upgrade | Change::Rollback) {
            host.fief(&["plugin", "grant", "storage-file", "--pin"]);
        }
        if self == Change::Rollback {
            host.fief(&["plugin", "upgrade", &new, "--accept"]);
        }
    }

    fn words(self, host: &Host) -> Vec<String> {
        let file = |name: &str| host.root().join(name).to_string_lossy().into_owned();
        match self {
            Change::Grant => vec!["grant".into(), "storage-file".into(), "--limit".into(), "memory=99MiB".into()],
            Change::Install => vec!["install".into(), file("old.wasm")],
            Change::Upgrade => vec!["upgrade".into(), file("new.wasm"), "--accept".into()],
            Change::Rollback => vec!["rollback".into(), "storage-file".into()],
        }
    }
}

/// What is installed and what policy says, as commands tell it.
fn state(host: &Host) -> String {
    let listed = host.fief(&["plugin", "list", "-o", "json"]).stdout;
    let policy = fs::read_to_string(host.root().join("policy.toml")).expect("a policy");
    (listed + &policy).replace(&*host.root().to_string_lossy(), "ROOT")
}

#[test]
fn every_change_of_a_plugin_is_done_or_not_wherever_it_is_cut_off() {
    assert!(fief().ends_with("fief-faults"), "this needs fief with its fault points; `cargo xtask crash` builds it");
    let points: Vec<String> = fault::points()
        .into_iter()
        .filter(|point| point.starts_with("plugin.") || point.starts_with("policy."))
        .collect();
    let mut reached = BTreeSet::new();
    for change in CHANGES {
        let reference = Host::bare();
        change.prepare(&reference);
        let words = |host: &Host| [vec!["plugin".to_owned()], change.words(host)].concat();
        let run = |host: &Host, armed: &[(&str, String)]| {
            let words = words(host);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            command::run(host.command(&words).envs(armed.iter().cloned()), PATIENCE)
        };
        run(&reference, &[]).expect_code(0);
        compiled::keep(reference.root());
        let after = state(&reference);
        for point in points.iter().filter(|point| fault::wanted(point)) {
            for how in ["kill", "fail"] {
                let host = Host::bare();
                change.prepare(&host);
                let before = state(&host);
                let flag = host.root().join("reached");
                let armed = [
                    ("FIEF_FAULT", format!("{point}:{how}")),
                    ("FIEF_FAULT_REACHED", flag.to_string_lossy().into_owned()),
                ];
                let said = run(&host, &armed);
                if !flag.exists() {
                    said.expect_code(0);
                    break;
                }
                let name = format!("{change:?} {point} {how}");
                assert!(said.code != Some(0), "{name} succeeded");
                reached.insert(format!("{change:?} {point}"));
                let cut = state(&host);
                assert!(cut == before || cut == after, "{name} is between:\n{before}\n---\n{cut}\n---\n{after}");
                if cut == before {
                    run(&host, &[]).expect_code(0);
                    assert_eq!(state(&host), after, "{name}, once more");
                }
                host.fief(&["plugin", "verify"]);
            }
        }
    }
    let all = |change: &str| reached.iter().filter(|name| name.starts_with(change)).count();
    // aside, named, synced; stored, loaded, switched; all of them; all but stored.
    assert_eq!([all("Grant"), all("Install"), all("Upgrade"), all("Rollback")], [3, 3, 8, 7], "{reached:?}");
}
