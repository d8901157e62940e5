//! `fief serve`: this host listens for others.
//!
//! ```text
//!   listener ─▸ admission ─▸ a thread: accept (TLS, hello) ─┬▸ desk       a peer's requests
//!                  │ too many                               ├▸ a stream   that a desk gave a ticket for
//!                  ▾                                        └▸ inviting   a guest with a token
//!                closed
//! ```
//! One thread for each connection, so that a peer that sends memory as fast as it can holds up nobody. Connections are
//! counted before anything is read from them, and all of a stranger's has one deadline.

mod accept;
mod admission;
mod complaints;
mod desk;
mod inviting;
mod tickets;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{HANDSHAKE, Identity, Services, pairing};
use crate::config::policy::{self, Policy, Relocation};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::{Gate, Mode};
use crate::layout::Layout;
use crate::sys::durable;
use crate::types::PeerName;
use admission::Admission;
use complaints::Complaints;
use inviting::Tries;
use tickets::Tickets;

/// Connections that the system keeps while we are at another.
const BACKLOG: u32 = 128;
/// For what is under way to end, once this host is to stop listening.
const FAREWELL: Duration = Duration::from_secs(5);
/// When a connection cannot be taken (no descriptors, say): so long nothing is tried.
const BREATH: Duration = Duration::from_millis(200);

/// What all connections share.
struct House {
    layout: Layout,
    identity: Arc<Identity>,
    services: Services,
    admission: Admission,
    tickets: Tickets,
    complaints: Mutex<Complaints>,
    tries: Mutex<Tries>,
    sessions: AtomicU64,
    /// For a stranger to become a peer.
    patience: Duration,
    /// Becomes true when this host stops listening.
    closing: watch::Receiver<bool>,
}

impl House {
    /// As it stands now: what policy forbids is forbidden at the next connection.
    fn policy(&self) -> Result<Policy> {
        policy::load(&self.layout.policy())
    }

    fn gate(&self) -> Result<Gate> {
        Ok(Gate::new(self.layout.clone(), Arc::new(self.policy()?), Mode::Perform))
    }

    fn next_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }
}

/// Listens until SIGTERM or SIGINT. `ready` is told where, once it does.
///
/// # Errors
/// `Denied` where relocation is off, `Conflict` where this root is served already or the port is taken.
pub fn run(gate: &Gate, services: Services, ready: impl FnOnce(&[SocketAddr]) -> Result<()>) -> Result<()> {
    let relocation = gate.policy().relocation.clone();
    if !relocation.enabled {
        return Err(pairing::off());
    }
    let layout = gate.layout().clone();
    let identity = Arc::new(Identity::own(&layout)?);
    let _one = durable::lock(&lock_file(&layout), Duration::ZERO).map_err(|failure| {
        if failure.kind != Kind::Conflict {
            return failure;
        }
        Failure::conflict(format!("fief serve runs for {} already", layout.root().display()))
            .hint("one is enough; `systemctl status fief-serve` may tell of it")
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context(|| "cannot listen".to_owned())?;
    runtime.block_on(async {
        let waiting = |kind| signal(kind).context(|| "cannot wait for signals".to_owned());
        let (mut interrupt, mut terminate) = (waiting(SignalKind::interrupt())?, waiting(SignalKind::terminate())?);
        let until = async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        let listening = Listening { layout, identity, services, relocation, patience: HANDSHAKE };
        listen(listening, ready, until).await
    })
}

/// Whether `fief serve` runs for this root.
pub fn is_running(layout: &Layout) -> bool {
    let path = lock_file(layout);
    path.exists() && durable::lock(&path, Duration::ZERO).is_err_and(|failure| failure.kind == Kind::Conflict)
}

fn lock_file(layout: &Layout) -> std::path::PathBuf {
    layout.host().join("serve.lock")
}

/// Who listens, and where.
pub(super) struct Listening {
    pub layout: Layout,
    pub identity: Arc<Identity>,
    pub services: Services,
    pub relocation: Relocation,
    /// For a stranger to become a peer.
    pub patience: Duration,
}

pub(super) async fn listen(
    listening: Listening,
    ready: impl FnOnce(&[SocketAddr]) -> Result<()>,
    until: impl Future<Output = ()>,
) -> Result<()> {
    let Listening { layout, identity, services, relocation, patience } = listening;
    let (close, closing) = watch::channel(false);
    let (control, apart) = relocation.listens();
    let mut listeners = Vec::new();
    for address in std::iter::once(control).chain(apart) {
        listeners.push(bind(address, relocation.port)?);
    }
    let house = Arc::new(House {
        layout,
        identity,
        services,
        admission: Admission::default(),
        tickets: Tickets::default(),
        complaints: Mutex::default(),
        tries: Mutex::default(),
        sessions: AtomicU64::new(1),
        patience,
        closing,
    });
    let at = listeners.iter().map(|listener| listener.local_addr().context(|| "cannot listen".to_owned()));
    ready(&at.collect::<Result<Vec<_>>>()?)?;
    let mut tasks = tokio::task::JoinSet::new();
    for listener in listeners {
        tasks.spawn(take_all(house.clone(), listener));
    }
    until.await;
    tasks.abort_all();
    // Every desk says goodbye and ends; a stream ends with the process.
    let _ = close.send(true);
    let left = async {
        while house.admission.count() > 0 {
            tokio::time::sleep(BREATH / 4).await;
        }
    };
    if tokio::time::timeout(FAREWELL, left).await.is_err() {
        tracing::warn!(connections = house.admission.count(), "connections are broken off");
    }
    Ok(())
}

fn bind(address: IpAddr, port: u16) -> Result<TcpListener> {
    let at = SocketAddr::new(address, port);
    let bound = || {
        let socket = if at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A port that was listened on a moment ago is free again.
        socket.set_reuseaddr(true)?;
        socket.bind(at)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|error| {
        let failure = match error.kind() {
            std::io::ErrorKind::AddrInUse => Failure::conflict(format!("another program listens on {at} already"))
                .hint("name another port: [relocation] in policy.toml"),
            std::io::ErrorKind::AddrNotAvailable => {
                Failure::conflict(format!("no link of this host has the address {address}"))
                    .hint("name one that it has: [relocation] in policy.toml")
            }
            _ => Failure::other(format!("cannot listen on {at}")),
        };
        failure.because(error)
    })
}

async fn take_all(house: Arc<House>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => take(&house, stream, from),
            Err(error) => {
                house.complain(from_nowhere(), "cannot-accept", &error.to_string());
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

fn from_nowhere() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 0))
}

/// Gives the connection a thread, or ends it where there are too many.
fn take(house: &Arc<House>, stream: TcpStream, from: SocketAddr) {
    let Some(place) = house.admission.stranger(from.ip()) else {
        house.complain(from, "too-many", "too many connections at once");
        return;
    };
    let stream = match stream.into_std() {
        Ok(stream) => stream,
        Err(error) => return house.complain(from, "cannot-accept", &error.to_string()),
    };
    let shared = house.clone();
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => {
                runtime.block_on(accept::connection(shared, stream, from, place));
                runtime.shutdown_background();
            }
            Err(error) => shared.complain(from, "cannot-accept", &error.to_string()),
        }
    };
    if let Err(error) = std::thread::Builder::new().name("peer".into()).spawn(work) {
        house.complain(from, "cannot-accept", &error.to_string());
    }
}

impl House {
    /// A line of the log for what came from outside and was not taken: a few of each kind, and then a count.
    fn complain(&self, from: SocketAddr, kind: &'static str, why: &str) {
        let mut complaints = self.complaints.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(left_out) = complaints.line(kind, std::time::Instant::now()) {
            tracing::warn!(%from, kind, why = fief_wire::text::line(why), left_out, "a connection is refused");
        }
    }

    fn told(&self, peer: &PeerName, failure: &Failure) {
        tracing::info!(%peer, %failure, "a peer's connection ended");
    }
}
