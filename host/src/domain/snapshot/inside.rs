//! The snapshots of one volume, and what the image says of them that it is.

use crate::error::{Failure, Kind, Result};
use crate::gate::{Actor, Gate, Ledger, Operation, Outcome};
use crate::migration::plan::DiskSnapshot;
use crate::sandbox::protocol::AttachAccess;
use crate::storage::Pool;
use crate::types::VolumeName;

/// In the order of its storage; none where that has none.
pub(in crate::domain) fn of_volume(gate: &Gate, pool: &mut Pool, volume: &VolumeName) -> Result<Vec<DiskSnapshot>> {
    if !pool.has_snapshots()? {
        return Ok(Vec::new());
    }
    let all = pool.snapshots(volume)?;
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let inside = match pool.image(volume, AttachAccess::ReadOnly) {
        Ok(image) => {
            let list = Operation::SnapshotList { image };
            match gate.perform(&Actor::Operator, &mut Ledger::volatile(), list, Vec::new())?.outcome {
                Outcome::Snapshots { all } => all,
                other => return Err(Failure::other(format!("{other:?} are no snapshots"))),
            }
        }
        // It is no image.
        Err(failure) if failure.kind == Kind::Denied => Vec::new(),
        Err(failure) => return Err(failure),
    };
    let of = |name: String| DiskSnapshot { inside: inside.iter().find(|inside| inside.name == name).cloned(), name };
    Ok(all.into_iter().map(|facts| of(facts.name)).collect())
}
