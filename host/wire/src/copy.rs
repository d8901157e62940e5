//! How a disk, or a file, goes from one host to another over a stream of its own. Much goes over, so a frame is not JSON:
//! a byte for its kind, four for the length of what follows (big-endian, as all numbers are), and that.
//!
//! ```text
//!   source                                     target
//!   Begin   size, length of a chunk       ─▸
//!                                         ◂─   Ready    whether anything may be there already
//!   Have    numbers and digests           ─▸                                                    ┐ where something may be
//!                                         ◂─   Want     a bit for each that it has not          ┘
//!   Data    number, digest, bytes         ─▸
//!   Zero    numbers                       ─▸
//!   End     a digest of all digests       ─▸            written, flushed, read back
//!                                         ◂─   Progress (so that the other side hears something)
//!                                         ◂─   Again    numbers of chunks that read back as something else
//!                                         ◂─   Done     the same digest
//!   … Data, Zero, End once more for what was written meanwhile …
//!   Over                                  ─▸
//!                                         ◂─   Kept     of a snapshot alone, which is taken by then; or as the first answer
//!
//!   Offer   length of a file              ─▸
//!                                         ◂─   Holds    how much of it is there, and its digest
//!   Rest    from where                    ─▸
//!   Bytes                                 ─▸
//!   Over                                  ─▸
//!                                         ◂─   Done     the digest of all
//! ```
//! In place of any answer: Failed, with why.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::frame::{Trouble, Within};
use crate::text;

/// SHA-256.
pub type Digest = [u8; 32];

/// A disk is compared and sent in chunks of a power of two within these, in bytes.
pub const CHUNK_LEAST: u32 = 64 << 10;
pub const CHUNK_MOST: u32 = 8 << 20;
/// Most chunks of a disk: both sides keep a digest of each that holds data.
pub const CHUNKS_MOST: u64 = 1 << 23;
/// Within a chunk, blocks of so many bytes that are all zeroes are left out.
pub const BLOCK: usize = 4 << 10;
/// Most chunks in one `Have`, `Want` or `Again`.
pub const LISTED_MOST: usize = 1024;
/// Longest piece of a file, in bytes.
pub const PIECE_MOST: usize = 1 << 20;
/// Longest reason, in bytes.
const REASON_MOST: usize = 2 << 10;
const HEADER: usize = 5;
/// Longest frame, in bytes: a chunk, a bit for each of its blocks, and a few numbers.
pub const FRAME_MOST: usize = CHUNK_MOST as usize + CHUNK_MOST as usize / BLOCK / 8 + 64;

/// Some blocks of a chunk: those whose bits are set, the lowest of the first byte first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    pub number: u32,
    /// Of the whole chunk.
    pub digest: Digest,
    pub map: Bytes,
    pub bytes: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromSource {
    Begin { size: u64, chunk: u32 },
    Have(Vec<(u32, Digest)>),
    Data(Data),
    Zero { first: u32, count: u32 },
    End { root: Digest },
    Over,
    Offer { length: u64 },
    Rest { offset: u64 },
    Bytes(Bytes),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromTarget {
    Ready {
        held: bool,
    },
    /// Of the chunks in the `Have` that it answers, in their order.
    Want(Vec<bool>),
    Progress {
        done: u64,
    },
    Again(Vec<u32>),
    Done {
        digest: Digest,
    },
    Holds {
        length: u64,
        digest: Digest,
    },
    Failed {
        reason: String,
    },
    /// It has all of that already, or by now.
    Kept,
}

/// What goes over in frames of this kind.
pub trait Words: Sized {
    /// The kind, and what follows it: a first part, and one that is sent as it lies.
    fn parts(&self) -> (u8, Vec<u8>, Bytes);

    /// # Errors
    /// `Wrong` where it is none.
    fn read(kind: u8, body: Bytes) -> Result<Self, Trouble>;
}

impl Words for FromSource {
    fn parts(&self) -> (u8, Vec<u8>, Bytes) {
        let mut head = Vec::new();
        let mut tail = Bytes::new();
        let kind = match self {
            FromSource::Begin { size, chunk } => {
                head.put_u64(*size);
                head.put_u32(*chunk);
                1
            }
            FromSource::Have(all) => {
                for (number, digest) in all {
                    head.put_u32(*number);
                    head.put_slice(digest);
                }
                2
            }
            FromSource::Data(data) => {
                head.put_u32(data.number);
                head.put_slice(&data.digest);
                head.put_u16(u16::try_from(data.map.len()).unwrap_or(u16::MAX));
                head.put_slice(&data.map);
                tail = data.bytes.clone();
                3
            }
            FromSource::Zero { first, count } => {
                head.put_u32(*first);
                head.put_u32(*count);
                4
            }
            FromSource::End { root } => {
                head.put_slice(root);
                5
            }
            FromSource::Over => 6,
            FromSource::Offer { length } => {
                head.put_u64(*length);
                7
            }
            FromSource::Rest { offset } => {
                head.put_u64(*offset);
                8
            }
            FromSource::Bytes(bytes) => {
                tail = bytes.clone();
                9
            }
        };
        (kind, head, tail)
    }

    fn read(kind: u8, mut body: Bytes) -> Result<Self, Trouble> {
        let from = &mut body;
        let words = match kind {
            1 => FromSource::Begin { size: number(from)?, chunk: short(from)? },
            2 => {
                let mut all = Vec::new();
                while from.has_remaining() && all.len() < LISTED_MOST {
                    all.push((short(from)?, digest(from)?));
                }
                FromSource::Have(all)
            }
            3 => {
                let (number, digest) = (short(from)?, digest(from)?);
                let length = usize::from(from.try_get_u16().map_err(cut)?);
                if length > from.len() {
                    return Err(wrong("a frame that ends too early"));
                }
                let (map, bytes) = (from.split_to(length), from.split_off(0));
                let blocks: usize = map.iter().map(|byte| byte.count_ones() as usize).sum();
                // The last block of a disk may be shorter than the others.
                if bytes.len() > blocks * BLOCK || bytes.len() + BLOCK <= blocks * BLOCK || blocks == 0 {
                    return Err(wrong("a chunk with other bytes than it says"));
                }
                FromSource::Data(Data { number, digest, map, bytes })
            }
            4 => FromSource::Zero { first: short(from)?, count: short(from)? },
            5 => FromSource::End { root: digest(from)? },
            6 => FromSource::Over,
            7 => FromSource::Offer { length: number(from)? },
            8 => FromSource::Rest { offset: number(from)? },
            9 if (1..=PIECE_MOST).contains(&from.len()) => FromSource::Bytes(from.split_off(0)),
            _ => return Err(wrong("a frame of no kind that is known")),
        };
        if body.is_empty() { Ok(words) } else { Err(wrong("a frame that is too long")) }
    }
}

impl Words for FromTarget {
    fn parts(&self) -> (u8, Vec<u8>, Bytes) {
        let mut head = Vec::new();
        let kind = match self {
            FromTarget::Ready { held } => {
                head.put_u8(u8::from(*held));
                1
            }
            FromTarget::Want(all) => {
                head.extend(all.iter().map(|wanted| u8::from(*wanted)));
                2
            }
            FromTarget::Progress { done } => {
                head.put_u64(*done);
                3
            }
            FromTarget::Again(all) => {
                all.iter().for_each(|number| head.put_u32(*number));
                4
            }
            FromTarget::Done { digest } => {
                head.put_slice(digest);
                5
            }
            FromTarget::Holds { length, digest } => {
                head.put_u64(*length);
                head.put_slice(digest);
                6
            }
            FromTarget::Failed { reason } => {
                let most = (0..=REASON_MOST.min(reason.len())).rev().find(|at| reason.is_char_boundary(*at));
                head.put_slice(&reason.as_bytes()[..most.unwrap_or(0)]);
                7
            }
            FromTarget::Kept => 8,
        };
        (kind, head, Bytes::new())
    }

    fn read(kind: u8, mut body: Bytes) -> Result<Self, Trouble> {
        let from = &mut body;
        let words = match kind {
            1 => FromTarget::Ready { held: flag(from.try_get_u8().map_err(cut)?)? },
            2 if from.len() <= LISTED_MOST => {
                FromTarget::Want(from.split_off(0).iter().map(|byte| flag(*byte)).collect::<Result<_, _>>()?)
            }
            3 => FromTarget::Progress { done: number(from)? },
            4 => {
                let mut all = Vec::new();
                while from.has_remaining() && all.len() < LISTED_MOST {
                    all.push(short(from)?);
                }
                FromTarget::Again(all)
            }
            5 => FromTarget::Done { digest: digest(from)? },
            6 => FromTarget::Holds { length: number(from)?, digest: digest(from)? },
            7 => FromTarget::Failed { reason: text::line(&String::from_utf8_lossy(&from.split_off(0))) },
            8 => FromTarget::Kept,
            _ => return Err(wrong("a frame of no kind that is known")),
        };
        if body.is_empty() { Ok(words) } else { Err(wrong("a frame that is too long")) }
    }
}

/// The next frame, whose body has `most` bytes at the most.
///
/// # Errors
/// As of [`crate::frame::read`].
pub async fn receive<W: Words>(from: &mut (impl AsyncRead + Unpin), most: usize, within: Within) -> Result<W, Trouble> {
    let mut header = [0; HEADER];
    timeout(within.begin, from.read_exact(&mut header)).await.map_err(|_| Trouble::Late)??;
    let [kind, length @ ..] = header;
    let length = u32::from_be_bytes(length) as usize;
    if length > most.min(FRAME_MOST) {
        return Err(Trouble::TooLong { length, most });
    }
    let mut body = Vec::with_capacity(length);
    timeout(within.rest, from.take(length as u64).read_to_end(&mut body)).await.map_err(|_| Trouble::Late)??;
    if body.len() < length {
        return Err(Trouble::Closed);
    }
    W::read(kind, body.into())
}

/// Writes one frame, and hands it on.
///
/// # Errors
/// `Late` where the other side does not take it within the time.
pub async fn send(to: &mut (impl AsyncWrite + Unpin), words: &impl Words, within: Duration) -> Result<(), Trouble> {
    let (kind, body, tail) = words.parts();
    let length = u32::try_from(body.len() + tail.len()).unwrap_or(u32::MAX);
    let mut head = Vec::with_capacity(HEADER + body.len());
    head.put_u8(kind);
    head.put_u32(length);
    head.extend(body);
    let written = async {
        to.write_all(&head).await?;
        to.write_all(&tail).await?;
        to.flush().await
    };
    timeout(within, written).await.map_err(|_| Trouble::Late)?.map_err(Trouble::from)
}

fn wrong(why: &str) -> Trouble {
    Trouble::Wrong(why.to_owned())
}

fn cut(_: bytes::TryGetError) -> Trouble {
    wrong("a frame that ends too early")
}

fn number(from: &mut Bytes) -> Result<u64, Trouble> {
    from.try_get_u64().map_err(cut)
}

fn short(from: &mut Bytes) -> Result<u32, Trouble> {
    from.try_get_u32().map_err(cut)
}

fn digest(from: &mut Bytes) -> Result<Digest, Trouble> {
    let mut digest = [0; 32];
    from.try_copy_to_slice(&mut digest).map_err(cut)?;
    Ok(digest)
}

fn flag(byte: u8) -> Result<bool, Trouble> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(wrong("a flag that is neither")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Within = Within::all(Duration::from_secs(20));

    async fn over<W: Words + PartialEq + std::fmt::Debug>(words: W) {
        let mut bytes = Vec::new();
        send(&mut bytes, &words, WITHIN.rest).await.unwrap();
        assert_eq!(receive::<W>(&mut &bytes[..], FRAME_MOST, WITHIN).await.unwrap(), words);
        for cut in 0..bytes.len() {
            assert!(receive::<W>(&mut &bytes[..cut], FRAME_MOST, WITHIN).await.is_err(), "{words:?} cut at {cut}");
        }
        // One byte more than it says.
        bytes[4] = bytes[4].wrapping_add(1);
        bytes.push(2);
        let longer = receive::<W>(&mut &bytes[..], FRAME_MOST, WITHIN).await;
        assert!(longer.is_err() || longer.is_ok_and(|longer| longer != words));
    }

    #[tokio::test]
    async fn each_frame_comes_as_it_was_sent_and_none_is_taken_that_is_cut() {
        over(FromSource::Begin { size: 1 << 40, chunk: 1 << 18 }).await;
        over(FromSource::Have(vec![(7, [1; 32]), (9, [2; 32])])).await;
        let data = Data { number: 3, digest: [4; 32], map: vec![0b101].into(), bytes: vec![5; BLOCK + 1].into() };
        over(FromSource::Data(data)).await;
        over(FromSource::Zero { first: 1, count: 2 }).await;
        over(FromSource::End { root: [9; 32] }).await;
        over(FromSource::Over).await;
        over(FromSource::Offer { length: 77 }).await;
        over(FromSource::Rest { offset: 76 }).await;
        over(FromSource::Bytes(vec![1, 2, 3].into())).await;
        over(FromTarget::Ready { held: true }).await;
        over(FromTarget::Want(vec![true, false, true])).await;
        over(FromTarget::Progress { done: 12 }).await;
        over(FromTarget::Again(vec![1, 2])).await;
        over(FromTarget::Done { digest: [3; 32] }).await;
        over(FromTarget::Holds { length: 9, digest: [1; 32] }).await;
        over(FromTarget::Failed { reason: "no room".into() }).await;
        over(FromTarget::Kept).await;
    }

    #[tokio::test]
    async fn a_chunk_has_as_many_bytes_as_its_map_says_and_a_reason_is_one_line() {
        for (map, length) in [(0b1, 0), (0b1, BLOCK + 1), (0b11, BLOCK), (0, 0)] {
            let data = Data { number: 0, digest: [0; 32], map: vec![map].into(), bytes: vec![1; length].into() };
            let mut bytes = Vec::new();
            send(&mut bytes, &FromSource::Data(data), WITHIN.rest).await.unwrap();
            assert!(receive::<FromSource>(&mut &bytes[..], FRAME_MOST, WITHIN).await.is_err(), "{map} {length}");
        }
        let mut bytes = Vec::new();
        let hostile = FromTarget::Failed { reason: format!("\u{1b}[2J\n{}", "é".repeat(5000)) };
        send(&mut bytes, &hostile, WITHIN.rest).await.unwrap();
        assert!(bytes.len() <= REASON_MOST + HEADER);
        let FromTarget::Failed { reason } = receive(&mut &bytes[..], FRAME_MOST, WITHIN).await.unwrap() else {
            panic!("it is another");
        };
        assert!(!reason.contains(['\u{1b}', '\n']), "{reason}");
        let long = [&[9, 0xff, 0xff, 0xff, 0xff][..], &[0; 64]].concat();
        assert!(matches!(receive::<FromSource>(&mut &long[..], 1 << 20, WITHIN).await, Err(Trouble::TooLong { .. })));
    }
}
