//! One client, from its first byte to its last request.
//!
//! ```text
//!   socket ─▸ input ─▸ intake ─▸ pieces in flight ─▸ output ─▸ socket
//!              one large read     each a call of       gathered until nothing
//!              of many requests   the device           is left to begin
//! ```
//! Everything is done in turns of one future: a turn moves what can be moved, and waits when nothing can. A client that does
//! not read its replies, or sends half a request, fills its own share of memory and no more.

mod intake;
mod request;
mod shake;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;

use crate::handle::{Ending, Listening, Shared};
use crate::handshake::Agreed;
use crate::output::Output;
use crate::perform::{Answer, Ground, Piece};
use crate::{Device, Error, Export, Limits};
use intake::{Intake, Taken};
use request::Request;

/// Room for what comes: some hundred requests, or a few with their data.
const INPUT: usize = 128 << 10;
/// Most calls of the device that one connection has going, whatever the device takes.
const MOST_CALLS: usize = 128;
/// Most answers of the device that wait for the next one before their replies are sent, and most bytes of those. Where one
/// thread carries calls out one after the other, as an engine of WebAssembly does, a reply at a time would cost a system
/// call each, and wake a client that has more under way: sixteen of 64 at a time were four times as many a second.
const MOST_GATHERED: u32 = 16;
const MOST_GATHERED_BYTES: usize = 64 << 10;

/// A piece that is done.
struct Done {
    request: Rc<Request>,
    /// Where it began, in bytes.
    offset: u64,
    /// What it was counted with, in bytes of memory.
    cost: usize,
    answer: Result<Answer, Error>,
}

/// Why a connection is over.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// All that was begun has been answered.
    Clean,
    /// The client is gone, or speaks something else.
    Lost,
}

struct Connection<'c, D, S> {
    ground: &'c Ground<D>,
    limits: &'c Limits,
    shared: &'c Shared,
    agreed: Agreed,
    stream: S,
    input: BytesMut,
    intake: Intake,
    /// The last request was a write of much data.
    writes_large: bool,
    flight: FuturesUnordered<Pin<Box<dyn Future<Output = Done> + 'c>>>,
    /// Bytes of memory that pieces in flight are counted with.
    held: usize,
    output: Output,
    /// Answers of the device whose replies were not sent yet.
    gathered: u32,
    /// Counted among those that share memory and calls.
    busy: bool,
    /// The round of clients that this one belongs to.
    round: u64,
    /// Nothing of a client that went away is still being done, or was when this was first asked.
    clear: bool,
    /// The client will say no more.
    hung_up: bool,
    /// Counted among those who go away and of whom something is still being done.
    leaving: bool,
    listening: Listening<'c>,
    deadline: Option<Pin<Box<Sleep>>>,
}

pub(crate) async fn serve<D: Device>(
    ground: &Ground<D>,
    export: &Export,
    limits: &Limits,
    shared: &Shared,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
) {
    let round = shared.round.get();
    let Some((agreed, input)) = shake::hands(&ground.geometry, export, limits, shared, &mut stream).await else {
        return;
    };
    shared.count(|statistics| statistics.clients += 1);
    let mut connection = Connection {
        ground,
        limits,
        shared,
        agreed,
        stream,
        input,
        intake: Intake::Header,
        writes_large: false,
        flight: FuturesUnordered::new(),
        held: 0,
        output: Output::default(),
        gathered: 0,
        busy: false,
        round,
        clear: false,
        hung_up: false,
        leaving: false,
        listening: Listening::new(shared),
        deadline: None,
    };
    let end = poll_fn(|context| connection.turn(context)).await;
    connection.be_busy(false);
    // What was begun is seen to its end, whoever may hear of it.
    connection.leave(!connection.flight.is_empty());
    let Connection { mut flight, stream, leaving, .. } = connection;
    drop(stream);
    shared.count(|statistics| statistics.clients -= 1);
    tracing::debug!(?end, unanswered = flight.len(), "a client is gone");
    while flight.next().await.is_some() {
        shared.count(|statistics| statistics.requests_in_flight -= 1);
    }
    if leaving {
        shared.no_longer_leaving();
    }
}

impl<'c, D: Device, S: AsyncRead + AsyncWrite + Unpin> Connection<'c, D, S> {
    /// Moves all that can be moved.
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<End> {
        self.listening.register(context.waker());
        self.hear();
        // Whether this turn brought an answer of the device's, and with it hope for another.
        let mut fresh = false;
        loop {
            let mut moved = false;
            while let Poll::Ready(Some(done)) = self.flight.poll_next_unpin(context) {
                self.settle(done, context);
                self.gathered += 1;
                (moved, fresh) = (true, true);
            }
            let mut taken = self.take(context);
            while taken == Taken::Something {
                moved = true;
                taken = self.take(context);
            }
            if taken == Taken::Nonsense {
                return Poll::Ready(End::Lost);
            }
            if self.output.unsent() > 0 && !(fresh && self.gathers()) {
                self.gathered = 0;
                let before = self.output.unsent();
                if let Poll::Ready(Err(_)) = self.output.poll_send(context, &mut self.stream) {
                    return Poll::Ready(End::Lost);
                }
                moved |= self.output.unsent() < before;
            }
            // Reads ahead where there is no room for more: who hangs up is to be noticed.
            if !self.hung_up
                && !matches!(self.intake, Intake::Ended)
                && (taken == Taken::NeedsBytes || self.reads_ahead())
            {
                match self.poll_fill(context) {
                    Poll::Ready(Ok(count)) => {
                        self.hung_up = count == 0;
                        moved = true;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(End::Lost),
                    Poll::Pending => {}
                }
            } else if self.hung_up && taken == Taken::NeedsBytes {
                self.intake = Intake::Ended;
            }
            let idle = self.flight.is_empty() && self.output.unsent() == 0;
            let over = matches!(self.intake, Intake::Ended) || self.shared.ending.get().is_some();
            if idle && over && !moved {
                return Poll::Ready(End::Clean);
            }
            if !moved {
                self.be_busy(!idle);
                break;
            }
        }
        if fresh && self.output.unsent() > 0 && self.gathers() {
            // Asked again at once: after the call that is carried out next, or for what was gathered until then.
            context.waker().wake_by_ref();
        }
        let ended = matches!(self.intake, Intake::Ended);
        self.leave((self.hung_up || ended) && !(self.flight.is_empty() && ended));
        if self.deadline.is_none() && (self.hung_up || ended || self.shared.ending.get().is_some()) {
            self.deadline = Some(Box::pin(tokio::time::sleep(self.limits.drain)));
        }
        if let Some(deadline) = &mut self.deadline {
            ready!(deadline.as_mut().poll(context));
            return Poll::Ready(End::Lost);
        }
        Poll::Pending
    }

    /// Whether replies wait for those of calls that are about to be done.
    fn gathers(&self) -> bool {
        // A part of what is under way: were it all, client and device would work in turns, and never at the same time.
        let part = (self.flight.len() as u32 + self.gathered) / 4;
        self.gathered < part.min(MOST_GATHERED) && self.output.unsent() < MOST_GATHERED_BYTES
    }

    /// What a [`Handle`](crate::Handle) has said.
    fn hear(&mut self) {
        if self.shared.round.get() != self.round || self.shared.ending.get() == Some(Ending::HandOver) {
            self.intake = Intake::Ended;
        }
    }

    /// Whether a piece of `cost` bytes may begin: memory and calls are shared among those who use any.
    fn has_room(&self, cost: usize) -> bool {
        let sharers = self.shared.busy.get() + usize::from(!self.busy);
        let calls = (self.ground.geometry.maximum_requests as usize).min(MOST_CALLS) / sharers;
        let holds = self.held + self.output.unsent();
        self.flight.len() < calls.max(1) && (holds == 0 || holds + cost <= self.limits.memory / sharers)
    }

    fn be_busy(&mut self, busy: bool) {
        if busy != self.busy {
            self.busy = busy;
            let others = self.shared.busy.get();
            self.shared.busy.set(if busy { others + 1 } else { others - 1 });
        }
    }

    /// Others wait for what a client that goes away had begun: were it to happen after what the same client asks for on its
    /// next connection, an old write would undo a newer one.
    fn leave(&mut self, leaving: bool) {
        if leaving && !self.leaving {
            self.shared.leaving.set(self.shared.leaving.get() + 1);
        } else if !leaving && self.leaving {
            self.shared.no_longer_leaving();
        }
        self.leaving = leaving;
    }

    /// Begins a piece. Many a device is done at once, and then nothing is queued.
    fn begin(&mut self, request: Rc<Request>, offset: u64, cost: usize, piece: Piece, context: &mut Context<'_>) {
        let ground = self.ground;
        request.begun();
        let mut future: Pin<Box<dyn Future<Output = Done> + 'c>> = Box::pin(async move {
            let answer = ground.perform(piece).await;
            Done { request, offset, cost, answer }
        });
        self.held += cost;
        self.shared.count(|statistics| statistics.requests_in_flight += 1);
        match future.as_mut().poll(context) {
            Poll::Ready(done) => self.settle(done, context),
            Poll::Pending => self.flight.push(future),
        }
    }
}
