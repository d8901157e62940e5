//! Making a client and its session known to the server, at first and after its restart (RFC 8881, 8.4.2.1):
//!
//! ```text
//!   EXCHANGE_ID ──▸ CREATE_SESSION ──▸ known as before: what is open still is
//!                                  ──▸ new: OPEN and LOCK are reclaimed ──▸ RECLAIM_COMPLETE
//! ```
//! What cannot be reclaimed is not open any more, and is never opened again without asking the fence first
//! ([`super::client`]).

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fief_sdk::Error;
use futures_util::lock::Mutex;

use super::attributes::OF_FILE;
use super::compound::{Channel, Claim, Compound, Owner, StateId, op};
use super::results::{Exchanged, Found, Results};
use super::session::{Held, Live, Session, Tried, bare, too_old};
use crate::rpc::Identity;
use crate::status::Status;
use crate::trouble::{Answer, Trouble};
use crate::wire::Wire;
use crate::wire::fresh::Fresh;

/// Bytes around the data of a request or an answer.
pub(crate) const AROUND: u32 = 4096;
/// Operations of the longest compound.
const OPERATIONS: u32 = 8;
/// Of both directions; the server may give less.
pub(crate) const DATA: u32 = 256 << 10;
/// The name of whoever opens: one for each client is enough.
pub(super) const OPENER: &[u8] = b"fief";
const TRIES: u32 = 5;

impl<W: Wire> Session<W> {
    /// `slots`: how many calls at a time.
    pub(crate) async fn open(wire: W, identity: Identity, owner: Owner, slots: u32) -> Answer<Self> {
        let nothing = Channel { request: 0, response: 0, operations: 0, slots };
        let session = Session {
            wire,
            identity,
            minor: Cell::new(2),
            owner: RefCell::new(owner),
            live: RefCell::new(Rc::new(Live::new(0, 0, [0; 16], nothing))),
            held: RefCell::default(),
            recovering: Mutex::new(()),
            flags: Cell::new(0),
            server: RefCell::default(),
        };
        let live = match session.establish(None).await {
            Err(trouble) if trouble.is(Status::MINOR_VERS_MISMATCH) => {
                session.minor.set(1);
                session.establish(None).await
            }
            other => other,
        };
        let live = live.map_err(|trouble| match trouble.is(Status::MINOR_VERS_MISMATCH) {
            true => Trouble::Final(too_old()),
            false => trouble,
        })?;
        session.live.replace(Rc::new(live));
        Ok(session)
    }

    /// Whether holes and server-side copies may be asked for.
    pub(crate) fn has_4_2(&self) -> bool {
        self.minor.get() >= 2
    }

    pub(super) async fn establish(&self, before: Option<&Live>) -> Answer<Live> {
        let slots = before.map_or_else(|| self.channel().slots, |live| live.channel.slots);
        let wanted = Channel { request: DATA + AROUND, response: DATA + AROUND, operations: OPERATIONS, slots };
        for _ in 0..TRIES {
            let known = self.exchange_id().await?;
            let same = before.filter(|live| known.confirmed && live.client == known.client);
            let sequence = same.map_or(known.sequence, |live| live.next_session);
            let create = |compound: &mut Compound| compound.create_session(known.client, sequence, wanted);
            match self.bare(&create, &|results| results.session_created()).await {
                Ok((id, mut channel)) => {
                    channel.slots = channel.slots.min(slots);
                    let live = Live::new(known.client, sequence.wrapping_add(1), id, channel);
                    if same.is_none() {
                        self.settle(&live).await?;
                    }
                    return Ok(live);
                }
                // Restarted once more meanwhile.
                Err(trouble) if trouble.is(Status::STALE_CLIENTID) => {}
                // It counts our sessions otherwise than we do: start as a client that knows of nothing.
                Err(trouble) if trouble.is(Status::SEQ_MISORDERED) => {
                    let verifier = crate::wire::random().to_be_bytes();
                    self.owner.borrow_mut().verifier = verifier;
                }
                Err(trouble) => return Err(trouble),
            }
            self.wire.wait(200).await?;
        }
        Err(Error::io("the server does not let a session be made").into())
    }

    async fn exchange_id(&self) -> Answer<Exchanged> {
        let owner = self.owner.borrow().clone();
        let known =
            self.bare(&|compound: &mut Compound| compound.exchange_id(&owner), &|results| results.exchanged()).await?;
        self.server.replace(known.server.clone());
        Ok(known)
    }

    /// What a new client does first.
    async fn settle(&self, live: &Live) -> Answer<()> {
        let held = self.held.borrow_mut().as_mut().map(|held| {
            (held.open, held.lock) = (None, None);
            held.clone()
        });
        if let Some(held) = held {
            match self.reclaim(live, &held).await {
                Ok((open, lock)) => {
                    if let Some(held) = &mut *self.held.borrow_mut() {
                        (held.open, held.lock, held.opening) = (Some(open), lock, held.opening + 1);
                    }
                }
                Err(Trouble::Status(status)) => {
                    fief_sdk::warn!("what was open on the server could not be reclaimed", status = status.0);
                }
                Err(other) => return Err(other),
            }
        }
        let done = self
            .on(live, true, &|compound, _| compound.reclaim_complete(), &|results| {
                results.done(&[op::RECLAIM_COMPLETE])
            })
            .await;
        match done {
            Err(trouble) if !trouble.is(Status::COMPLETE_ALREADY) => Err(trouble),
            _ => Ok(()),
        }
    }

    async fn reclaim(&self, live: &Live, held: &Held) -> Answer<(StateId, Option<StateId>)> {
        let open = |compound: &mut Compound, _| {
            compound.put(&held.file);
            compound.open(live.client, OPENER, held.write, false, Claim::Previous);
            compound.attributes(OF_FILE);
        };
        let read = |results: &mut Results<'_>| {
            results.done(&[op::PUTFH])?;
            let state = results.opened()?;
            Ok((state, results.attributes()?.of_file()))
        };
        let (open, about) = self.on(live, true, &open, &read).await?;
        if about.is_none_or(|about| about.id != held.id) {
            return Err(Error::io("the server gave another file under the same handle").into());
        }
        if !held.locked {
            return Ok((open, None));
        }
        let lock = |compound: &mut Compound, _| {
            compound.put(&held.file);
            compound.lock(open, live.client, OPENER, true);
        };
        let locked = |results: &mut Results<'_>| {
            results.done(&[op::PUTFH])?;
            results.state(op::LOCK)
        };
        Ok((open, Some(self.on(live, true, &lock, &locked).await?)))
    }

    /// In a session that nobody else uses yet.
    async fn on<T>(
        &self,
        live: &Live,
        cache: bool,
        build: &impl Fn(&mut Compound, StateId),
        read: &impl Fn(&mut Results<'_>) -> Found<T>,
    ) -> Answer<T> {
        for _ in 0..TRIES * 10 {
            match self.attempt(live, cache, false, 0, build, read).await? {
                Tried::Done(answer) => return answer.map(|(value, _)| value),
                Tried::Later => self.wire.wait(500).await?,
                Tried::Anew => {}
                Tried::SessionOver => return Err(Trouble::Status(Status::STALE_CLIENTID)),
            }
        }
        Err(Trouble::Status(Status::GRACE))
    }

    /// Binds a stream that has just been connected to the session (RFC 8881, 2.10.3.1). A session that is gone is told by
    /// the first call over it.
    pub(crate) async fn greet(&self, stream: &Fresh) -> fief_sdk::Result<()> {
        let live = self.current();
        let build = |compound: &mut Compound| compound.bind(&live.id);
        match bare(stream, self.identity, self.minor.get(), &build, &|results| {
            results.done(&[op::BIND_CONN_TO_SESSION])
        })
        .await
        {
            Ok(()) | Err(Trouble::Status(_)) => Ok(()),
            Err(Trouble::Final(error)) => Err(error),
        }
    }

    /// Lets go of session and client; a server that does not answer forgets them when the lease is over.
    pub(crate) async fn close(&self) {
        let live = self.current();
        let _ = self
            .bare(&|compound: &mut Compound| compound.destroy_session(&live.id), &|results| {
                results.done(&[op::DESTROY_SESSION])
            })
            .await;
        let _ = self
            .bare(&|compound: &mut Compound| compound.destroy_client(live.client), &|results| {
                results.done(&[op::DESTROY_CLIENTID])
            })
            .await;
    }
}
