//! A session and its stream, one command at a time: control calls, and what a served volume asks before its guest may.

use std::cell::RefCell;

use fief_sdk::payload::Data;
use fief_sdk::{Error, Result};

use crate::protocol::discovery::{self, Offered};
use crate::protocol::login::{Dialogue, Progress, Refusal, Wanted};
use crate::protocol::session::{Answer, Command, Event, Session};
use crate::scsi::answer::{Verdict, verdict};
use crate::settings::{IscsiPool, portal, wanted};
use crate::stream::{CHUNK, Stream};

/// How often a command is sent again that was not carried out. A unit has a few things to say after a login.
const TRIES: u32 = 40;
/// Between two tries of a unit that is busy or not ready, in milliseconds.
const PAUSE: u32 = 100;
/// How often a command may be given up before it is an error: what it names may hang for ever.
pub const MOST_HUNG: u32 = 3;

/// Carries out commands one at a time.
#[allow(async_fn_in_trait)]
pub trait Carrier {
    /// Once; gives the command back, to be sent again if need be.
    async fn once(&self, command: Command) -> Result<(Command, Answer)>;
    async fn pause(&self, milliseconds: u32);

    /// Up to an answer; gives the data that came back. `what` begins an error: `cannot read the capacity`.
    ///
    /// # Errors
    /// `in-use`: another's reservation is in the way. `unsupported`: the unit has no such command, or not in this form.
    async fn carry(&self, mut command: Command, what: &str) -> Result<Vec<u8>> {
        let mut last = None;
        let mut hung = 0;
        for _ in 0..TRIES {
            let (back, answer) = self.once(command).await?;
            command = back;
            match verdict(&answer, what) {
                Verdict::Done => return Ok(answer.data.into_bytes()),
                Verdict::Again(_) => {}
                Verdict::Busy => self.pause(PAUSE).await,
                Verdict::NotReady(sense) => {
                    last = Some(sense);
                    self.pause(PAUSE).await;
                }
                Verdict::Hung if hung + 1 == MOST_HUNG => return Err(given_up(what)),
                Verdict::Hung => hung += 1,
                Verdict::Fenced => return Err(reserved(what)),
                Verdict::Failed(error) => return Err(error),
            }
        }
        Err(Error::unreachable(match last {
            Some(sense) => format!("{what}: the unit is not ready ({sense})"),
            None => format!("{what}: the unit has too much to do"),
        }))
    }
}

/// A conflict with a reservation.
pub fn reserved(what: &str) -> Error {
    Error::in_use("another initiator", format!("{what}: another initiator reserved the unit"))
}

/// A command that had no answer, again and again.
pub fn given_up(what: &str) -> Error {
    Error::timeout(format!("{what}: the target takes the command and never answers it"))
}

/// `W` is who waits for commands of the session once it is given away ([`Exchange::into_parts`]).
pub struct Exchange<S, W> {
    stream: S,
    session: RefCell<Session<Option<W>>>,
}

impl<S: Stream, W> Exchange<S, W> {
    /// Connects and logs in.
    ///
    /// # Errors
    /// As [`Connect`] says.
    pub async fn open(pool: &IscsiPool, isid: [u8; 6]) -> Result<Self, Connect> {
        let wanted = wanted(pool, isid).map_err(Connect::Settings)?;
        match Self::log_in(wanted.clone()).await {
            // A target may send an initiator on within its own portal; anywhere else is not ours to go.
            Err(Connect::Refused(Refusal::Moved { to, .. })) if is_here(&to, &portal(&pool.settings)) => {
                Self::log_in(wanted).await
            }
            outcome => outcome,
        }
    }

    async fn log_in(wanted: Wanted) -> Result<Self, Connect> {
        let stream = S::connect().await.map_err(Connect::Stream)?;
        let (mut dialogue, request) = Dialogue::start(wanted);
        stream.send(request).await.map_err(Connect::Stream)?;
        loop {
            let bytes = stream.receive(1, CHUNK).await.map_err(Connect::Stream)?;
            if bytes.is_empty() {
                return Err(Connect::Stream(Error::unreachable("the portal closed the connection during the login")));
            }
            match dialogue.input(&bytes).map_err(Connect::Refused)? {
                Progress::Wait => {}
                Progress::Send(request) => stream.send(request).await.map_err(Connect::Stream)?,
                Progress::Done { agreed, sequence, rest } => {
                    let mut session = Session::new(agreed, sequence);
                    let fed = session.input(Data::Bytes(rest), |_| {});
                    fed.map_err(|fault| Connect::Refused(Refusal::Broken(fault.to_string())))?;
                    return Ok(Exchange { stream, session: RefCell::new(session) });
                }
            }
        }
    }

    /// The stream, and the session with nothing in flight.
    pub fn into_parts(self) -> (S, Session<Option<W>>) {
        (self.stream, self.session.into_inner())
    }

    /// Sends what is to be sent, and receives until `wanted` finds what it waits for.
    async fn until<T>(&self, mut wanted: impl FnMut(Event<Option<W>>) -> Option<T>) -> Result<T> {
        loop {
            loop {
                let output = self.session.borrow_mut().output();
                if output.is_empty() {
                    break;
                }
                self.stream.send(output).await?;
            }
            let (least, most) = self.session.borrow().wanted(CHUNK);
            let bytes = self.stream.receive(least, most).await?;
            if bytes.is_empty() {
                return Err(Error::unreachable("the target closed the connection"));
            }
            let mut found = None;
            let mut session = self.session.borrow_mut();
            let fed = session.input(Data::Bytes(bytes), |event| found = found.take().or_else(|| wanted(event)));
            fed.map_err(|fault| Error::unreachable(fault.to_string()))?;
            if let Some(found) = found {
                return Ok(found);
            }
        }
    }

    /// Says goodbye. A target that does not answer is left all the same.
    pub async fn close(self) {
        self.session.borrow_mut().logout();
        let goodbye = self.until(|event| match event {
            Event::LoggedOut => Some(()),
            Event::Answered { .. } | Event::Pong | Event::Sense(_) | Event::LogoutWanted | Event::Text(_) => None,
        });
        let _ = goodbye.await;
    }
}

impl<S: Stream, W> Carrier for Exchange<S, W> {
    async fn once(&self, command: Command) -> Result<(Command, Answer)> {
        self.session.borrow_mut().submit(None, command);
        self.until(|event| match event {
            Event::Answered { command, answer, .. } => Some((command, answer)),
            Event::Pong | Event::Sense(_) | Event::LogoutWanted | Event::LoggedOut | Event::Text(_) => None,
        })
        .await
    }

    async fn pause(&self, milliseconds: u32) {
        S::pause(milliseconds).await;
    }
}

/// What a portal offers, in a discovery session of its own (RFC 7143, section 4.3).
///
/// # Errors
/// As [`Exchange::open`], and the portal's end.
pub async fn discover<S: Stream>(pool: &IscsiPool, isid: [u8; 6]) -> Result<Vec<Offered>> {
    let wanted = Wanted { target: None, ..wanted(pool, isid)? };
    let exchange = Exchange::<S, ()>::log_in(wanted).await.map_err(|refused| refused.error(pool))?;
    exchange.session.borrow_mut().ask(discovery::QUESTION);
    let pairs = exchange
        .until(|event| match event {
            Event::Text(pairs) => Some(pairs),
            Event::Answered { .. } | Event::Pong | Event::Sense(_) | Event::LogoutWanted | Event::LoggedOut => None,
        })
        .await?;
    exchange.close().await;
    Ok(discovery::offered(&pairs))
}

/// Whether a redirection (`HOST:PORT,GROUP`) leads to where we are.
fn is_here(to: &str, portal: &str) -> bool {
    to.split(',').next() == Some(portal)
}

/// Why there is no session.
#[derive(Debug)]
pub enum Connect {
    /// What is set up is wrong; no connection was made.
    Settings(Error),
    /// The portal is not reached.
    Stream(Error),
    Refused(Refusal),
}

impl Connect {
    /// In words for the operator, with what to do.
    pub fn error(self, pool: &IscsiPool) -> Error {
        let target = &pool.settings.target;
        match self {
            Connect::Settings(error) => error,
            Connect::Stream(error) => error.while_doing(format!("cannot reach the portal of target {target}")),
            Connect::Refused(refusal) => {
                let doing = format!("cannot log in to target {target}");
                match refusal {
                    Refusal::Authentication(why) => Error::denied(format!("{doing}: {why}")),
                    Refusal::Forbidden => Error::denied(format!(
                        "{doing}: it does not let {} in; allow this initiator on the target, or set initiator-name",
                        crate::settings::initiator(pool)
                    )),
                    Refusal::NoSuchTarget => Error::not_found(format!("{doing}: the portal has no such target")),
                    Refusal::Moved { to, for_good } => {
                        let how_long = if for_good { "for good" } else { "for now" };
                        Error::wrong_state(format!(
                            "{doing}: it has moved {how_long} to {to}; set portal and port to that, it is not followed by itself"
                        ))
                    }
                    Refusal::Unavailable(why) => Error::unreachable(format!("{doing}: {why}")),
                    Refusal::Incompatible(why) => Error::unsupported(format!("{doing}: {why}")),
                    Refusal::Broken(why) => Error::io(format!("{doing}: {why}")),
                }
            }
        }
    }
}
