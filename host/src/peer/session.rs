//! A control connection to a peer, and the streams that go beside it.
//!
//! ```text
//!   request ─▸ writer ──▸ the peer ──▸ reader ─▸ whoever waits for that number
//!   pinger  ─▸   "                        │ a minute of silence, or an end: every waiting request fails
//! ```
//! Many requests may be under way at a time. Needs a tokio runtime with I/O and time for as long as it lives.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fief_wire::frame::{self, FRAME_MAX, Within};
use fief_wire::hello::Purpose;
use fief_wire::message::{Answer, Ask, StreamGranted, StreamWanted};
use fief_wire::{Body, Trouble};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::ReadHalf;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

use super::dial::{self, Greeted};
use super::tls::{self, Whose};
use super::{FRAME, HANDSHAKE, Identity, PING_EVERY, SILENCE, Stream, heard, outgoing, who};
use crate::config::policy::{Encryption, Relocation};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::{Gate, peers};
use crate::layout::Layout;
use crate::sys::stream::Watch;
use crate::types::{Digest, Endpoint, Host, PeerName};

/// Frames that wait to be written.
const QUEUE: usize = 32;

/// Ends when it is dropped.
#[derive(Debug)]
pub struct Session {
    peer: PeerName,
    greeted: Greeted,
    address: SocketAddr,
    fingerprint: Digest,
    identity: Arc<Identity>,
    relocation: Relocation,
    gate: Gate,
    frames: mpsc::Sender<Vec<u8>>,
    next: AtomicU64,
    waiting: Arc<Waiting>,
    tasks: Vec<JoinHandle<()>>,
}

/// Requests without an answer, by number; or why there will be none.
#[derive(Debug)]
struct Waiting(Mutex<State>);

type State = Result<BTreeMap<u64, oneshot::Sender<Result<Value>>>, Failure>;

impl Session {
    /// Connects to a peer by its pinned certificate, within the time and [`HANDSHAKE`] at most.
    ///
    /// # Errors
    /// `NotFound` where it is no peer, `Unreachable` and `TimedOut` where it does not answer, `Denied` where one of the two
    /// does not know the other's certificate, `Conflict` where the peer does not listen or no version is common.
    pub async fn connect(gate: &Gate, peer: &PeerName, within: Duration) -> Result<Session> {
        let pinned = peers::get(gate.layout(), peer)?;
        let Some(endpoint) = &pinned.address else {
            return Err(Failure::conflict(format!("the peer {peer} does not listen")).hint(
                "it can come here; to go there, let it listen ([relocation] in its policy), and pair the two again",
            ));
        };
        let until = Instant::now() + within.min(HANDSHAKE);
        let whom = format!("the peer {peer} ({endpoint})");
        let identity = Identity::own(gate.layout())?;
        let relocation = gate.policy().relocation.clone();
        let stream = dial::tcp(endpoint, relocation.control_network, Watch::Words, until)
            .await
            .map_err(|failure| failure.while_doing(format!("{whom} cannot be reached")))?;
        let address = stream.peer_addr().context(|| format!("{whom} is gone"))?;
        let config = tls::client(&identity, Whose::Exactly(pinned.fingerprint), tls::PEER)?;
        let mut stream = dial::secure(stream, config, &whom, until).await?;
        let greeted = dial::greet(&mut stream, who(gate.layout())?, Purpose::Control, &whom, until).await?;

        let (reader, writer) = tokio::io::split(stream);
        let (frames, queue) = mpsc::channel(QUEUE);
        let waiting = Arc::new(Waiting(Mutex::new(Ok(BTreeMap::new()))));
        let tasks = vec![
            tokio::spawn(read(reader, waiting.clone(), whom)),
            tokio::spawn(outgoing::write(writer, queue)),
            tokio::spawn(ping(frames.clone())),
        ];
        Ok(Session {
            peer: peer.clone(),
            greeted,
            address,
            fingerprint: pinned.fingerprint,
            identity: Arc::new(identity),
            relocation,
            gate: gate.clone(),
            frames,
            next: AtomicU64::new(1),
            waiting,
            tasks,
        })
    }

    pub fn peer(&self) -> &PeerName {
        &self.peer
    }
    /// What the other host said of itself, and the version of the protocol that both speak.
    pub fn greeted(&self) -> &Greeted {
        &self.greeted
    }
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks a service of the peer's, and waits for its answer.
    ///
    /// # Errors
    /// The service's own; `Unreachable` where the connection ends before; `TimedOut` past `within`, and then the other
    /// side may still be at it.
    pub async fn request<T: DeserializeOwned>(
        &self,
        service: &str,
        body: &impl Serialize,
        within: Duration,
    ) -> Result<T> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let body = Body(serde_json::to_value(body).context(|| "cannot write a request".to_owned())?);
        let ask = Ask::Request { id, service: service.to_owned(), body };
        let bytes = frame::encode(&ask, FRAME_MAX)
            .map_err(|trouble| Failure::other(format!("cannot ask the peer {}", self.peer)).because(trouble))?;
        let (tell, told) = oneshot::channel();
        self.waiting.add(id, tell)?;
        let _given_up = Forget { waiting: &self.waiting, id };
        let answered = async {
            // Where the writer is gone, so is the reader, and it says why.
            let _ = self.frames.send(bytes).await;
            told.await
        };
        let answer = match tokio::time::timeout(within, answered).await {
            Ok(Ok(answer)) => answer?,
            Ok(Err(_)) => return Err(self.waiting.why()),
            Err(_) => return Err(dial::late(&format!("the peer {}", self.peer))),
        };
        serde_json::from_value(answer).map_err(|error| {
            Failure::new(
                Kind::Unreachable,
                format!("the peer {} answers what this host does not understand", self.peer),
            )
            .because(error)
        })
    }

    /// A connection of its own for bytes, whose other end a service of the peer's has. `purpose` are that service's words.
    ///
    /// # Errors
    /// As of [`Session::request`].
    pub async fn open_stream(&self, service: &str, purpose: &impl Serialize, within: Duration) -> Result<Stream> {
        let until = Instant::now() + within;
        self.ticket(service, purpose, within).await?.open(until.saturating_duration_since(Instant::now())).await
    }

    /// What opens such a connection, soon, on any thread, while this session lives.
    ///
    /// # Errors
    /// As of [`Session::request`].
    pub async fn ticket(&self, service: &str, purpose: &impl Serialize, within: Duration) -> Result<Ticket> {
        let plain = self.relocation.encryption == Encryption::Off && self.address.ip().is_loopback();
        let purpose = Body(serde_json::to_value(purpose).context(|| "cannot write a request".to_owned())?);
        let wanted = StreamWanted { service: service.to_owned(), purpose, plain };
        let granted: StreamGranted = self.request("stream", &wanted, within).await?;
        Ok(Ticket {
            peer: self.peer.clone(),
            granted,
            plain,
            address: self.address,
            fingerprint: self.fingerprint,
            identity: self.identity.clone(),
            relocation: self.relocation.clone(),
            layout: self.gate.layout().clone(),
        })
    }
}

/// Good for one stream.
#[derive(Debug)]
pub struct Ticket {
    peer: PeerName,
    granted: StreamGranted,
    /// This host's operator lets it be in the clear.
    plain: bool,
    /// Of the control connection.
    address: SocketAddr,
    fingerprint: Digest,
    identity: Arc<Identity>,
    relocation: Relocation,
    layout: Layout,
}

impl Ticket {
    /// # Errors
    /// As of [`Session::connect`].
    pub async fn open(self, within: Duration) -> Result<Stream> {
        let Ticket { granted, plain, .. } = &self;
        let until = Instant::now() + within;
        let endpoint = match &granted.address {
            Some(address) => address.parse::<Endpoint>().map_err(|error| {
                Failure::new(Kind::Unreachable, format!("the peer {} names a place that is none", self.peer))
                    .because(error)
            })?,
            None => Endpoint { host: Host::Address(self.address.ip()), port: self.address.port() },
        };
        let whom = format!("the peer {} ({endpoint})", self.peer);
        let from = self.relocation.stream_network.or(self.relocation.control_network);
        let mut stream = dial::tcp(&endpoint, from, Watch::Bytes, until).await?;
        let purpose = Purpose::Stream { ticket: granted.ticket.clone() };
        let who = who(&self.layout)?;
        // Both sides have to want it so, and nothing leaves the machine, whatever place the other side names.
        if granted.plain && *plain {
            let address = stream.peer_addr().context(|| format!("cannot see where {whom} is"))?;
            if !address.ip().is_loopback() {
                return Err(Failure::denied(format!("{whom} wants to speak in the clear, and is not on this machine"))
                    .hint("encryption = \"off\" under [relocation] is for hosts on one machine"));
            }
            dial::greet(&mut stream, who, purpose, &whom, until).await?;
            return Ok(Stream::Plain(stream));
        }
        let config = tls::client(&self.identity, Whose::Exactly(self.fingerprint), tls::PEER)?;
        let mut stream = dial::secure(stream, config, &whom, until).await?;
        dial::greet(&mut stream, who, purpose, &whom, until).await?;
        Ok(Stream::Encrypted(Box::new(stream.into())))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The writer ends by itself, when what is queued is written.
        self.tasks[0].abort();
        self.tasks[2].abort();
    }
}

impl Waiting {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, id: u64, tell: oneshot::Sender<Result<Value>>) -> Result<()> {
        match &mut *self.state() {
            Ok(waiting) => drop(waiting.insert(id, tell)),
            Err(failure) => return Err(failure.clone()),
        }
        Ok(())
    }

    fn answer(&self, id: u64, answer: Result<Value>) {
        let tell = match &mut *self.state() {
            Ok(waiting) => waiting.remove(&id),
            Err(_) => None,
        };
        // Nobody may be waiting any more.
        if let Some(tell) = tell {
            let _ = tell.send(answer);
        }
    }

    fn end(&self, failure: Failure) {
        let before = std::mem::replace(&mut *self.state(), Err(failure.clone()));
        for (_, tell) in before.into_iter().flatten() {
            let _ = tell.send(Err(failure.clone()));
        }
    }

    fn why(&self) -> Failure {
        match &*self.state() {
            Err(failure) => failure.clone(),
            Ok(_) => Failure::new(Kind::Unreachable, "the connection to the peer ended"),
        }
    }
}

/// A request whose asker went away is not waited for.
struct Forget<'a> {
    waiting: &'a Waiting,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if let Ok(waiting) = &mut *self.waiting.state() {
            waiting.remove(&self.id);
        }
    }
}

async fn read(mut from: ReadHalf<TlsStream<TcpStream>>, waiting: Arc<Waiting>, whom: String) {
    let within = Within { begin: SILENCE, rest: FRAME };
    let ended = loop {
        match frame::receive::<Answer>(&mut from, FRAME_MAX, within).await {
            Ok(Answer::Reply { id, body }) => waiting.answer(id, Ok(body.0)),
            Ok(Answer::Failed { id, failure }) => waiting.answer(id, Err(heard(failure))),
            Ok(Answer::Pong { .. }) => {}
            Ok(Answer::Closing) => break Trouble::Closed,
            Err(trouble) => break trouble,
        }
    };
    waiting.end(dial::troubled(ended, &whom));
}

async fn ping(frames: mpsc::Sender<Vec<u8>>) {
    let mut id = 0;
    loop {
        tokio::time::sleep(PING_EVERY).await;
        id += 1;
        let Ok(bytes) = frame::encode(&Ask::Ping { id }, FRAME_MAX) else { return };
        if frames.send(bytes).await.is_err() {
            return;
        }
    }
}
