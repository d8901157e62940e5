//! Whether storage that says the same of itself at both hosts is the same: this host leaves a note with each volume, a number
//! that nobody guesses, and the other one is asked what it finds there. It is not told the number.

use std::thread::JoinHandle;
use std::time::Duration;

use super::SERVICE;
use crate::error::Result;
use crate::gate::Gate;
use crate::migration::plan::{DiskFacts, Sameness};
use crate::migration::survey::{Ask, NotesThere};
use crate::peer::Session;
use crate::storage::Pool;
use crate::types::{Note, VolumeRef};

/// For the peer to look at the volumes.
const WAIT: Duration = Duration::from_secs(60);

/// Leaves and reads notes, and begins to take them away again. What is not proven stays as it is claimed.
///
/// # Errors
/// Where the peer does not answer. That storage does not take a note is no error: it is in the log.
pub(super) async fn prove(gate: &Gate, session: &Session, disks: &mut [DiskFacts], in_use: bool) -> Result<Leftovers> {
    let claimed = disks.iter().filter(|disk| disk.sameness == Sameness::Claimed).map(|disk| disk.volume.clone());
    let left: Vec<(VolumeRef, Note)> = claimed
        .filter_map(|volume| {
            let note = Note::random();
            match leave(gate, &volume, note, in_use) {
                Ok(left) => left.then_some((volume, note)),
                Err(failure) => {
                    tracing::info!(%volume, %failure, "no note is left");
                    // It may have been left all the same.
                    remove(gate, &volume, note);
                    None
                }
            }
        })
        .collect();
    if left.is_empty() {
        return Ok(Leftovers(None));
    }
    let ask = Ask::Notes(left.iter().map(|(volume, _)| volume.clone()).collect());
    let answer = session.request::<Vec<NotesThere>>(SERVICE, &ask, WAIT).await;
    let leftovers = Leftovers::of(gate, left.clone());
    mark(disks, &left, &answer?);
    Ok(leftovers)
}

/// Notes that are being taken away. Dropped, it waits until they are.
pub(super) struct Leftovers(Option<JoinHandle<()>>);

impl Leftovers {
    fn of(gate: &Gate, left: Vec<(VolumeRef, Note)>) -> Leftovers {
        let gate = gate.clone();
        Leftovers(Some(std::thread::spawn(move || {
            for (volume, note) in &left {
                remove(&gate, volume, *note);
            }
        })))
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        if self.0.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("notes may be left: taking them away panicked");
        }
    }
}

/// Proven is a volume whose very note was read there.
fn mark(disks: &mut [DiskFacts], left: &[(VolumeRef, Note)], read: &[NotesThere]) {
    for disk in disks {
        let Some((volume, note)) = left.iter().find(|(volume, _)| *volume == disk.volume) else { continue };
        if read.iter().any(|there| there.volume == *volume && there.notes.contains(note)) {
            disk.sameness = Sameness::Proven;
        }
    }
}

/// Whether it could be left at all.
fn leave(gate: &Gate, volume: &VolumeRef, note: Note, in_use: bool) -> Result<bool> {
    let mut pool = Pool::look(gate, &volume.pool)?;
    if !pool.keeps_notes()? {
        return Ok(false);
    }
    // A unit whose target has just forgotten who holds it counts changes of its keys; whoever serves it must see his own first.
    let unheld = in_use && pool.fence(&volume.volume)?.is_some_and(|fence| fence.holder.is_none());
    if unheld {
        tracing::info!(%volume, "no note is left with a volume in use that nobody holds");
        return Ok(false);
    }
    pool.leave_note(&volume.volume, note).map(|()| true)
}

fn remove(gate: &Gate, volume: &VolumeRef, note: Note) {
    let removed = Pool::open(gate, &volume.pool).and_then(|mut pool| pool.remove_note(&volume.volume, note));
    if let Err(failure) = removed {
        tracing::warn!(%volume, %failure, "a note is left");
    }
}

/// The other side: what notes there are.
pub(super) fn read(gate: &Gate, volume: &VolumeRef) -> NotesThere {
    let notes = Pool::look(gate, &volume.pool).and_then(|mut pool| pool.notes(&volume.volume));
    let notes = notes.unwrap_or_else(|failure| {
        tracing::info!(%volume, %failure, "no notes are read");
        Vec::new()
    });
    NotesThere { volume: volume.clone(), notes: notes.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::operation::ImageFormat;
    use crate::types::ByteSize;

    #[test]
    fn a_volume_is_proven_by_its_own_note_alone() {
        let volume = |name: &str| name.parse::<VolumeRef>().unwrap();
        let note = |number| Note::new(number).unwrap();
        let disk = |name| DiskFacts {
            volume: volume(name),
            disc: false,
            size: ByteSize::default(),
            format: ImageFormat::Raw,
            allocated: ByteSize::default(),
            sameness: Sameness::Claimed,
            pool_there: true,
            room_there: None,
            exists_there: true,
            snapshots: Vec::new(),
            snapshots_there: false,
        };
        let left = [(volume("nas/a"), note(1)), (volume("nas/b"), note(2))];
        let read = |name, numbers: &[u64]| NotesThere {
            volume: volume(name),
            notes: numbers.iter().map(|number| note(*number)).collect(),
        };
        // Others' notes are nobody's proof, nor is another volume's; what is read twice is read once.
        for (read, proven) in [
            (vec![read("nas/a", &[7, 1]), read("nas/b", &[2])], [true, true]),
            (vec![read("nas/a", &[2]), read("nas/b", &[1])], [false, false]),
            (vec![read("nas/a", &[]), read("nas/b", &[2, 3])], [false, true]),
            (vec![], [false, false]),
            (vec![read("nas/a", &[7]), read("nas/a", &[1])], [true, false]),
        ] {
            let mut disks = [disk("nas/a"), disk("nas/b"), disk("nas/c")];
            mark(&mut disks, &left, &read);
            let found = [0, 1, 2].map(|at| disks[at].sameness == Sameness::Proven);
            assert_eq!(found, [proven[0], proven[1], false], "{read:?}");
        }
    }
}
