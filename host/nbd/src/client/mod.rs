//! The other half of the protocol: a client of whatever serves a disk, ours or QEMU's.
//!
//! ```text
//!   Client::read …  ─▸ queue ─▸ writer ──▸ the server ──▸ replies ─▸ whoever waits for that cookie
//! ```
//! Many requests are under way at a time. Structured replies are asked for and have to be there. What serves a disk may be a
//! sandbox with somebody's plugin in it, so nothing that it says is believed: a reply that does not fit its request ends the
//! connection.

mod handshake;
mod replies;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::wire::{MOST_PAYLOAD, REQUEST, command, flag, transmission};
use crate::{Error, Kind};
use handshake::Agreed;
use replies::{Answer, Expected};

/// Requests that wait to be written.
const QUEUE: usize = 16;
/// Most bytes that one request for zeroes, or for what is allocated, is about: lengths have 32 bits.
const MOST_SPAN: u64 = 1 << 30;

/// Requests that were said and not answered; or why there will be no answer.
type Waiting = Arc<Mutex<Result<BTreeMap<u64, Expected>, Error>>>;

/// A stretch of a disk, in bytes, and what a metadata context says of it (proto.md, "Metadata querying").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub length: u64,
    pub flags: u32,
}

impl Stretch {
    /// Of `base:allocation`: it reads as zeroes.
    pub fn reads_zero(&self) -> bool {
        self.flags & crate::wire::STATE_ZERO != 0
    }

    /// Of a `qemu:dirty-bitmap:` context: it was written.
    pub fn is_dirty(&self) -> bool {
        self.flags & 1 != 0
    }
}

/// A connection to one export. Dropped, it ends.
#[derive(Debug)]
pub struct Client {
    agreed: Agreed,
    next: AtomicU64,
    queue: mpsc::Sender<(Vec<u8>, Vec<u8>)>,
    waiting: Waiting,
    tasks: [JoinHandle<()>; 2],
}

impl Client {
    /// Shakes hands, and chooses the metadata contexts that are named. Needs a tokio runtime for as long as it lives.
    ///
    /// # Errors
    /// What the server says; `Unsupported` where it has no structured replies, or has not all of the contexts.
    pub async fn connect(
        mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        export: &str,
        contexts: &[&str],
    ) -> Result<Client, Error> {
        let agreed = handshake::shake(&mut stream, export, contexts).await?;
        let (reader, writer) = tokio::io::split(stream);
        let (queue, queued) = mpsc::channel(QUEUE);
        let waiting: Waiting = Arc::new(Mutex::new(Ok(BTreeMap::new())));
        let numbers = agreed.contexts.clone();
        let reading = replies::read_all(tokio::io::BufReader::new(reader), waiting.clone(), numbers);
        let tasks = [tokio::spawn(reading), tokio::spawn(write_all(writer, queued, waiting.clone()))];
        Ok(Client { agreed, next: AtomicU64::new(1), queue, waiting, tasks })
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        self.agreed.size
    }

    /// Most bytes of one read or write.
    pub fn most(&self) -> u32 {
        self.agreed.most.min(MOST_PAYLOAD)
    }

    pub fn is_read_only(&self) -> bool {
        self.has(transmission::READ_ONLY)
    }

    fn has(&self, flag: u16) -> bool {
        self.agreed.flags & flag != 0
    }

    /// Exactly `length` bytes, [`most`](Client::most) at the most.
    pub async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        let expected = |tell| Expected::data(tell, offset, length);
        match self.ask(command::READ, 0, offset, length, Vec::new(), expected).await? {
            Answer::Data(bytes) => Ok(bytes),
            Answer::Done | Answer::Stretches(_) => Err(out_of_step()),
        }
    }

    /// `durable`: answered when they are on stable storage; where the server cannot say that of one write, all is flushed.
    pub async fn write(&self, offset: u64, data: Vec<u8>, durable: bool) -> Result<(), Error> {
        let length = u32::try_from(data.len()).map_err(|_| Error::new(Kind::TooLong, "a write that is too long"))?;
        let fua = durable && self.has(transmission::FUA);
        let flags = if fua { flag::FUA } else { 0 };
        self.done(command::WRITE, flags, offset, length, data).await?;
        if durable && !fua { self.flush().await } else { Ok(()) }
    }

    /// Has a stretch read as zeroes, and lets go of what is stored there where the storage can. Where the server knows no
    /// such thing they are written.
    pub async fn write_zeroes(&self, offset: u64, length: u64) -> Result<(), Error> {
        let (mut at, end) = (offset, offset + length);
        let most = if self.has(transmission::WRITE_ZEROES) { MOST_SPAN } else { u64::from(self.most()).min(1 << 20) };
        while at < end {
            let span = (end - at).min(most);
            let short = u32::try_from(span).unwrap_or(u32::MAX);
            if self.has(transmission::WRITE_ZEROES) {
                self.done(command::WRITE_ZEROES, 0, at, short, Vec::new()).await?;
            } else {
                self.write(at, vec![0; short as usize], false).await?;
            }
            at += span;
        }
        Ok(())
    }

    /// Whether [`trim`](Client::trim) does anything.
    pub fn can_trim(&self) -> bool {
        self.has(transmission::TRIM)
    }

    /// Nobody needs what is stored in a stretch any more; what is read there from now on is anybody's guess. Nothing happens
    /// where the server knows no such thing.
    pub async fn trim(&self, offset: u64, length: u32) -> Result<(), Error> {
        if !self.can_trim() {
            return Ok(());
        }
        self.done(command::TRIM, 0, offset, length, Vec::new()).await
    }

    /// Answered when every write that was answered before is on stable storage.
    pub async fn flush(&self) -> Result<(), Error> {
        if !self.has(transmission::FLUSH) {
            return Ok(());
        }
        self.done(command::FLUSH, 0, 0, 0, Vec::new()).await
    }

    /// What a context says of a stretch, from its beginning; it may cover less than all of it. `context`: by its place among
    /// those that were chosen.
    pub async fn status(&self, context: usize, offset: u64, length: u64) -> Result<Vec<Stretch>, Error> {
        let Some(&number) = self.agreed.contexts.get(context) else {
            return Err(Error::new(Kind::Invalid, "a metadata context that was not chosen"));
        };
        let span = length.min(MOST_SPAN);
        let short = u32::try_from(span).unwrap_or(u32::MAX);
        let expected = |tell| Expected::stretches(tell, number, span);
        match self.ask(command::BLOCK_STATUS, 0, offset, short, Vec::new(), expected).await? {
            Answer::Stretches(stretches) => Ok(stretches),
            Answer::Done | Answer::Data(_) => Err(out_of_step()),
        }
    }

    async fn done(&self, command: u16, flags: u16, offset: u64, length: u32, data: Vec<u8>) -> Result<(), Error> {
        match self.ask(command, flags, offset, length, data, Expected::done).await? {
            Answer::Done => Ok(()),
            Answer::Data(_) | Answer::Stretches(_) => Err(out_of_step()),
        }
    }

    async fn ask(
        &self,
        command: u16,
        flags: u16,
        offset: u64,
        length: u32,
        data: Vec<u8>,
        expected: impl FnOnce(oneshot::Sender<Result<Answer, Error>>) -> Expected,
    ) -> Result<Answer, Error> {
        let cookie = self.next.fetch_add(1, Ordering::Relaxed);
        let (tell, told) = oneshot::channel();
        match &mut *lock(&self.waiting) {
            Ok(waiting) => drop(waiting.insert(cookie, expected(tell))),
            Err(error) => return Err(error.clone()),
        }
        let header = header(command, flags, cookie, offset, length);
        // A writer that is gone has told whoever waits why.
        let _ = self.queue.send((header, data)).await;
        match told.await {
            Ok(answer) => answer,
            Err(_) => Err(lock(&self.waiting).as_ref().err().cloned().unwrap_or_else(out_of_step)),
        }
    }

    /// Says goodbye, and waits until that is said. What is under way is not waited for.
    pub async fn close(mut self) {
        let cookie = self.next.fetch_add(1, Ordering::Relaxed);
        let goodbye = header(command::DISCONNECT, 0, cookie, 0, 0);
        let _ = self.queue.send((goodbye, Vec::new())).await;
        let (nobody, _) = mpsc::channel(1);
        self.queue = nobody;
        // It ends with its queue.
        let _ = (&mut self.tasks[1]).await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, Result<BTreeMap<u64, Expected>, Error>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All that wait, and all that come after, fail.
fn end(waiting: &Waiting, error: &Error) {
    let before = {
        let mut waiting = lock(waiting);
        match &*waiting {
            Ok(_) => std::mem::replace(&mut *waiting, Err(error.clone())),
            // The first reason is the one that counts.
            Err(_) => return,
        }
    };
    for (_, expected) in before.into_iter().flatten() {
        expected.fail(error.clone());
    }
}

fn out_of_step() -> Error {
    Error::new(Kind::Io, "what serves the disk does not keep to the protocol")
}

fn header(command: u16, flags: u16, cookie: u64, offset: u64, length: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(crate::request::HEADER);
    bytes.put_u32(REQUEST);
    bytes.put_u16(flags);
    bytes.put_u16(command);
    bytes.put_u64(cookie);
    bytes.put_u64(offset);
    bytes.put_u32(length);
    bytes
}

async fn write_all(mut to: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<(Vec<u8>, Vec<u8>)>, waiting: Waiting) {
    while let Some((header, data)) = queue.recv().await {
        let written = async {
            to.write_all(&header).await?;
            to.write_all(&data).await?;
            to.flush().await
        };
        if let Err(error) = written.await {
            return end(&waiting, &Error::from(error));
        }
    }
}
