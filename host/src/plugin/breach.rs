//! Streams that break on purpose, or give little at a time, for a plugin that is being tried out.
//!
//! ```text
//!   plugin  ask ─────────▸ ask ────────▸ as…              a request of which the server has half
//!   server        answer ──────▸ ans…                     an answer that is cut off in the middle
//!                  1              2  …  the n-th of that side, over all streams of a call
//! ```

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::relay::{Break, Ear, Onward, Over, Relay, Side};

/// Of what the server says at a stretch, so many bytes come one by one, and the others in pieces of so many.
const SINGLY: usize = 256;
const PIECES: usize = 16381;
/// So many bytes of a stream come one by one: what is read of volumes costs a plugin no more than it would.
const SINGLY_IN_ALL: usize = 4096;

/// What becomes of the streams of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// The stream is over before the answer of that number (from 1), or in the middle of it.
    Answer { at: u32, half: bool, how: Break },
    /// The server gets half of the request of that number, and the stream is reset.
    Request { at: u32 },
    /// What the server says comes little by little.
    Short,
}

/// The streams of one call that were spoilt.
#[derive(Default)]
pub(super) struct Spoilt {
    relays: Vec<Relay<Breaker>>,
    counted: Arc<Counted>,
}

#[derive(Default)]
struct Counted {
    /// Requests or answers so far, of all streams.
    seen: AtomicU32,
    came: AtomicBool,
    /// The server has fallen silent: it says nothing over any stream, those that are opened later among them.
    silent: AtomicBool,
}

/// What a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Came {
    /// Something was spoilt.
    pub(super) some: bool,
    /// So many answers, or requests, were counted.
    pub(super) turns: u32,
}

impl Spoilt {
    /// Leads a stream to a server past what breaks it.
    ///
    /// # Errors
    /// Where there is no other stream to be had.
    pub(super) fn lead(&mut self, stream: OwnedFd, breach: Breach) -> io::Result<OwnedFd> {
        let over = match breach {
            Breach::Short => Over::Pair,
            Breach::Answer { .. } | Breach::Request { .. } => Over::Tcp,
        };
        let ear = Breaker { breach, counted: self.counted.clone(), last: None, singly: 0, left: SINGLY_IN_ALL };
        let (ours, relay) = Relay::begin(stream, over, ear)?;
        self.relays.push(relay);
        Ok(ours)
    }

    /// The call is over.
    pub(super) fn end(self) -> Came {
        for relay in self.relays {
            drop(relay.end());
        }
        Came { some: self.counted.came.load(Ordering::Acquire), turns: self.counted.seen.load(Ordering::Acquire) }
    }
}

/// Hears one stream.
struct Breaker {
    breach: Breach,
    counted: Arc<Counted>,
    /// Who spoke last.
    last: Option<Side>,
    /// Bytes of what the server says now that still come one by one.
    singly: usize,
    /// Bytes of the stream that may.
    left: usize,
}

impl Breaker {
    /// Whether it is the turn of that number: all that a side says before the other does.
    fn is_turn(&self, at: u32, begins: bool) -> bool {
        let turn = begins && self.counted.seen.fetch_add(1, Ordering::AcqRel) + 1 == at;
        if turn {
            self.counted.came.store(true, Ordering::Release);
        }
        turn
    }
}

impl Ear for Breaker {
    fn hears(&mut self, side: Side, bytes: &[u8]) -> Onward {
        let begins = self.last.replace(side) != Some(side);
        if self.counted.silent.load(Ordering::Acquire) {
            return Onward::Part(0, Break::Silent);
        }
        match (self.breach, side) {
            (Breach::Answer { at, half, how }, Side::Server) if self.is_turn(at, begins) => {
                self.counted.silent.store(how == Break::Silent, Ordering::Release);
                Onward::Part(if half { bytes.len() / 2 } else { 0 }, how)
            }
            (Breach::Request { at }, Side::Plugin) if self.is_turn(at, begins) => {
                Onward::Part(bytes.len() / 2, Break::Resets)
            }
            (Breach::Short, Side::Server) => {
                self.singly = SINGLY.min(self.left);
                self.counted.came.store(true, Ordering::Release);
                Onward::All
            }
            (Breach::Answer { .. } | Breach::Request { .. } | Breach::Short, _) => Onward::All,
        }
    }

    fn is_slow(&self) -> bool {
        self.breach == Breach::Short
    }

    fn pace(&mut self) -> usize {
        match self.breach {
            Breach::Short if self.singly > 0 => {
                self.singly -= 1;
                self.left -= 1;
                1
            }
            Breach::Short => PIECES,
            Breach::Answer { .. } | Breach::Request { .. } => usize::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::super::relay::fake::server;
    use super::*;

    /// What three questions in a row bring; the error of the one that failed.
    fn asked(breach: Breach) -> (Vec<Vec<u8>>, Option<ErrorKind>, bool) {
        let mut spoilt = Spoilt::default();
        let mut plugin = TcpStream::from(spoilt.lead(server(), breach).unwrap());
        let (mut answers, mut failed) = (Vec::new(), None);
        for _ in 0..3 {
            let mut answer = Vec::new();
            let mut all = || -> io::Result<()> {
                plugin.write_all(b"word")?;
                plugin.set_read_timeout(Some(Duration::from_millis(500)))?;
                while answer.len() < 6 {
                    let mut some = [0; 6];
                    let length = plugin.read(&mut some)?;
                    if length == 0 {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                    answer.extend_from_slice(&some[..length]);
                }
                Ok(())
            };
            failed = all().err().map(|error| error.kind());
            answers.push(answer);
            if failed.is_some() {
                break;
            }
        }
        drop(plugin);
        (answers, failed, spoilt.end().some)
    }

    #[test]
    fn the_answer_of_that_number_does_not_come_or_half_of_it_does() {
        let whole = || b"answer".to_vec();
        let breach = |half, how| Breach::Answer { at: 2, half, how };
        for (half, how, kind) in [
            (false, Break::Ends, ErrorKind::UnexpectedEof),
            (true, Break::Ends, ErrorKind::UnexpectedEof),
            (false, Break::Resets, ErrorKind::ConnectionReset),
            (true, Break::Resets, ErrorKind::ConnectionReset),
            (false, Break::Silent, ErrorKind::WouldBlock),
            (true, Break::Silent, ErrorKind::WouldBlock),
        ] {
            let (answers, failed, came) = asked(breach(half, how));
            assert_eq!(answers, [whole(), if half { b"ans".to_vec() } else { Vec::new() }], "{half} {how:?}");
            assert_eq!((failed, came), (Some(kind), true), "{half} {how:?}");
        }
        let later = asked(Breach::Answer { at: 4, half: false, how: Break::Ends });
        assert_eq!(later, (vec![whole(); 3], None, false));
    }

    #[test]
    fn a_server_that_fell_silent_says_nothing_over_another_stream_either() {
        let mut spoilt = Spoilt::default();
        let breach = Breach::Answer { at: 1, half: true, how: Break::Silent };
        let begun = std::time::Instant::now();
        for expected in [&b"ans"[..], b""] {
            let mut plugin = TcpStream::from(spoilt.lead(server(), breach).unwrap());
            plugin.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            plugin.write_all(b"word").unwrap();
            let mut got = Vec::new();
            assert_eq!(plugin.read_to_end(&mut got).unwrap_err().kind(), ErrorKind::WouldBlock);
            assert_eq!(got, expected);
        }
        assert_eq!(spoilt.end(), Came { some: true, turns: 1 });
        assert!(begun.elapsed() < Duration::from_secs(1), "what the plugin let go of is let go of");
    }

    #[test]
    fn a_request_of_which_the_server_has_half_is_never_answered() {
        let (answers, failed, came) = asked(Breach::Request { at: 3 });
        assert_eq!(answers, [b"answer".to_vec(), b"answer".to_vec(), Vec::new()]);
        assert_eq!((failed, came), (Some(ErrorKind::ConnectionReset), true));
    }

    #[test]
    fn an_answer_comes_byte_by_byte_and_all_of_it_does() {
        let (there, mut server) = UnixStream::pair().unwrap();
        let mut spoilt = Spoilt::default();
        let mut plugin = UnixStream::from(spoilt.lead(there.into(), Breach::Short).unwrap());
        let said: Vec<u8> = (0..5000_u32).map(|at| at as u8).collect();
        server.write_all(&said).unwrap();
        let (mut got, mut first) = (Vec::new(), Vec::new());
        while got.len() < said.len() {
            let mut some = [0; 4096];
            let length = plugin.read(&mut some).unwrap();
            first.push(length);
            got.extend_from_slice(&some[..length]);
        }
        assert_eq!((got, &first[..3]), (said, &[1, 1, 1][..]));
        assert!(first.iter().all(|length| *length <= PIECES), "{first:?}");
        drop(plugin);
        assert!(spoilt.end().some);
    }
}
