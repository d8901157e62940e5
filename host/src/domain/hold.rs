//! What this host holds of storage that other hosts reach too: the fence of each volume that it writes to, and the number
//! of each attachment, which never goes down.
//!
//! ```text
//!   take     show the fence ─▸ newest + 1, on disk here ─▸ take it there ─▸ attach
//!   release  let go there ─▸ on disk here
//! ```
//!
//! A lease (lease.rs) keeps the domains of this host apart, a fence the hosts: it is kept with the volume itself, where its
//! plugin can do that. The number travels with each attachment, so that who comes back late is told from who holds it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::domain::lease;
use crate::error::{Context, Failure, Kind, Result};
use crate::fault;
use crate::gate::operation::Operation;
use crate::gate::{Actor, Gate, Mode, host_id};
use crate::layout::Layout;
use crate::sandbox::protocol::{Fence, FenceKind, Holder};
use crate::storage::Pool;
use crate::sys::durable;
use crate::types::{DomainName, VolumeName, VolumeRef};

/// Of one volume: `pools/POOL/holds/VOLUME`. It stays when the volume is let go, for the number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kept {
    generation: u64,
    /// Who attached it last.
    domain: Option<DomainName>,
    /// Its fence was to be taken, and is not known to be let go.
    held: bool,
    /// What it was called before it was renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<VolumeName>,
}

fn path(layout: &Layout, volume: &VolumeRef) -> PathBuf {
    layout.pool(&volume.pool).join("holds").join(&volume.volume)
}

fn kept(layout: &Layout, volume: &VolumeRef) -> Result<Kept> {
    let path = path(layout, volume);
    match std::fs::read(&path) {
        // Half a file is never there: it was replaced as a whole.
        Ok(bytes) => serde_json::from_slice(&bytes).context(|| format!("cannot read {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Kept::default()),
        Err(error) => Err(error).context(|| format!("cannot read {}", path.display())),
    }
}

fn keep(layout: &Layout, volume: &VolumeRef, kept: &Kept) -> Result<()> {
    let path = path(layout, volume);
    let saying = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).context(saying)?;
    }
    durable::write(&path, &serde_json::to_vec(kept).context(saying)?)
}

/// The number of an attachment that follows all that are known. Pure.
fn next(kept: &Kept, fence: Option<&Fence>) -> u64 {
    kept.generation.max(newest(fence)).saturating_add(1)
}

/// That the storage has seen, of whoever.
fn newest(fence: Option<&Fence>) -> u64 {
    fence.map_or(0, |fence| fence.generation.max(fence.holder.as_ref().map_or(0, |holder| holder.generation)))
}

fn holder(layout: &Layout, domain: &str, generation: u64) -> Result<Holder> {
    let host = host_id::this(layout)?;
    Ok(Holder { host: host.id.to_string(), name: host.name, domain: domain.to_owned(), generation })
}

/// Takes the volume for an attachment that writes. Its lease must be the domain's already.
///
/// # Errors
/// `Conflict` where another host has it, with that host's name and the way out.
pub fn take(gate: &Gate, pool: &mut Pool, volume: &VolumeRef, domain: &DomainName) -> Result<Holder> {
    let layout = gate.layout();
    let before = kept(layout, volume)?;
    let fence = pool.fence(&volume.volume)?;
    let generation = next(&before, fence.as_ref());
    take_as(gate, pool, volume, domain, Wanted { before, generation, fenced: fence.is_some(), force: false })
}

/// The number that the attachment of a domain will have which another host is about to hand over, to the owner with that
/// generation. Nothing is taken yet.
pub fn expect(gate: &Gate, pool: &mut Pool, volume: &VolumeRef, domain: &DomainName, owner: u64) -> Result<u64> {
    let layout = gate.layout();
    let before = kept(layout, volume)?;
    let fence = pool.fence(&volume.volume)?;
    let generation = next(&before, fence.as_ref()).max(owner);
    let held = before.held && before.domain.as_ref() == Some(domain);
    keep(layout, volume, &Kept { generation, domain: Some(domain.clone()), held, before: before.before })?;
    Ok(generation)
}

/// The newest number that the storage has seen, of whoever.
pub fn seen(pool: &mut Pool, volume: &VolumeRef) -> Result<u64> {
    Ok(newest(pool.fence(&volume.volume)?.as_ref()))
}

/// Takes the volume for a domain that is this host's by its handover, as the owner with the generation `owner`: with the
/// number that was expected, or a newer one where that is used up. `force`: from whoever has it.
///
/// # Errors
/// `Conflict` where another host has it.
pub fn take_handed(
    gate: &Gate,
    pool: &mut Pool,
    volume: &VolumeRef,
    domain: &DomainName,
    (owner, force): (u64, bool),
) -> Result<Holder> {
    let layout = gate.layout();
    let before = kept(layout, volume)?;
    let fence = pool.fence(&volume.volume)?;
    let seen = newest(fence.as_ref()).saturating_add(1);
    let ours = before.domain.as_ref() == Some(domain);
    // One that is taken already is kept; a number that was never shown to the storage is still good.
    let held = fence
        .as_ref()
        .and_then(|fence| fence.holder.as_ref())
        .is_some_and(|other| before.held && ours && other.generation == before.generation);
    let generation = match ours && !force && (held || before.generation >= seen) {
        true => before.generation.max(owner),
        false => before.generation.saturating_add(1).max(seen).max(owner),
    };
    take_as(gate, pool, volume, domain, Wanted { before, generation, fenced: fence.is_some(), force })
}

/// With which number, and how.
struct Wanted {
    /// What is kept of the volume so far.
    before: Kept,
    generation: u64,
    /// The storage keeps fences.
    fenced: bool,
    force: bool,
}

fn take_as(gate: &Gate, pool: &mut Pool, volume: &VolumeRef, domain: &DomainName, wanted: Wanted) -> Result<Holder> {
    let layout = gate.layout();
    let Wanted { before, generation, fenced, force } = wanted;
    // Left by a domain of this host that went while the storage did not answer: nobody else here has the lease.
    if let (true, Some(last)) = (before.held, &before.domain)
        && last != domain
        && fenced
    {
        pool.release_fence(&volume.volume, &holder(layout, last.as_str(), before.generation)?)?;
    }
    let now = Kept { generation, domain: Some(domain.clone()), held: fenced, ..before.clone() };
    keep(layout, volume, &now)?;
    fault::point("fence.numbered")?;
    let ours = holder(layout, domain.as_str(), generation)?;
    if fenced && let Err(failure) = pool.take_fence(&volume.volume, &ours, force) {
        if failure.kind == Kind::Conflict {
            keep(layout, volume, &before)?;
            return Err(refused(pool, volume, &ours, failure));
        }
        return Err(failure);
    }
    fault::point("fence.taken")?;
    Ok(ours)
}

/// The holder of an attachment that is under way; none where the domain does not have it.
pub fn current(layout: &Layout, volume: &VolumeRef, domain: &DomainName) -> Result<Option<Holder>> {
    let kept = kept(layout, volume)?;
    match &kept.domain {
        Some(last) if last == domain => holder(layout, domain.as_str(), kept.generation).map(Some),
        Some(_) | None => Ok(None),
    }
}

/// Who has it, in our own words where the storage says so.
fn refused(pool: &mut Pool, volume: &VolumeRef, ours: &Holder, failure: Failure) -> Failure {
    let fence = pool.fence(&volume.volume);
    let other = match fence {
        Ok(Some(Fence { holder: Some(other), .. })) if other.host != ours.host => other,
        Ok(_) | Err(_) => return failure,
    };
    Failure::conflict(format!("volume {volume} is held by {}", words(&other))).hint(format!(
        "stop domain {} there; where that host is off for good: `fief volume unlock {volume} --force`",
        other.domain
    ))
}

/// `HOST (domain X, generation 7)`.
pub fn words(holder: &Holder) -> String {
    format!("{} (domain {}, generation {})", holder.name, holder.domain, holder.generation)
}

/// Lets the volume go where the domain has it. It stays held where the storage does not answer.
pub fn release(gate: &Gate, pool: &mut Pool, volume: &VolumeRef, domain: &DomainName) -> Result<()> {
    let layout = gate.layout();
    let kept = kept(layout, volume)?;
    if !kept.held || kept.domain.as_ref() != Some(domain) {
        return Ok(());
    }
    pool.release_fence(&volume.volume, &holder(layout, domain.as_str(), kept.generation)?)?;
    keep(layout, volume, &Kept { held: false, ..kept })
}

/// The next number of `volume` is past all that `other` had, since what holds the one will hold the other.
pub fn outrank(layout: &Layout, volume: &VolumeRef, other: &VolumeRef) -> Result<()> {
    let (ours, theirs) = (kept(layout, volume)?, kept(layout, other)?);
    if ours.held || ours.generation >= theirs.generation {
        return Ok(());
    }
    keep(layout, volume, &Kept { generation: theirs.generation, ..ours })
}

/// The volume `from` is called `to` now: what is known of the one is known of the other. Its number stays with the old name
/// too, for a volume that may come to have it.
pub fn renamed(layout: &Layout, from: &VolumeRef, to: &VolumeRef) -> Result<()> {
    let (old, new) = (kept(layout, from)?, kept(layout, to)?);
    // Where this was cut off after the first of the two.
    let now = if old.held { old.clone() } else { Kept { held: new.held, domain: new.domain, ..old.clone() } };
    let generation = old.generation.max(new.generation);
    keep(layout, to, &Kept { generation, before: Some(from.volume.clone()), ..now })?;
    keep(layout, from, &Kept { held: false, ..old })
}

/// What this host last renamed to `volume`.
pub fn called_before(layout: &Layout, volume: &VolumeRef) -> Result<Option<VolumeName>> {
    Ok(kept(layout, volume)?.before)
}

/// # Errors
/// `Conflict` where another host has the volume: what is done to it would be done below a guest.
pub fn refuse_elsewhere(gate: &Gate, pool: &mut Pool, volume: &VolumeRef, what: &str) -> Result<()> {
    match pool.fence(&volume.volume)? {
        Some(Fence { holder: Some(other), .. }) if !runs_here(gate.layout(), volume, &other)? => Err(
            Failure::conflict(format!("cannot {what} volume {volume}: it is held by {}", words(&other))).hint(format!(
                "stop domain {} there; where that host is off for good: `fief volume unlock {volume} --force`",
                other.domain
            )),
        ),
        Some(_) | None => Ok(()),
    }
}

/// Whether the holder is a domain of this host. Storage that has room for no more than a number names no host: there it is
/// one that runs here with the generation that is held, since whoever takes it after that has a newer one.
fn runs_here(layout: &Layout, volume: &VolumeRef, holder: &Holder) -> Result<bool> {
    if holder.host == host_id::this(layout)?.id.to_string() {
        return Ok(true);
    }
    let kept = kept(layout, volume)?;
    Ok(kept.held && kept.generation == holder.generation && !lease::users_of_volume(layout, volume)?.is_empty())
}

/// What became of an unlocking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unlocked {
    /// Nobody held it.
    Free,
    /// It was left by a domain of this host.
    Released(Holder),
    Broken(Holder),
}

/// Frees a volume that is held by nobody who runs. Another host's hold is broken with `force` alone: `sure` is asked
/// before, with the holder.
///
/// # Errors
/// `Conflict` where a domain of this host uses it, or another host holds it and `force` is not said.
pub fn unlock(
    gate: &Gate,
    volume: &VolumeRef,
    force: bool,
    sure: impl FnOnce(&Holder) -> Result<()>,
) -> Result<Unlocked> {
    let layout = gate.layout();
    if let Some(user) = lease::users_of_volume(layout, volume)?.first() {
        return Err(Failure::conflict(format!("volume {volume} is a disk of {user}, which runs here"))
            .hint(format!("fief stop {user}")));
    }
    let mut pool = Pool::open(gate, &volume.pool)?;
    let Some(fence) = pool.fence(&volume.volume)? else { return Ok(Unlocked::Free) };
    let before = kept(layout, volume)?;
    let Some(other) = fence.holder.clone() else {
        keep(layout, volume, &Kept { held: false, ..before })?;
        return Ok(Unlocked::Free);
    };
    let mine = other.host == host_id::this(layout)?.id.to_string();
    if !mine && let Some(ours) = let_go_of_ours(gate, &mut pool, volume, &before)? {
        return Ok(Unlocked::Released(ours));
    }
    if !mine && !force {
        return Err(Failure::conflict(format!("volume {volume} is held by {}", words(&other))).hint(format!(
            "stop domain {} there; where that host is off for good, say --force: were it not, both would write",
            other.domain
        )));
    }
    if mine && gate.mode() == Mode::DryRun {
        return Ok(Unlocked::Released(other));
    }
    if mine {
        pool.release_fence(&volume.volume, &other)?;
        keep(layout, volume, &Kept { held: false, ..before })?;
        return Ok(Unlocked::Released(other));
    }
    sure(&other)?;
    let generation = next(&before, Some(&fence));
    let broken = Operation::FenceBreak { volume: volume.clone(), holder: words(&other), generation };
    let ours = holder(layout, "unlock", generation)?;
    gate.through_hypervisor(&Actor::Operator, &[broken], || {
        keep(layout, volume, &Kept { generation, domain: None, held: false, ..before.clone() })?;
        pool.take_fence(&volume.volume, &ours, true)?;
        fault::point("fence.broken")?;
        pool.release_fence(&volume.volume, &ours)
    })?;
    Ok(Unlocked::Broken(other))
}

/// Storage that keeps no more than a number names no host: what this one is known to have taken is let go of as its own. Where
/// another has it, nothing happens. Gives who it was held for, where nobody holds it any more.
fn let_go_of_ours(gate: &Gate, pool: &mut Pool, volume: &VolumeRef, kept: &Kept) -> Result<Option<Holder>> {
    let (true, Some(domain)) = (kept.held, &kept.domain) else { return Ok(None) };
    let ours = holder(gate.layout(), domain.as_str(), kept.generation)?;
    if gate.mode() == Mode::DryRun {
        return Ok(None);
    }
    pool.release_fence(&volume.volume, &ours)?;
    match pool.fence(&volume.volume)? {
        Some(Fence { holder: Some(_), .. }) => Ok(None),
        Some(Fence { holder: None, .. }) | None => {
            keep(gate.layout(), volume, &Kept { held: false, ..kept.clone() })?;
            Ok(Some(ours))
        }
    }
}

/// `lease held by HOST (domain X, generation 7)`, `none`.
pub fn shown(fence: Option<&Fence>) -> String {
    match fence {
        None | Some(Fence { kind: FenceKind::None, .. }) => "none".to_owned(),
        Some(Fence { kind, holder: Some(holder), .. }) => format!("{} held by {}", kind.as_str(), words(holder)),
        Some(Fence { kind, holder: None, .. }) => format!("{}, held by nobody", kind.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fence(generation: u64, held: Option<u64>) -> Fence {
        let holder = |generation| Holder { host: "h".into(), name: "n".into(), domain: "d".into(), generation };
        Fence { kind: FenceKind::Lease, holder: held.map(holder), generation }
    }

    #[test]
    fn a_number_follows_all_that_were_seen_here_and_there() {
        let here = |generation| Kept { generation, ..Kept::default() };
        assert_eq!(next(&here(0), None), 1);
        assert_eq!(next(&here(7), None), 8);
        assert_eq!(next(&here(7), Some(&fence(3, None))), 8);
        assert_eq!(next(&here(7), Some(&fence(12, None))), 13);
        assert_eq!(next(&here(7), Some(&fence(0, Some(20)))), 21);
    }

    #[test]
    fn what_is_kept_of_a_volume_reads_back_and_is_nothing_before() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let volume: VolumeRef = "p/a".parse().unwrap();
        assert_eq!(kept(&layout, &volume).unwrap(), Kept::default());
        let written = Kept { generation: 7, domain: "node1".parse().ok(), held: true, before: None };
        keep(&layout, &volume, &written).unwrap();
        assert_eq!(kept(&layout, &volume).unwrap(), written);
    }

    #[test]
    fn a_fence_is_told_in_one_line() {
        assert_eq!(shown(None), "none");
        assert_eq!(shown(Some(&fence(7, None))), "lease, held by nobody");
        assert_eq!(shown(Some(&fence(7, Some(7)))), "lease held by n (domain d, generation 7)");
    }
}
