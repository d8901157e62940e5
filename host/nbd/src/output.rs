//! Replies on their way out. Small ones gather until the socket is written to; large data goes as it is, uncopied.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BufMut;
use tokio::io::AsyncWrite;

use crate::Extent;
use crate::wire::{ALLOCATION_NUMBER, CHUNK, LONGEST_STRING, SIMPLE_REPLY, STATE_HOLE, STATE_ZERO, chunk};

/// From this many bytes on, data is handed to the socket where it lies.
const UNCOPIED: usize = 32 << 10;
/// Parts that one system call takes.
const MOST_PARTS: usize = 16;
/// A gathering buffer that grew past this is not kept.
const MOST_KEPT: usize = 256 << 10;

#[derive(Debug, Default)]
pub(crate) struct Output {
    parts: VecDeque<Vec<u8>>,
    /// The last part gathers.
    gathers: bool,
    /// Bytes of the first part that were sent.
    sent: usize,
    /// Bytes in all that were not.
    unsent: usize,
}

impl Output {
    pub(crate) fn unsent(&self) -> usize {
        self.unsent
    }

    /// The answer to all but reads.
    pub(crate) fn done(&mut self, cookie: u64) {
        self.simple(cookie, 0);
    }

    pub(crate) fn failed(&mut self, cookie: u64, number: u32, message: &str, structured: bool) {
        if !structured {
            return self.simple(cookie, number);
        }
        let message = cut(message, LONGEST_STRING);
        self.gather(26 + message.len(), |out| {
            head(out, chunk::DONE, chunk::ERROR, cookie, 6 + message.len());
            out.put_u32(number);
            out.put_u16(u16::try_from(message.len()).unwrap_or(0));
            out.put_slice(message.as_bytes());
        });
    }

    /// The answer to a read, without structured replies.
    pub(crate) fn plain_data(&mut self, cookie: u64, data: Vec<u8>) {
        self.simple(cookie, 0);
        self.payload(data);
    }

    /// A part of the answer to a read; what is nothing but zeroes is not sent.
    pub(crate) fn data(&mut self, cookie: u64, offset: u64, data: Vec<u8>, last: bool) {
        let flags = if last { chunk::DONE } else { 0 };
        if is_zero(&data) {
            return self.gather(32, |out| {
                head(out, flags, chunk::OFFSET_HOLE, cookie, 12);
                out.put_u64(offset);
                out.put_u32(u32::try_from(data.len()).unwrap_or(u32::MAX));
            });
        }
        self.gather(28, |out| {
            head(out, flags, chunk::OFFSET_DATA, cookie, 8 + data.len());
            out.put_u64(offset);
        });
        self.payload(data);
    }

    pub(crate) fn extents(&mut self, cookie: u64, extents: &[Extent]) {
        self.gather(24 + 8 * extents.len(), |out| {
            head(out, chunk::DONE, chunk::BLOCK_STATUS, cookie, 4 + 8 * extents.len());
            out.put_u32(ALLOCATION_NUMBER);
            for extent in extents {
                let state = |set: bool, flag: u32| if set { flag } else { 0 };
                out.put_u32(u32::try_from(extent.length).unwrap_or(u32::MAX));
                out.put_u32(state(extent.hole, STATE_HOLE) | state(extent.zero, STATE_ZERO));
            }
        });
    }

    fn simple(&mut self, cookie: u64, error: u32) {
        self.gather(16, |out| {
            out.put_u32(SIMPLE_REPLY);
            out.put_u32(error);
            out.put_u64(cookie);
        });
    }

    fn gather(&mut self, length: usize, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.gathers {
            self.parts.push_back(Vec::with_capacity(length.max(4096)));
            self.gathers = true;
        }
        if let Some(last) = self.parts.back_mut() {
            let before = last.len();
            write(last);
            self.unsent += last.len() - before;
        }
    }

    fn payload(&mut self, data: Vec<u8>) {
        if data.len() < UNCOPIED {
            return self.gather(data.len(), |out| out.extend_from_slice(&data));
        }
        self.unsent += data.len();
        self.parts.push_back(data);
        self.gathers = false;
    }

    /// Sends what the socket takes. Ready once nothing is left.
    pub(crate) fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while self.unsent > 0 {
            let mut slices = [IoSlice::new(&[]); MOST_PARTS];
            let mut skip = self.sent;
            let mut count = 0;
            for (slice, part) in slices.iter_mut().zip(&self.parts) {
                *slice = IoSlice::new(&part[skip..]);
                skip = 0;
                count += 1;
            }
            let stream = Pin::new(&mut *stream);
            let sent = match &slices[..count] {
                [one] => stream.poll_write(context, one),
                all => stream.poll_write_vectored(context, all),
            };
            match sent {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.forget(count),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn forget(&mut self, count: usize) {
        self.unsent -= count;
        self.sent += count;
        let mut only = self.parts.len() == 1 && self.gathers;
        while let Some(first) = self.parts.front_mut() {
            if self.sent < first.len() {
                return;
            }
            self.sent -= first.len();
            if only && first.capacity() <= MOST_KEPT {
                first.clear();
                return;
            }
            self.parts.pop_front();
            only = self.parts.len() == 1 && self.gathers;
        }
        self.gathers = false;
    }
}

fn head(out: &mut Vec<u8>, flags: u16, kind: u16, cookie: u64, length: usize) {
    out.put_u32(CHUNK);
    out.put_u16(flags);
    out.put_u16(kind);
    out.put_u64(cookie);
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
}

/// Bytes are compared with their neighbours, which is one `memcmp`.
fn is_zero(data: &[u8]) -> bool {
    let (first, rest) = data.split_at(data.len().min(16));
    first.iter().all(|&byte| byte == 0) && *rest == data[..rest.len()]
}

/// At most `most` bytes of `text`, of whole characters.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
