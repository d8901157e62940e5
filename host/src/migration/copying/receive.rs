//! The end of a copy that writes.

use std::sync::Arc;

use fief_wire::copy::{self, CHUNK_MOST, Data, Digest, FRAME_MOST, FromSource, FromTarget, LISTED_MOST};
use fief_wire::frame::Within;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::task::JoinSet;

use super::chunks::{Cut, Set};
use super::digest::{self, Table};
use super::disk::{Disk, in_thread};
use super::{AT_ONCE, HEARTBEAT, Progress, Stream, WITHIN, blocks, broken, out_of_step};
use crate::error::{Failure, Result};

/// Between two rounds: a strategy may have much else to do meanwhile. Where the source is gone, TCP says so.
const IDLE: Within = Within { begin: std::time::Duration::from_secs(3600), rest: WITHIN.rest };

/// A disk that came as a whole: everything was read back from its storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    pub size: u64,
    pub root: Digest,
}

/// Takes a disk, round after round, until the source says that it is over. `held`: something may be there; else it reads as
/// zeroes.
///
/// # Errors
/// Why not; the source was told. What had come by then is kept on the disk.
pub async fn receive<S: Stream>(stream: S, disk: Arc<Disk>, held: bool, progress: &Progress) -> Result<Arrived> {
    receive_on(stream, disk, held, progress).await.map(|(arrived, _)| arrived)
}

/// The same; the stream comes back, for what there is to be said beside.
pub async fn receive_on<S: Stream>(
    stream: S,
    disk: Arc<Disk>,
    held: bool,
    progress: &Progress,
) -> Result<(Arrived, S)> {
    let (mut from, mut to) = tokio::io::split(stream);
    let taken = take(&mut from, &mut to, disk, held, progress).await;
    let mut stream = from.unsplit(to);
    match taken {
        Ok(arrived) => Ok((arrived, stream)),
        Err(failure) => {
            tell_failed(&mut stream, &failure).await;
            Err(failure)
        }
    }
}

/// The source of a snapshot hears what became of it, once it is taken.
pub async fn tell_kept(stream: &mut impl Stream, kept: &Result<()>) {
    match kept {
        Ok(()) => {
            // It may not be there any more, and asks again.
            let _ = copy::send(stream, &FromTarget::Kept, WITHIN.rest).await;
        }
        Err(failure) => tell_failed(stream, failure).await,
    }
}

/// Hears a source out that brings what is here already.
///
/// # Errors
/// `Other` where it does not begin as a source does.
pub async fn has(stream: &mut impl Stream) -> Result<()> {
    match copy::receive(stream, FRAME_MOST, WITHIN).await.map_err(broken)? {
        FromSource::Begin { .. } => copy::send(stream, &FromTarget::Kept, WITHIN.rest).await.map_err(broken),
        _ => Err(out_of_step("no beginning")),
    }
}

async fn tell_failed(stream: &mut impl Stream, failure: &Failure) {
    // It may not be there any more.
    let _ = copy::send(stream, &FromTarget::Failed { reason: failure.to_string() }, HEARTBEAT).await;
}

/// Tells the source of a stream why nothing is taken from it.
pub async fn refuse(mut stream: impl Stream, failure: Failure) -> Failure {
    tell_failed(&mut stream, &failure).await;
    let _ = stream.shutdown().await;
    failure
}

/// What is known of the disk.
struct Taking<'a, S> {
    to: &'a mut WriteHalf<S>,
    disk: Arc<Disk>,
    cut: Cut,
    /// Of what it is to hold.
    table: Table,
    /// Chunks of which it is not known what they hold.
    unknown: Set,
    /// Those that were written and not read back.
    unread: Set,
    writes: JoinSet<Result<()>>,
    progress: &'a Progress,
}

async fn take<S: Stream>(
    from: &mut ReadHalf<S>,
    to: &mut WriteHalf<S>,
    disk: Arc<Disk>,
    held: bool,
    progress: &Progress,
) -> Result<Arrived> {
    let begun = copy::receive(from, FRAME_MOST, WITHIN).await.map_err(broken)?;
    let FromSource::Begin { size, chunk } = begun else { return Err(out_of_step("no beginning")) };
    let cut = Cut::checked(size, chunk)?;
    if disk.size() < size {
        return Err(Failure::conflict("the volume here is smaller than the one that comes"));
    }
    copy::send(to, &FromTarget::Ready { held }, WITHIN.rest).await.map_err(broken)?;
    let count = cut.count();
    let unknown = if held { Set::all(count) } else { Set::none(count) };
    let writes = JoinSet::new();
    let mut taking = Taking { to, disk, cut, table: Table::new(), unknown, unread: Set::none(count), writes, progress };
    let mut arrived = None;
    let most = cut.chunk().min(CHUNK_MOST) as usize * 2;
    loop {
        // What is being written goes on meanwhile.
        match copy::receive(from, most.min(FRAME_MOST), IDLE).await.map_err(broken)? {
            FromSource::Have(all) => {
                arrived = None;
                taking.compare(&all).await?;
            }
            FromSource::Data(data) => {
                arrived = None;
                taking.data(data).await?;
            }
            FromSource::Zero { first, count } => {
                arrived = None;
                taking.zero(first, count).await?;
            }
            FromSource::End { root } => arrived = taking.end(root).await?,
            FromSource::Over => return arrived.ok_or_else(|| out_of_step("it is over in the middle of a round")),
            FromSource::Begin { .. } | FromSource::Offer { .. } | FromSource::Rest { .. } | FromSource::Bytes(_) => {
                return Err(out_of_step("no part of a disk"));
            }
        }
    }
}

impl<S: Stream> Taking<'_, S> {
    async fn say(&mut self, words: &FromTarget) -> Result<()> {
        copy::send(self.to, words, WITHIN.rest).await.map_err(broken)
    }

    async fn long<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        super::long(self.to, || self.progress.read().0, work).await
    }

    /// No more than `most` writes are under way from here on.
    async fn settle(&mut self, most: usize) -> Result<()> {
        while self.writes.len() > most {
            match self.writes.join_next().await {
                Some(Ok(written)) => written?,
                Some(Err(_)) => return Err(Failure::other("a write ended in the middle")),
                None => {}
            }
        }
        Ok(())
    }

    /// It reads as zeroes, and nothing was ever written there.
    fn is_blank(&self, number: u32) -> bool {
        !self.unknown.has(number) && !self.unread.has(number) && !self.table.contains_key(&number)
    }

    async fn data(&mut self, data: Data) -> Result<()> {
        let Data { number, digest, map, bytes } = data;
        if number >= self.cut.count() {
            return Err(out_of_step("a chunk past the end"));
        }
        let runs =
            blocks::runs(self.cut.range(number), &map, &bytes).ok_or_else(|| out_of_step("a chunk that is none"))?;
        // Of one chunk, one write at a time.
        self.settle(if self.unread.has(number) { 0 } else { 2 * AT_ONCE }).await?;
        let (disk, blank) = (self.disk.clone(), self.is_blank(number));
        self.writes.spawn(async move {
            for run in runs {
                match run.bytes {
                    Some(bytes) => disk.write(run.at.start, bytes).await?,
                    None if blank => {}
                    None => disk.zero(run.at).await?,
                }
            }
            Ok(())
        });
        self.table.insert(number, digest);
        self.unknown.remove(number);
        self.unread.insert(number);
        self.progress.went(u64::from(self.cut.chunk()));
        Ok(())
    }

    async fn zero(&mut self, first: u32, count: u32) -> Result<()> {
        let end = first.checked_add(count).filter(|end| *end <= self.cut.count());
        let end = end.ok_or_else(|| out_of_step("zeroes past the end"))?;
        self.settle(0).await?;
        let mut set = Set::none(self.cut.count());
        (first..end).filter(|number| !self.is_blank(*number)).for_each(|number| set.insert(number));
        for (first, count) in set.stretches() {
            self.settle(AT_ONCE).await?;
            let (disk, cut) = (self.disk.clone(), self.cut);
            let at = cut.range(first).start..cut.range(first + count - 1).end;
            self.writes.spawn(async move { disk.zero(at).await });
        }
        for number in set.iter() {
            self.table.remove(&number);
            self.unknown.remove(number);
            self.unread.insert(number);
        }
        Ok(())
    }

    /// Says which of these it has not.
    async fn compare(&mut self, all: &[(u32, Digest)]) -> Result<()> {
        if all.iter().any(|(number, _)| *number >= self.cut.count()) {
            return Err(out_of_step("a chunk past the end"));
        }
        self.long_settled().await?;
        let numbers: Vec<u32> = all.iter().map(|(number, _)| *number).collect();
        let here = self.digests(numbers);
        let here = self.long(here).await??;
        let mut wanted = Vec::with_capacity(all.len());
        for ((number, digest), here) in all.iter().zip(here) {
            let differs = here != Some(*digest);
            if !differs {
                self.table.insert(*number, *digest);
                self.unknown.remove(*number);
                self.progress.went(u64::from(self.cut.chunk()));
            }
            wanted.push(differs);
        }
        self.say(&FromTarget::Want(wanted)).await
    }

    /// Of what the disk itself holds now.
    fn digests(&self, numbers: Vec<u32>) -> impl Future<Output = Result<Vec<Option<Digest>>>> + use<S> {
        let (disk, cut) = (self.disk.clone(), self.cut);
        async move {
            let of = |number| {
                let disk = disk.clone();
                async move {
                    let bytes = disk.read(cut.range(number)).await?;
                    in_thread("cannot look at what was read", move || Ok(digest::of_chunk(&bytes))).await
                }
            };
            let mut all = Vec::with_capacity(numbers.len());
            let mut read = stream::iter(numbers).map(of).buffered(AT_ONCE);
            while let Some(digest) = read.next().await {
                all.push(digest?);
            }
            Ok(all)
        }
    }

    async fn long_settled(&mut self) -> Result<()> {
        let mut writes = std::mem::take(&mut self.writes);
        let all = async move {
            while let Some(written) = writes.join_next().await {
                written.map_err(|_| Failure::other("a write ended in the middle"))??;
            }
            Ok(())
        };
        self.long(all).await?
    }

    /// All is written, on stable storage, and read back. None where some of it has to come again.
    async fn end(&mut self, root: Digest) -> Result<Option<Arrived>> {
        self.long_settled().await?;
        if !self.unknown.is_empty() {
            return Err(out_of_step("a round that left something out"));
        }
        let disk = self.disk.clone();
        self.long(async move { disk.flush().await }).await??;
        let mut differ = Vec::new();
        let unread: Vec<u32> = self.unread.iter().collect();
        for some in unread.chunks(LISTED_MOST) {
            let here = self.digests(some.to_vec());
            let here = self.long(here).await??;
            for (number, here) in some.iter().zip(here) {
                if here.as_ref() != self.table.get(number) {
                    differ.push(*number);
                    self.table.remove(number);
                    self.unknown.insert(*number);
                }
                self.unread.remove(*number);
            }
        }
        for some in differ.chunks(LISTED_MOST) {
            self.say(&FromTarget::Again(some.to_vec())).await?;
        }
        let ours = digest::root(&self.table);
        self.say(&FromTarget::Done { digest: ours }).await?;
        if !differ.is_empty() {
            return Ok(None);
        }
        match ours == root {
            true => Ok(Some(Arrived { size: self.cut.size(), root })),
            false => Err(out_of_step("another digest")),
        }
    }
}
