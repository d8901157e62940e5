//! What a recording keeps of a stream: what went over it, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::format::{Bytes, KEPT_MAX, Piece, Tape};
use crate::plugin::relay::{Ear, Onward, Side};

/// Keeps all of it, as long as there is room.
pub(super) struct Keeping {
    tape: Tape,
    /// Bytes that all streams of the call keep.
    kept: Arc<AtomicUsize>,
}

impl Keeping {
    pub(super) fn new(kept: Arc<AtomicUsize>) -> Self {
        Keeping { tape: Tape::default(), kept }
    }

    pub(super) fn tape(self) -> Tape {
        self.tape
    }

    fn keep(&mut self, piece: impl FnOnce(Bytes) -> Piece, bytes: &[u8]) {
        let tape = &mut self.tape;
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

impl Ear for Keeping {
    fn hears(&mut self, side: Side, bytes: &[u8]) -> Onward {
        match side {
            Side::Plugin => self.keep(Piece::Sent, bytes),
            Side::Server => self.keep(Piece::Received, bytes),
        }
        Onward::All
    }

    fn ended(&mut self) {
        self.keep(|_| Piece::Ended, &[]);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::plugin::relay::{Over, Relay};

    fn begin(server: OwnedFd, kept: Arc<AtomicUsize>) -> (OwnedFd, Relay<Keeping>) {
        Relay::begin(server, Over::Pair, Keeping::new(kept)).unwrap()
    }

    fn stream(descriptor: OwnedFd) -> UnixStream {
        UnixStream::from(descriptor)
    }

    #[test]
    fn what_goes_over_a_stream_is_kept_in_order_and_changes_nothing() {
        let (there, mut server) = UnixStream::pair().unwrap();
        let (plugin, relay) = begin(there.into(), Arc::default());
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
        let tape = relay.end().unwrap().tape();
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
        let (plugin, relay) = begin(there.into(), kept);
        let mut plugin = stream(plugin);
        plugin.write_all(b"0123456789").unwrap();
        server.read_exact(&mut [0; 10]).unwrap();
        plugin.write_all(b"more, and then goodbye").unwrap();
        drop(plugin);
        let mut rest = String::new();
        server.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "more, and then goodbye");
        let tape = relay.end().unwrap().tape();
        assert_eq!(tape, Tape { pieces: vec![Piece::Sent(Bytes(b"0123456789".to_vec()))], cut: true });
    }

    #[test]
    fn a_server_that_takes_nothing_holds_a_call_up_for_a_moment_only() {
        let (there, server) = UnixStream::pair().unwrap();
        let (plugin, relay) = begin(there.into(), Arc::default());
        let mut plugin = stream(plugin);
        plugin.set_nonblocking(true).unwrap();
        let full = Instant::now();
        while full.elapsed() < Duration::from_millis(100) {
            while plugin.write(&[1; 1 << 16]).is_ok() {}
        }
        let begun = Instant::now();
        relay.end();
        assert!(begun.elapsed() < Duration::from_secs(5));
        drop(server);
    }
}
