//! Snapshots that come with a volume, the oldest first: each is the volume as it was then, of which the target takes a snapshot
//! itself. What the volume holds now comes last.
//!
//! ```text
//!   volume made ─▸ written as it was then ─▸ snapshot taken ─▸ dated ─▸ noted ─▸ … the next ─▸ written as it is now
//!                          └─ cut off: what is noted stays, and is not sent again; what is not noted goes
//! ```

use super::arrive::{Coming, Part};
use super::fill::Stage;
use crate::domain::unfinished::Unfinished;
use crate::error::{Failure, Kind, Result};
use crate::fault;
use crate::gate::operation::ImageSnapshot;
use crate::gate::{Actor, Gate, Ledger, Operation};
use crate::sandbox::protocol::AttachAccess;
use crate::storage::Pool;
use crate::types::{ByteSize, SnapshotName};

/// What is to be done with a part that is about to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is here.
    Has,
    Comes,
    /// Others are here than those that come: the volume is made anew.
    Anew,
}

/// Whose turn it is. Pure.
///
/// # Errors
/// `Conflict` where one that comes before it is not here.
pub(super) fn turn(coming: &[ImageSnapshot], here: &[ImageSnapshot], part: Part) -> Result<Turn> {
    let begins_alike = here.len() <= coming.len() && here == &coming[..here.len()];
    let (first, has) = match part {
        Part::Snapshot(place) => (place == 0, here.len() > place),
        Part::Disk => (coming.is_empty(), false),
    };
    let before = match part {
        Part::Snapshot(place) => place,
        Part::Disk => coming.len(),
    };
    match begins_alike {
        true if has => Ok(Turn::Has),
        true if here.len() == before => Ok(Turn::Comes),
        false if first => Ok(Turn::Anew),
        true | false => Err(Failure::conflict("a snapshot that comes before it is not here")),
    }
}

/// Makes the volume as large as the part that comes, where it is there already, and removes snapshots that are not noted.
///
/// # Errors
/// `Conflict` where it is larger already, and a snapshot is to come.
pub(super) fn make_ready(pool: &mut Pool, unfinished: &Unfinished, coming: &Coming, part: Part) -> Result<()> {
    let volume = &coming.target.volume;
    if coming.snapshots.is_empty() {
        return Ok(());
    }
    let noted: &[ImageSnapshot] = unfinished.arrival().map_or(&[][..], |arrival| &arrival.snapshots[..]);
    for there in pool.snapshots(volume)? {
        if !noted.iter().any(|noted| noted.name == there.name) {
            pool.delete_snapshot(volume, &named(&there.name)?)?;
        }
    }
    let (size, is) = (coming.size_of(part), pool.volume(volume)?.size);
    match part {
        _ if is < size.bytes() => pool.resize_volume(volume, size).map(drop),
        Part::Snapshot(_) if is > size.bytes() => Err(Failure::conflict(format!(
            "volume {} is larger here than it was in a snapshot that comes",
            coming.target
        ))),
        Part::Snapshot(_) | Part::Disk => Ok(()),
    }
}

/// What was written is kept as the snapshot that came, and noted.
pub(super) fn keep(gate: &Gate, unfinished: &mut Unfinished, coming: &Coming, place: usize) -> Result<()> {
    let volume = &coming.target.volume;
    let Some(snapshot) = coming.snapshots.get(place) else { return Err(Failure::other("no such snapshot comes")) };
    let name = named(&snapshot.name)?;
    let mut pool = Pool::open(gate, &coming.target.pool)?;
    pool.create_snapshot(volume, &name, || Ok(()))?;
    let image = pool.image(volume, AttachAccess::Exclusive)?;
    let (created, nanos) = (snapshot.created, snapshot.nanos);
    let date = Operation::SnapshotDate { image, snapshot: name, created, nanos };
    gate.perform(&Actor::Operator, &mut Ledger::volatile(), date, Vec::new())?;
    fault::point("kept.taken")?;
    let mut here = unfinished.arrival().map(|arrival| arrival.snapshots.clone()).unwrap_or_default();
    here.push(snapshot.clone());
    unfinished.came(here)
}

/// Nothing of the volume stays but that it is begun.
pub(super) fn begin_anew(pool: &mut Pool, unfinished: &mut Unfinished, coming: &Coming) -> Result<()> {
    match pool.delete_volume(&coming.target.volume) {
        Err(failure) if failure.kind == Kind::NotFound => {}
        other => other?,
    }
    unfinished.came(Vec::new())?;
    unfinished.reached(Stage::Begun)
}

fn named(name: &str) -> Result<SnapshotName> {
    name.parse().map_err(|invalid| Failure::usage(format!("{name:?} is no name of a snapshot")).because(invalid))
}

impl Coming {
    /// Of the volume, when that part is written.
    pub(super) fn size_of(&self, part: Part) -> ByteSize {
        match part {
            Part::Snapshot(place) => self.snapshots.get(place).map_or(self.size, |snapshot| snapshot.size),
            Part::Disk => self.size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshots(names: &[&str]) -> Vec<ImageSnapshot> {
        let of = |name: &&str| ImageSnapshot {
            name: (*name).to_owned(),
            created: 7,
            nanos: 9,
            size: ByteSize::from_bytes(1 << 20),
        };
        names.iter().map(of).collect()
    }

    #[test]
    fn a_snapshot_comes_after_those_before_it_and_once() {
        let both = ["a", "b"];
        for (coming, here, part, whose) in [
            (&both[..], &[][..], Part::Snapshot(0), Some(Turn::Comes)),
            (&both, &[], Part::Snapshot(1), None),
            (&both, &["a"], Part::Snapshot(0), Some(Turn::Has)),
            (&both, &["a"], Part::Snapshot(1), Some(Turn::Comes)),
            (&both, &["a"], Part::Disk, None),
            (&both, &["a", "b"], Part::Disk, Some(Turn::Comes)),
            (&both, &["a", "b"], Part::Snapshot(1), Some(Turn::Has)),
            // One was deleted meanwhile, or is another by that name.
            (&both, &["b"], Part::Snapshot(0), Some(Turn::Anew)),
            (&both, &["b"], Part::Snapshot(1), None),
            (&["a"], &["a", "b"], Part::Snapshot(0), Some(Turn::Anew)),
            (&[], &["a"], Part::Disk, Some(Turn::Anew)),
            (&[], &[], Part::Disk, Some(Turn::Comes)),
        ] {
            let turn = turn(&snapshots(coming), &snapshots(here), part);
            assert_eq!(turn.ok(), whose, "{here:?} of {coming:?}, {part:?}");
        }
        let mut later = snapshots(&both);
        later[0].nanos += 1;
        assert_eq!(turn(&later, &snapshots(&["a"]), Part::Snapshot(0)).unwrap(), Turn::Anew);
    }
}
