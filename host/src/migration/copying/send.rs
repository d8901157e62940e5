//! The end of a copy that reads.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use fief_wire::Trouble;
use fief_wire::copy::{self, Data, Digest, FRAME_MOST, FromSource, FromTarget, LISTED_MOST};
use futures_util::StreamExt;
use futures_util::stream;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::chunks::{Cut, Set};
use super::digest::{self, Table};
use super::disk::{Disk, in_thread};
use super::{AT_ONCE, Pace, Progress, Stream, WITHIN, blocks, broken, out_of_step};
use crate::error::{Failure, Kind, Result};

/// What is read ahead while a target compares, in bytes; and how many such windows.
const WINDOW: u32 = 8 << 20;
const WINDOWS: usize = 3;
/// How often a chunk is sent again that read back as something else.
const TRIES: u32 = 3;
/// Answers that wait to be looked at.
const HEARD: usize = 16;

/// A disk on its way to a target, round after round, over one stream.
#[derive(Debug)]
pub struct Sender<S> {
    to: WriteHalf<S>,
    heard: mpsc::Receiver<Result<FromTarget, Trouble>>,
    listening: JoinHandle<()>,
    cut: Cut,
    /// Of what the target was told that the disk holds.
    table: Table,
    /// The target may have something of it.
    held: bool,
    pace: Arc<Pace>,
    progress: Arc<Progress>,
    /// Bytes that went over in this stream; the progress is that of all.
    sent: u64,
}

/// A chunk as it goes over.
enum Chunk {
    Zero,
    Data { digest: Digest, map: Bytes, bytes: Bytes },
}

impl<S: Stream> Sender<S> {
    /// Greets the target. `size`: of the disk, in bytes.
    ///
    /// # Errors
    /// The target's reason; `Unreachable` where the stream ends.
    pub async fn begin(stream: S, size: u64, pace: Arc<Pace>, progress: Arc<Progress>) -> Result<Sender<S>> {
        match Self::begin_unless_kept(stream, size, pace, progress).await? {
            Some(sender) => Ok(sender),
            None => Err(unexpected(&FromTarget::Kept)),
        }
    }

    /// The same of what a target may have as a whole; none where it has.
    pub async fn begin_unless_kept(
        stream: S,
        size: u64,
        pace: Arc<Pace>,
        progress: Arc<Progress>,
    ) -> Result<Option<Sender<S>>> {
        let cut = Cut::of(size)?;
        let (from, to) = tokio::io::split(stream);
        let (tell, heard) = mpsc::channel(HEARD);
        let listening = tokio::spawn(listen(from, tell));
        let mut sender =
            Sender { to, heard, listening, cut, table: Table::new(), held: false, pace, progress, sent: 0 };
        sender.say(&FromSource::Begin { size, chunk: cut.chunk() }).await?;
        match sender.hear().await? {
            FromTarget::Ready { held } => sender.held = held,
            FromTarget::Kept => return Ok(None),
            other => return Err(unexpected(&other)),
        }
        Ok(Some(sender))
    }

    /// A round of all that the disk holds. When it ends the target has it, read back from its storage. Gives the bytes that
    /// went over.
    pub async fn all(&mut self, disk: &Arc<Disk>) -> Result<u64> {
        let before = self.sent;
        let holds = self.cut.touched(&disk.data().await?);
        self.progress.more(u64::from(holds.len()) * u64::from(self.cut.chunk()));
        if self.held {
            for (first, count) in holds.others().stretches() {
                self.say(&FromSource::Zero { first, count }).await?;
            }
            self.compare(disk, &holds).await?;
        } else {
            self.push(disk, &holds).await?;
        }
        self.end(disk).await?;
        Ok(self.sent - before)
    }

    /// A round of what was written since the last one.
    pub async fn again(&mut self, disk: &Arc<Disk>, written: &[Range<u64>]) -> Result<u64> {
        let before = self.sent;
        let written = self.cut.touched(written);
        self.progress.more(u64::from(written.len()) * u64::from(self.cut.chunk()));
        self.push(disk, &written).await?;
        self.end(disk).await?;
        Ok(self.sent - before)
    }

    /// No more rounds.
    pub async fn over(mut self) -> Result<()> {
        self.say(&FromSource::Over).await
    }

    /// The same, of a snapshot: waits until the target has taken it.
    pub async fn kept(mut self) -> Result<()> {
        self.say(&FromSource::Over).await?;
        loop {
            match self.hear().await? {
                FromTarget::Kept => return Ok(()),
                FromTarget::Progress { .. } => {}
                other => return Err(unexpected(&other)),
            }
        }
    }

    async fn push(&mut self, disk: &Arc<Disk>, which: &Set) -> Result<()> {
        let (cut, disk) = (self.cut, disk.clone());
        let mut chunks = stream::iter(which.iter()).map(|number| chunk(disk.clone(), cut, number)).buffered(AT_ONCE);
        while let Some(chunk) = chunks.next().await {
            let (number, chunk) = chunk?;
            self.take_down(number, &chunk);
            self.send(number, chunk).await?;
            self.progress.went(u64::from(cut.chunk()));
        }
        Ok(())
    }

    /// Tells what the disk holds, and sends what the target has not.
    async fn compare(&mut self, disk: &Arc<Disk>, which: &Set) -> Result<()> {
        let (cut, disk) = (self.cut, disk.clone());
        let window = ((WINDOW / cut.chunk()) as usize).clamp(1, LISTED_MOST);
        let mut chunks = stream::iter(which.iter()).map(|number| chunk(disk.clone(), cut, number)).buffered(AT_ONCE);
        let mut asked: VecDeque<Vec<(u32, Chunk)>> = VecDeque::new();
        let mut more = true;
        loop {
            while more && asked.len() < WINDOWS {
                let (mut told, mut kept) = (Vec::new(), Vec::new());
                while told.len() < window {
                    let Some(next) = chunks.next().await else {
                        more = false;
                        break;
                    };
                    let (number, chunk) = next?;
                    self.take_down(number, &chunk);
                    match &chunk {
                        Chunk::Zero => self.send(number, chunk).await?,
                        Chunk::Data { digest, .. } => {
                            told.push((number, *digest));
                            kept.push((number, chunk));
                        }
                    }
                }
                if !told.is_empty() {
                    self.say(&FromSource::Have(told)).await?;
                    asked.push_back(kept);
                }
            }
            let Some(kept) = asked.pop_front() else { return Ok(()) };
            let wanted = loop {
                match self.hear().await? {
                    FromTarget::Want(wanted) if wanted.len() == kept.len() => break wanted,
                    FromTarget::Progress { .. } => {}
                    other => return Err(unexpected(&other)),
                }
            };
            for ((number, chunk), wanted) in kept.into_iter().zip(wanted) {
                if wanted {
                    self.send(number, chunk).await?;
                }
                self.progress.went(u64::from(cut.chunk()));
            }
        }
    }

    fn take_down(&mut self, number: u32, chunk: &Chunk) {
        match chunk {
            Chunk::Zero => drop(self.table.remove(&number)),
            Chunk::Data { digest, .. } => drop(self.table.insert(number, *digest)),
        }
    }

    async fn send(&mut self, number: u32, chunk: Chunk) -> Result<()> {
        match chunk {
            Chunk::Zero => self.say(&FromSource::Zero { first: number, count: 1 }).await,
            Chunk::Data { digest, map, bytes } => {
                let length = bytes.len();
                self.pace.pass(length).await;
                self.say(&FromSource::Data(Data { number, digest, map, bytes })).await?;
                self.sent += length as u64;
                self.progress.sends(length as u64);
                Ok(())
            }
        }
    }

    /// The end of a round: not before the target has read back what it was told.
    async fn end(&mut self, disk: &Arc<Disk>) -> Result<()> {
        for _ in 0..TRIES {
            let root = digest::root(&self.table);
            self.say(&FromSource::End { root }).await?;
            let mut differ = Set::none(self.cut.count());
            loop {
                match self.hear().await? {
                    FromTarget::Progress { .. } => {}
                    FromTarget::Again(numbers) if !numbers.is_empty() => {
                        numbers.into_iter().for_each(|number| differ.insert(number));
                    }
                    FromTarget::Done { digest } if differ.is_empty() => {
                        // What is there now is the start of the next round.
                        self.held = false;
                        return if digest == root { Ok(()) } else { Err(out_of_step("another digest")) };
                    }
                    // The end of a list.
                    FromTarget::Done { .. } => break,
                    other => return Err(unexpected(&other)),
                }
            }
            tracing::warn!(chunks = differ.len(), "a target reads back something else than it was sent");
            self.push(disk, &differ).await?;
        }
        Err(Failure::other("the target does not read back what was written to its volume")
            .hint("look at the storage of its pool"))
    }

    async fn say(&mut self, words: &FromSource) -> Result<()> {
        match copy::send(&mut self.to, words, WITHIN.rest).await {
            Ok(()) => Ok(()),
            Err(trouble) => Err(self.why().await.unwrap_or_else(|| broken(trouble))),
        }
    }

    async fn hear(&mut self) -> Result<FromTarget> {
        match tokio::time::timeout(WITHIN.begin, self.heard.recv()).await {
            Ok(Some(Ok(FromTarget::Failed { reason }))) => Err(refused(reason)),
            Ok(Some(Ok(words))) => Ok(words),
            Ok(Some(Err(trouble))) => Err(broken(trouble)),
            Ok(None) => Err(broken(Trouble::Closed)),
            Err(_) => Err(broken(Trouble::Late)),
        }
    }

    /// Why a target does not listen any more, where it has said so.
    async fn why(&mut self) -> Option<Failure> {
        while let Ok(Some(Ok(words))) = tokio::time::timeout(super::HEARTBEAT, self.heard.recv()).await {
            if let FromTarget::Failed { reason } = words {
                return Some(refused(reason));
            }
        }
        None
    }
}

impl<S> Drop for Sender<S> {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen<S: Stream>(mut from: ReadHalf<S>, tell: mpsc::Sender<Result<FromTarget, Trouble>>) {
    // Between two rounds a target has nothing to say: whoever waits for a word has the deadline.
    let within = fief_wire::frame::Within { begin: std::time::Duration::MAX, ..WITHIN };
    loop {
        let heard = copy::receive::<FromTarget>(&mut from, FRAME_MOST.min(LISTED_MOST * 8), within).await;
        let last = heard.is_err();
        if tell.send(heard).await.is_err() || last {
            return;
        }
    }
}

/// One chunk, read and looked at.
async fn chunk(disk: Arc<Disk>, cut: Cut, number: u32) -> Result<(u32, Chunk)> {
    let bytes = disk.read(cut.range(number)).await?;
    let chunk = in_thread("cannot look at what was read", move || {
        Ok(match digest::of_chunk(&bytes) {
            None => Chunk::Zero,
            Some(digest) => match blocks::packed(bytes) {
                None => Chunk::Zero,
                Some((map, bytes)) => Chunk::Data { digest, map, bytes },
            },
        })
    });
    Ok((number, chunk.await?))
}

fn refused(reason: String) -> Failure {
    let mut failure = Failure::new(Kind::Other, "the other host cannot take the volume");
    failure.causes.push(reason);
    failure
}

fn unexpected(words: &FromTarget) -> Failure {
    let what = match words {
        FromTarget::Ready { .. } => "it is ready once more",
        FromTarget::Want(_) => "it wants what it was not offered",
        FromTarget::Progress { .. } => "it has come far",
        FromTarget::Again(_) => "it wants again what it was not sent",
        FromTarget::Done { .. } => "it is done before all was sent",
        FromTarget::Holds { .. } => "it holds a file",
        FromTarget::Failed { .. } => "it failed",
        FromTarget::Kept => "it keeps what it was not given",
    };
    out_of_step(what)
}
