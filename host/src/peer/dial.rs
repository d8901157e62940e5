//! The way to another host: its name looked up, a stream, TLS, and the first frames.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Instant;

use fief_wire::frame::{self, HELLO_MAX, Within};
use fief_wire::hello::{Hello, Purpose, VERSIONS, Welcome, Who};
use fief_wire::{Trouble, text};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout_at;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{heard, tls};
use crate::error::{Context as _, Failure, Kind, Result};
use crate::fault;
use crate::sys::stream::{Watch, watch_over};
use crate::types::{Endpoint, Host};

/// What is said where a host does not answer.
const HINT: &str = "is it up, does `fief serve` run there, and does nothing on the way keep its port shut?";

/// What a host that was reached said of itself.
#[derive(Debug, Clone)]
pub struct Greeted {
    pub version: u16,
    pub who: Who,
}

/// A stream to the first address of `endpoint` that answers. `from`: an address of this host's to come from.
pub(super) async fn tcp(endpoint: &Endpoint, from: Option<IpAddr>, watch: Watch, until: Instant) -> Result<TcpStream> {
    let addresses = lookup(endpoint, until).await?;
    let mut last = Failure::new(Kind::Unreachable, format!("there is no address of {}", endpoint.host));
    for address in addresses {
        match timeout_at(until.into(), connect(address, from, watch)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = unreachable(&error, &address.to_string()),
            Err(_) => return Err(late(&address.to_string())),
        }
    }
    Err(last)
}

async fn connect(address: SocketAddr, from: Option<IpAddr>, watch: Watch) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    watch_over(&socket, watch)?;
    // One of another family leads nowhere, and one's own loopback is not left by another link's address.
    if let Some(from) = from.filter(|from| from.is_ipv4() == address.is_ipv4() && !address.ip().is_loopback()) {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    socket.connect(address).await
}

async fn lookup(endpoint: &Endpoint, until: Instant) -> Result<Vec<SocketAddr>> {
    let name = match &endpoint.host {
        Host::Address(address) => return Ok(vec![SocketAddr::new(*address, endpoint.port)]),
        Host::Name(name) => name.clone(),
    };
    let (tell, told) = oneshot::channel();
    let (asked, port) = (name.clone(), endpoint.port);
    // A thread of its own: the system's resolver knows no deadline, and nobody waits for it at the end.
    let looking = std::thread::Builder::new().name("resolve".into()).spawn(move || {
        let found = (asked.as_str(), port).to_socket_addrs();
        let _ = tell.send(found.map(|all| all.collect::<Vec<_>>()));
    });
    looking.context(|| "cannot look up a name".to_owned())?;
    match timeout_at(until.into(), told).await {
        Ok(Ok(Ok(addresses))) => Ok(addresses),
        Ok(Ok(Err(error))) => Err(Failure::new(Kind::Unreachable, format!("there is no address of {name}"))
            .because(error)
            .hint("check the peer's address, and /etc/resolv.conf")),
        Ok(Err(_)) | Err(_) => {
            Err(Failure::new(Kind::TimedOut, format!("{name} was not looked up in time"))
                .hint("check /etc/resolv.conf"))
        }
    }
}

pub(super) async fn secure(
    stream: TcpStream,
    config: Arc<ClientConfig>,
    whom: &str,
    until: Instant,
) -> Result<TlsStream<TcpStream>> {
    match timeout_at(until.into(), TlsConnector::from(config).connect(tls::nobody(), stream)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(tls::refusal(&error, whom).unwrap_or_else(|| unreachable(&error, whom))),
        Err(_) => Err(late(whom)),
    }
}

/// Says who is there and what for; gives what the other host says.
pub(super) async fn greet(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    who: Who,
    purpose: Purpose,
    whom: &str,
    until: Instant,
) -> Result<Greeted> {
    let hello = Hello { versions: fault::spoken(VERSIONS), purpose, who };
    let left = until.saturating_duration_since(Instant::now());
    let welcome = async {
        frame::send(stream, &hello, left).await?;
        frame::receive::<Welcome>(stream, HELLO_MAX, Within::all(left)).await
    };
    let welcome = timeout_at(until.into(), welcome).await.map_err(|_| late(whom))?;
    match welcome.map_err(|trouble| troubled(trouble, whom))? {
        Welcome::Accepted { version, who } if VERSIONS.contains(&version) && who.check().is_ok() => {
            let who = Who { name: text::word(&who.name), fief: text::word(&who.fief), ..who };
            Ok(Greeted { version, who })
        }
        Welcome::Accepted { version, .. } => Err(Failure::new(
            Kind::Unreachable,
            format!("{whom} wants to speak version {version}, which was not offered"),
        )),
        Welcome::Refused { failure } => Err(heard(failure).while_doing(format!("{whom} refuses this host"))),
    }
}

/// A failure of a connection to `whom` that was made.
pub(super) fn troubled(trouble: Trouble, whom: &str) -> Failure {
    match trouble {
        Trouble::Io(error) => tls::refusal(&error, whom).unwrap_or_else(|| unreachable(&error, whom)),
        Trouble::Late => late(whom),
        Trouble::Closed => Failure::new(Kind::Unreachable, format!("{whom} ended the connection")).hint(HINT),
        other @ (Trouble::TooLong { .. } | Trouble::Wrong(_)) => {
            Failure::new(Kind::Unreachable, format!("{whom} says what this host does not understand")).because(other)
        }
    }
}

pub(super) fn late(whom: &str) -> Failure {
    Failure::new(Kind::TimedOut, format!("{whom} does not answer")).hint(HINT)
}

fn unreachable(error: &io::Error, whom: &str) -> Failure {
    let mut failure = Failure::new(Kind::Unreachable, format!("{whom} cannot be reached")).hint(HINT);
    failure.causes.push(error.to_string());
    failure
}
