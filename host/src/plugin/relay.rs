//! A stream of a plugin's, led past us: somebody hears what goes over it, and may end it.
//!
//! ```text
//!   sandbox ◂──▸ socket pair ◂──▸ this thread ◂──▸ server
//!                                   └▸ ear: a recording's tape (recording/tape.rs), or one that breaks it (breach.rs)
//! ```

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, sockopt};

use crate::sys::stream;

/// Bytes under way in each direction.
const BUFFER: usize = 64 << 10;
/// What the plugin sent at last has this long to be taken once its call is over.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often the end of the call is looked for.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// How often it is looked whether the plugin has taken what it was given, where it is given little at a time.
const TAKEN: Duration = Duration::from_micros(20);

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Plugin,
    Server,
}

/// How a stream ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// As if the other side had closed it in order: a read gives no bytes.
    Ends,
    /// As if the other side were gone: a read fails.
    Resets,
    /// It stays open, and nothing comes over it any more.
    Silent,
}

/// What becomes of bytes that were heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Onward {
    All,
    /// So many of them go on, and then the stream is over.
    Part(usize, Break),
}

/// Hears what goes over a stream, in order.
pub(super) trait Ear: Send + 'static {
    fn hears(&mut self, side: Side, bytes: &[u8]) -> Onward;

    /// The server says no more.
    fn ended(&mut self) {}

    /// Whether the plugin is given little at a time, and more once it has taken that.
    fn is_slow(&self) -> bool {
        false
    }

    /// Most bytes that the plugin is given now.
    fn pace(&mut self) -> usize {
        usize::MAX
    }
}

/// What the plugin has in place of the stream to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// Within this process.
    Pair,
    /// Over the loopback interface: it can be reset.
    Tcp,
}

impl Over {
    /// Our end, and the plugin's.
    fn pair(self) -> io::Result<(OwnedFd, OwnedFd)> {
        match self {
            Over::Pair => UnixStream::pair().map(|(ours, theirs)| (ours.into(), theirs.into())),
            Over::Tcp => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                let theirs = TcpStream::connect(listener.local_addr()?)?;
                theirs.set_nodelay(true)?;
                loop {
                    let (ours, from) = listener.accept()?;
                    // Another process of this host may have found that port.
                    if from == theirs.local_addr()? {
                        ours.set_nodelay(true)?;
                        return Ok((ours.into(), theirs.into()));
                    }
                }
            }
        }
    }
}

/// The thread ends with the call: [`Relay::end`].
pub(super) struct Relay<E> {
    thread: JoinHandle<E>,
    over: Arc<AtomicBool>,
}

impl<E: Ear> Relay<E> {
    /// Takes the stream to the server, and gives what the plugin gets in its place.
    pub(super) fn begin(server: OwnedFd, instead: Over, mut ear: E) -> io::Result<(OwnedFd, Relay<E>)> {
        let (ours, theirs) = instead.pair()?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        rustix::io::ioctl_fionbio(&server, true)?;
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let thread = std::thread::Builder::new().name("relay".into()).spawn(move || {
            // A stream that fails is one that ended, on both sides.
            if let Ok(Some(how)) = pass(&ours, &server, &mut ear, &ends) {
                cut(ours, server, how, &ends);
            }
            ear
        })?;
        Ok((theirs, Relay { thread, over }))
    }

    /// What heard it. The plugin has let go of its end, or is made to.
    pub(super) fn end(self) -> Option<E> {
        let until = Instant::now() + LAST_WORDS;
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.over.store(true, Ordering::Release);
        // A thread that panicked has only what it heard to lose.
        self.thread.join().ok()
    }
}

/// The server is gone from here on, or seems to be.
fn cut(plugin: OwnedFd, server: OwnedFd, how: Break, over: &AtomicBool) {
    match how {
        Break::Resets => {
            drop(server);
            // What is not a TCP stream ends all the same.
            let _ = sockopt::set_socket_linger(&plugin, Some(Duration::ZERO));
        }
        Break::Ends => {
            drop(server);
            // One that is gone needs no word.
            let _ = rustix::net::shutdown(&plugin, Shutdown::Write);
            unheard(&plugin, over);
        }
        // The server's end stays open as long.
        Break::Silent => unheard(&plugin, over),
    }
}

/// What the plugin says from now on nobody hears.
fn unheard(plugin: &OwnedFd, over: &AtomicBool) {
    let mut rest = Way::new();
    while !(rest.ended || over.load(Ordering::Acquire)) {
        let mut one = [PollFd::from_borrowed_fd(plugin.as_fd(), PollFlags::IN)];
        let _ = rustix::event::poll(&mut one, Some(&LOOK));
        rest.take(plugin);
        rest.waiting.clear();
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

    /// Takes what is there.
    fn take(&mut self, from: &OwnedFd) {
        let mut buffer = vec![0; BUFFER];
        match rustix::net::recv(from, buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
            Ok((0, _)) => self.ended = true,
            Ok((length, _)) => self.waiting.extend_from_slice(&buffer[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // It broke, which is told to nobody but as its end.
            Err(_) => self.ended = true,
        }
    }

    /// Gives `most` bytes of it.
    fn give(&mut self, to: &OwnedFd, most: usize) -> Result<(), Errno> {
        if !self.waiting.is_empty() {
            let some = &self.waiting[..most.min(self.waiting.len())];
            match rustix::net::send(to, some, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
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

/// Until both sides have ended, the call is over, or the ear breaks it: how.
fn pass<E: Ear>(plugin: &OwnedFd, server: &OwnedFd, ear: &mut E, over: &AtomicBool) -> Result<Option<Break>, Errno> {
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
            out.take(plugin);
            if let Some((length, how)) = heard(ear, Side::Plugin, &out) {
                return last(&mut out, server, length).map(|()| Some(how));
            }
        }
        if back.wants() {
            back.take(server);
            if let Some((length, how)) = heard(ear, Side::Server, &back) {
                return last(&mut back, plugin, length).map(|()| Some(how));
            }
            if back.waiting.is_empty() && back.ended {
                ear.ended();
            }
        }
        out.give(server, usize::MAX)?;
        // A plugin that is gone takes no more; what it sent still goes out.
        if gone && out.ended {
            if out.told {
                break;
            }
            back.waiting.clear();
            continue;
        }
        if back.waiting.is_empty() {
            back.give(plugin, 0)?;
        } else if ear.is_slow() && !stream::is_read(plugin)? {
            std::thread::sleep(TAKEN);
        } else {
            back.give(plugin, ear.pace())?;
        }
    }
    Ok(None)
}

/// After how many of the bytes that came the stream is over, and how, if it is.
fn heard(ear: &mut impl Ear, side: Side, way: &Way) -> Option<(usize, Break)> {
    if way.waiting.is_empty() {
        return None;
    }
    match ear.hears(side, &way.waiting) {
        Onward::All => None,
        Onward::Part(length, how) => Some((length, how)),
    }
}

/// The last that goes over it, as far as it is taken at once.
fn last(way: &mut Way, to: &OwnedFd, length: usize) -> Result<(), Errno> {
    way.waiting.truncate(length);
    way.give(to, length)
}

/// A server for the tests of those who hear streams.
#[cfg(test)]
pub(super) mod fake {
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    /// A server that answers each word of four bytes with one of six.
    pub(in super::super) fn server() -> OwnedFd {
        let (there, mut server) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            let mut word = [0; 4];
            while server.read_exact(&mut word).is_ok() && server.write_all(b"answer").is_ok() {}
        });
        there.into()
    }
}
