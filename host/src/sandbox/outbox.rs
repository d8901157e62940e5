//! What a plugin sends while it serves a volume: gathered for each stream until nothing is left to do, then sent at once.
//! Requests that come together go out together, with one system call, and wake the server once.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_util::future::select;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

/// Bytes that may wait in one stream: beyond that, whoever sends waits.
const MOST_WAITING: usize = 512 << 10;
/// As much is sent at once: the server shall begin with it while the next is still coming.
const ENOUGH: usize = 32 << 10;
/// Streams that their plugin let go of, and that still have something to send: what is beyond that is given up, the oldest
/// first, else a plugin that opens, fills and drops them would hold one descriptor each until TCP gives up.
const MOST_LEFT: usize = 8;
/// Most pieces of one system call.
const MOST_PIECES: usize = 64;

/// The streams that have something to send.
#[derive(Clone, Default)]
pub(super) struct Outbox(Arc<Mutex<Vec<Arc<Mailer>>>>);

/// The sending side of one stream.
pub(super) struct Mailer {
    half: OwnedWriteHalf,
    /// Whoever waits for room waits here, so that all is sent in the order in which it came.
    turn: tokio::sync::Mutex<()>,
    waiting: Mutex<Waiting>,
    room: Notify,
}

#[derive(Default)]
struct Waiting {
    pieces: VecDeque<Vec<u8>>,
    /// Bytes of the first piece that are sent already.
    sent: usize,
    bytes: usize,
    /// Why nothing is sent any more.
    broken: Option<Broken>,
}

pub(super) type Broken = Arc<std::io::Error>;

impl Outbox {
    /// Sends what the streams take. `context` is woken once one of them takes more.
    pub(super) fn send(&self, context: &mut Context<'_>) {
        if let Ok(mut mailers) = self.0.lock() {
            mailers.retain(|mailer| mailer.poll_send(context).is_pending());
        }
    }

    /// A plugin let go of a stream.
    pub(super) fn bound(&self) {
        if let Ok(mut mailers) = self.0.lock() {
            let left = mailers.iter().filter(|mailer| is_left(mailer)).count();
            let mut too_many = left.saturating_sub(MOST_LEFT);
            mailers.retain(|mailer| {
                let given_up = too_many > 0 && is_left(mailer);
                too_many -= usize::from(given_up);
                !given_up
            });
        }
    }
}

/// Nobody but the outbox has it any more.
fn is_left(mailer: &Arc<Mailer>) -> bool {
    Arc::strong_count(mailer) == 1
}

impl Mailer {
    pub(super) fn new(half: OwnedWriteHalf) -> Arc<Self> {
        Arc::new(Mailer { half, turn: tokio::sync::Mutex::default(), waiting: Mutex::default(), room: Notify::new() })
    }

    /// Puts `data` behind what waits already, once there is room for it. It is sent when this turn is over: a failure is
    /// told to the next who sends, and whoever reads the stream sees its end.
    ///
    /// # Errors
    /// The stream broke.
    pub(super) async fn post(self: &Arc<Self>, data: Vec<u8>, outbox: &Outbox) -> Result<(), Broken> {
        let _turn = self.turn.lock().await;
        loop {
            let room = self.room.notified();
            if let Ok(mut waiting) = self.waiting.lock() {
                if let Some(broken) = &waiting.broken {
                    return Err(broken.clone());
                }
                let first = waiting.bytes == 0;
                if first || waiting.bytes + data.len() <= MOST_WAITING {
                    waiting.add(data);
                    if waiting.bytes >= ENOUGH {
                        waiting.send_now(&self.half);
                    }
                    let first = first && waiting.bytes > 0;
                    drop(waiting);
                    if first && let Ok(mut mailers) = outbox.0.lock() {
                        mailers.push(self.clone());
                    }
                    return Ok(());
                }
            }
            room.await;
        }
    }

    /// Sends `data` now, and waits until it is on its way.
    ///
    /// # Errors
    /// The stream broke.
    pub(super) async fn write(&self, data: Vec<u8>) -> Result<(), Broken> {
        let _turn = self.turn.lock().await;
        if let Ok(mut waiting) = self.waiting.lock() {
            waiting.add(data);
        }
        while self.waiting.lock().is_ok_and(|waiting| waiting.bytes > 0) {
            // The outbox may send it, and then it is the outbox that the socket wakes.
            let room = pin!(self.room.notified());
            select(poll_fn(|context| self.poll_send(context)), room).await;
        }
        match self.waiting.lock().ok().and_then(|waiting| waiting.broken.clone()) {
            Some(broken) => Err(broken),
            None => Ok(()),
        }
    }

    /// Ready once nothing waits.
    fn poll_send(&self, context: &mut Context<'_>) -> Poll<()> {
        let Ok(mut waiting) = self.waiting.lock() else { return Poll::Ready(()) };
        loop {
            // Only where there is more room than before: whoever waits is polled at once, and would find none.
            if waiting.send_now(&self.half) {
                self.room.notify_waiters();
            }
            if waiting.bytes == 0 {
                return Poll::Ready(());
            }
            match self.half.as_ref().poll_write_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    waiting.breaks(error);
                    self.room.notify_waiters();
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Waiting {
    fn add(&mut self, data: Vec<u8>) {
        if self.broken.is_none() && !data.is_empty() {
            self.bytes += data.len();
            self.pieces.push_back(data);
        }
    }

    fn send(&mut self, half: &OwnedWriteHalf) -> std::io::Result<()> {
        let mut slices = [IoSlice::new(&[]); MOST_PIECES];
        let (mut skip, mut count) = (self.sent, 0);
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(&piece[skip..]);
            (skip, count) = (0, count + 1);
        }
        let sent = match &slices[..count] {
            [one] => half.try_write(one)?,
            all => half.try_write_vectored(all)?,
        };
        if sent == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        self.bytes -= sent;
        self.sent += sent;
        while let Some(first) = self.pieces.front()
            && self.sent >= first.len()
        {
            self.sent -= first.len();
            self.pieces.pop_front();
        }
        Ok(())
    }

    /// Sends what the stream takes without waiting; whether less waits than before.
    fn send_now(&mut self, half: &OwnedWriteHalf) -> bool {
        let before = self.bytes;
        while self.bytes > 0 {
            match self.send(half) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => self.breaks(error),
            }
        }
        self.bytes < before
    }

    fn breaks(&mut self, error: std::io::Error) {
        *self = Waiting { broken: Some(Arc::new(error)), ..Waiting::default() };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use futures_util::FutureExt;
    use tokio::net::TcpStream;
    use tokio::net::tcp::OwnedReadHalf;

    use super::*;

    /// A mailer, its other half, and what it sends to.
    async fn pair() -> (Arc<Mailer>, OwnedReadHalf, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (read, write) = stream.into_split();
        (Mailer::new(write), read, listener.accept().unwrap().0)
    }

    async fn sent(outbox: &Outbox) {
        poll_fn(|context| {
            outbox.send(context);
            if outbox.0.lock().unwrap().is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    #[tokio::test]
    async fn what_is_posted_goes_out_together_when_the_turn_is_over() {
        let (mailer, _read, mut other) = pair().await;
        let outbox = Outbox::default();
        for piece in [&b"one "[..], b"", b"two ", b"three"] {
            mailer.post(piece.to_vec(), &outbox).now_or_never().unwrap().unwrap();
        }
        other.set_nonblocking(true).unwrap();
        assert_eq!(other.read(&mut [0; 64]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        sent(&outbox).await;
        other.set_nonblocking(false).unwrap();
        let mut bytes = [0; 13];
        other.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"one two three");
    }

    #[tokio::test]
    async fn much_is_on_its_way_at_once_and_more_than_fits_waits_in_order() {
        let (mailer, _read, mut other) = pair().await;
        let outbox = Outbox::default();
        const PIECE: usize = 200 << 10;
        const MANY: usize = 200;
        let posting = async {
            for number in 0..MANY {
                mailer.post(vec![number as u8; PIECE], &outbox).await.unwrap();
                assert!(mailer.waiting.lock().unwrap().bytes <= MOST_WAITING.max(PIECE));
            }
            sent(&outbox).await;
        };
        // More than a socket holds: somebody has to wait for room.
        let reading = std::thread::spawn(move || {
            let mut all = vec![0; PIECE * MANY];
            other.read_exact(&mut all).unwrap();
            all
        });
        let mut posting = std::pin::pin!(posting);
        poll_fn(|context| {
            let posted = posting.as_mut().poll(context);
            outbox.send(context);
            posted
        })
        .await;
        let all = tokio::task::spawn_blocking(|| reading.join().unwrap()).await.unwrap();
        assert!(all.chunks(PIECE).enumerate().all(|(number, piece)| piece.iter().all(|byte| *byte == number as u8)));
    }

    #[tokio::test]
    async fn whoever_waits_for_room_is_left_alone_until_there_is_some() {
        let (mailer, _read, other) = pair().await;
        let outbox = Outbox::default();
        let mut asked = 0;
        let mut posting = pin!(async {
            loop {
                mailer.post(vec![0; 256 << 10], &outbox).await.unwrap();
            }
        });
        // Nobody reads: once all is full, nothing moves any more.
        let filling = poll_fn(|context| {
            asked += 1;
            let posted: Poll<()> = posting.as_mut().poll(context);
            outbox.send(context);
            posted
        });
        assert!(tokio::time::timeout(std::time::Duration::from_millis(300), filling).await.is_err());
        assert!(asked < 1_000, "asked {asked} times");
        drop(other);
    }

    #[tokio::test]
    async fn of_streams_that_were_let_go_of_full_only_a_few_are_kept() {
        let outbox = Outbox::default();
        let mut others = Vec::new();
        let (in_use, _read, _unread) = pair().await;
        // More than a socket holds, to somebody who does not read.
        let fill = async |mailer: &Arc<Mailer>| {
            while outbox.0.lock().unwrap().iter().all(|waiting| !Arc::ptr_eq(waiting, mailer)) {
                mailer.post(vec![0; 256 << 10], &outbox).await.unwrap();
            }
        };
        fill(&in_use).await;
        for _ in 0..3 * MOST_LEFT {
            let (mailer, read, other) = pair().await;
            fill(&mailer).await;
            drop((mailer, read));
            outbox.bound();
            others.push(other);
        }
        assert_eq!(outbox.0.lock().unwrap().len(), MOST_LEFT + 1, "the one in use, and the last that were let go of");
        for mut other in others.drain(..2 * MOST_LEFT) {
            // What had been sent, and the end: nobody holds it open any more.
            other.read_to_end(&mut Vec::new()).unwrap();
        }
    }

    #[tokio::test]
    async fn a_stream_that_broke_says_so_to_the_next_who_sends() {
        let (mailer, read, other) = pair().await;
        let outbox = Outbox::default();
        drop(other);
        rustix::net::shutdown(read.as_ref(), rustix::net::Shutdown::Both).unwrap();
        mailer.post(b"lost".to_vec(), &outbox).await.unwrap();
        sent(&outbox).await;
        assert!(mailer.post(b"more".to_vec(), &outbox).await.is_err());
        assert!(mailer.write(b"more".to_vec()).await.is_err());
    }
}
