//! A volume that comes from another host over a stream: made in its pool, written, and read back from there.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::arrival::{self, Arrival, now};
use super::ends::Ends;
use super::fill::Stage;
use super::kept::{self, Turn};
use super::opened::Opened;
use crate::domain::lease;
use crate::domain::unfinished::{Intent, Unfinished};
use crate::error::{Failure, Kind, Result};
use crate::fault;
use crate::gate::Gate;
use crate::gate::operation::{ImageFormat, ImageSnapshot, Preallocation};
use crate::migration::copying::receive::{receive_on, refuse};
use crate::migration::copying::{Progress, Stream, receive};
use crate::storage::{Pool, VolumeSpec};
use crate::types::{ByteSize, DomainName, VolumeRef};

/// For the stream before to let go of the volume, once it is told to; and between two looks whether it has.
const LET_GO_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A volume that is to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coming {
    pub target: VolumeRef,
    pub size: ByteSize,
    /// As its source has it; a pool that keeps no images has its bytes.
    pub format: ImageFormat,
    /// It is there already, as a LUN is that its pool cannot make, and is written over.
    pub onto: bool,
    /// The domain that it is to be a disk of.
    pub domain: DomainName,
    pub uuid: Uuid,
    /// That come before it, in this order.
    pub snapshots: Vec<ImageSnapshot>,
}

/// What of it a stream brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// One of the snapshots, by its place among them.
    Snapshot(usize),
    /// What it holds now.
    Disk,
}

/// Those that come to this process, so that a stream that was cut without a word makes way for the next one.
static COMING: Mutex<BTreeMap<VolumeRef, oneshot::Sender<()>>> = Mutex::new(BTreeMap::new());

/// Takes a volume from a stream, all rounds of it. When this ends well it is whole, on stable storage and read back, and is
/// left for its domain: [`taken`](super::arrival::taken) once that is this host's, [`given_up`](super::arrival::given_up)
/// where it never will be. Cut off, it stays for a day, to be gone on with by another stream. Of a snapshot the source hears
/// when it is taken.
///
/// # Errors
/// Why not; the source was told.
pub async fn arrive<S: Stream>(
    gate: &Gate,
    coming: Coming,
    part: Part,
    mut stream: S,
    progress: &Progress,
) -> Result<()> {
    let target = coming.target.clone();
    let (evict, evicted) = oneshot::channel();
    // Dropped, the one before goes.
    drop(coming_now().insert(target.clone(), evict));
    let made = {
        let (gate, coming) = (gate.clone(), coming.clone());
        in_thread(move || make(&gate, &coming, part)).await
    };
    let (unfinished, held, pool) = match made {
        Ok(Some(made)) => made,
        Ok(None) => return receive::has(&mut stream).await,
        Err(failure) => return Err(refuse(stream, failure).await),
    };
    let what = {
        let target = target.clone();
        move |ends: &mut Ends<'_>| ends.write(&target)
    };
    let came = match Opened::open(gate, unfinished.folder(), unfinished.ledger_path(), what).await {
        Ok(opened) => {
            let arrived = tokio::select! {
                arrived = receive_on(stream, opened.disk.clone(), held, progress) => arrived,
                _ = evicted => Err(Failure::conflict("another stream brings the same volume")),
            };
            let closed = opened.close().await;
            arrived.and_then(|(_, stream)| closed.map(|()| stream))
        }
        Err(failure) => Err(refuse(stream, failure).await),
    };
    let (arrived, stream) = match came {
        Ok(stream) => (Ok(()), Some(stream)),
        Err(failure) => (Err(failure), None),
    };
    let gate = gate.clone();
    let ended = in_thread(move || end(&gate, (&coming, part), pool, unfinished, arrived)).await;
    if let (Part::Snapshot(_), Some(mut stream)) = (part, stream) {
        receive::tell_kept(&mut stream, &ended).await;
    }
    ended
}

fn coming_now() -> MutexGuard<'static, BTreeMap<VolumeRef, oneshot::Sender<()>>> {
    COMING.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn in_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (tell, told) = oneshot::channel();
    let work = move || {
        let _ = tell.send(work());
    };
    std::thread::Builder::new()
        .name("arriving".into())
        .spawn(work)
        .map_err(|error| Failure::other("cannot take a volume").because(error))?;
    told.await.unwrap_or_else(|_| Err(Failure::other("whoever was to take a volume died")))
}

/// Makes the volume, unless an earlier attempt has. With whether anything may be in it, and its pool; none where that part of it
/// is here.
fn make(gate: &Gate, coming: &Coming, part: Part) -> Result<Option<(Unfinished, bool, Pool)>> {
    let Coming { target, onto, domain, uuid, .. } = coming;
    let saying = |failure: Failure| failure.while_doing(format!("cannot take the volume {target}"));
    let mut pool = Pool::open(gate, &target.pool)?;
    let arrival = Arrival {
        target: target.clone(),
        domain: domain.clone(),
        uuid: *uuid,
        onto: *onto,
        stage: Stage::Begun,
        snapshots: Vec::new(),
        touched: now(),
    };
    // Said at once: only a stream that is about to go is waited for.
    if let Some(earlier) = arrival::of(gate.layout(), target)? {
        arrival.clone().go_on_with(&earlier)?;
    }
    let mut unfinished = begin(gate, arrival)?;
    match made(gate, &mut pool, &mut unfinished, coming, part) {
        Ok(Some(held)) => Ok(Some((unfinished, held, pool))),
        Ok(None) => {
            unfinished.touch(now())?;
            Ok(None)
        }
        Err(failure) => Err(saying(unfinished.undone(gate, failure))),
    }
}

/// Once the stream before has let go.
fn begin(gate: &Gate, arrival: Arrival) -> Result<Unfinished> {
    let until = Instant::now() + LET_GO_WITHIN;
    loop {
        match Unfinished::begin(gate, Intent::Arrive(arrival.clone())) {
            Err(failure) if failure.kind == Kind::Conflict && Instant::now() < until => {
                std::thread::sleep(LOOK_EVERY);
            }
            other => return other,
        }
    }
}

fn made(
    gate: &Gate,
    pool: &mut Pool,
    unfinished: &mut Unfinished,
    coming: &Coming,
    part: Part,
) -> Result<Option<bool>> {
    let Coming { target, format, onto, domain, .. } = coming;
    let size = coming.size_of(part);
    let here = unfinished.arrival().map(|arrival| arrival.snapshots.clone()).unwrap_or_default();
    let turn = kept::turn(&coming.snapshots, &here, part)?;
    if turn == Turn::Has {
        return Ok(None);
    }
    lease::hold_for(gate.layout(), target, domain)?;
    if turn == Turn::Anew {
        kept::begin_anew(pool, unfinished, coming)?;
    }
    fault::point("arrive.begun")?;
    let stage = unfinished.arrival().map_or(Stage::Begun, |arrival| arrival.stage);
    let there = match pool.volume(&target.volume) {
        Ok(facts) => Some(facts),
        Err(failure) if failure.kind == Kind::NotFound => None,
        Err(failure) => return Err(failure),
    };
    let smaller = || Failure::conflict(format!("volume {target} is smaller than the one that comes"));
    match (stage, there, *onto) {
        (Stage::Begun, Some(_), false) => {
            return Err(Failure::conflict(format!("there is a volume {target} already")).hint(
                "choose another name, or delete that volume; or write over one that a pool cannot make (a LUN)",
            ));
        }
        (_, Some(facts), _) if facts.size < size.bytes() && coming.snapshots.is_empty() => return Err(smaller()),
        (_, Some(_), _) => {
            unfinished.reached(Stage::Made)?;
            kept::make_ready(pool, unfinished, coming, part)?;
            return Ok(Some(true));
        }
        (_, None, true) => return Err(Failure::not_found(format!("there is no volume {target}"))),
        (_, None, false) => {}
    }
    let format = if pool.keeps_formats() { *format } else { ImageFormat::Raw };
    let spec = VolumeSpec { name: target.volume.clone(), size, format, preallocation: Preallocation::Sparse };
    let facts =
        pool.create_new_volume(&spec, || unfinished.reached(Stage::Made).and_then(|()| fault::point("arrive.made")))?;
    // What was just made reads as zeroes.
    if facts.size < size.bytes() { Err(smaller()) } else { Ok(Some(false)) }
}

/// What is done with it once the stream is over. A guest may stand still meanwhile, so its pool's plugin is there.
fn end(
    gate: &Gate,
    (coming, part): (&Coming, Part),
    mut pool: Pool,
    mut unfinished: Unfinished,
    arrived: Result<()>,
) -> Result<()> {
    let target = &coming.target;
    let arrived = arrived.and_then(|()| {
        fault::point("arrive.copied")?;
        match part {
            Part::Snapshot(place) => kept::keep(gate, &mut unfinished, coming, place),
            Part::Disk => unfinished.reached(Stage::Filled),
        }
    });
    unfinished.touch(now())?;
    if let Err(failure) = arrival::let_go_of_fence(gate, &mut pool, target) {
        tracing::info!(%failure, "asked anew");
        arrival::let_go_of_fence(gate, &mut Pool::open(gate, &target.pool)?, target)?;
    }
    lease::let_go(gate.layout(), target)?;
    if arrived.is_ok() {
        fault::point("arrive.left")?;
    }
    arrived
}
