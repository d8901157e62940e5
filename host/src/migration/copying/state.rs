//! A file that goes over: a saved state. What was there when it was cut off is kept, and held against the source's digest.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use fief_wire::copy::{self, Digest, FRAME_MOST, FromSource, FromTarget, PIECE_MOST, Words};
use fief_wire::frame::Within;
use tokio::io::AsyncRead;

use super::digest::Sum;
use super::disk::in_thread;
use super::{HEARTBEAT, Pace, Progress, Stream, WITHIN, broken, out_of_step};
use crate::error::{Failure, Kind, Result};

/// How long a frame may take once bytes go over: a guest stands still meanwhile.
const STILL: Within = Within::all(Duration::from_secs(60));

/// Sends a file that nobody writes to; gives the bytes that went over.
///
/// # Errors
/// The target's reason; `Unreachable` where the stream ends: what came is kept there.
pub async fn send_file(mut stream: impl Stream, file: File, pace: &Pace, progress: &Progress) -> Result<u64> {
    let file = Arc::new(file);
    let length = {
        let file = file.clone();
        in_thread(READ, move || Ok(file.metadata()?.len())).await?
    };
    copy::send(&mut stream, &FromSource::Offer { length }, WITHIN.rest).await.map_err(broken)?;
    let (held, digest) = match heard(&mut stream, WITHIN).await? {
        FromTarget::Holds { length: held, digest } if held <= length => (held, digest),
        FromTarget::Holds { .. } => (0, Digest::default()),
        _ => return Err(out_of_step("it does not say what it holds")),
    };
    let (sum, here) = sum_of(&file, held).await?;
    let (mut sum, mut at) = if here == digest { (sum, held) } else { (Sum::new(), 0) };
    progress.more(length - at);
    copy::send(&mut stream, &FromSource::Rest { offset: at }, WITHIN.rest).await.map_err(broken)?;
    let mut sent = 0;
    while at < length {
        let (bytes, next) = piece(file.clone(), at, length, sum).await?;
        sum = next;
        at += bytes.len() as u64;
        sent += bytes.len() as u64;
        pace.pass(bytes.len()).await;
        progress.sends(bytes.len() as u64);
        progress.went(bytes.len() as u64);
        if let Err(trouble) = copy::send(&mut stream, &FromSource::Bytes(bytes.into()), STILL.rest).await {
            // It may have said why it takes no more.
            return match heard(&mut stream, Within::all(HEARTBEAT)).await {
                Err(failure) if failure.kind == Kind::Other => Err(failure),
                Ok(_) | Err(_) => Err(broken(trouble)),
            };
        }
    }
    copy::send(&mut stream, &FromSource::Over, STILL.rest).await.map_err(broken)?;
    loop {
        match heard(&mut stream, STILL).await? {
            FromTarget::Progress { .. } => {}
            FromTarget::Done { digest } if digest == sum.done() => return Ok(sent),
            _ => return Err(Failure::other("the other host has something else than it was sent")),
        }
    }
}

/// Takes a file into one that may hold the beginning of it. When it ends all of it is on stable storage.
///
/// # Errors
/// Why not; the source was told, and what came is kept.
pub async fn receive_file(mut stream: impl Stream, file: File, most: u64, progress: &Progress) -> Result<u64> {
    let taken = take(&mut stream, Arc::new(file), most, progress).await;
    if let Err(failure) = &taken {
        let reason = failure.to_string();
        let _ = copy::send(&mut stream, &FromTarget::Failed { reason }, super::HEARTBEAT).await;
    }
    taken
}

async fn take(stream: &mut impl Stream, file: Arc<File>, most: u64, progress: &Progress) -> Result<u64> {
    let FromSource::Offer { length } = words(stream, WITHIN).await? else { return Err(out_of_step("no offer")) };
    if length > most {
        return Err(Failure::new(Kind::NoRoom, format!("a file of {length} bytes, of {most} at most")));
    }
    let there = {
        let file = file.clone();
        in_thread(WRITE, move || Ok(file.metadata()?.len())).await?
    };
    let (mut sum, digest) = sum_of(&file, there).await?;
    copy::send(stream, &FromTarget::Holds { length: there, digest }, WITHIN.rest).await.map_err(broken)?;
    let mut at = match words(stream, WITHIN).await? {
        FromSource::Rest { offset } if offset == there => offset,
        FromSource::Rest { offset: 0 } => {
            sum = Sum::new();
            0
        }
        _ => return Err(out_of_step("it goes on from where nobody is")),
    };
    {
        let file = file.clone();
        in_thread(WRITE, move || file.set_len(at)).await?;
    }
    progress.more(length.saturating_sub(at));
    loop {
        match words(stream, WITHIN).await? {
            FromSource::Bytes(bytes) if at + bytes.len() as u64 <= length => {
                let (file, here, count) = (file.clone(), at, bytes.len() as u64);
                sum = in_thread(WRITE, move || {
                    sum.add(&bytes);
                    file.write_all_at(&bytes, here).map(|()| sum)
                })
                .await?;
                at += count;
                progress.went(count);
            }
            FromSource::Over if at == length => break,
            _ => return Err(out_of_step("no part of a file")),
        }
    }
    super::long(stream, || at, in_thread(WRITE, move || file.sync_all())).await??;
    copy::send(stream, &FromTarget::Done { digest: sum.done() }, WITHIN.rest).await.map_err(broken)?;
    Ok(length)
}

const READ: &str = "cannot read a saved state";
const WRITE: &str = "cannot write a saved state";

async fn words<W: Words>(stream: &mut (impl AsyncRead + Unpin), within: Within) -> Result<W> {
    copy::receive(stream, FRAME_MOST, within).await.map_err(broken)
}

async fn heard(stream: &mut (impl AsyncRead + Unpin), within: Within) -> Result<FromTarget> {
    match words(stream, within).await? {
        FromTarget::Failed { reason } => {
            let mut failure = Failure::other("the other host cannot take the saved state");
            failure.causes.push(reason);
            Err(failure)
        }
        other => Ok(other),
    }
}

/// Of the first bytes of a file, and what they come to.
async fn sum_of(file: &Arc<File>, length: u64) -> Result<(Sum, Digest)> {
    let mut sum = Sum::new();
    let mut at = 0;
    while at < length {
        let (bytes, next) = piece(file.clone(), at, length, sum).await?;
        (sum, at) = (next, at + bytes.len() as u64);
    }
    let digest = sum.so_far();
    Ok((sum, digest))
}

async fn piece(file: Arc<File>, at: u64, length: u64, mut sum: Sum) -> Result<(Vec<u8>, Sum)> {
    in_thread(READ, move || {
        let mut bytes = vec![0; usize::try_from(length - at).unwrap_or(PIECE_MOST).min(PIECE_MOST)];
        file.read_exact_at(&mut bytes, at)?;
        sum.add(&bytes);
        Ok((bytes, sum))
    })
    .await
}
