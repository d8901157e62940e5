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

use super::events::{Bell, Events};
use super::fresh::Fresh;
use super::{AT_ONCE, Wire, random};
use crate::rpc::xid;
use crate::xdr::Malformed;

/// First and longest pause before a stream is connected again, in milliseconds.
const PAUSE: (u32, u32) = (100, 5_000);
/// Seconds without an answer after which the storage is said to be degraded.
const SLOW: u64 = 5;
/// Seconds of silence after which a stream is given up and its calls are sent over another. A server that is merely
/// frozen answers over the old one.
const SILENT: u64 = 60;

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
    greeting: RefCell<Option<Greeting>>,
    events: Rc<Events>,
}

#[derive(Default)]
struct Link {
    /// Connected, and not yet greeted.
    fresh: RefCell<Option<Rc<Fresh>>>,
    up: RefCell<Option<Rc<Fresh>>>,
    /// Few: found by looking at each.
    waiting: RefCell<Vec<Waiting>>,
    /// When something last came, or was connected.
    heard: Cell<u64>,
}

struct Waiting {
    number: u32,
    answer: oneshot::Sender<Vec<u8>>,
    since: u64,
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
                    pause = PAUSE.0;
                    link.up.replace(Some(stream.clone()));
                    inner.changed.ring();
                    if !std::mem::take(&mut first) {
                        inner.reconnected.ring();
                    }
                    let why = self.read(link, &stream).await;
                    stream.stream.shut();
                    link.up.take();
                    link.waiting.borrow_mut().clear();
                    if self.ended().is_none() {
                        fief_sdk::info!("the connection to the NFS server is lost", cause = why);
                    }
                }
                Err(error) => {
                    link.fresh.take();
                    if !matches!(error.code, ErrorCode::Unreachable | ErrorCode::Timeout | ErrorCode::Io) {
                        self.end(error);
                        return;
                    }
                    if inner.links.iter().all(|link| link.up.borrow().is_none()) {
                        inner.events.degraded(format!("the NFS server cannot be reached: {}", error.message));
                    }
                    timer::wait(jittered(pause)).await;
                    pause = (pause * 2).min(PAUSE.1);
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
            match stream.stream.receive(AT_ONCE).await {
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
            let mut slow = false;
            for link in &inner.links {
                let silent = self.seconds() - link.heard.get();
                let oldest = link.waiting.borrow().iter().map(|waiting| self.seconds() - waiting.since).max();
                slow |= oldest.is_some_and(|age| age >= SLOW);
                let greeted_for_long = link.fresh.borrow().is_some() && silent >= SLOW;
                if greeted_for_long || silent >= SILENT && oldest.is_some_and(|age| age >= SILENT) {
                    link.shut();
                }
            }
            if slow {
                inner.events.degraded("the NFS server does not answer");
            } else if inner.links.iter().any(|link| link.up.borrow().is_some()) {
                inner.events.restored();
            }
        }
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
        loop {
            if let Some(end) = self.ended() {
                return Err(end);
            }
            let Some((link, stream)) = self.least_busy() else {
                self.0.changed.wait().await;
                continue;
            };
            let (answer, receiver) = oneshot::channel();
            link.waiting.borrow_mut().push(Waiting { number, answer, since: self.seconds() });
            if stream.stream.send(encode()).await.is_err() {
                stream.stream.shut();
            }
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
        self.0.events.degraded(why.to_string());
        self.0.links.iter().for_each(Link::shut);
        self.wait(1_000).await
    }
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
