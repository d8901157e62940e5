//! Who owns a domain, by the journals of two hosts (`handovers/UUID.json`), looked at all the while.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::Pair;
use crate::pair::Side;

/// Between two looks: less than anything in a move takes that is synced to disk.
const PACE: Duration = Duration::from_millis(3);

/// What a host is to a domain, as its journal has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    Foreign,
    Owned,
    Ceded,
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub holding: Holding,
    pub generation: u64,
}

/// Both hosts at one moment; none where a host has no journal of it.
pub type Snapshot = [Option<Seen>; 2];

/// Looks for what must never be in what was seen of one domain, in that order: two owners at once, a generation that
/// goes back, one that was an owner's twice.
///
/// # Errors
/// The first such thing, in words.
pub fn judge(history: &[Snapshot]) -> Result<(), String> {
    let mut highest = [0; 2];
    // The newest owner: its generation and where.
    let mut newest: Option<(u64, usize)> = None;
    let mut before: Snapshot = [None, None];
    for now in history {
        let owned =
            |seen: &Option<Seen>| seen.filter(|seen| seen.holding == Holding::Owned).map(|seen| seen.generation);
        if let [Some(one), Some(other)] = [owned(&now[0]), owned(&now[1])] {
            return Err(format!("both hosts own it, by generations {one} and {other}: {before:?}, then {now:?}"));
        }
        for host in 0..2 {
            let Some(seen) = now[host] else { continue };
            if seen.generation < highest[host] {
                return Err(format!("a generation went back on host {host}: {before:?}, then {now:?}"));
            }
            highest[host] = seen.generation;
            let Some(generation) = owned(&now[host]) else { continue };
            match newest {
                // As it was a moment ago, with nothing in between.
                Some((newest, at)) if (newest, at) == (generation, host) && owned(&before[host]).is_some() => {}
                Some((newest, _)) if generation <= newest => {
                    return Err(format!("generation {generation} is an owner's once more: {before:?}, then {now:?}"));
                }
                _ => newest = Some((generation, host)),
            }
        }
        before = *now;
    }
    Ok(())
}

/// What was seen of each domain, by its journals' name.
type Histories = BTreeMap<String, Vec<Snapshot>>;

/// Looks at both hosts' journals until it is dropped.
pub struct Owners {
    seen: Arc<Mutex<Histories>>,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Owners {
    pub fn watch(pair: &Pair) -> Owners {
        let folders = Side::BOTH.map(|side| pair[side].root().join("handovers"));
        let (seen, done) = (Arc::new(Mutex::new(Histories::new())), Arc::new(AtomicBool::new(false)));
        let (of_thread, until) = (seen.clone(), done.clone());
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                look(&folders, &mut of_thread.lock().expect("nobody panics with it"));
                std::thread::sleep(PACE);
            }
        });
        Owners { seen, done, thread: Some(thread) }
    }

    /// # Panics
    /// Where something was seen that must never be.
    #[track_caller]
    pub fn are_sound(&self) {
        for (domain, history) in &*self.seen.lock().expect("nobody panics with it") {
            if let Err(violation) = judge(history) {
                let last = &history[history.len().saturating_sub(12)..];
                panic!("{domain}: {violation}\nwhat was seen last: {last:#?}");
            }
        }
    }
}

impl Drop for Owners {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn look(folders: &[PathBuf; 2], seen: &mut Histories) {
    let names = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let names: std::collections::BTreeSet<String> = names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".json") && !name.starts_with('.'))
        .collect();
    for name in names {
        let one = read(&folders[0].join(&name));
        let other = read(&folders[1].join(&name));
        // What changed meanwhile is no one moment.
        if read(&folders[0].join(&name)) != one {
            continue;
        }
        let history = seen.entry(name).or_default();
        if history.last() != Some(&[one, other]) {
            history.push([one, other]);
        }
    }
}

fn read(path: &Path) -> Option<Seen> {
    let journal: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let standing = &journal["body"]["standing"];
    let holding = match standing["holding"].as_str()? {
        "foreign" => Holding::Foreign,
        "owned" => Holding::Owned,
        "ceded" => Holding::Ceded,
        "gone" => Holding::Gone,
        _ => return None,
    };
    Some(Seen { holding, generation: standing["generation"].as_u64()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(holding: Holding, generation: u64) -> Option<Seen> {
        Some(Seen { holding, generation })
    }
    fn owned(generation: u64) -> Option<Seen> {
        seen(Holding::Owned, generation)
    }

    #[test]
    fn domains_that_go_to_and_fro_and_are_refused_are_sound() {
        let (ceded, gone) =
            (|generation| seen(Holding::Ceded, generation), |generation| seen(Holding::Gone, generation));
        judge(&[
            [owned(1), None],
            [owned(1), seen(Holding::Foreign, 0)],
            [ceded(2), seen(Holding::Foreign, 0)],
            [ceded(2), owned(2)],
            [gone(2), owned(2)],
            [gone(2), ceded(3)],
            // Refused: it takes a new one.
            [gone(2), owned(4)],
            [gone(2), ceded(5)],
            // A look that missed some of it.
            [owned(5), gone(5)],
        ])
        .unwrap();
        judge(&[]).unwrap();
    }

    #[test]
    fn every_planted_violation_is_found() {
        let ceded = |generation| seen(Holding::Ceded, generation);
        for (what, history, said) in [
            ("two owners", vec![[owned(1), None], [owned(1), owned(2)]], "both hosts"),
            ("back", vec![[ceded(3), None], [owned(2), None]], "went back"),
            ("twice, by the other", vec![[owned(2), None], [ceded(3), None], [ceded(3), owned(2)]], "once more"),
            (
                "twice, by itself",
                vec![[owned(3), None], [seen(Holding::Ceded, 3), None], [owned(3), None]],
                "once more",
            ),
            ("an older one", vec![[owned(5), None], [ceded(6), None], [ceded(6), owned(4)]], "once more"),
        ] {
            let found = judge(&history).expect_err(what);
            assert!(found.contains(said), "{what}: {found}");
        }
    }

    #[test]
    fn journals_are_read_as_hosts_write_them() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().join("a"), folder.path().join("b")];
        folders.iter().for_each(|folder| fs::create_dir(folder).unwrap());
        let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src/migration/journal/ceded-1.json");
        fs::copy(&frozen, folders[1].join("d.json")).unwrap();
        let mut histories = Histories::new();
        look(&folders, &mut histories);
        look(&folders, &mut histories);
        assert_eq!(histories.len(), 1);
        let history = &histories["d.json"];
        assert!(matches!(history[..], [[None, Some(Seen { holding: Holding::Ceded, .. })]]), "{history:?}");
    }
}
