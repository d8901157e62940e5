//! One session after another: each is proved to lead to the same unit, and the unit to be ours, before the guest's
//! commands go over it.
//!
//! ```text
//!   establish ─▸ Up ─(receive, until it breaks)─▸ Down ─▸ establish …
//!       │ not yet: degraded, a longer pause
//!       │ another unit: degraded, until the right one is back
//!       │ another holder: fenced, for ever
//! ```

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use fief_sdk::block::Event;
use fief_sdk::connections::Connection;
use fief_sdk::payload::Data;
use fief_sdk::{Error, ErrorCode, Result, spawn, timer};
use futures_util::future::{Either, select};
use futures_util::lock::Mutex;

use super::event::Events;
use super::link::{Link, Phase, Waiter};
use super::perform::is_fence;
use super::{Lacks, Shared, watch};
use crate::exchange::{Connect, Exchange};
use crate::fence::Key;
use crate::fence::acts::{Stood, release, stand};
use crate::protocol::Fault;
use crate::protocol::login::Refusal;
use crate::protocol::session::{Answer, Event as Protocol, Left, Session};
use crate::scsi::answer::news;
use crate::scsi::sense::Sense;
use crate::settings::IscsiPool;
use crate::stream::{CHUNK, Stream};
use crate::unit::{self, Unit};

/// For a login and all that is asked before the guest's commands, in milliseconds.
const DEADLINE: u32 = 15_000;
/// First and longest pause between two tries, in milliseconds.
const PAUSE: (u32, u32) = (100, 5_000);
/// Between two looks at whether a logout was answered, and how many there are.
const GOODBYE: (u32, u32) = (10, 50);

/// A session that may carry the guest's commands.
struct Found {
    connection: Connection,
    session: Session<Option<Waiter>>,
    unit: Unit,
    stood: Option<Stood>,
}

/// Why there is none.
enum Trouble {
    /// It may be there later.
    Later(Error),
    /// Another holds the unit.
    Fenced(Error),
    /// What is set up cannot work.
    Final(Error),
}

/// What is known of the unit from the session before.
#[derive(Clone, Copy)]
struct Before<'a> {
    unit: &'a Unit,
    changes: Option<u32>,
}

/// Whose session it is to be.
#[derive(Clone, Copy)]
struct Whose<'a> {
    pool: &'a IscsiPool,
    lun: [u8; 8],
    isid: [u8; 6],
    ours: Option<Key>,
}

async fn establish(whose: Whose<'_>, before: Option<Before<'_>>) -> Result<Found, Trouble> {
    let work = Box::pin(prove(whose, before));
    match select(work, Box::pin(timer::wait(DEADLINE))).await {
        Either::Left((outcome, _)) => outcome,
        // The stream goes with what used it.
        Either::Right(_) => Err(Trouble::Later(Error::timeout("the target does not answer the login"))),
    }
}

async fn prove(whose: Whose<'_>, before: Option<Before<'_>>) -> Result<Found, Trouble> {
    let Whose { pool, lun, isid, ours } = whose;
    let exchange = Exchange::<Connection, Waiter>::open(pool, isid).await.map_err(|refused| trouble(refused, pool))?;
    let asked = |error: Error| match error.code {
        ErrorCode::Unreachable | ErrorCode::Timeout => Trouble::Later(error),
        _ => Trouble::Final(error),
    };
    let unit = unit::identify(&exchange, lun).await.map_err(asked)?;
    if before.is_some_and(|before| !unit.is_still(before.unit)) {
        return Err(Trouble::Later(Error::wrong_state(format!("another unit is there now: {}", unit.describe()))));
    }
    let mut stood = None;
    if let Some(ours) = ours {
        let standing = stand(&exchange, lun, ours, before.and_then(|before| before.changes)).await;
        stood = standing.map_err(|error| if is_fence(&error) { Trouble::Fenced(error) } else { asked(error) })?;
    }
    // Last: a unit that is reserved tells it only to who is registered.
    let mode = match unit::mode(&exchange, lun).await {
        Err(error) if is_fence(&error) => unit.mode,
        mode => mode.map_err(asked)?,
    };
    let (connection, session) = exchange.into_parts();
    Ok(Found { connection, session, unit: Unit { mode, ..unit }, stood })
}

fn trouble(refused: Connect, pool: &IscsiPool) -> Trouble {
    let later = match &refused {
        Connect::Stream(error) => matches!(error.code, ErrorCode::Unreachable | ErrorCode::Timeout),
        Connect::Refused(refusal) => matches!(refusal, Refusal::Unavailable(_)),
        Connect::Settings(_) => false,
    };
    let error = refused.error(pool);
    if later { Trouble::Later(error) } else { Trouble::Final(error) }
}

/// Pauses that grow, each off by up to a quarter, so that hosts that lost a target do not all come back at once.
struct Pauses(u32);

impl Pauses {
    async fn pause(&mut self) {
        let mut byte = [128];
        // Without a random number the pause is just not random.
        let _ = getrandom::fill(&mut byte);
        timer::wait(self.0 / 4 * 3 + self.0 / 2 * u32::from(byte[0]) / 255).await;
        self.0 = (self.0 * 2).min(PAUSE.1);
    }
}

/// The first session, waited for as long as the target merely does not answer.
pub(super) async fn open(
    pool: IscsiPool,
    volume: String,
    lun: [u8; 8],
    isid: [u8; 6],
    ours: Option<Key>,
    read_only: bool,
) -> Result<Rc<Shared>> {
    let mut pauses = Pauses(PAUSE.0);
    let found = loop {
        match establish(Whose { pool: &pool, lun, isid, ours }, None).await {
            Ok(found) => break found,
            Err(Trouble::Later(error)) => {
                fief_sdk::warn!("waiting for the target", volume = volume, cause = error.message);
                pauses.pause().await;
            }
            Err(Trouble::Fenced(error) | Trouble::Final(error)) => return Err(error),
        }
    };
    fief_sdk::info!("a unit is open", volume = volume, unit = found.unit.describe());
    let link = Link::new(found.connection, found.session);
    let connection = link.connection.clone();
    let shared = Rc::new(Shared {
        pool,
        volume,
        lun,
        isid,
        ours,
        read_only,
        phase: RefCell::new(Phase::Up(link)),
        unit: RefCell::new(found.unit),
        events: Events::default(),
        changes: Cell::new(found.stood.map(|stood| stood.changes)),
        taken_here: found.stood.is_some_and(|stood| stood.taken),
        look_again: Cell::new(false),
        lost: RefCell::new(None),
        lacks: Cell::new(Lacks::default()),
        away: Cell::new(false),
        given_up: Cell::new(false),
        unknown: Cell::new(false),
        looking: Cell::new(false),
        secured: Cell::new(0),
        securing: Mutex::new(()),
        closing: Cell::new(false),
    });
    spawn(keep(shared.clone(), connection));
    spawn(watch::watch(shared.clone()));
    Ok(shared)
}

/// Serves session after session, until the volume is closed or fenced.
async fn keep(shared: Rc<Shared>, mut connection: Rc<Connection>) {
    loop {
        let cause = shared.receive(&connection).await;
        if !shared.go_down(&connection) {
            return;
        }
        fief_sdk::warn!("the session broke", volume = shared.volume, cause = cause);
        match shared.again(&cause).await {
            Some(next) => connection = next,
            None => return,
        }
    }
}

impl Shared {
    /// Hands over what comes, until nothing more does; says why.
    async fn receive(self: &Rc<Self>, connection: &Rc<Connection>) -> String {
        loop {
            let wanted = self.link_of(connection).map(|link| (link.session.passes(), link.session.wanted(CHUNK)));
            let Some((passes, (least, most))) = wanted else { return "the volume was closed".to_owned() };
            let came = match passes {
                Some(length) => connection.receive_payload(length).await.map(Data::Payload),
                None => Stream::receive(&**connection, least, most).await.map(Data::Bytes),
            };
            let came = match came {
                Ok(came) if came.len() == 0 => {
                    let left = self.link_of(connection).and_then(|link| link.left);
                    return left.unwrap_or("the target closed the connection").to_owned();
                }
                Ok(came) => came,
                Err(error) => return error.message,
            };
            let Some(mut link) = self.link_of(connection) else { return "the volume was closed".to_owned() };
            link.heard = true;
            let mut leave = None;
            let mut told = Vec::new();
            let fed = link.session.input(came, |event| match event {
                Protocol::Answered { who, command, answer } => {
                    if let Some(waiter) = who {
                        // Whoever gave up has no use for it.
                        let _ = waiter.send(Ok((command, answer)));
                    }
                }
                Protocol::Sense(sense) => told.extend(Sense::read(&sense)),
                Protocol::LogoutWanted => leave = Some("the target asked for it"),
                Protocol::LoggedOut => leave = Some("the target said goodbye"),
                Protocol::Pong | Protocol::Text(_) => {}
            });
            if let Err(fault) = fed {
                // A target that answers a command wrongly does so each time; a damaged wire is nobody's fault.
                if !matches!(fault, Fault::Digest(_) | Fault::Dropped { .. }) {
                    link.session.suspect();
                }
                return fault.to_string();
            }
            drop(link);
            if let Some(leave) = leave {
                return leave.to_owned();
            }
            for sense in told {
                let shared = self.clone();
                // A failure shows with the next command.
                spawn(async move { drop(shared.hear(news(sense)).await) });
            }
            self.send();
        }
    }

    /// Keeps what had no answer. False where there is no session to come.
    fn go_down(&self, connection: &Rc<Connection>) -> bool {
        connection.shut();
        if self.closing.get() {
            self.end(Error::wrong_state(format!("volume {} is closed", self.volume)));
            return false;
        }
        let mut phase = self.phase.borrow_mut();
        match std::mem::replace(&mut *phase, Phase::Down(VecDeque::new())) {
            Phase::Up(link) => {
                let left = link.session.unfinished().into_iter();
                let waits = |Left { who, command, suspect }| Some(Left { who: who?, command, suspect });
                *phase = Phase::Down(left.filter_map(waits).collect());
                true
            }
            before @ (Phase::Down(_) | Phase::Ended(_)) => {
                *phase = before;
                false
            }
        }
    }

    /// The next session, however long it takes; none where there is none to come.
    async fn again(self: &Rc<Self>, cause: &str) -> Option<Rc<Connection>> {
        let mut pauses = Pauses(PAUSE.0);
        loop {
            let unit = self.unit.borrow().clone();
            let before = Before { unit: &unit, changes: self.changes.get() };
            let whose = Whose { pool: &self.pool, lun: self.lun, isid: self.isid, ours: self.ours };
            let why = match establish(whose, Some(before)).await {
                Ok(found) => return self.go_up(found),
                Err(Trouble::Fenced(error)) => {
                    self.fence(error);
                    return None;
                }
                // A target that is being started may not know its own names and users yet.
                Err(Trouble::Later(error) | Trouble::Final(error)) => error.message,
            };
            self.degrade(&format!("{why} (the session had ended: {cause})"));
            pauses.pause().await;
            if self.closing.get() || matches!(*self.phase.borrow(), Phase::Ended(_)) {
                self.end(Error::wrong_state(format!("volume {} is closed", self.volume)));
                return None;
            }
        }
    }

    fn go_up(self: &Rc<Self>, found: Found) -> Option<Rc<Connection>> {
        let mut link = Link::new(found.connection, found.session);
        let connection = link.connection.clone();
        let mut phase = self.phase.borrow_mut();
        match std::mem::replace(&mut *phase, Phase::Down(VecDeque::new())) {
            Phase::Down(waiting) => {
                for Left { who, command, suspect } in waiting {
                    match suspect {
                        // Whoever gave up has no use for it.
                        true => drop(who.send(Ok((command, Answer::hung())))),
                        false => link.session.submit(Some(who), command),
                    }
                }
                *phase = Phase::Up(link);
            }
            before @ (Phase::Up(_) | Phase::Ended(_)) => {
                *phase = before;
                return None;
            }
        }
        drop(phase);
        self.changes.set(found.stood.map(|stood| stood.changes));
        self.learn(found.unit);
        self.unknown.set(false);
        fief_sdk::info!("a new session", volume = self.volume);
        self.ready();
        self.send();
        Some(connection)
    }

    /// What the unit says of itself now.
    pub(super) fn learn(&self, unit: Unit) {
        let before = self.unit.replace(unit);
        let now = self.unit.borrow().capacity.bytes();
        if now != before.capacity.bytes() {
            self.events.tell(Event::Resized(now));
        }
    }

    /// Says goodbye to the target, and ends.
    pub(super) async fn close(self: &Rc<Self>) {
        if let (Some(ours), true) = (self.ours, self.taken_here) {
            // Where it fails, the unit stays held, and the operator sees by whom.
            if let Err(error) = release(self, self.lun, ours).await {
                fief_sdk::warn!("the unit is still held", volume = self.volume, cause = error.message);
            }
        }
        self.closing.set(true);
        if let Phase::Up(link) = &mut *self.phase.borrow_mut() {
            link.session.logout();
        }
        self.send();
        for _ in 0..GOODBYE.1 {
            if !matches!(*self.phase.borrow(), Phase::Up(_)) {
                break;
            }
            timer::wait(GOODBYE.0).await;
        }
        self.end(Error::wrong_state(format!("volume {} is closed", self.volume)));
    }
}
