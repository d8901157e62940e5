//! Taking, keeping and leaving a unit, by PERSISTENT RESERVE IN and OUT.
//!
//! ```text
//!   served   register ─▸ reserve, or preempt whom we follow      kind: reservation, the unit refuses others' writes
//!   native   register                                            kind: registration, fief's hosts honour it
//! ```
//! The hypervisor's own client logs in under a name of its own making, which nobody can register for it: a reservation
//! would lock it out. So a unit that it is to use is registered for, and not reserved.

use fief_sdk::block::Holder;
use fief_sdk::storage::{Fence, FenceKind, Fences, Transport};
use fief_sdk::{Error, ErrorCode, Result};

use super::{Key, Seen, Standing, claim, describe, note_of, standing};
use crate::StorageIscsi;
use crate::control::{unit_of, with};
use crate::exchange::Carrier;
use crate::isid;
use crate::scsi::reservation::{self, Action, Keys};
use crate::settings::IscsiPool;

/// What the unit says of its keys, but for notes, by which nobody holds anything; none where it has no persistent
/// reservations.
pub async fn look(carrier: &impl Carrier, lun: [u8; 8]) -> Result<Option<Seen>> {
    let Some(mut keys) = registered_keys(carrier, lun).await? else { return Ok(None) };
    keys.keys.retain(|key| note_of(*key).is_none());
    let held = carrier.carry(reservation::read_reservation(lun), "cannot read who holds the unit").await?;
    Ok(Some(Seen { keys, held: reservation::held(&held).map(|(key, _)| key) }))
}

/// Every key, notes too.
pub(crate) async fn registered_keys(carrier: &impl Carrier, lun: [u8; 8]) -> Result<Option<Keys>> {
    match carrier.carry(reservation::read_keys(lun), "cannot read who is registered").await {
        Err(error) if error.code == ErrorCode::Unsupported => Ok(None),
        keys => {
            reservation::keys(&keys?).map(Some).ok_or_else(|| Error::corrupt("the unit's list of keys is cut short"))
        }
    }
}

pub(crate) async fn change(carrier: &impl Carrier, lun: [u8; 8], action: Action, ours: u64, other: u64) -> Result<()> {
    carrier.carry(reservation::out(lun, action, ours, other), "cannot change who may write").await.map(drop)
}

/// Puts out one key, and ends its commands where the unit can.
async fn put_out(carrier: &impl Carrier, lun: [u8; 8], ours: Key, other: u64) -> Result<()> {
    match change(carrier, lun, Action::PreemptAndAbort, ours.number(), other).await {
        Err(error) if matches!(error.code, ErrorCode::Unsupported | ErrorCode::Invalid) => {
            change(carrier, lun, Action::Preempt, ours.number(), other).await
        }
        outcome => outcome,
    }
}

/// Registers this session, and holds the unit if `reserve`. Whoever comes between finds two keys, as we do; then both
/// let go, and neither has it.
async fn take(carrier: &impl Carrier, lun: [u8; 8], ours: Key, force: bool, reserve: bool) -> Result<FenceKind> {
    let Some(seen) = look(carrier, lun).await? else { return Ok(FenceKind::None) };
    let others = claim(&seen, ours, force)?;
    change(carrier, lun, Action::Register, 0, ours.number()).await?;
    let held = if reserve {
        reserved(carrier, lun, ours, &seen, &others).await
    } else {
        registered(carrier, lun, ours, &seen, &others).await
    };
    match held {
        Ok(()) => Ok(if reserve { FenceKind::Reservation } else { FenceKind::Registration }),
        Err(error) => {
            // Not to be counted as a writer; the first error is the one to tell.
            let _ = change(carrier, lun, Action::Register, ours.number(), 0).await;
            Err(error)
        }
    }
}

async fn reserved(carrier: &impl Carrier, lun: [u8; 8], ours: Key, seen: &Seen, others: &[u64]) -> Result<()> {
    for &other in others {
        put_out(carrier, lun, ours, other).await?;
    }
    // Who held it was put out, and it is ours by that.
    if seen.held.is_none() {
        change(carrier, lun, Action::Reserve, ours.number(), 0).await?;
    }
    let now = look(carrier, lun).await?.unwrap_or_default();
    alone(&now, ours)?;
    match now.held {
        Some(held) if held == ours.number() => Ok(()),
        Some(held) => Err(Error::in_use(describe(held), format!("the unit is held by {}", describe(held)))),
        None => Err(Error::io("the unit did not keep the reservation")),
    }
}

async fn registered(carrier: &impl Carrier, lun: [u8; 8], ours: Key, seen: &Seen, others: &[u64]) -> Result<()> {
    if !others.is_empty() || seen.held.is_some() {
        // All that is there is ours, or to be put out; and no reservation may stay.
        change(carrier, lun, Action::Clear, ours.number(), 0).await?;
        change(carrier, lun, Action::Register, 0, ours.number()).await?;
    }
    alone(&look(carrier, lun).await?.unwrap_or_default(), ours)
}

/// Nobody else came in between.
fn alone(seen: &Seen, ours: Key) -> Result<()> {
    match seen.all().find(|&number| number != ours.number()) {
        None => Ok(()),
        Some(other) => Err(Error::in_use(describe(other), format!("the unit is held by {}", describe(other)))),
    }
}

/// How a session stands to the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stood {
    /// Changes of keys that the unit counts now.
    pub changes: u32,
    /// Nobody held the unit before.
    pub taken: bool,
}

/// Makes a new session of a server one of the holder's, before any command of its guest; none where the unit keeps no
/// keys.
///
/// # Errors
/// Another holds the unit: this server is fenced.
pub async fn stand(carrier: &impl Carrier, lun: [u8; 8], ours: Key, known: Option<u32>) -> Result<Option<Stood>> {
    let Some(seen) = look(carrier, lun).await? else { return Ok(None) };
    let standing = standing(&seen, ours, known)?;
    change(carrier, lun, Action::Register, 0, ours.number()).await?;
    match standing {
        Standing::Held => {}
        Standing::Lapsed => change(carrier, lun, Action::Reserve, ours.number(), 0).await?,
    }
    let now = look(carrier, lun).await?.unwrap_or_default();
    alone(&now, ours)?;
    Ok(Some(Stood { changes: now.keys.changes, taken: standing == Standing::Lapsed }))
}

/// Lets go: all sessions of this key are put out, ours last, and with it the reservation.
///
/// # Errors
/// What the unit says; where the key is not there, nothing is done.
pub async fn release(carrier: &impl Carrier, lun: [u8; 8], ours: Key) -> Result<()> {
    let Some(seen) = look(carrier, lun).await? else { return Ok(()) };
    if !seen.all().any(|number| number == ours.number()) {
        return Ok(());
    }
    change(carrier, lun, Action::Register, 0, ours.number()).await?;
    // What is to be put out is our own key: all of its sessions but this one.
    change(carrier, lun, Action::Preempt, ours.number(), ours.number()).await?;
    change(carrier, lun, Action::Register, ours.number(), 0).await
}

impl Fences for StorageIscsi {
    fn show(pool: &IscsiPool, volume: &str) -> Result<Fence> {
        let (_, lun) = unit_of(pool, volume)?;
        let seen = with(pool, isid::new()?, async |session| look(session, lun).await)?;
        let Some(seen) = seen else { return Ok(Fence { kind: FenceKind::None, holder: None, generation: 0 }) };
        let holder = seen.held.or_else(|| seen.keys.keys.first().copied());
        let generation = seen.all().filter_map(Key::read).map(|key| key.holder().generation).max().unwrap_or_default();
        Ok(Fence { kind: kind(pool), holder: holder.map(holder_of), generation })
    }

    fn take(pool: &IscsiPool, volume: &str, holder: &Holder, force: bool) -> Result<Fence> {
        let (_, lun) = unit_of(pool, volume)?;
        let reserve = kind(pool) == FenceKind::Reservation;
        let ours = Key::of(holder);
        let isid = isid::for_words(&["fence", &holder.host, &holder.domain, volume]);
        let kind = with(pool, isid, async |session| take(session, lun, ours, force, reserve).await)
            .map_err(|error| error.while_doing(format!("cannot take volume {volume}")))?;
        Ok(match kind {
            FenceKind::None => Fence { kind, holder: None, generation: 0 },
            FenceKind::Lease | FenceKind::Registration | FenceKind::Reservation => {
                Fence { kind, holder: Some(holder.clone()), generation: holder.generation }
            }
        })
    }

    fn release(pool: &IscsiPool, volume: &str, holder: &Holder) -> Result<()> {
        let (_, lun) = unit_of(pool, volume)?;
        let isid = isid::for_words(&["fence", &holder.host, &holder.domain, volume]);
        with(pool, isid, async |session| release(session, lun, Key::of(holder)).await)
            .map_err(|error| error.while_doing(format!("cannot let go of volume {volume}")))
    }
}

fn holder_of(number: u64) -> Holder {
    Key::read(number).map_or_else(
        || Holder { host: format!("key-{number:016x}"), name: describe(number), domain: String::new(), generation: 0 },
        Key::holder,
    )
}

/// By how the volume will be reached.
fn kind(pool: &IscsiPool) -> FenceKind {
    match pool.settings.transport {
        Transport::Native => FenceKind::Registration,
        Transport::Served | Transport::Auto => FenceKind::Reservation,
    }
}
