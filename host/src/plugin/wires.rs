//! The streams of a volume that is served, led past us: on purpose they break or stand still while requests are under way, for a
//! plugin that is being tried out.
//!
//! ```text
//!   plugin  ask ──▸ ask ──▸ ask ──▸                   over as many streams as it likes
//!   server      answer ──▸ ans…                       the n-th piece that the server says, from when it was aimed at
//!                           Break: all streams are over, and for a while nobody is let in
//!                           Still: nothing comes over any of them for a while; then the rest does, or they are over
//! ```

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::relay::{Break, Ear, Onward, Over, Relay, Side};

/// What becomes of all streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// They are over in the middle of an answer. For `away` the server is not reached.
    Break { how: Break, away: Duration },
    /// The server says nothing for so long, in the middle of an answer, and then the rest; or the streams are over.
    Still { lasts: Duration, then: Option<Break> },
}

/// Says what becomes of them. At first nothing does.
#[derive(Debug, Clone, Default)]
pub struct Wires(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    aim: Option<(u32, Fate)>,
    /// Pieces that the server said since it was aimed.
    seen: u32,
    came: bool,
    /// How often all streams were over, and how the last time.
    broken: u32,
    how: Option<Break>,
    away: Option<Instant>,
    still: Option<Instant>,
}

/// The same wires, and no others that do the same.
impl PartialEq for Wires {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Wires {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That comes with the piece of that number, from 1, which the server says from now on.
    pub fn aim(&self, at: u32, fate: Fate) {
        let mut state = self.state();
        (state.aim, state.seen, state.came) = (Some((at, fate)), 0, false);
    }

    /// Nothing comes any more. Gives whether it came.
    pub fn rest(&self) -> bool {
        let mut state = self.state();
        state.aim = None;
        state.came
    }

    /// Whether the server can be reached.
    pub(super) fn admits(&self) -> bool {
        self.state().away.is_none_or(|until| Instant::now() >= until)
    }

    /// Leads a stream to a server past us.
    ///
    /// # Errors
    /// Where there is no other stream to be had.
    pub(super) fn lead(&self, stream: OwnedFd) -> io::Result<OwnedFd> {
        let ear = Wire { wires: self.clone(), broken: self.state().broken, half: None };
        // It ends with the sandbox's end of the stream.
        Relay::begin(stream, Over::Tcp, ear).map(|(ours, _relay)| ours)
    }
}

/// Hears one stream.
struct Wire {
    wires: Wires,
    /// How often all streams were over when it began.
    broken: u32,
    /// So much of what the server says now comes before it stands still.
    half: Option<usize>,
}

impl Wire {
    /// How the stream is over, if it is.
    fn over(&self) -> Option<Onward> {
        let state = self.wires.state();
        let how = state.how.filter(|_| state.broken != self.broken)?;
        Some(Onward::Part(0, how))
    }

    /// While nothing moves.
    fn stand(&self) {
        let until = self.wires.state().still;
        if let Some(left) = until.and_then(|until| until.checked_duration_since(Instant::now())) {
            std::thread::sleep(left);
        }
    }

    fn fate(&self) -> Option<Fate> {
        let mut state = self.wires.state();
        let (at, fate) = state.aim?;
        state.seen += 1;
        if state.seen != at {
            return None;
        }
        (state.aim, state.came) = (None, true);
        match fate {
            Fate::Break { how, away } => {
                state.away = Some(Instant::now() + away);
                state.end(how);
            }
            Fate::Still { lasts, .. } => state.still = Some(Instant::now() + lasts),
        }
        Some(fate)
    }
}

impl State {
    fn end(&mut self, how: Break) {
        self.broken += 1;
        self.how = Some(how);
    }
}

impl Ear for Wire {
    fn hears(&mut self, side: Side, bytes: &[u8]) -> Onward {
        self.stand();
        if let Some(over) = self.over() {
            return over;
        }
        match (side == Side::Server).then(|| self.fate()).flatten() {
            None => Onward::All,
            Some(Fate::Break { how, .. }) => Onward::Part(bytes.len() / 2, how),
            Some(Fate::Still { then: Some(how), .. }) => {
                self.stand();
                self.wires.state().end(how);
                Onward::Part(bytes.len() / 2, how)
            }
            Some(Fate::Still { then: None, .. }) => {
                self.half = Some(bytes.len() / 2);
                Onward::All
            }
        }
    }

    fn pace(&mut self) -> usize {
        match self.half.take() {
            Some(half @ 1..) => half,
            Some(0) | None => {
                self.stand();
                usize::MAX
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream;

    use super::super::relay::fake::server;
    use super::*;

    fn led(wires: &Wires) -> TcpStream {
        TcpStream::from(wires.lead(server()).unwrap())
    }

    fn asked(stream: &mut TcpStream) -> io::Result<[u8; 6]> {
        let mut answer = [0; 6];
        stream.write_all(b"word")?;
        stream.read_exact(&mut answer).map(|()| answer)
    }

    #[test]
    fn all_streams_break_together_and_for_a_while_nobody_is_let_in() {
        let wires = Wires::default();
        let (mut one, mut other) = (led(&wires), led(&wires));
        assert!(asked(&mut one).is_ok() && asked(&mut other).is_ok());
        wires.aim(2, Fate::Break { how: Break::Resets, away: Duration::from_millis(200) });
        assert!(asked(&mut one).is_ok() && wires.admits());
        assert_eq!(asked(&mut one).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert!(asked(&mut other).is_err() && !wires.admits() && wires.rest());
        std::thread::sleep(Duration::from_millis(200));
        assert!(wires.admits() && asked(&mut led(&wires)).is_ok());
    }

    #[test]
    fn a_server_stands_still_within_an_answer_and_the_rest_comes_later() {
        let wires = Wires::default();
        let (mut one, mut other) = (led(&wires), led(&wires));
        let lasts = Duration::from_millis(300);
        wires.aim(1, Fate::Still { lasts, then: None });
        let begun = Instant::now();
        one.write_all(b"word").unwrap();
        let mut some = [0; 6];
        assert_eq!((one.read(&mut some).unwrap(), begun.elapsed() < lasts), (3, true));
        assert!(asked(&mut other).is_ok() && begun.elapsed() >= lasts, "the other streams stand still too");
        assert_eq!(one.read(&mut some).unwrap(), 3);
        assert!(wires.rest() && asked(&mut one).is_ok());
    }

    #[test]
    fn a_server_stands_still_and_then_breaks_off() {
        let wires = Wires::default();
        let (mut one, mut other) = (led(&wires), led(&wires));
        let lasts = Duration::from_millis(200);
        wires.aim(1, Fate::Still { lasts, then: Some(Break::Ends) });
        let begun = Instant::now();
        assert_eq!(asked(&mut one).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert!(begun.elapsed() >= lasts);
        assert!(asked(&mut other).is_err() && asked(&mut led(&wires)).is_ok());
    }
}
