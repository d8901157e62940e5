//! The durable record of operations done, from which they are undone: one file of JSON lines for each object.
//!
//! An operation is written as an intent before it runs and gets its outcome after. A line that was torn by a
//! crash can only be the last one, and is dropped: its act had not begun (an intent is whole on disk first).

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Actor, Effect, Operation, Outcome};
use crate::error::{Context, Failure, Result};

/// One operation in a ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub id: u64,
    pub actor: Actor,
    pub operation: Operation,
    /// None: the intent is all there is; the act may have happened or not.
    pub outcome: Option<Outcome>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
enum Line {
    Intent { id: u64, actor: Actor, what: Operation },
    Outcome { id: u64, what: Outcome },
    Gone { id: u64 },
}

#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: Option<File>,
    entries: Vec<Entry>,
    next: u64,
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
        let mut ledger = Ledger { path: path.to_owned(), file: None, entries: Vec::new(), next: 1 };
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        for (index, line) in lines.iter().enumerate() {
            match serde_json::from_str::<Line>(line) {
                Ok(line) => ledger.take(line),
                Err(_) if index + 1 == lines.len() && !line.ends_with('\n') => {}
                Err(error) => {
                    return Err(Failure::new(
                        crate::error::Kind::NeedsRecover,
                        format!("line {} of the ledger {} cannot be read", index + 1, path.display()),
                    )
                    .because(error)
                    .hint("move the file away once what it names (links, processes, files) has been removed by hand"));
                }
            }
        }
        Ok(ledger)
    }

    /// A ledger that is kept in memory only: for operations that leave nothing behind.
    pub fn volatile() -> Self {
        Ledger { path: PathBuf::new(), file: None, entries: Vec::new(), next: 1 }
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn newest_first(&self) -> Vec<Entry> {
        self.entries.iter().rev().cloned().collect()
    }

    pub(super) fn intend(&mut self, actor: &Actor, operation: &Operation) -> Result<u64> {
        let id = self.next;
        let line = Line::Intent { id, actor: actor.clone(), what: operation.clone() };
        self.write(&line, operation.effect() == Effect::Lasting)?;
        self.take(line);
        Ok(id)
    }

    pub(super) fn record(&mut self, id: u64, outcome: &Outcome) -> Result<()> {
        let lasting = self.entries.iter().any(|e| e.id == id && e.operation.effect() == Effect::Lasting);
        let line = Line::Outcome { id, what: outcome.clone() };
        self.write(&line, lasting)?;
        self.take(line);
        Ok(())
    }

    pub(super) fn forget(&mut self, id: u64) -> Result<()> {
        self.take(Line::Gone { id });
        if self.entries.is_empty() { self.clear() } else { self.write(&Line::Gone { id }, false) }
    }

    /// Empties the ledger and removes its file.
    pub(super) fn clear(&mut self) -> Result<()> {
        self.entries.clear();
        self.file = None;
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
            Line::Intent { id, actor, what } => {
                self.next = self.next.max(id + 1);
                self.entries.push(Entry { id, actor, operation: what, outcome: None });
            }
            Line::Outcome { id, what } => {
                if let Some(entry) = self.entries.iter_mut().find(|e| e.id == id) {
                    entry.outcome = Some(what);
                }
            }
            Line::Gone { id } => self.entries.retain(|e| e.id != id),
        }
    }

    fn write(&mut self, line: &Line, sync: bool) -> Result<()> {
        if self.path.as_os_str().is_empty() {
            return Ok(());
        }
        let path = &self.path;
        let saying = || format!("cannot write the ledger {}", path.display());
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = std::fs::OpenOptions::new().create(true).append(true).open(path).context(saying)?;
                if sync && let Some(folder) = path.parent() {
                    File::open(folder).and_then(|f| f.sync_all()).context(saying)?;
                }
                self.file.insert(file)
            }
        };
        let mut bytes = serde_json::to_vec(line).context(saying)?;
        bytes.push(b'\n');
        file.write_all(&bytes).context(saying)?;
        if sync { file.sync_data().context(saying) } else { Ok(()) }
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
            // A whole line that lacks only its newline still counts.
            assert!(entries == 2 || cut == whole.len() - 1, "cut at {cut}: {entries} entries");
        }
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
