//! A session (RFC 8881, 2.10): slots, each with one call at a time, counted so that the server carries out a call once
//! however often it is sent.
//!
//! ```text
//!   call ──▸ take a slot ──▸ SEQUENCE + operations ──▸ answered ──▸ slot counts on, is free
//!                                   │ stream lost: the same bytes over another (the wire does that)
//!                                   │ the session is gone: establish another, then anew
//!                                   │ later: pause, then anew
//! ```

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fief_sdk::{Error, Result};
use futures_util::lock::Mutex;

use super::compound::{Channel, Compound, Owner, SessionId, StateId};
use super::results::{Broken, Found, Results};
use crate::rpc::{self, Identity, Refused};
use crate::status::Status;
use crate::trouble::{Answer, Trouble};
use crate::types::{FileId, Handle};
use crate::wire::Wire;
use crate::wire::events::Bell;
use crate::xdr::Decoded;

/// Between two tries of what the server asks to come later for, in milliseconds.
const LATER: u32 = 500;

pub(crate) struct Session<W> {
    pub(crate) wire: W,
    pub(super) identity: Identity,
    pub(super) minor: Cell<u32>,
    pub(super) owner: RefCell<Owner>,
    pub(super) live: RefCell<Rc<Live>>,
    /// What is open for as long as the session lives, and is to be open again after the server's restart.
    pub(super) held: RefCell<Option<Held>>,
    pub(super) recovering: Mutex<()>,
    /// What the server last told of our state (RFC 8881, 18.46.3).
    pub(super) flags: Cell<u32>,
    /// Major part of the server's own identity.
    pub(super) server: RefCell<Vec<u8>>,
}

/// One session, from its making to its end.
pub(super) struct Live {
    pub(super) client: u64,
    /// Counts the sessions of this client.
    pub(super) next_session: u32,
    pub(super) id: SessionId,
    pub(super) channel: Channel,
    slots: RefCell<Vec<Slot>>,
    freed: Bell,
    over: Cell<bool>,
}

#[derive(Clone, Copy)]
struct Slot {
    sequence: u32,
    busy: bool,
}

/// A file that stays open.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) file: Handle,
    pub(crate) id: FileId,
    pub(crate) write: bool,
    /// Locked as a whole, so that the server lets no second one lock it.
    pub(crate) locked: bool,
    /// Counts how often it was opened.
    pub(crate) opening: u64,
    /// Of the open file; none while it is not known to be still ours.
    pub(crate) open: Option<StateId>,
    /// Of the lock: reads and writes go under it where there is one (RFC 8881, 9.1.2).
    pub(crate) lock: Option<StateId>,
}

/// How one try of a call ended.
pub(super) enum Tried<T> {
    Done(Answer<T>),
    /// The server asks to come later.
    Later,
    /// It has been carried out, but its answer is lost: safe to ask anew, as nothing is asked that must not come twice.
    Anew,
    SessionOver,
}

impl Live {
    pub(super) fn new(client: u64, next_session: u32, id: SessionId, channel: Channel) -> Self {
        let slots = vec![Slot { sequence: 1, busy: false }; channel.slots as usize];
        Live { client, next_session, id, channel, slots: slots.into(), freed: Bell::default(), over: Cell::new(false) }
    }

    /// The lowest free slot: a server may free what belongs to those that stay unused.
    fn take(&self) -> Option<Taken<'_>> {
        let mut slots = self.slots.borrow_mut();
        let number = slots.iter().position(|slot| !slot.busy)?;
        slots[number].busy = true;
        let highest = slots.iter().rposition(|slot| slot.busy).unwrap_or(number);
        let sequence = slots[number].sequence;
        Some(Taken { live: self, number, highest, sequence, settled: false })
    }

    fn end(&self) {
        self.over.set(true);
        self.freed.ring();
    }
}

/// A slot with a call on it. One that is let go of before its answer stays busy: nobody knows how far it counts.
struct Taken<'a> {
    live: &'a Live,
    number: usize,
    highest: usize,
    sequence: u32,
    settled: bool,
}

impl Taken<'_> {
    /// The call was carried out.
    fn advance(&mut self) {
        self.live.slots.borrow_mut()[self.number].sequence = self.sequence.wrapping_add(1);
        self.settled = true;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if self.settled {
            self.live.slots.borrow_mut()[self.number].busy = false;
            self.live.freed.ring();
        }
    }
}

impl<W: Wire> Session<W> {
    pub(super) fn current(&self) -> Rc<Live> {
        self.live.borrow().clone()
    }

    pub(crate) fn channel(&self) -> Channel {
        self.current().channel
    }

    /// Who the server says it is.
    pub(crate) fn server(&self) -> Vec<u8> {
        self.server.borrow().clone()
    }

    pub(crate) fn client(&self) -> u64 {
        self.current().client
    }

    /// Carries out operations, once. `cache`: the answer must be the same when asked for again, as where a second
    /// carrying out would be told apart. `stateful`: under what is held; then `build` is given its state.
    pub(crate) async fn call<T>(
        &self,
        cache: bool,
        stateful: bool,
        room: usize,
        build: impl Fn(&mut Compound, StateId),
        read: impl Fn(&mut Results<'_>) -> Found<T>,
    ) -> Answer<T> {
        self.call_with_record(cache, stateful, room, build, read).await.map(|(value, _)| value)
    }

    /// The same, with the record that the value was read from.
    pub(crate) async fn call_with_record<T>(
        &self,
        cache: bool,
        stateful: bool,
        room: usize,
        build: impl Fn(&mut Compound, StateId),
        read: impl Fn(&mut Results<'_>) -> Found<T>,
    ) -> Answer<(T, Vec<u8>)> {
        loop {
            let live = self.current();
            match self.attempt(&live, cache, stateful, room, &build, &read).await? {
                Tried::Done(answer) => return answer,
                Tried::Later => self.wire.wait(LATER).await?,
                Tried::Anew => {}
                Tried::SessionOver => self.recover(&live).await?,
            }
        }
    }

    pub(super) async fn attempt<T>(
        &self,
        live: &Live,
        cache: bool,
        stateful: bool,
        room: usize,
        build: &impl Fn(&mut Compound, StateId),
        read: &impl Fn(&mut Results<'_>) -> Found<T>,
    ) -> Result<Tried<(T, Vec<u8>)>> {
        let mut slot = loop {
            if live.over.get() {
                return Ok(Tried::SessionOver);
            }
            match live.take() {
                Some(slot) => break slot,
                None => live.freed.wait().await,
            }
        };
        let state = match stateful {
            false => StateId::ANONYMOUS,
            true => match self.held_state() {
                Some(state) => state,
                None => {
                    slot.settled = true;
                    return Ok(Tried::Done(Err(Trouble::Status(Status::BAD_STATEID))));
                }
            },
        };
        let xid = self.wire.xid();
        let encode = || {
            let mut compound = Compound::start(xid, self.identity, self.minor.get(), room);
            compound.sequence(&live.id, slot.sequence, slot.number as u32, slot.highest as u32, cache);
            build(&mut compound, state);
            compound.finish()
        };
        loop {
            let answer = self.wire.exchange(xid, &encode).await?;
            let mut sequenced = false;
            let parsed = opened(&answer).map_err(Broken::Malformed).and_then(|results| match results {
                Err(refused) => Ok(Err(refused)),
                Ok(mut results) => {
                    let flags = results.sequenced(&live.id, slot.sequence, slot.number as u32)?;
                    self.flags.set(self.flags.get() | flags);
                    sequenced = true;
                    read(&mut results).map(Ok)
                }
            });
            match parsed {
                Ok(Ok(value)) => {
                    slot.advance();
                    return Ok(Tried::Done(Ok((value, answer))));
                }
                Ok(Err(refused)) => {
                    return Err(crate::v3::client::refusal(refused));
                }
                Err(Broken::Malformed(malformed)) => self.wire.distrust(malformed).await?,
                // The server says so of SEQUENCE, or of what follows it (RFC 8881, 2.10.6.1.3).
                Err(Broken::Status(Status::RETRY_UNCACHED_REP)) => {
                    slot.advance();
                    return Ok(Tried::Anew);
                }
                Err(Broken::Status(status)) if sequenced => {
                    slot.advance();
                    return Ok(if status.is_later() {
                        Tried::Later
                    } else {
                        Tried::Done(Err(Trouble::Status(status)))
                    });
                }
                // Not carried out, and not counted.
                Err(Broken::Status(status)) if status.is_later() => self.wire.wait(LATER).await?,
                // Some servers say of a client whose lease ran out what is said of its files.
                Err(Broken::Status(status)) if status.ends_the_session() || status.lost_the_file() => {
                    return Ok(Tried::SessionOver);
                }
                Err(Broken::Status(status)) => {
                    slot.settled = true;
                    return Err(status.error("the session with the server broke"));
                }
            }
        }
    }

    fn held_state(&self) -> Option<StateId> {
        let held = self.held.borrow();
        let held = held.as_ref()?;
        held.open?;
        held.lock.or(held.open)
    }

    /// One operation outside of a session, as to make one.
    pub(super) async fn bare<T>(
        &self,
        build: &impl Fn(&mut Compound),
        read: &impl Fn(&mut Results<'_>) -> Found<T>,
    ) -> Answer<T> {
        bare(&self.wire, self.identity, self.minor.get(), build, read).await
    }

    /// Makes another session in place of `gone`, if nobody has yet.
    pub(super) async fn recover(&self, gone: &Rc<Live>) -> Result<()> {
        let _alone = self.recovering.lock().await;
        let current = self.current();
        if !Rc::ptr_eq(&current, gone) {
            return Ok(());
        }
        gone.end();
        let live = self.establish(Some(gone)).await.map_err(|trouble| trouble.error("the server was away"))?;
        self.live.replace(Rc::new(live));
        Ok(())
    }
}

/// One operation outside of a session over any wire.
pub(super) async fn bare<T>(
    wire: &impl Wire,
    identity: Identity,
    minor: u32,
    build: &impl Fn(&mut Compound),
    read: &impl Fn(&mut Results<'_>) -> Found<T>,
) -> Answer<T> {
    loop {
        let xid = wire.xid();
        let encode = || {
            let mut compound = Compound::start(xid, identity, minor, 0);
            build(&mut compound);
            compound.finish()
        };
        let answer = wire.exchange(xid, &encode).await?;
        let parsed = opened(&answer).map_err(Broken::Malformed).and_then(|results| match results {
            Err(refused) => Ok(Err(refused)),
            Ok(mut results) => read(&mut results).map(Ok),
        });
        match parsed {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(refused)) => return Err(crate::v3::client::refusal(refused).into()),
            Err(Broken::Malformed(malformed)) => wire.distrust(malformed).await?,
            Err(Broken::Status(status)) if status.is_later() => wire.wait(LATER).await?,
            Err(Broken::Status(status)) => return Err(Trouble::Status(status)),
        }
    }
}

fn opened(answer: &[u8]) -> Decoded<std::result::Result<Results<'_>, Refused>> {
    match rpc::results(answer)? {
        Ok(results) => Results::open(results).map(Ok),
        Err(refused) => Ok(Err(refused)),
    }
}

/// The server does not speak 4.1.
pub(super) fn too_old() -> Error {
    Error::unsupported("the server does not speak NFS 4.1; version = \"3\" may do")
}
