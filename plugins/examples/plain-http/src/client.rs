//! Many requests at a time, for a volume that is served. A stream has one request at a time and is kept for the next; where it
//! is lost, the request goes out again over another, until it has an answer: whoever asks sees to it that twice is the same.
//!
//! ```text
//!   ask ─▸ a turn ─▸ a stream: kept, or connected ─▸ exchange ─▸ answer
//!                         ▴                             │ lost, no HTTP, 429, 5xx
//!                         └────── pause, longer each time ◂──┘        told as degraded
//! ```

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use fief_sdk::block::Events;
use fief_sdk::connections::Connection;
use fief_sdk::{Error, ErrorCode, Result, timer};
use futures_channel::oneshot;

use crate::answer::Answer;
use crate::exchange::{Ask, exchange};
use crate::request::Request;

/// The part of [`Events`] that this speaks of.
pub const ANSWERS: &str = "answers";

/// First and longest pause before another try, in milliseconds.
const PAUSE: (u32, u32) = (100, 5_000);
/// Seconds without an answer after which the storage is said to be degraded.
const SLOW: u64 = 5;
/// Seconds without an answer after which a stream is given up, and its request sent over another.
const SILENT: u64 = 30;

/// Waits for a server however long it is away.
#[derive(Clone)]
pub struct Client(Rc<Inner>);

struct Inner {
    grant: &'static str,
    kept: RefCell<Vec<Rc<Connection>>>,
    busy: RefCell<Vec<Busy>>,
    /// Turns that nobody has.
    turns: Cell<usize>,
    waiting: RefCell<VecDeque<oneshot::Sender<()>>>,
    /// Since this was made.
    seconds: Cell<u64>,
    end: RefCell<Option<Error>>,
    events: Rc<Events>,
}

struct Busy {
    since: u64,
    stream: Rc<Connection>,
}

/// The answer, whatever its status, but for those that ask to come again (429, 500, 502, 503, 504): then it does.
///
/// Its errors are final: `denied` where the connection is not granted (any more), or what [`end`](Client::end) said.
impl Ask for Client {
    async fn ask(&self, request: &Request, most: usize) -> Result<Answer> {
        self.turn().await?;
        let answered = self.until_answered(request, most).await;
        self.pass_on();
        answered
    }
}

impl Client {
    /// Up to `streams` at a time to what the grant stands for.
    pub fn new(grant: &'static str, streams: usize, events: Rc<Events>) -> Self {
        let client = Client(Rc::new(Inner {
            grant,
            kept: RefCell::default(),
            busy: RefCell::default(),
            turns: Cell::new(streams.max(1)),
            waiting: RefCell::default(),
            seconds: Cell::default(),
            end: RefCell::default(),
            events,
        }));
        fief_sdk::spawn(client.clone().watch());
        client
    }

    /// Every request that waits, and every later one, fails with this.
    pub fn end(&self, why: Error) {
        let inner = &self.0;
        inner.end.borrow_mut().get_or_insert(why);
        inner.busy.borrow().iter().for_each(|busy| busy.stream.shut());
        inner.kept.borrow_mut().clear();
        inner.waiting.borrow_mut().clear();
    }

    async fn until_answered(&self, request: &Request, most: usize) -> Result<Answer> {
        let mut pause = PAUSE.0;
        loop {
            self.ended()?;
            let kept = self.0.kept.borrow_mut().pop();
            let was_kept = kept.is_some();
            let why = match self.over(kept, request, most).await {
                Ok(answer) if matches!(answer.status, 429 | 500 | 502 | 503 | 504) => answer.says(),
                Ok(answer) => {
                    self.0.events.restored(ANSWERS);
                    return Ok(answer);
                }
                // A server ends streams that nobody uses, when it likes.
                Err(error) if was_kept && error.code == ErrorCode::Unreachable => {
                    self.0.kept.borrow_mut().clear();
                    continue;
                }
                Err(error) if error.code == ErrorCode::Denied => return Err(error),
                Err(error) => error.message,
            };
            self.ended()?;
            self.0.events.degraded(ANSWERS, why);
            timer::wait(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn over(&self, kept: Option<Rc<Connection>>, request: &Request, most: usize) -> Result<Answer> {
        let inner = &self.0;
        let stream = match kept {
            Some(kept) => kept,
            None => Rc::new(Connection::connect(inner.grant).await?),
        };
        inner.busy.borrow_mut().push(Busy { since: inner.seconds.get(), stream: stream.clone() });
        let answered = exchange(&*stream, request, most).await;
        inner.busy.borrow_mut().retain(|busy| !Rc::ptr_eq(&busy.stream, &stream));
        let (answer, stays) = answered?;
        if stays && self.ended().is_ok() {
            inner.kept.borrow_mut().push(stream);
        }
        Ok(answer)
    }

    fn ended(&self) -> Result<()> {
        self.0.end.borrow().clone().map_or(Ok(()), Err)
    }

    async fn turn(&self) -> Result<()> {
        self.ended()?;
        let turns = &self.0.turns;
        if turns.get() > 0 {
            turns.set(turns.get() - 1);
            return Ok(());
        }
        let (sender, receiver) = oneshot::channel();
        self.0.waiting.borrow_mut().push_back(sender);
        // Its turn was passed on to it, or the end has come.
        let _ = receiver.await;
        self.ended()
    }

    fn pass_on(&self) {
        while let Some(next) = self.0.waiting.borrow_mut().pop_front() {
            if next.send(()).is_ok() {
                return;
            }
        }
        self.0.turns.set(self.0.turns.get() + 1);
    }

    /// Notices what does not answer.
    async fn watch(self) {
        let inner = &self.0;
        while self.ended().is_ok() {
            timer::wait(1_000).await;
            inner.seconds.set(inner.seconds.get() + 1);
            for busy in &*inner.busy.borrow() {
                let silent = inner.seconds.get() - busy.since;
                if silent >= SLOW {
                    inner.events.degraded(ANSWERS, "the server does not answer");
                }
                if silent >= SILENT {
                    busy.stream.shut();
                }
            }
        }
    }
}
