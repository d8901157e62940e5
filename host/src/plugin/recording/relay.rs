//! A stream of a plugin's, led past us: what goes over it is kept, in order.
//!
//! ```text
//!   sandbox ◂──▸ socket pair ◂──▸ this thread ◂──▸ server
//!                                   └▸ tape
//! ```

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

use super::format::{Bytes, KEPT_MAX, Piece, Tape};

/// Bytes under way in each direction.
const BUFFER: usize = 64 << 10;
/// What the plugin sent at last has this long to be taken once its call is over.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often the end of the call is looked for.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// The thread ends with the call: [`Relay::end`].
pub(super) struct Relay {
    thread: JoinHandle<()>,
    tape: Arc<Mutex<Tape>>,
    over: Arc<AtomicBool>,
}

impl Relay {
    /// Takes the stream to the server, and gives what the plugin gets in its place. `kept` counts the bytes that all streams of
    /// the call keep.
    pub(super) fn begin(server: OwnedFd, kept: Arc<AtomicUsize>) -> io::Result<(OwnedFd, Relay)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        rustix::io::ioctl_fionbio(&server, true)?;
        let (tape, over) = (Arc::new(Mutex::default()), Arc::new(AtomicBool::new(false)));
        let recording = Recording { tape: tape.clone(), kept };
        let ends = over.clone();
        let thread = std::thread::Builder::new().name("recorded".into()).spawn(move || {
            // A stream that fails is one that ended, on both sides.
            let _ = pass(&ours.into(), &server, &recording, &ends);
        })?;
        Ok((theirs.into(), Relay { thread, tape, over }))
    }

    /// What went over it. The plugin has let go of its end, or is made to.
    pub(super) fn end(self) -> Tape {
        let until = Instant::now() + LAST_WORDS;
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.over.store(true, Ordering::Release);
        // It has only what it kept to lose.
        let _ = self.thread.join();
        std::mem::take(&mut *self.tape.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Recording {
    tape: Arc<Mutex<Tape>>,
    kept: Arc<AtomicUsize>,
}

impl Recording {
    fn keep(&self, piece: impl FnOnce(Bytes) -> Piece, bytes: &[u8]) {
        let mut tape = self.tape.lock().unwrap_or_else(PoisonError::into_inner);
        if tape.cut || self.kept.fetch_add(bytes.len(), Ordering::AcqRel) + bytes.len() > KEPT_MAX {
            tape.cut = true;
            return;
        }
        match (tape.pieces.last_mut(), piece(Bytes(bytes.to_vec()))) {
            (Some(Piece::Sent(Bytes(before))), Piece::Sent(Bytes(more)))
            | (Some(Piece::Received(Bytes(before))), Piece::Received(Bytes(more))) => before.extend(more),
            (_, piece) => tape.pieces.push(piece),
        }
    }
}

/// One direction.
struct Way {
    waiting: Vec<u8>,
    /// Nothing comes any more.
    ended: bool,
    /// And the other side has been told.
    told: bool,
}

impl Way {
    const fn new() -> Self {
        Way { waiting: Vec::new(), ended: false, told: false }
    }

    fn wants(&self) -> bool {
        self.waiting.is_empty() && !self.ended
    }

    /// Takes what is there; gives whether that was the end.
    fn take(&mut self, from: &OwnedFd) -> Result<(), Errno> {
        let mut buffer = vec![0; BUFFER];
        match rustix::net::recv(from, buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
            Ok((0, _)) => self.ended = true,
            Ok((length, _)) => self.waiting.extend_from_slice(&buffer[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // It broke, which is told to nobody but as its end.
            Err(_) => self.ended = true,
        }
        Ok(())
    }

    fn give(&mut self, to: &OwnedFd) -> Result<(), Errno> {
        if !self.waiting.is_empty() {
            match rustix::net::send(to, &self.waiting, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(length) => drop(self.waiting.drain(..length)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        if self.ended && self.waiting.is_empty() && !self.told {
            self.told = true;
            // One that is gone needs no word.
            let _ = rustix::net::shutdown(to, Shutdown::Write);
        }
        Ok(())
    }
}

fn pass(plugin: &OwnedFd, server: &OwnedFd, recording: &Recording, over: &AtomicBool) -> Result<(), Errno> {
    let (mut out, mut back) = (Way::new(), Way::new());
    while !(over.load(Ordering::Acquire) || out.told && back.told) {
        let wanted = |reads: bool, writes: bool| {
            let read = if reads { PollFlags::IN } else { PollFlags::empty() };
            read | if writes { PollFlags::OUT } else { PollFlags::empty() }
        };
        let mut both = [
            PollFd::from_borrowed_fd(plugin.as_fd(), wanted(out.wants(), !back.waiting.is_empty())),
            PollFd::from_borrowed_fd(server.as_fd(), wanted(back.wants(), !out.waiting.is_empty())),
        ];
        match rustix::event::poll(&mut both, Some(&LOOK)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let gone = both[0].revents().intersects(PollFlags::HUP | PollFlags::ERR);
        if out.wants() {
            out.take(plugin)?;
            if !out.waiting.is_empty() {
                recording.keep(Piece::Sent, &out.waiting);
            }
        }
        if back.wants() {
            back.take(server)?;
            if !back.waiting.is_empty() {
                recording.keep(Piece::Received, &back.waiting);
            } else if back.ended {
                recording.keep(|_| Piece::Ended, &[]);
            }
        }
        out.give(server)?;
        // A plugin that is gone takes no more; what it sent still goes out.
        if gone && out.ended {
            if out.told {
                break;
            }
            back.waiting.clear();
            continue;
        }
        back.give(plugin)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn stream(descriptor: OwnedFd) -> UnixStream {
        UnixStream::from(descriptor)
    }

    #[test]
    fn what_goes_over_a_stream_is_kept_in_order_and_changes_nothing() {
        let (there, mut server) = UnixStream::pair().unwrap();
        let (plugin, relay) = Relay::begin(there.into(), Arc::default()).unwrap();
        let mut plugin = stream(plugin);
        for round in 0..3_u8 {
            plugin.write_all(&[round; 1000]).unwrap();
            let mut got = [0; 1000];
            server.read_exact(&mut got).unwrap();
            assert_eq!(got, [round; 1000]);
            server.write_all(&[round + 10; 200_000]).unwrap();
            let mut got = vec![0; 200_000];
            plugin.read_exact(&mut got).unwrap();
            assert_eq!(got, vec![round + 10; 200_000]);
        }
        drop(server);
        assert_eq!(plugin.read(&mut [0]).unwrap(), 0);
        drop(plugin);
        let tape = relay.end();
        let lengths: Vec<(bool, usize)> = tape
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Sent(bytes) => (true, bytes.0.len()),
                Piece::Received(bytes) => (false, bytes.0.len()),
                Piece::Ended => (false, 0),
            })
            .collect();
        assert_eq!(
            lengths,
            [
                (true, 1000),
                (false, 200_000),
                (true, 1000),
                (false, 200_000),
                (true, 1000),
                (false, 200_000),
                (false, 0)
            ]
        );
        assert!(!tape.cut);
    }

    #[test]
    fn last_words_reach_the_server_and_what_is_too_much_is_passed_on_and_not_kept() {
        let (there, mut server) = UnixStream::pair().unwrap();
        let kept = Arc::new(AtomicUsize::new(KEPT_MAX - 10));
        let (plugin, relay) = Relay::begin(there.into(), kept).unwrap();
        let mut plugin = stream(plugin);
        plugin.write_all(b"0123456789").unwrap();
        server.read_exact(&mut [0; 10]).unwrap();
        plugin.write_all(b"more, and then goodbye").unwrap();
        drop(plugin);
        let mut rest = String::new();
        server.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "more, and then goodbye");
        let tape = relay.end();
        assert_eq!(tape, Tape { pieces: vec![Piece::Sent(Bytes(b"0123456789".to_vec()))], cut: true });
    }

    #[test]
    fn a_server_that_takes_nothing_holds_a_call_up_for_a_moment_only() {
        let (there, server) = UnixStream::pair().unwrap();
        let (plugin, relay) = Relay::begin(there.into(), Arc::default()).unwrap();
        let mut plugin = stream(plugin);
        plugin.set_nonblocking(true).unwrap();
        while plugin.write(&[1; 1 << 16]).is_ok() || !relay.thread.is_finished() && plugin.write(&[1; 1 << 16]).is_ok()
        {
        }
        let begun = Instant::now();
        relay.end();
        assert!(begun.elapsed() < LAST_WORDS * 5);
        drop(server);
    }
}
