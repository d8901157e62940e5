//! Notes kept with a volume: what one host leaves and another reads there is storage of both.

use super::pool::Pool;
use crate::error::Result;
use crate::sandbox::protocol::{Ability, StorageCall};
use crate::types::{Note, VolumeName};

impl Pool {
    /// Whether the plugin keeps notes.
    pub fn keeps_notes(&mut self) -> Result<bool> {
        self.can(Ability::Notes)
    }

    pub fn leave_note(&mut self, volume: &VolumeName, note: Note) -> Result<()> {
        let leave = StorageCall::NoteLeave { volume: volume.to_string(), note: note.into() };
        self.query(leave, |from, answer| from.nothing(&answer))
            .map_err(|failure| self.about("leave a note with", volume, failure))
    }

    /// None where the plugin keeps none.
    pub fn notes(&mut self, volume: &VolumeName) -> Result<Vec<Note>> {
        if !self.keeps_notes()? {
            return Ok(Vec::new());
        }
        self.query(StorageCall::Notes { volume: volume.to_string() }, |from, answer| from.notes(answer))
            .map_err(|failure| self.about("read the notes of", volume, failure))
    }

    pub fn remove_note(&mut self, volume: &VolumeName, note: Note) -> Result<()> {
        let remove = StorageCall::NoteRemove { volume: volume.to_string(), note: note.into() };
        self.query(remove, |from, answer| from.nothing(&answer))
            .map_err(|failure| self.about("take a note away from", volume, failure))
    }
}
