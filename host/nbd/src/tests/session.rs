//! A client that waits for its answers, or does not.

use std::collections::HashMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::client::{self, Ask, Chunk, Reply};

pub(super) const READ: u16 = 0;
pub(super) const WRITE: u16 = 1;
pub(super) const DISCONNECT: u16 = 2;
pub(super) const FLUSH: u16 = 3;
pub(super) const TRIM: u16 = 4;
pub(super) const CACHE: u16 = 5;
pub(super) const ZEROES: u16 = 6;
pub(super) const STATUS: u16 = 7;

pub(super) const FUA: u16 = 1;
pub(super) const NO_HOLE: u16 = 2;
pub(super) const DF: u16 = 4;
pub(super) const REQ_ONE: u16 = 8;
pub(super) const FAST_ZERO: u16 = 16;

pub(super) struct Session {
    pub(super) stream: DuplexStream,
    input: Vec<u8>,
    next: u64,
    /// Lengths of reads that are under way.
    reads: HashMap<u64, usize>,
}

/// Everything that came for one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) cookie: u64,
    pub(super) error: u32,
    pub(super) replies: Vec<Reply>,
}

impl Answer {
    /// The bytes of a read from `offset`, put together.
    pub(super) fn data(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0xee; length];
        let mut covered = 0;
        for reply in &self.replies {
            let (at, part) = match reply {
                Reply::Simple { data, .. } => (offset, data.clone()),
                Reply::Chunk { what: Chunk::Data(at, data), .. } => (*at, data.clone()),
                Reply::Chunk { what: Chunk::Hole(at, length), .. } => (*at, vec![0; *length as usize]),
                Reply::Chunk { what: Chunk::None, .. } => continue,
                Reply::Chunk { what: Chunk::Status(_) | Chunk::Error(..), .. } => {
                    panic!("no part of a read: {reply:?}")
                }
            };
            bytes[(at - offset) as usize..][..part.len()].copy_from_slice(&part);
            covered += part.len();
        }
        assert_eq!(covered, length, "parts are missing, or there are too many");
        bytes
    }
}

impl Session {
    pub(super) async fn begin(mut stream: DuplexStream, structured: bool) -> Session {
        stream.write_all(&client::handshake(structured)).await.expect("a server that reads");
        let mut session = Session { stream, input: Vec::new(), next: 1, reads: HashMap::new() };
        let wanted = if structured { 5 } else { 2 };
        let used = loop {
            let mut rest = &session.input[..];
            if rest.len() >= 18 {
                client::greeting(&mut rest);
                let replies: Vec<_> = std::iter::from_fn(|| client::option_reply(&mut rest)).collect();
                if replies.len() == wanted {
                    assert_eq!(replies.last().map(|reply| reply.kind), Some(1), "not let in: {replies:?}");
                    break session.input.len() - rest.len();
                }
            }
            assert!(session.fill().await, "the server hung up during the handshake");
        };
        session.input.drain(..used);
        session
    }

    /// False where the server has closed.
    async fn fill(&mut self) -> bool {
        self.stream.read_buf(&mut self.input).await.is_ok_and(|count| count > 0)
    }

    /// Asks, and gives the cookie.
    pub(super) async fn ask(&mut self, command: u16, flags: u16, offset: u64, length: u32, data: &[u8]) -> u64 {
        let cookie = self.next;
        self.next += 1;
        if command == READ {
            self.reads.insert(cookie, length as usize);
        }
        let mut bytes = Ask { flags, command, cookie, offset, length }.bytes();
        bytes.extend_from_slice(data);
        self.send(&bytes).await;
        cookie
    }

    /// What is missing of a request.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("a server that reads");
    }

    /// The next part of an answer to anything. None where the server closed.
    pub(super) async fn reply(&mut self) -> Option<Reply> {
        loop {
            let mut rest = &self.input[..];
            if let Some(reply) = client::reply(&mut rest, |cookie| self.reads.get(&cookie).copied().unwrap_or(0)) {
                let used = self.input.len() - rest.len();
                self.input.drain(..used);
                return Some(reply);
            }
            if !self.fill().await {
                assert!(self.input.is_empty(), "the server closed in the middle of a reply");
                return None;
            }
        }
    }

    /// The whole answer to one request, with nothing else under way.
    pub(super) async fn answer(&mut self, cookie: u64) -> Answer {
        let mut replies = Vec::new();
        loop {
            let reply = self.reply().await.expect("an answer before the server closes");
            assert_eq!(reply.cookie(), cookie);
            replies.push(reply.clone());
            if reply.is_last() {
                return Answer { cookie, error: reply.error(), replies };
            }
        }
    }

    pub(super) async fn call(&mut self, command: u16, flags: u16, offset: u64, length: u32, data: &[u8]) -> Answer {
        let cookie = self.ask(command, flags, offset, length, data).await;
        self.answer(cookie).await
    }

    pub(super) async fn read(&mut self, offset: u64, length: u32) -> Vec<u8> {
        let answer = self.call(READ, 0, offset, length, &[]).await;
        assert_eq!(answer.error, 0, "{answer:?}");
        answer.data(offset, length as usize)
    }

    pub(super) async fn write(&mut self, flags: u16, offset: u64, data: &[u8]) -> u32 {
        self.call(WRITE, flags, offset, data.len() as u32, data).await.error
    }
}

impl Session {
    /// Says any bytes, so often.
    pub(super) async fn stream_all(&mut self, bytes: &[u8], times: usize) {
        for _ in 0..times {
            self.stream.write_all(bytes).await.expect("a server that reads");
        }
    }
}
