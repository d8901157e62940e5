//! Several streams with many calls on each, for a volume that is served. A task for each stream connects it, reads its
//! answers and hands each to the call that waits for it; where a stream is lost, its calls go out again over another.
//!
//! ```text
//!   connect ──▸ greet ──▸ up: calls go out, answers come in ──▸ lost ──▸ pause, longer each time ──▸ connect
//! ```

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fief_sdk::connections::Connection;
use fief_sdk::{Error, ErrorCode, Result, timer};
use futures_channel::oneshot;
use futures_util::future::LocalBoxFuture;

use super::events::{Bell, Events, In};
use super::fresh::Fresh;
use super::{Wire, random};
use crate::rpc::xid;
use crate::xdr::Malformed;

/// First and longest pause before a stream is connected again, in milliseconds.
const PAUSE: (u32, u32) = (100, 5_000);
/// The pause, in milliseconds, past which a stream has been lost often.
const OFTEN: u32 = 400;
/// Seconds without an answer after which the storage is said to be degraded.
const SLOW: u64 = 5;
/// Seconds after which a stream on which a call has no answer is given up, and its calls are sent over another, whatever
/// else came over it. A server that is merely frozen answers over the old one.
const SILENT: u64 = 60;
/// Seconds after which a call that was put off is answered, or was put off again.
const PUT_OFF: u64 = 10;
/// Seconds that a stream lasts where it is worth having again at once: one that is lost sooner is so again.
const WORTH: u64 = 2;

/// Finds out whether the right server is at the other end. `unreachable` and `timeout`: another try; every other error
/// is final.
pub(crate) type Greeting = Rc<dyn Fn(Rc<Fresh>) -> LocalBoxFuture<'static, Result<()>>>;

#[derive(Clone)]
pub(crate) struct Many(Rc<Inner>);

struct Inner {
    grant: &'static str,
    links: Vec<Link>,
    next: Cell<u32>,
    /// Since this was made.
    seconds: Cell<u64>,
    end: RefCell<Option<Error>>,
    /// A stream is up, or the end has come.
    changed: Bell,
    /// Rings after each reconnect.
    reconnected: Bell,
    /// When a call was last put off, its answer having been none.
    put_off: Cell<Option<u64>>,
    greeting: RefCell<Option<Greeting>>,
    events: Rc<Events>,
}

#[derive(Default)]
struct Link {
    /// Connected, and not yet greeted.
    fresh: RefCell<Option<Rc<Fresh>>>,
    up: RefCell<Option<Rc<Fresh>>>,
    /// When it came up.
    since: Cell<u64>,
    /// Few: found by looking at each.
    waiting: RefCell<Vec<Waiting>>,
    /// When something last came, or was connected.
    heard: Cell<u64>,
}

struct Waiting {
    number: u32,
    answer: oneshot::Sender<Vec<u8>>,
    /// It was made, and went out over this stream.
    since: u64,
    sent: u64,
}

impl Many {
    /// Starts with one stream; [`Many::widen`] connects the others.
    pub(crate) fn open(grant: &'static str, streams: usize, events: Rc<Events>) -> Self {
        let many = Many(Rc::new(Inner {
            grant,
            links: (0..streams.max(1)).map(|_| Link::default()).collect(),
            next: Cell::new((random() >> 32) as u32),
            seconds: Cell::new(0),
            end: RefCell::default(),
            changed: Bell::default(),
            reconnected: Bell::default(),
            put_off: Cell::default(),
            greeting: RefCell::default(),
            events,
        }));
        fief_sdk::spawn(many.clone().serve(0));
        fief_sdk::spawn(many.clone().watch());
        many
    }

    /// From now on every new stream is greeted; connects those that are not yet.
    pub(crate) fn widen(&self, greeting: Greeting) {
        self.0.greeting.replace(Some(greeting));
        for link in 1..self.0.links.len() {
            fief_sdk::spawn(self.clone().serve(link));
        }
    }

    /// Every call that waits, and every later one, fails with this. The first reason stays.
    pub(crate) fn end(&self, why: Error) {
        self.0.end.borrow_mut().get_or_insert(why);
        for link in &self.0.links {
            link.shut();
            link.waiting.borrow_mut().clear();
        }
        self.0.changed.ring();
        self.0.reconnected.ring();
    }

    pub(crate) fn ended(&self) -> Option<Error> {
        self.0.end.borrow().clone()
    }

    /// Until a stream has been connected anew, or the end.
    pub(crate) async fn reconnected(&self) {
        self.0.reconnected.wait().await;
    }

    pub(crate) fn seconds(&self) -> u64 {
        self.0.seconds.get()
    }

    async fn serve(self, number: usize) {
        let inner = &self.0;
        let Some(link) = inner.links.get(number) else { return };
        let mut pause = PAUSE.0;
        let mut first = true;
        while self.ended().is_none() {
            match self.connect(link).await {
                Ok(stream) => {
                    link.since.set(self.seconds());
                    link.up.replace(Some(stream.clone()));
                    inner.changed.ring();
                    if !std::mem::take(&mut first) {
                        inner.reconnected.ring();
                    }
                    let why = self.read(link, &stream).await;
                    stream.stream.shut();
                    link.up.take();
                    link.waiting.borrow_mut().clear();
                    if self.ended().is_some() {
                        return;
                    }
                    fief_sdk::info!("the connection to the NFS server is lost", cause = &why);
                    match self.seconds() - link.since.get() >= WORTH {
                        true => pause = PAUSE.0,
                        false => {
                            // Again and again, and no other is there that lasts.
                            if pause > OFTEN && !self.lasts() {
                                self.put_off(format!("the connection to the NFS server is lost: {why}"));
                            }
                            rest(&mut pause).await;
                        }
                    }
                }
                Err(error) => {
                    link.fresh.take();
                    if !matches!(error.code, ErrorCode::Unreachable | ErrorCode::Timeout | ErrorCode::Io) {
                        self.end(error);
                        return;
                    }
                    if inner.links.iter().all(|link| link.up.borrow().is_none()) {
                        inner
                            .events
                            .degraded(In::Answers, format!("the NFS server cannot be reached: {}", error.message));
                    }
                    rest(&mut pause).await;
                }
            }
        }
    }

    async fn connect(&self, link: &Link) -> Result<Rc<Fresh>> {
        let stream = Rc::new(Fresh::new(Connection::connect(self.0.grant).await?));
        link.heard.set(self.seconds());
        let greeting = self.0.greeting.borrow().clone();
        if let Some(greet) = greeting {
            link.fresh.replace(Some(stream.clone()));
            greet(stream.clone()).await?;
            link.fresh.take();
        }
        Ok(stream)
    }

    /// Reads until the stream ends, and says why it did.
    async fn read(&self, link: &Link, stream: &Fresh) -> String {
        loop {
            loop {
                let next = stream.records.borrow_mut().take();
                match next {
                    Ok(Some(record)) => {
                        let Ok(number) = xid(&record) else { return "it sent an empty record".into() };
                        // A call that was given up may still be answered.
                        if let Some(waiting) = link.no_longer_waits(number) {
                            let _ = waiting.answer.send(record);
                        }
                    }
                    Ok(None) => break,
                    Err(malformed) => return malformed.to_string(),
                }
            }
            match stream.receive().await {
                Ok(bytes) if bytes.is_empty() => return "it was closed".into(),
                Ok(bytes) => {
                    link.heard.set(self.seconds());
                    stream.records.borrow_mut().give(bytes);
                }
                Err(error) => return error.message,
            }
        }
    }

    /// Notices what does not answer.
    async fn watch(self) {
        let inner = &self.0;
        while self.ended().is_none() {
            timer::wait(1_000).await;
            inner.seconds.set(self.seconds() + 1);
            let ago = |when: u64| self.seconds() - when;
            let mut slow = inner.put_off.get().is_some_and(|when| ago(when) < PUT_OFF);
            for link in &inner.links {
                let waiting = link.waiting.borrow();
                slow |= waiting.iter().any(|waiting| ago(waiting.since) >= SLOW);
                let unanswered = waiting.iter().any(|waiting| ago(waiting.sent) >= SILENT);
                drop(waiting);
                let greeted_for_long = link.fresh.borrow().is_some() && ago(link.heard.get()) >= SLOW;
                if greeted_for_long || unanswered {
                    link.shut();
                }
            }
            if slow {
                inner.events.degraded(In::Answers, "the NFS server does not answer");
            } else if self.lasts() {
                inner.events.restored(In::Answers);
            }
        }
    }

    /// Whether a stream is up that is worth having.
    fn lasts(&self) -> bool {
        let lasts = |link: &Link| link.up.borrow().is_some() && self.seconds() - link.since.get() >= WORTH;
        self.0.links.iter().any(lasts)
    }

    /// A call waits, as what it was given is no answer.
    fn put_off(&self, why: impl Into<String>) {
        self.0.put_off.set(Some(self.seconds()));
        self.0.events.degraded(In::Answers, why);
    }

    /// The stream with the fewest calls on it: one call at a time stays on one.
    fn least_busy(&self) -> Option<(&Link, Rc<Fresh>)> {
        let up = self.0.links.iter().filter_map(|link| Some((link, link.up.borrow().clone()?)));
        up.min_by_key(|(link, _)| link.waiting.borrow().len())
    }
}

impl Link {
    fn no_longer_waits(&self, number: u32) -> Option<Waiting> {
        let mut waiting = self.waiting.borrow_mut();
        let place = waiting.iter().position(|waiting| waiting.number == number)?;
        Some(waiting.swap_remove(place))
    }

    fn shut(&self) {
        for stream in self.up.borrow().iter().chain(self.fresh.borrow().iter()) {
            stream.stream.shut();
        }
    }
}

impl Wire for Many {
    fn xid(&self) -> u32 {
        self.0.next.set(self.0.next.get().wrapping_add(1));
        self.0.next.get()
    }

    async fn exchange(&self, number: u32, encode: &dyn Fn() -> Vec<u8>) -> Result<Vec<u8>> {
        let since = self.seconds();
        loop {
            if let Some(end) = self.ended() {
                return Err(end);
            }
            let Some((link, stream)) = self.least_busy() else {
                self.0.changed.wait().await;
                continue;
            };
            let (answer, receiver) = oneshot::channel();
            link.waiting.borrow_mut().push(Waiting { number, answer, since, sent: self.seconds() });
            stream.post(encode());
            if let Ok(record) = receiver.await {
                return Ok(record);
            }
        }
    }

    async fn wait(&self, milliseconds: u32) -> Result<()> {
        timer::wait(jittered(milliseconds)).await;
        match self.ended() {
            Some(end) => Err(end),
            None => Ok(()),
        }
    }

    async fn distrust(&self, why: Malformed) -> Result<()> {
        self.put_off(why.to_string());
        self.0.links.iter().for_each(Link::shut);
        self.wait(1_000).await
    }
}

/// A pause, and the next one is longer.
async fn rest(pause: &mut u32) {
    timer::wait(jittered(*pause)).await;
    *pause = (*pause * 2).min(PAUSE.1);
}

/// Three quarters to five quarters of it, so that many clients of one server do not come all at once.
fn jittered(milliseconds: u32) -> u32 {
    milliseconds / 4 * 3 + (random() % u64::from(milliseconds / 2 + 1)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_differ_but_not_by_much() {
        assert!((0..100).map(|_| jittered(1000)).all(|pause| (750..=1251).contains(&pause)));
    }
}
