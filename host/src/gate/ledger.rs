//! The durable record of operations done, from which they are undone: one file of JSON lines for each object.
//!
//! An operation is written as an intent before it runs and gets its outcome after. A line that was torn by a
//! crash can only be the last one, and is dropped: its act had not begun (an intent is whole on disk first).
//! Once `sealed` stands in it, its changes are not undone any more: what is left to do is to remove what was set aside.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Actor, Effect, Operation, Outcome};
use crate::error::{Context, Failure, Result};
use crate::sys::durable;
use crate::sys::process::boot_id;

/// One operation in a ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub id: u64,
    pub actor: Actor,
    pub operation: Operation,
    /// None: the intent is all there is; the act may have happened or not.
    pub outcome: Option<Outcome>,
    /// The run of the host's kernel in which it was written; none where an earlier fief wrote it.
    pub boot: Option<String>,
}

impl Entry {
    /// What undoing may go by: after the host started anew the processes are gone, and their numbers are others'.
    pub(super) fn told(&self) -> Option<&Outcome> {
        let earlier = self.boot.as_ref().is_some_and(|boot| *boot != boot_id());
        match &self.outcome {
            Some(Outcome::Process { .. } | Outcome::Served { .. }) if earlier => None,
            outcome => outcome.as_ref(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
enum Line {
    Intent {
        id: u64,
        actor: Actor,
        what: Operation,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot: Option<String>,
    },
    Outcome {
        id: u64,
        what: Outcome,
    },
    Gone {
        id: u64,
    },
    Sealed,
}

#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: Option<File>,
    entries: Vec<Entry>,
    next: u64,
    sealed: bool,
    /// How much of the file is whole lines, in bytes: what stands after it was torn by a crash.
    whole: u64,
}

impl Ledger {
    /// Reads the ledger at `path`; an absent file is an empty ledger. The caller holds the object's lock.
    ///
    /// # Errors
    /// `NeedsRecover` where a line other than the last cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).context(|| format!("cannot read the ledger {}", path.display())),
        };
        let mut ledger = Ledger { path: path.to_owned(), ..Ledger::volatile() };
        for (index, line) in text.split_inclusive('\n').enumerate() {
            if !line.ends_with('\n') {
                break;
            }
            ledger.whole += line.len() as u64;
            match serde_json::from_str::<Line>(line) {
                Ok(line) => ledger.take(line),
                Err(error) => {
                    return Err(Failure::new(
                        crate::error::Kind::NeedsRecover,
                        format!("line {} of the ledger {} cannot be read", index + 1, path.display()),
                    )
                    .because(error)
                    .hint("`fief recover` goes by the lines that can be read, and keeps the file for a look at it"));
                }
            }
        }
        Ok(ledger)
    }

    /// A ledger that is kept in memory only: for operations that leave nothing behind.
    pub fn volatile() -> Self {
        Ledger { path: PathBuf::new(), file: None, entries: Vec::new(), next: 1, sealed: false, whole: 0 }
    }

    /// Takes the lines out of the ledger at `path` that cannot be read, and keeps the file as it was beside it. Gives
    /// how many those were. The caller holds the object's lock.
    pub fn salvage(path: &Path) -> Result<usize> {
        let saying = || format!("cannot read the ledger {}", path.display());
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error).context(saying),
        };
        // What follows the last newline was torn, and is no damage.
        let lines = || bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        let whole: Vec<&[u8]> = lines().filter(|line| serde_json::from_slice::<Line>(line).is_ok()).collect();
        let lost = lines().count() - whole.len();
        if lost > 0 {
            durable::write(&durable::damaged(path), &bytes)?;
            durable::write(path, &whole.concat())?;
        }
        Ok(lost)
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Its changes stand; what was set aside may still be there.
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn newest_first(&self) -> Vec<Entry> {
        self.entries.iter().rev().cloned().collect()
    }

    pub(super) fn intend(&mut self, actor: &Actor, operation: &Operation) -> Result<u64> {
        let id = self.next;
        let line = Line::Intent { id, actor: actor.clone(), what: operation.clone(), boot: Some(boot_id()) };
        self.write(&line, operation.effect() == Effect::Lasting)?;
        self.take(line);
        Ok(id)
    }

    pub(super) fn record(&mut self, id: u64, outcome: &Outcome) -> Result<()> {
        let lasting = self.entries.iter().any(|e| e.id == id && e.operation.effect() == Effect::Lasting);
        let line = Line::Outcome { id, what: outcome.clone() };
        let written = self.write(&line, lasting);
        // Known here even where the disk does not know it: it is undone by what it brought forth.
        self.take(line);
        written
    }

    /// From here on the changes stand, whatever happens.
    pub(super) fn seal(&mut self) -> Result<()> {
        let lasting = self.is_lasting();
        if lasting && !self.sealed {
            self.write(&Line::Sealed, lasting)?;
        }
        self.sealed = true;
        Ok(())
    }

    fn is_lasting(&self) -> bool {
        self.entries.iter().any(|entry| entry.operation.effect() == Effect::Lasting)
    }

    pub(super) fn forget(&mut self, id: u64) -> Result<()> {
        self.take(Line::Gone { id });
        if self.entries.is_empty() { self.clear() } else { self.write(&Line::Gone { id }, false) }
    }

    /// Empties the ledger and removes its file.
    pub(super) fn clear(&mut self) -> Result<()> {
        *self = Ledger { path: std::mem::take(&mut self.path), ..Ledger::volatile() };
        if self.path.as_os_str().is_empty() {
            return Ok(());
        }
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context(|| format!("cannot remove the ledger {}", self.path.display()))
            }
            _ => Ok(()),
        }
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Intent { id, actor, what, boot } => {
                self.next = self.next.max(id + 1);
                self.entries.push(Entry { id, actor, operation: what, outcome: None, boot });
            }
            Line::Outcome { id, what } => {
                if let Some(entry) = self.entries.iter_mut().find(|e| e.id == id) {
                    entry.outcome = Some(what);
                }
            }
            Line::Gone { id } => self.entries.retain(|e| e.id != id),
            Line::Sealed => self.sealed = true,
        }
    }

    fn write(&mut self, line: &Line, sync: bool) -> Result<()> {
        if self.path.as_os_str().is_empty() {
            return Ok(());
        }
        let path = &self.path;
        let saying = || format!("cannot write the ledger {}", path.display());
        let mut bytes = serde_json::to_vec(line).context(saying)?;
        bytes.push(b'\n');
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = std::fs::OpenOptions::new().create(true).append(true).open(path).context(saying)?;
                if sync && let Some(folder) = path.parent() {
                    durable::sync_folder(folder).context(saying)?;
                }
                self.file.insert(file)
            }
        };
        // A half line, of an earlier process or of a disk that was full, must not run into this one.
        let written = file.set_len(self.whole).and_then(|()| file.write_all(&bytes));
        let written = written.and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        match written {
            Ok(()) => {
                self.whole += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                let _ = file.set_len(self.whole);
                Err(error).context(saying)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(name: &str) -> Operation {
        Operation::LinkList { network: name.parse().unwrap() }
    }

    fn filled(path: &Path) -> Ledger {
        let mut ledger = Ledger::open(path).unwrap();
        for name in ["a", "b", "c"] {
            let id = ledger.intend(&Actor::Operator, &operation(name)).unwrap();
            if name != "c" {
                ledger.record(id, &Outcome::Set).unwrap();
            }
        }
        ledger
    }

    #[test]
    fn what_was_written_is_read_back_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        let ledger = filled(&path);
        let again = Ledger::open(&path).unwrap();
        assert_eq!(again.newest_first(), ledger.newest_first());
        assert_eq!(again.newest_first()[0].operation, operation("c"));
        assert_eq!(again.newest_first()[0].outcome, None);
    }

    #[test]
    fn a_ledger_cut_anywhere_in_its_last_line_loses_that_line_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        filled(&path);
        let whole = std::fs::read(&path).unwrap();
        let last = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
        for cut in last..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let entries = Ledger::open(&path).unwrap().entries.len();
            assert_eq!(entries, 2, "cut at {cut}");
            // What is written next starts on a line of its own.
            let mut ledger = Ledger::open(&path).unwrap();
            let id = ledger.intend(&Actor::Operator, &operation("d")).unwrap();
            ledger.record(id, &Outcome::Set).unwrap();
            assert_eq!(Ledger::open(&path).unwrap().entries, ledger.entries, "cut at {cut}");
        }
    }

    #[test]
    fn a_line_for_which_there_was_no_room_leaves_no_half_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        let mut ledger = filled(&path);
        // A descriptor that cannot be written stands for a full disk.
        let (good, bad) = (ledger.file.take(), File::open(&path).unwrap());
        ledger.file = Some(bad);
        assert!(ledger.intend(&Actor::Operator, &operation("d")).is_err());
        ledger.file = good;
        let id = ledger.intend(&Actor::Operator, &operation("e")).unwrap();
        ledger.record(id, &Outcome::Set).unwrap();
        assert_eq!(Ledger::open(&path).unwrap().entries, ledger.entries);
    }

    #[test]
    fn salvage_keeps_what_can_be_read_and_the_whole_file_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        let mut whole = filled(&path).entries;
        let text = std::fs::read_to_string(&path).unwrap().replacen("\"intent\"", "\"int", 1);
        std::fs::write(&path, &text).unwrap();
        assert_eq!(Ledger::salvage(&path).unwrap(), 1);
        whole.remove(0);
        assert_eq!(Ledger::open(&path).unwrap().entries, whole);
        assert_eq!(std::fs::read_to_string(durable::damaged(&path)).unwrap(), text);
        assert_eq!(Ledger::salvage(&path).unwrap(), 0);
    }

    #[test]
    fn numbers_of_processes_count_for_nothing_after_the_host_started_anew() {
        let process = Outcome::Process { process: crate::sys::process::this() };
        let entry = |boot: Option<&str>, outcome: &Outcome| Entry {
            id: 1,
            actor: Actor::Operator,
            operation: operation("a"),
            outcome: Some(outcome.clone()),
            boot: boot.map(str::to_owned),
        };
        assert_eq!(entry(Some(&boot_id()), &process).told(), Some(&process));
        assert_eq!(entry(None, &process).told(), Some(&process));
        assert_eq!(entry(Some("another"), &process).told(), None);
        assert_eq!(entry(Some("another"), &Outcome::Set).told(), Some(&Outcome::Set));
    }

    #[test]
    fn a_broken_line_in_the_middle_asks_for_recovery() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        filled(&path);
        let text = std::fs::read_to_string(&path).unwrap().replacen("\"intent\"", "\"int", 1);
        std::fs::write(&path, text).unwrap();
        assert_eq!(Ledger::open(&path).unwrap_err().kind, crate::error::Kind::NeedsRecover);
    }

    #[test]
    fn forgetting_the_last_entry_removes_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        let mut ledger = filled(&path);
        for entry in ledger.newest_first() {
            ledger.forget(entry.id).unwrap();
        }
        assert!(!path.exists());
    }
}
