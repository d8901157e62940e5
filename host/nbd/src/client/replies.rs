//! What comes back, held against what was asked for (proto.md, "Transmission").

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::oneshot;

use super::{Stretch, Waiting, end, lock, out_of_step};
use crate::wire::{CHUNK, LONGEST_STRING, SIMPLE_REPLY, chunk};
use crate::{Error, Kind};

/// Most stretches of one answer: those past it are asked for again.
const MOST_STRETCHES: usize = 1 << 20;
/// What is read of an error, in bytes: numbers, and a message.
const LONGEST_ERROR: usize = LONGEST_STRING + 16;

#[derive(Debug)]
pub(super) enum Answer {
    Done,
    Data(Vec<u8>),
    Stretches(Vec<Stretch>),
}

/// A request that waits, and as much of its answer as is there.
#[derive(Debug)]
pub(super) struct Expected {
    tell: oneshot::Sender<Result<Answer, Error>>,
    what: What,
    failed: Option<Error>,
}

#[derive(Debug)]
enum What {
    Done,
    /// `missing`: bytes that have not come.
    Data {
        offset: u64,
        bytes: Vec<u8>,
        missing: u64,
    },
    Stretches {
        context: u32,
        most: u64,
        stretches: Vec<Stretch>,
    },
}

type Tell = oneshot::Sender<Result<Answer, Error>>;

impl Expected {
    pub(super) fn done(tell: Tell) -> Self {
        Expected { tell, what: What::Done, failed: None }
    }

    pub(super) fn data(tell: Tell, offset: u64, length: u32) -> Self {
        let what = What::Data { offset, bytes: vec![0; length as usize], missing: u64::from(length) };
        Expected { tell, what, failed: None }
    }

    pub(super) fn stretches(tell: Tell, context: u32, most: u64) -> Self {
        Expected { tell, what: What::Stretches { context, most, stretches: Vec::new() }, failed: None }
    }

    pub(super) fn fail(self, error: Error) {
        // Nobody may wait any more.
        let _ = self.tell.send(Err(error));
    }

    fn finish(self) -> Result<(), Error> {
        let answer = match (self.failed, self.what) {
            (Some(error), _) => Err(error),
            (None, What::Done) => Ok(Answer::Done),
            (None, What::Data { bytes, missing: 0, .. }) => Ok(Answer::Data(bytes)),
            (None, What::Stretches { stretches, .. }) if !stretches.is_empty() => Ok(Answer::Stretches(stretches)),
            (None, What::Data { .. } | What::Stretches { .. }) => {
                let _ = self.tell.send(Err(out_of_step()));
                return Err(out_of_step());
            }
        };
        let _ = self.tell.send(answer);
        Ok(())
    }

    /// Where bytes of a read go, which have to lie within it.
    fn room(&mut self, at: u64, length: u64) -> Result<&mut [u8], Error> {
        let What::Data { offset, bytes, missing } = &mut self.what else { return Err(out_of_step()) };
        let from = at.checked_sub(*offset).ok_or_else(out_of_step)?;
        let to = from.checked_add(length).filter(|to| *to <= bytes.len() as u64).ok_or_else(out_of_step)?;
        *missing = missing.checked_sub(length).ok_or_else(out_of_step)?;
        Ok(&mut bytes[from as usize..to as usize])
    }
}

/// Reads to the end, and tells all that wait then why nothing more comes.
pub(super) async fn read_all(mut from: impl AsyncRead + Unpin, waiting: Waiting, contexts: Vec<u32>) {
    loop {
        if let Err(error) = reply(&mut from, &waiting, &contexts).await {
            return end(&waiting, &error);
        }
    }
}

async fn reply(from: &mut (impl AsyncRead + Unpin), waiting: &Waiting, contexts: &[u32]) -> Result<(), Error> {
    match from.read_u32().await? {
        SIMPLE_REPLY => {
            let (error, cookie) = (from.read_u32().await?, from.read_u64().await?);
            let mut expected = take(waiting, cookie)?;
            match (error, &expected.what) {
                // Data would follow, without a word of how much.
                (0, What::Data { .. } | What::Stretches { .. }) => return Err(out_of_step()),
                (0, What::Done) => {}
                _ => expected.failed = Some(Error::new(Kind::of(error), "what serves the disk could not do it")),
            }
            expected.finish()
        }
        CHUNK => {
            let mut header = [0; 16];
            from.read_exact(&mut header).await?;
            let mut header = &header[..];
            let (flags, kind, cookie) = (header.get_u16(), header.get_u16(), header.get_u64());
            let length = header.get_u32() as usize;
            let mut expected = take(waiting, cookie)?;
            match part(from, &mut expected, kind, length, contexts).await {
                Ok(()) if flags & chunk::DONE != 0 => expected.finish(),
                Ok(()) => {
                    if let Ok(waiting) = &mut *lock(waiting) {
                        waiting.insert(cookie, expected);
                    }
                    Ok(())
                }
                Err(error) => {
                    expected.fail(error.clone());
                    Err(error)
                }
            }
        }
        _ => Err(out_of_step()),
    }
}

async fn part(
    from: &mut (impl AsyncRead + Unpin),
    expected: &mut Expected,
    kind: u16,
    length: usize,
    contexts: &[u32],
) -> Result<(), Error> {
    match kind {
        chunk::NONE if length == 0 => Ok(()),
        chunk::OFFSET_DATA if length > 8 => {
            let at = from.read_u64().await?;
            from.read_exact(expected.room(at, length as u64 - 8)?).await?;
            Ok(())
        }
        chunk::OFFSET_HOLE if length == 12 => {
            let (at, span) = (from.read_u64().await?, from.read_u32().await?);
            expected.room(at, u64::from(span))?.fill(0);
            Ok(())
        }
        chunk::BLOCK_STATUS if length >= 12 && (length - 4).is_multiple_of(8) && (length - 4) / 8 <= MOST_STRETCHES => {
            let number = from.read_u32().await?;
            if !contexts.contains(&number) {
                return Err(out_of_step());
            }
            let mut all = Vec::new();
            for _ in 0..(length - 4) / 8 {
                all.push(Stretch { length: u64::from(from.read_u32().await?), flags: from.read_u32().await? });
            }
            let What::Stretches { context, most, stretches } = &mut expected.what else { return Err(out_of_step()) };
            // Each of the contexts that were chosen is told; one of them is asked for.
            if number != *context {
                return Ok(());
            }
            let mut left = *most;
            for stretch in all {
                // The last one may go on past what was asked for.
                let length = stretch.length.min(left);
                if stretch.length == 0 || !stretches.is_empty() && left == *most {
                    return Err(out_of_step());
                }
                if length > 0 {
                    stretches.push(Stretch { length, ..stretch });
                }
                left -= length;
            }
            Ok(())
        }
        _ if kind & chunk::IS_ERROR != 0 && (6..=LONGEST_ERROR).contains(&length) => {
            let mut bytes = vec![0; length];
            from.read_exact(&mut bytes).await?;
            let mut bytes = &bytes[..];
            let (number, said) = (bytes.get_u32(), usize::from(bytes.get_u16()));
            let message = bytes.get(..said).ok_or_else(out_of_step)?;
            expected.failed =
                Some(Error::new(Kind::of(number), words(message, "what serves the disk could not do it")));
            Ok(())
        }
        _ => Err(out_of_step()),
    }
}

fn take(waiting: &Waiting, cookie: u64) -> Result<Expected, Error> {
    match &mut *lock(waiting) {
        Ok(waiting) => waiting.remove(&cookie).ok_or_else(out_of_step),
        Err(error) => Err(error.clone()),
    }
}

/// Another's words on one line.
pub(super) fn words(bytes: &[u8], else_say: &str) -> String {
    let text: String = String::from_utf8_lossy(bytes).chars().take(400).collect();
    let text: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if text.trim().is_empty() { else_say.to_owned() } else { text }
}
