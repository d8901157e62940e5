//! Volumes that go along with a domain: those that the other host does not reach.
//!
//! ```text
//!   source   of the plan ─▸ Along, in the offer ─▸ copied, round after round ─▸ noted with the attempt ─▸ the domain is gone: deleted
//!   target   the offer, held against the definition ─▸ Coming ─▸ whole ─▸ the domain is here: taken │ it never will be: given up
//! ```

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::domain::{DiskDevice, DomainDefinition};
use crate::domain::pools::Pools;
use crate::domain::volume::{Coming, arrival};
use crate::domain::{Record, hold, lease, ownership, snapshot, store};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::Gate;
use crate::gate::operation::{ImageFormat, ImageSnapshot};
use crate::layout::Layout;
use crate::migration::handover::{Attempt, Holding};
use crate::migration::message::{Along, Format, Offer, Snapshot};
use crate::migration::plan::{DiskFacts, Facts, Sameness};
use crate::storage::Pool;
use crate::sys::durable;
use crate::types::{ByteSize, DomainName, SnapshotName, VolumeRef};

/// In the domain's folder on the source: what is to be deleted once that attempt has moved it.
const LEAVING: &str = "leaving.json";
/// For `fief serve` to be done with a volume of which the last byte has come.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// What the plan says is to be copied.
///
/// # Errors
/// `Findings` where it is not known to be another storage there: a copy might be one onto itself.
pub fn of(facts: &Facts) -> Result<Vec<Along>> {
    let along = facts.domain.disks.iter().filter(|disk| DiskFacts::goes_along(disk));
    along
        .map(|disk| match disk.sameness {
            Sameness::Other => Ok(Along {
                volume: disk.volume.to_string(),
                size: disk.size.bytes(),
                format: match disk.format {
                    ImageFormat::Raw => Format::Raw,
                    ImageFormat::Qcow2 => Format::Qcow2,
                },
                snapshots: match disk.snapshots_stay(facts) {
                    None => disk.inside().into_iter().map(told).collect(),
                    Some(_) if facts.manner.leaves_snapshots => Vec::new(),
                    Some((_, why, hint)) => return Err(Failure::new(Kind::Findings, why).hint(hint)),
                },
            }),
            Sameness::Proven | Sameness::Claimed | Sameness::Unknown => Err(Failure::new(
                Kind::Findings,
                format!("nobody knows whether volume {} is at the other host already", disk.volume),
            )
            .hint("`fief migrate --plan` says what is known of it")),
        })
        .collect()
}

/// The volumes that are offered, as far as the definition has them.
///
/// # Errors
/// `Usage` where one is no disk of the domain's, or is there twice.
pub fn coming(offer: &Offer, definition: &DomainDefinition) -> Result<Vec<Coming>> {
    let wrong = |volume: &str, why: &str| Failure::usage(format!("volume {volume:?} does not go along: {why}"));
    let mut seen = BTreeSet::new();
    let each = offer.along.iter().map(|Along { volume: name, size, format, snapshots }| {
        let target: VolumeRef = name.parse().map_err(|invalid| wrong(name, "it has no such name").because(invalid))?;
        let disk = definition.disks.iter().find(|disk| disk.volume == target);
        match disk.map(|disk| disk.device) {
            Some(DiskDevice::Disk) => {}
            Some(DiskDevice::Cdrom) | None => return Err(wrong(name, "it is no disk of the domain")),
        }
        if !seen.insert(target.clone()) {
            return Err(wrong(name, "it is offered twice"));
        }
        if !are_sound(snapshots, *size) {
            return Err(wrong(name, "its snapshots are none that a volume can have"));
        }
        Ok(Coming {
            target,
            size: ByteSize::from_bytes(*size),
            format: match format {
                Format::Raw => ImageFormat::Raw,
                Format::Qcow2 => ImageFormat::Qcow2,
            },
            onto: false,
            domain: definition.name.clone(),
            uuid: definition.uuid,
            snapshots: snapshots.iter().cloned().map(kept).collect(),
        })
    });
    each.collect()
}

fn told(ImageSnapshot { name, created, nanos, size }: ImageSnapshot) -> Snapshot {
    Snapshot { name, created, nanos, size: size.bytes() }
}

/// A snapshot of an offer, as the table of an image has it.
pub fn kept(Snapshot { name, created, nanos, size }: Snapshot) -> ImageSnapshot {
    ImageSnapshot { name, created, nanos, size: ByteSize::from_bytes(size) }
}

/// Each has a name of its own and a date, and is no larger than what comes after it.
fn are_sound(snapshots: &[Snapshot], size: u64) -> bool {
    let names: BTreeSet<&str> = snapshots.iter().map(|one| one.name.as_str()).collect();
    let sound = |one: &Snapshot| one.name.parse::<SnapshotName>().is_ok() && u32::try_from(one.created).is_ok();
    let sizes: Vec<u64> = snapshots.iter().map(|one| one.size).chain([size]).collect();
    names.len() == snapshots.len() && snapshots.iter().all(sound) && sizes.is_sorted()
}

/// # Errors
/// `Conflict` where snapshots of volumes that go along came or went since that was planned.
pub fn unchanged(gate: &Gate, facts: &Facts) -> Result<()> {
    let mut pools = Pools::default();
    for disk in facts.domain.disks.iter().filter(|disk| disk.goes_along()) {
        let pool = pools.of(gate, &disk.volume.pool)?;
        if snapshot::of_volume(gate, pool, &disk.volume.volume)? != disk.snapshots {
            return Err(Failure::conflict(format!(
                "snapshots of {} came or went since the move was planned",
                disk.volume
            ))
            .hint("try again"));
        }
    }
    Ok(())
}

/// Waits until each of them is whole, on stable storage and read back.
///
/// # Errors
/// `Conflict` where one is not.
pub fn whole(gate: &Gate, coming: &[Coming]) -> Result<()> {
    coming.iter().try_for_each(|coming| arrival::whole(gate, &coming.target, SETTLED_WITHIN))
}

/// The domain is this host's, and so are they. What does not work now, the next command does.
pub fn taken(gate: &Gate, coming: &[Coming]) {
    for Coming { target, .. } in coming {
        if let Err(failure) = arrival::taken(gate, target) {
            tracing::error!(volume = %target, %failure, "it still counts as one that comes");
        }
    }
}

/// The domain will not come: nothing of them stays, but what cannot be removed now.
pub fn given_up(gate: &Gate, coming: &[Coming]) {
    for Coming { target, .. } in coming {
        if let Err(failure) = arrival::given_up(gate, target) {
            tracing::warn!(volume = %target, %failure, "what came of it is still there");
        }
    }
}

/// What a source deletes once the attempt has moved the domain.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Leaving {
    attempt: Attempt,
    volumes: Vec<VolumeRef>,
}

/// Notes it, before the target can take the domain.
pub fn leave(layout: &Layout, name: &DomainName, attempt: Attempt, volumes: Vec<VolumeRef>) -> Result<()> {
    let saying = || "cannot note which volumes go along".to_owned();
    let bytes = serde_json::to_vec(&Leaving { attempt, volumes }).context(saying)?;
    durable::write(&layout.domain(name).join(LEAVING), &bytes)
}

/// Deletes what went along with a domain that another host has by now; what stays, with the reason.
pub fn delete_left(gate: &Gate, record: &Record) -> Vec<Failure> {
    let left = match left(gate.layout(), &record.name, record.uuid) {
        Ok(left) => left,
        Err(failure) => return vec![failure],
    };
    let stays = |volume: &VolumeRef| {
        delete(gate, volume, &record.name).err().map(|failure| {
            failure.while_doing(format!("volume {volume} went along, and what it was here stays: it is out of date"))
        })
    };
    left.iter().filter_map(stays).collect()
}

/// None, where it was another attempt that moved the domain, or none did.
fn left(layout: &Layout, name: &DomainName, domain: Uuid) -> Result<Vec<VolumeRef>> {
    let path = layout.domain(name).join(LEAVING);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(|| format!("cannot read {}", path.display())),
    };
    let leaving: Leaving = serde_json::from_slice(&bytes).context(|| format!("cannot read {}", path.display()))?;
    let standing = ownership::standing(layout, domain, name)?;
    let gone = standing.filter(|standing| standing.holding == Holding::Gone).and_then(|standing| standing.last);
    Ok(if gone.is_some_and(|last| last.attempt == leaving.attempt) { leaving.volumes } else { Vec::new() })
}

fn delete(gate: &Gate, volume: &VolumeRef, domain: &DomainName) -> Result<()> {
    let layout = gate.layout();
    lease::refuse_held(layout, volume)?;
    for other in store::names(layout)?.iter().filter(|other| *other != domain) {
        if store::load(layout, other).is_ok_and(|other| other.disks.iter().any(|disk| disk.volume == *volume)) {
            return Err(Failure::conflict(format!("it is a disk of domain {other} too")));
        }
    }
    let mut pool = Pool::open(gate, &volume.pool)?;
    match pool.volume(&volume.volume) {
        Err(failure) if failure.kind == Kind::NotFound => return Ok(()),
        other => drop(other?),
    }
    hold::refuse_elsewhere(gate, &mut pool, volume, "delete")?;
    pool.delete_volume(&volume.volume)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::domain::{RandomIdentity, parse};
    use crate::gate::host_id;
    use crate::migration::handover::{Move, Peer, Standing};
    use crate::migration::journal::Journals;

    fn definition() -> DomainDefinition {
        let text = "name = \"a\"\nmemory = \"32MiB\"\n[[disk]]\nvolume = \"p/a\"\n\
                    [[disk]]\nvolume = \"p/disc\"\ndevice = \"cdrom\"\n";
        parse(text.as_bytes(), "a.toml", &mut RandomIdentity).unwrap()
    }

    #[test]
    fn a_volume_comes_only_as_a_disk_of_its_domain_and_once() {
        let definition = definition();
        let offered = |volumes: &[&str]| {
            let along = volumes.iter().map(|volume| Along {
                volume: (*volume).to_owned(),
                size: 1 << 20,
                format: Format::Qcow2,
                snapshots: Vec::new(),
            });
            coming(&Offer { along: along.collect(), ..Offer::none("a".into()) }, &definition)
        };
        let all = offered(&["p/a"]).unwrap();
        assert_eq!((all.len(), all[0].uuid, all[0].size.bytes(), all[0].onto), (1, definition.uuid, 1 << 20, false));
        assert!(offered(&[]).unwrap().is_empty());
        for wrong in [&["p/other"][..], &["p/disc"], &["p/a", "p/a"], &["../a"], &["p"], &[""]] {
            assert_eq!(offered(wrong).unwrap_err().kind, Kind::Usage, "{wrong:?}");
        }
    }

    #[test]
    fn snapshots_come_by_names_of_their_own_and_grow() {
        let of = |name: &str, created, size| Snapshot { name: name.to_owned(), created, nanos: 0, size };
        for (snapshots, sound) in [
            (vec![], true),
            (vec![of("a", 2, 512), of("b", 1, 512), of("c", 0, 1024)], true),
            (vec![of("a", 1, 512), of("a", 2, 512)], false),
            (vec![of("a/../b", 1, 512)], false),
            (vec![of("", 1, 512)], false),
            (vec![of("a", 1, 512), of("b", 1, 511)], false),
            (vec![of("a", 1, 1025)], false),
            (vec![of("a", 1 << 32, 512)], false),
        ] {
            assert_eq!(are_sound(&snapshots, 1024), sound, "{snapshots:?}");
        }
    }

    #[test]
    fn volumes_are_deleted_after_their_own_move_alone() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let (name, domain) = ("a".parse().unwrap(), Uuid::from_u128(7));
        let attempt = |number| Attempt { generation: 1, number };
        std::fs::create_dir_all(layout.domain(&name)).unwrap();
        std::fs::create_dir_all(layout.handovers()).unwrap();
        let volumes: Vec<VolumeRef> = vec!["p/a".parse().unwrap()];
        let found = || left(&layout, &name, domain).unwrap();
        assert!(found().is_empty());
        leave(&layout, &name, attempt(2), volumes.clone()).unwrap();
        assert!(found().is_empty(), "it never moved");
        let host = host_id::this(&layout).unwrap().id;
        let mut before = None;
        let mut stands = |holding, number| {
            let last = Some(Move { peer: Peer(Uuid::from_u128(9)), attempt: attempt(number) });
            let standing = Standing { holding, last, ..Standing::FIRST };
            Journals::new(&layout, host).write(domain, before, standing).unwrap();
            before = Some(standing);
        };
        for (holding, number, gone) in [
            (Holding::Owned, 2, false),
            (Holding::Ceded, 2, false),
            (Holding::Foreign, 2, false),
            (Holding::Gone, 1, false),
            (Holding::Gone, 3, false),
            (Holding::Gone, 2, true),
        ] {
            stands(holding, number);
            assert_eq!(found(), if gone { volumes.clone() } else { Vec::new() }, "{holding:?} {number}");
        }
    }
}
