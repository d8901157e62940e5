//! A server out of a recording: it says what it said then, once the plugin has said as much as it had then.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

use crate::plugin::recording::format::{Bytes, Piece, Tape};

const BUFFER: usize = 64 << 10;
/// A plugin that says less than it did then, and nothing more for this long, waits for the answer.
const WAITS_FOR_AN_ANSWER: Duration = Duration::from_millis(500);
/// How often the end of the call is looked for.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// What a plugin sent, beside what it sent then. In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sent {
    pub now: u64,
    pub then: u64,
    /// Where the first one differs.
    pub differs_at: Option<u64>,
}

/// The thread ends with the call: [`Playing::end`].
pub(super) struct Playing {
    thread: JoinHandle<Sent>,
    over: Arc<AtomicBool>,
}

impl Playing {
    /// Gives the plugin's end of the stream.
    pub(super) fn begin(tape: Tape) -> io::Result<(OwnedFd, Playing)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let thread =
            std::thread::Builder::new().name("played".into()).spawn(move || play(&ours.into(), &tape, &ends))?;
        Ok((theirs.into(), Playing { thread, over }))
    }

    /// The plugin's sandbox has ended.
    pub(super) fn end(self) -> Sent {
        self.over.store(true, Ordering::Release);
        self.thread.join().unwrap_or_default()
    }
}

/// How much the plugin had sent before, and what the server said then; none: it ended the stream.
type Saying<'a> = (usize, Option<&'a [u8]>);

/// All that the plugin sent then, and what the server said.
fn parts(tape: &Tape) -> (Vec<u8>, Vec<Saying<'_>>) {
    let (mut sent, mut said) = (Vec::new(), Vec::new());
    for piece in &tape.pieces {
        match piece {
            Piece::Sent(Bytes(bytes)) => sent.extend_from_slice(bytes),
            Piece::Received(Bytes(bytes)) => said.push((sent.len(), Some(&bytes[..]))),
            Piece::Ended => said.push((sent.len(), None)),
        }
    }
    // What came afterwards is not known.
    if tape.cut {
        said.push((sent.len(), None));
    }
    (sent, said)
}

fn play(plugin: &OwnedFd, tape: &Tape, over: &AtomicBool) -> Sent {
    let (wanted, said) = parts(tape);
    let mut said = said.into_iter().peekable();
    let mut told = Sent { then: wanted.len() as u64, ..Sent::default() };
    let mut waiting: &[u8] = &[];
    let mut heard = Instant::now();
    let mut ended = false;
    let mut buffer = vec![0; BUFFER];
    loop {
        if waiting.is_empty()
            && let Some((_, what)) = said.next_if(|(after, _)| {
                told.now >= *after as u64 || told.now > 0 && heard.elapsed() >= WAITS_FOR_AN_ANSWER
            })
        {
            match what {
                Some(bytes) => waiting = bytes,
                None => drop(rustix::net::shutdown(plugin, Shutdown::Write)),
            }
        }
        if !waiting.is_empty() {
            match rustix::net::send(plugin, waiting, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(length) => waiting = &waiting[length..],
                Err(Errno::AGAIN | Errno::INTR) => {}
                // It does not listen any more; what it sent still counts.
                Err(_) => waiting = &[],
            }
        }
        match rustix::net::recv(plugin, buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
            Ok((0, _)) => ended = true,
            Ok((length, _)) => {
                heard = Instant::now();
                compare(&mut told, &wanted, &buffer[..length]);
                continue;
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => ended = true,
        }
        if ended || over.load(Ordering::Acquire) {
            return told;
        }
        let interest = if waiting.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        // One that fails is seen by the next call.
        let _ = rustix::event::poll(&mut [PollFd::from_borrowed_fd(plugin.as_fd(), interest)], Some(&LOOK));
    }
}

fn compare(told: &mut Sent, wanted: &[u8], bytes: &[u8]) {
    let from = (told.now as usize).min(wanted.len());
    if told.differs_at.is_none() {
        let differs = bytes.iter().zip(&wanted[from..]).position(|(now, then)| now != then);
        told.differs_at = differs.map(|at| told.now + at as u64);
    }
    told.now += bytes.len() as u64;
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn tape() -> Tape {
        let bytes = |text: &str| Bytes(text.as_bytes().to_vec());
        let pieces = vec![
            Piece::Received(bytes("hello")),
            Piece::Sent(bytes("ask one")),
            Piece::Received(bytes("answer one")),
            Piece::Sent(bytes("bye")),
            Piece::Ended,
        ];
        Tape { pieces, cut: false }
    }

    fn hear(plugin: &mut UnixStream, wanted: &str) {
        let mut got = vec![0; wanted.len()];
        plugin.read_exact(&mut got).unwrap();
        assert_eq!(got, wanted.as_bytes());
    }

    #[test]
    fn a_server_says_what_it_said_when_it_is_asked_what_it_was_asked() {
        let (plugin, playing) = Playing::begin(tape()).unwrap();
        let mut plugin = UnixStream::from(plugin);
        hear(&mut plugin, "hello");
        plugin.write_all(b"ask one").unwrap();
        hear(&mut plugin, "answer one");
        plugin.write_all(b"bye").unwrap();
        assert_eq!(plugin.read(&mut [0]).unwrap(), 0);
        drop(plugin);
        assert_eq!(playing.end(), Sent { now: 10, then: 10, differs_at: None });
    }

    #[test]
    fn one_that_asks_otherwise_is_answered_all_the_same_and_it_is_told() {
        let (plugin, playing) = Playing::begin(tape()).unwrap();
        let mut plugin = UnixStream::from(plugin);
        hear(&mut plugin, "hello");
        plugin.write_all(b"ask!").unwrap();
        hear(&mut plugin, "answer one");
        drop(plugin);
        let sent = playing.end();
        assert_eq!((sent.now, sent.then, sent.differs_at), (4, 10, Some(3)));
    }
}
