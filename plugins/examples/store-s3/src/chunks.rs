//! Chunks, and the order in which they are changed. What is asked of one while it is being written waits, and then goes
//! with the next write of it, all together.
//!
//! ```text
//!   write ─▸ waiting ─┐
//!   write ─▸ waiting ─┴▸ read (if not known) ─▸ changed ─▸ PUT If-Match ─▸ answered, all of them
//!                                                             │ 412: what is there now is not ours: another host writes
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use fief_sdk::block::{Event, Events};
use fief_sdk::{Error, Result, timer};
use futures_channel::oneshot;
use plain_http::Client;

use crate::bucket::{Bucket, Put, Was};
use crate::describe;

/// Bytes of chunks that are kept for the next read or write of them.
const KEPT: usize = 8 << 20;
/// Milliseconds until an object is written to again that was being written to: by what this host sent before, and lost.
const BUSY: u32 = 200;

/// A change of one chunk.
pub(crate) enum Change {
    /// From that byte of the chunk on.
    Bytes(usize, Vec<u8>),
    /// All of it becomes zeroes.
    Nothing,
}

struct Waiting {
    change: Change,
    done: oneshot::Sender<Result<()>>,
}

/// A chunk as the server has it, for all that is known.
#[derive(Clone)]
struct Known {
    was: Was,
    /// None: absent.
    bytes: Option<Rc<Vec<u8>>>,
}

pub(crate) struct Chunks {
    bucket: Bucket<Client>,
    volume: String,
    /// Bytes of each.
    pub(crate) chunk: u32,
    /// Those that are being changed, with what waits.
    busy: RefCell<BTreeMap<u64, Vec<Waiting>>>,
    /// The last that were used, the newest at the end.
    known: RefCell<Vec<(u64, Known)>>,
    fenced: RefCell<Option<Error>>,
    events: Rc<Events>,
}

impl Chunks {
    pub(crate) fn new(bucket: Bucket<Client>, volume: &str, chunk: u32, events: Rc<Events>) -> Self {
        let volume = volume.to_owned();
        let (busy, known, fenced) = (RefCell::default(), RefCell::default(), RefCell::default());
        Chunks { bucket, volume, chunk, busy, known, fenced, events }
    }

    pub(crate) fn end(&self, why: Error) {
        self.bucket.server().end(why);
    }

    fn known(&self, number: u64) -> Option<Known> {
        self.known.borrow().iter().find(|(other, _)| *other == number).map(|(_, known)| known.clone())
    }

    /// What is known of it, no more known: what becomes of it is told by the server.
    fn take(&self, number: u64) -> Option<Known> {
        let mut all = self.known.borrow_mut();
        let place = all.iter().position(|(other, _)| *other == number)?;
        Some(all.remove(place).1)
    }

    fn keep(&self, number: u64, now: Known) {
        self.take(number);
        let mut all = self.known.borrow_mut();
        all.push((number, now));
        let most = (KEPT / self.chunk as usize).max(1);
        let past = all.len().saturating_sub(most);
        all.drain(..past);
    }

    /// Bytes of one chunk.
    pub(crate) async fn read(&self, number: u64, from: u64, length: u32) -> Result<Vec<u8>> {
        if let Some(Known { bytes, .. }) = self.known(number) {
            let from = from as usize;
            return Ok(match bytes {
                Some(bytes) => bytes[from..from + length as usize].to_vec(),
                None => vec![0; length as usize],
            });
        }
        let key = describe::chunk(&self.volume, number);
        let object = self.bucket.get(&key, Some((from, length)), length as usize).await?;
        Ok(object.map_or_else(|| vec![0; length as usize], |object| object.bytes))
    }

    /// Answered once the server has it.
    pub(crate) async fn change(self: &Rc<Self>, number: u64, change: Change) -> Result<()> {
        let (done, answered) = oneshot::channel();
        let idle = {
            let mut busy = self.busy.borrow_mut();
            let idle = !busy.contains_key(&number);
            busy.entry(number).or_default().push(Waiting { change, done });
            idle
        };
        if idle {
            // Beside this call, which is answered with its own change.
            fief_sdk::spawn(self.clone().work(number));
        }
        answered.await.unwrap_or_else(|_| Err(Error::io("a change of a chunk was forgotten")))
    }

    /// Until nothing waits for this chunk any more.
    async fn work(self: Rc<Self>, number: u64) {
        loop {
            let waiting = match self.busy.borrow_mut().get_mut(&number) {
                Some(queue) if !queue.is_empty() => std::mem::take(queue),
                _ => break,
            };
            let outcome = self.apply(number, &waiting).await;
            for Waiting { done, .. } in waiting {
                let _ = done.send(outcome.clone());
            }
        }
        self.busy.borrow_mut().remove(&number);
    }

    async fn apply(&self, number: u64, waiting: &[Waiting]) -> Result<()> {
        if let Some(error) = &*self.fenced.borrow() {
            return Err(error.clone());
        }
        let key = describe::chunk(&self.volume, number);
        let before = self.take(number);
        if let Some(Waiting { change: Change::Nothing, .. }) = waiting.last() {
            self.bucket.delete(&key).await?;
            self.keep(number, Known { was: Was::Absent, bytes: None });
            return Ok(());
        }
        let before = match before {
            Some(known) => known,
            None => self.fetch(&key).await?,
        };
        let mut bytes = match before.bytes {
            Some(bytes) => Rc::unwrap_or_clone(bytes),
            None => vec![0; self.chunk as usize],
        };
        for Waiting { change, .. } in waiting {
            match change {
                Change::Bytes(from, new) => bytes[*from..*from + new.len()].copy_from_slice(new),
                Change::Nothing => bytes.fill(0),
            }
        }
        let bytes = Rc::new(bytes);
        let etag = loop {
            match self.bucket.put(&key, bytes.clone(), &before.was).await? {
                Put::Done(etag) => break etag,
                Put::Busy => timer::wait(BUSY).await,
                Put::Differs => match self.fetch(&key).await? {
                    // Sent twice, since the answer to the first was lost.
                    Known { was: Was::Tagged(etag), bytes: Some(there) } if there == bytes => break Some(etag),
                    _ => return Err(self.fence(number)),
                },
            }
        };
        if let Some(etag) = etag {
            self.keep(number, Known { was: Was::Tagged(etag), bytes: Some(bytes) });
        }
        Ok(())
    }

    async fn fetch(&self, key: &str) -> Result<Known> {
        let Some(object) = self.bucket.get(key, None, self.chunk as usize).await? else {
            return Ok(Known { was: Was::Absent, bytes: None });
        };
        if object.bytes.len() != self.chunk as usize {
            return Err(Error::corrupt(format!(
                "object {key} has {} bytes, and {} are a chunk",
                object.bytes.len(),
                self.chunk
            )));
        }
        Ok(Known { was: object.etag.map_or(Was::Any, Was::Tagged), bytes: Some(Rc::new(object.bytes)) })
    }

    /// From now on nothing is written.
    fn fence(&self, number: u64) -> Error {
        let why = format!("another host has written to chunk {number} of volume {}", self.volume);
        self.events.tell(Event::Fenced(why.clone()));
        let error = Error::in_use("another host", why);
        self.fenced.borrow_mut().get_or_insert(error).clone()
    }
}
