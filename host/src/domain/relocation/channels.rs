//! The several connections by which a guest's memory comes, on the side that takes it: `fief serve` has the streams, the domain's
//! supervisor the hypervisor that they go to.
//!
//! ```text
//!   a stream ─▸ fief serve ── channels.sock: which it is ─▸ supervisor ─▸ QEMU's own socket: the first one first
//!                   ▴                                          │
//!                   └────────── that end, as a descriptor ─────┘          then bytes, both ways
//! ```
//! QEMU takes the first that connects for the one that is not memory (`migration_ioc_process_incoming`), and waits for all of
//! them; a connection too many, or one that never comes, is an end of the move.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as Std;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::words::Channel;
use crate::error::{Context, Failure, Kind, Result};
use crate::migration::handover::Attempt;
use crate::sys::{message, socket};

/// In the domain's folder, while its memory is awaited.
pub const CHANNELS: &str = "channels.sock";
/// Longest line of an asker's, in bytes.
const ASKED_MAX: u64 = 256;
/// For the asker to say which it is.
const ASKED_WITHIN: Duration = Duration::from_secs(5);
/// For its turn to come: the hypervisor may have to be started.
const GIVEN_WITHIN: Duration = Duration::from_secs(120);
/// Beside the descriptor: a message has at least a byte.
const GIVEN: &[u8] = b"+";

/// What is said at [`CHANNELS`], by one who has a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Asked {
    pub attempt: Attempt,
    pub channel: Channel,
}

/// The hypervisor's end of a channel, once it is its turn.
///
/// # Errors
/// `Conflict` where nobody awaits it any more; `TimedOut` where its turn does not come.
pub async fn reach(folder: &Path, asked: Asked) -> Result<UnixStream> {
    let saying = || format!("connection {} of a guest's memory cannot come in", asked.channel.number);
    let stream = socket::connect_in(folder, CHANNELS).context(saying)?;
    stream.set_nonblocking(true).context(saying)?;
    let mut stream = UnixStream::from_std(stream).context(saying)?;
    let mut line = serde_json::to_vec(&asked).context(saying)?;
    line.push(b'\n');
    let given = async {
        stream.write_all(&line).await?;
        let mut byte = [0];
        stream.async_io(Interest::READABLE, || message::receive(&stream, &mut byte)).await
    };
    let given = timeout(GIVEN_WITHIN, given).await;
    let (_, descriptors) = given
        .map_err(|_| Failure::new(Kind::TimedOut, saying()))?
        .map_err(|error| Failure::conflict(saying()).because(error))?;
    let Some(end) = descriptors.into_iter().next() else {
        return Err(Failure::conflict(saying()).hint("the move is over there, or never wanted so many connections"));
    };
    let end = Std::from(end);
    end.set_nonblocking(true).context(saying)?;
    UnixStream::from_std(end).context(saying)
}

/// Which it is that somebody asks for; none where it does not say so at once.
pub async fn hear(stream: &mut UnixStream) -> Option<Asked> {
    let mut line = Vec::new();
    let read = async { BufReader::new(stream.take(ASKED_MAX)).read_until(b'\n', &mut line).await };
    timeout(ASKED_WITHIN, read).await.ok()?.ok()?;
    serde_json::from_slice(&line).ok()
}

/// Gives the hypervisor's end to who asked.
pub async fn give(to: &UnixStream, end: &Std) -> std::io::Result<()> {
    to.async_io(Interest::WRITABLE, || message::send(to, GIVEN, &[end.as_fd()])).await.map(drop)
}

/// Those of one move that have come. Pure.
#[derive(Debug)]
pub struct Channels<S> {
    /// How many there are beside the first; none until one has said so.
    of: Option<u8>,
    came: Vec<u8>,
    /// They wait for the first.
    waiting: Vec<S>,
}

impl<S> Default for Channels<S> {
    fn default() -> Self {
        Channels { of: None, came: Vec::new(), waiting: Vec::new() }
    }
}

/// Why a connection is none of a move's, and the move one that is not to be gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unwanted {
    #[error("there are to be {of} connections of memory, and one says that it is number {number}")]
    TooMany { number: u8, of: u8 },
    #[error("connection {0} came twice")]
    Twice(u8),
    #[error("one says that there are {0} connections of memory, and another one that there are {1}")]
    Differs(u8, u8),
}

impl<S> Channels<S> {
    /// One has come. Those that go to the hypervisor now, in that order.
    ///
    /// # Errors
    /// Where it is one too many.
    pub fn comes(&mut self, Channel { number, of }: Channel, stream: S) -> Result<Vec<S>, Unwanted> {
        let before = *self.of.get_or_insert(of);
        if before != of {
            return Err(Unwanted::Differs(before, of));
        }
        if number > of {
            return Err(Unwanted::TooMany { number, of });
        }
        if self.came.contains(&number) {
            return Err(Unwanted::Twice(number));
        }
        self.came.push(number);
        if !self.came.contains(&0) {
            self.waiting.push(stream);
            return Ok(Vec::new());
        }
        // The first, and behind it those that were there before it.
        let mut go = vec![stream];
        go.append(&mut self.waiting);
        Ok(go)
    }

    /// Some have come, and not all.
    pub fn lack(&self) -> bool {
        self.of.is_some_and(|of| self.came.len() <= of.into())
    }

    /// How many of memory there are to be, and how many connections have not come.
    pub fn of(&self) -> (u8, usize) {
        let of = self.of.unwrap_or_default();
        (of, (usize::from(of) + 1).saturating_sub(self.came.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(number: u8, of: u8) -> Channel {
        Channel { number, of }
    }

    #[test]
    fn the_first_goes_first_whatever_comes_first() {
        let mut channels = Channels::default();
        assert!(!channels.lack());
        assert_eq!(channels.comes(channel(2, 3), 'c'), Ok(vec![]));
        assert_eq!(channels.comes(channel(3, 3), 'd'), Ok(vec![]));
        assert_eq!(channels.comes(channel(0, 3), 'a'), Ok(vec!['a', 'c', 'd']));
        assert!(channels.lack());
        assert_eq!(channels.of(), (3, 1));
        assert_eq!(channels.comes(channel(1, 3), 'b'), Ok(vec!['b']));
        assert!(!channels.lack());
    }

    #[test]
    fn one_too_many_or_twice_or_of_another_number_is_told() {
        let mut channels = Channels::default();
        channels.comes(channel(0, 2), ()).unwrap();
        assert_eq!(channels.comes(channel(3, 2), ()), Err(Unwanted::TooMany { number: 3, of: 2 }));
        assert_eq!(channels.comes(channel(1, 3), ()), Err(Unwanted::Differs(2, 3)));
        channels.comes(channel(1, 2), ()).unwrap();
        assert_eq!(channels.comes(channel(1, 2), ()), Err(Unwanted::Twice(1)));
        assert_eq!(channels.comes(channel(0, 2), ()), Err(Unwanted::Twice(0)));
        assert!(channels.lack());
        let mut none = Channels::default();
        assert_eq!(none.comes(channel(1, 0), ()), Err(Unwanted::TooMany { number: 1, of: 0 }));
    }

    #[tokio::test]
    async fn whoever_asks_is_given_an_end_and_who_says_nonsense_is_not_heard() {
        let folder = tempfile::tempdir().unwrap();
        let listener = socket::listen_in(folder.path(), CHANNELS).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::UnixListener::from_std(listener).unwrap();
        let asked = Asked { attempt: Attempt { generation: 4, number: 9 }, channel: channel(1, 2) };
        let given = async {
            let (mut client, _) = listener.accept().await.unwrap();
            assert_eq!(hear(&mut client).await, Some(asked));
            let (here, there) = Std::pair().unwrap();
            give(&client, &there).await.unwrap();
            here
        };
        let (end, here) = tokio::join!(reach(folder.path(), asked), given);
        let mut end = end.unwrap();
        std::io::Write::write_all(&mut &here, b"memory").unwrap();
        let mut heard = [0; 6];
        end.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"memory");
        let refused = async {
            // Gone before it was its turn.
            drop(listener.accept().await.unwrap());
        };
        let (end, ()) = tokio::join!(reach(folder.path(), asked), refused);
        assert_eq!(end.unwrap_err().kind, Kind::Conflict);
        for nonsense in [&b"\n"[..], b"{}\n", &[b'x'; 300], b"{\"attempt\":1}\n"] {
            let (mut here, mut there) = UnixStream::pair().unwrap();
            there.write_all(nonsense).await.unwrap();
            drop(there);
            assert_eq!(hear(&mut here).await, None);
        }
    }
}
