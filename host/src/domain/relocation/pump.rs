//! Bytes between a hypervisor of this host and a peer, both ways, on threads of their own: neither encryption nor a slow
//! network holds up the supervisor.
//!
//! ```text
//!   one       QEMU ─ a pair of sockets ─ thread ═ a stream ═▸ the peer
//!   several   QEMU ─ memory.sock ─┬ thread ═ channel 0 ═▸     QEMU connects by itself, and first what is not memory;
//!                                 ├ thread ═ channel 1 ═▸     which of the others is which, QEMU says in each
//!                                 └ …
//! ```
//! Of several, no end of QEMU's is closed while it sends, whatever becomes of the stream: what it still writes is read and
//! goes nowhere until it has given up. A thread of its that sends memory and meets a closed end stops all others, and QEMU 7.2
//! waits for ever for what one of these had yet to do (`multifd_send_sync_main` for `sem_sync`, which a thread that stops for
//! `exiting` does not post). Nor are they where this process is killed: QEMU keeps them itself (sys/deposit.rs), each as soon as it
//! is accepted.

use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;
use uuid::Uuid;

use super::SERVICE;
use super::words::{CHANNELS_SINCE, Cargo, Channel, Purpose};
use crate::error::{Context, Failure, Kind, Result};
use crate::fault;
use crate::gate::Gate;
use crate::migration::handover::Attempt;
use crate::peer::{Session, Stream, Ticket};
use crate::sys::deposit::Deposit;
use crate::types::PeerName;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// A host greets 16 of one address at a time, and has others to greet (`peer/serve/admission.rs`).
const OPEN_AT_ONCE: usize = 8;
/// How long QEMU may take to make the next of its connections.
const COME_WITHIN: Duration = Duration::from_secs(10);
/// What is on its way in each direction, in bytes: several records of TLS.
const THERE: usize = 256 << 10;
const BACK: usize = 16 << 10;

/// The way to a peer, made before there is anything to send. Dropped, it ends.
#[derive(Debug)]
pub struct Pump {
    orders: mpsc::Sender<Order>,
}

/// The hypervisor's ends.
#[derive(Debug)]
pub enum Ends {
    One(UnixStream),
    /// It connects there by itself: once, and as often as there are channels.
    Several {
        listener: UnixListener,
        channels: u8,
        /// Where each of those is put.
        deposit: Option<Deposit>,
    },
}

#[derive(Debug)]
enum Order {
    /// How many channels of so many the peer takes.
    Channels(u8, oneshot::Sender<Result<u8>>),
    Carry(Load),
}

#[derive(Debug)]
struct Load {
    domain: Uuid,
    attempt: Attempt,
    ends: Ends,
    ready: oneshot::Sender<Result<()>>,
    end: mpsc::UnboundedSender<Failure>,
    stop: watch::Receiver<bool>,
}

/// Memory on its way.
#[derive(Debug)]
pub struct Carrying {
    broken: mpsc::UnboundedReceiver<Failure>,
    stop: watch::Sender<bool>,
}

impl Carrying {
    /// Why one of its connections broke; never where none does.
    pub async fn lost(&mut self) -> Failure {
        match self.broken.recv().await {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }

    /// Why one broke already.
    pub fn broke(&mut self) -> Option<Failure> {
        self.broken.try_recv().ok()
    }

    /// Nothing more goes to the peer, and the hypervisor waits for none of it: what it writes goes nowhere until this is
    /// dropped.
    pub fn stop(&self) {
        // Whoever carries may have ended.
        let _ = self.stop.send(true);
    }
}

impl Pump {
    /// Begins to connect; that it does not work is told where there is something to send.
    pub fn begin(gate: &Gate, peer: &PeerName) -> Result<Pump> {
        let (orders, ordered) = mpsc::channel(1);
        let (gate, peer) = (gate.clone(), peer.clone());
        thread(move || carry(gate, peer, ordered))?;
        Ok(Pump { orders })
    }

    /// How many channels of so many go over: one to a peer that knows of no more.
    pub async fn channels(&self, wanted: u8) -> Result<u8> {
        let (tell, told) = oneshot::channel();
        self.orders.send(Order::Channels(wanted, tell)).await.map_err(|_| over())?;
        told.await.unwrap_or_else(|_| Err(over()))
    }

    /// Connects a hypervisor to its peer's, once the peer has taken each connection.
    pub async fn connect(self, domain: Uuid, attempt: Attempt, ends: Ends) -> Result<Carrying> {
        let (ready, connected) = oneshot::channel();
        let (end, broken) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let load = Load { domain, attempt, ends, ready, end, stop: stopped };
        self.orders.send(Order::Carry(load)).await.map_err(|_| over())?;
        connected.await.unwrap_or_else(|_| Err(over()))?;
        Ok(Carrying { broken, stop })
    }
}

fn saying() -> String {
    "memory cannot be moved".to_owned()
}

fn over() -> Failure {
    Failure::other("what moves memory ended at once")
}

/// Runs it on a thread of its own, with a runtime of its own.
fn thread<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send + 'static) -> Result<()> {
    let run = move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            runtime.block_on(work());
            runtime.shutdown_background();
        }
        Err(error) => tracing::error!(%error, "memory cannot be moved"),
    };
    std::thread::Builder::new().name("pump".into()).spawn(run).context(saying).map(drop)
}

async fn carry(gate: Gate, peer: PeerName, mut ordered: mpsc::Receiver<Order>) {
    let mut session = Session::connect(&gate, &peer, CONNECT_WITHIN).await;
    let load = loop {
        match ordered.recv().await {
            None => return,
            Some(Order::Carry(load)) => break load,
            Some(Order::Channels(wanted, reply)) => {
                if session.is_err() {
                    session = Session::connect(&gate, &peer, CONNECT_WITHIN).await;
                }
                let takes = |session: &Session| if session.greeted().version < CHANNELS_SINCE { 1 } else { wanted };
                // Whoever asked may be gone.
                let _ = reply.send(session.as_ref().map(takes).map_err(Clone::clone));
            }
        }
    };
    let Load { domain, attempt, ends, ready, end, stop } = load;
    let cargos = match &ends {
        Ends::One(_) => vec![Cargo::Memory],
        Ends::Several { channels, .. } => {
            (0..=*channels).map(|number| Cargo::Channel(Channel { number, of: *channels })).collect()
        }
    };
    let purposes: Vec<Purpose> = cargos.into_iter().map(|what| Purpose { domain, attempt, what }).collect();
    let tickets = async {
        // A way that broke while nothing was to be sent is made anew.
        match session {
            Ok(session) => match tickets(&session, &purposes).await {
                Err(failure) if failure.kind == Kind::Unreachable => anew(&gate, &peer, &purposes).await,
                tickets => tickets.map(|tickets| (session, tickets)),
            },
            Err(_) => anew(&gate, &peer, &purposes).await,
        }
    };
    let whom = peer.clone();
    let one = Channeled { peer: whom, end: end.clone(), stop };
    let (_session, tickets) = match tickets.await {
        Ok(both) => both,
        Err(failure) => return drop(ready.send(Err(failure))),
    };
    match ends {
        Ends::One(here) => {
            let Some(ticket) = tickets.into_iter().next() else { return };
            match ticket.open(CONNECT_WITHIN).await {
                Ok(there) => {
                    let _ = ready.send(Ok(()));
                    one.copy(here, there).await;
                }
                Err(failure) => drop(ready.send(Err(failure))),
            }
        }
        Ends::Several { listener, deposit, .. } => match several(listener, tickets, &one).await {
            Ok((listener, ways)) => {
                let _ = ready.send(Ok(()));
                let handed_out = async {
                    if let Err(failure) = hand_out(&listener, ways, deposit.as_ref(), &end).await {
                        let _ = end.send(failure);
                    }
                    std::future::pending().await
                };
                // The control connection, and what the hypervisor connects to, live as long as what they have opened.
                tokio::select! {
                    () = handed_out => {}
                    () = one.ended() => {}
                }
            }
            Err(failure) => drop(ready.send(Err(failure))),
        },
    }
}

async fn tickets(session: &Session, purposes: &[Purpose]) -> Result<Vec<Ticket>> {
    let mut tickets = Vec::with_capacity(purposes.len());
    for purpose in purposes {
        tickets.push(session.ticket(SERVICE, purpose, CONNECT_WITHIN).await?);
    }
    Ok(tickets)
}

async fn anew(gate: &Gate, peer: &PeerName, purposes: &[Purpose]) -> Result<(Session, Vec<Ticket>)> {
    let session = Session::connect(gate, peer, CONNECT_WITHIN).await?;
    let tickets = tickets(&session, purposes).await?;
    Ok((session, tickets))
}

async fn several(
    listener: UnixListener,
    tickets: Vec<Ticket>,
    one: &Channeled,
) -> Result<(tokio::net::UnixListener, Vec<oneshot::Sender<UnixStream>>)> {
    listener.set_nonblocking(true).context(saying)?;
    let listener = tokio::net::UnixListener::from_std(listener).context(saying)?;
    Ok((listener, open_all(tickets, one).await?))
}

/// A thread for each, which waits with its stream for the hypervisor's end.
async fn open_all(tickets: Vec<Ticket>, one: &Channeled) -> Result<Vec<oneshot::Sender<UnixStream>>> {
    let mut opening = Vec::with_capacity(tickets.len());
    let at_once = Arc::new(Semaphore::new(OPEN_AT_ONCE));
    for ticket in tickets {
        let (open, opened) = oneshot::channel();
        let (hand, handed) = oneshot::channel();
        let (one, at_once) = (one.clone(), at_once.clone());
        thread(move || async move {
            let permit = at_once.acquire().await;
            let there = ticket.open(CONNECT_WITHIN).await;
            drop(permit);
            match there {
                Ok(there) => {
                    let _ = open.send(Ok(()));
                    if let Ok(here) = handed.await {
                        one.copy_and_drain(here, there).await;
                    }
                }
                Err(failure) => drop(open.send(Err(failure))),
            }
        })?;
        opening.push((opened, hand));
    }
    let mut ways = Vec::with_capacity(opening.len());
    for (opened, hand) in opening {
        opened.await.unwrap_or_else(|_| Err(over()))?;
        ways.push(hand);
    }
    Ok(ways)
}

/// Each of the hypervisor's connections, in the order in which they come, gets the next way. One that is late is told of, and
/// taken all the same.
async fn hand_out(
    listener: &tokio::net::UnixListener,
    ways: Vec<oneshot::Sender<UnixStream>>,
    deposit: Option<&Deposit>,
    end: &mpsc::UnboundedSender<Failure>,
) -> Result<()> {
    let all = ways.len();
    for (number, way) in ways.into_iter().enumerate() {
        let come = match timeout(COME_WITHIN, listener.accept()).await {
            Ok(come) => come,
            Err(_) => {
                let message = format!("the hypervisor made {number} of {all} connections for its memory");
                // Whoever listened may have heard enough.
                let _ = end.send(Failure::new(Kind::TimedOut, message));
                listener.accept().await
            }
        };
        let (here, _) = come.context(saying)?;
        // Nothing comes between: whoever is killed here closes it.
        if let Some(Err(error)) = deposit.map(|deposit| deposit.put(&here)) {
            let _ = end.send(Failure::other("the hypervisor does not keep a connection for its memory").because(error));
        }
        // Whoever waited with its stream may have ended.
        let _ = way.send(here.into_std().context(saying)?);
    }
    Ok(())
}

/// What each of several threads does.
#[derive(Clone)]
struct Channeled {
    peer: PeerName,
    end: mpsc::UnboundedSender<Failure>,
    stop: watch::Receiver<bool>,
}

impl Channeled {
    /// Until both have ended, or one is lost.
    async fn copy(&self, here: UnixStream, there: Stream) {
        if let Some(mut here) = self.begin(here) {
            self.go(&mut here, there).await;
        }
    }

    /// The same, and then the hypervisor's end stays open until it closes it or nobody asks for it any more.
    async fn copy_and_drain(&self, here: UnixStream, there: Stream) {
        let Some(mut here) = self.begin(here) else { return };
        match fault::point("channel.given") {
            Ok(()) => self.go(&mut here, there).await,
            Err(failure) => drop(self.end.send(failure)),
        }
        let mut nowhere = tokio::io::sink();
        tokio::select! {
            _ = tokio::io::copy(&mut here, &mut nowhere) => {}
            () = self.ended() => {}
        }
    }

    fn begin(&self, here: UnixStream) -> Option<tokio::net::UnixStream> {
        let here = here.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(here));
        here.map_err(|error| self.broke(error)).ok()
    }

    async fn go(&self, here: &mut tokio::net::UnixStream, mut there: Stream) {
        tokio::select! {
            copied = copy_bidirectional_with_sizes(here, &mut there, THERE, BACK) => if let Err(error) = copied {
                self.broke(error);
            },
            () = self.stopped() => {}
        }
    }

    fn broke(&self, error: std::io::Error) {
        let broke = Failure::new(Kind::Unreachable, format!("the way to the peer {} broke", self.peer));
        // Whoever listened may have heard enough.
        let _ = self.end.send(broke.because(error));
    }

    /// Nothing is to go on; where nobody is left to say so, what goes on ends by itself.
    async fn stopped(&self) {
        let mut stop = self.stop.clone();
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Nobody asks for it any more.
    async fn ended(&self) {
        let mut stop = self.stop.clone();
        let _ = stop.wait_for(|_| false).await;
    }
}
