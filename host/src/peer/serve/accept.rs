//! A connection, from its first byte until it is known whose it is and what for. All of that has one deadline.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use fief_wire::frame::{self, HELLO_MAX, Within};
use fief_wire::hello::{Hello, Purpose, VERSIONS, Welcome, newest_common};
use fief_wire::{Body, Trouble, text};
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::admission::Place;
use super::{HANDSHAKE, House, desk, inviting};
use crate::config::policy::Encryption;
use crate::error::{Context, Failure, Kind, Result};
use crate::fault;
use crate::gate::peers;
use crate::peer::tls::{self, Whose};
use crate::peer::{Caller, Stream, now_seconds, told, who};
use crate::sys::stream::{Watch, watch_over};

/// The first byte of a TLS connection (RFC 8446, section 5.1): `handshake`. A frame begins with another.
const TLS_RECORD: u8 = 22;

/// Why a connection is not taken: the kind is counted, the rest is for the log.
pub(super) struct Refused {
    pub kind: &'static str,
    pub why: String,
}

impl Refused {
    pub(super) fn new(kind: &'static str, why: impl std::fmt::Display) -> Refused {
        Refused { kind, why: why.to_string() }
    }
}

impl From<Trouble> for Refused {
    fn from(trouble: Trouble) -> Refused {
        let kind = match trouble {
            Trouble::Closed => "ended",
            Trouble::TooLong { .. } => "too-long",
            Trouble::Late => "late",
            Trouble::Wrong(_) => "not-understood",
            Trouble::Io(_) => "broken",
        };
        Refused::new(kind, trouble)
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Refused {
        let kind = if failure.kind == Kind::Denied { "denied" } else { "failed" };
        Refused::new(kind, failure)
    }
}

/// Whose it is.
enum Taken {
    Peer {
        stream: Box<TlsStream<TcpStream>>,
        caller: Caller,
        place: Place,
    },
    Bytes {
        stream: Stream,
        ticket: super::tickets::Ticket,
        _place: Option<Place>,
    },
    /// It was a guest's, and is over.
    Guest,
}

pub(super) async fn connection(house: Arc<House>, stream: std::net::TcpStream, from: SocketAddr, place: Place) {
    let taken = match timeout(house.patience, receive(&house, stream, from, place)).await {
        Ok(taken) => taken,
        Err(_) => Err(Refused::new("late", Trouble::Late)),
    };
    match taken {
        Ok(Taken::Peer { stream, caller, place }) => {
            desk::serve(&house, *stream, &caller).await;
            drop(place);
        }
        Ok(Taken::Bytes { stream, ticket, _place }) => {
            let peer = ticket.caller.peer.clone();
            let streamed = match house.services.get(&ticket.service) {
                Ok(service) => service.stream(ticket.caller, ticket.purpose, stream).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = streamed {
                house.told(&peer, &failure);
            }
        }
        Ok(Taken::Guest) => {}
        Err(refused) => house.complain(from, refused.kind, &refused.why),
    }
}

async fn receive(house: &House, stream: std::net::TcpStream, from: SocketAddr, place: Place) -> Result<Taken, Refused> {
    let broken = |error: std::io::Error| Refused::new("broken", error);
    let stream = TcpStream::from_std(stream).map_err(broken)?;
    watch_over(&stream, Watch::Words).map_err(broken)?;
    let mut first = [0];
    if stream.peek(&mut first).await.map_err(broken)? == 0 {
        return Err(Trouble::Closed.into());
    }
    let policy = house.policy()?;
    if !policy.relocation.enabled {
        return Err(Refused::new("off", "this host's relocation is off"));
    }
    let here = stream.local_addr().map_err(broken)?;
    let near = here.ip().is_loopback() && from.ip().is_loopback();
    if first[0] != TLS_RECORD {
        return match policy.relocation.encryption {
            Encryption::Off if near => plain(house, stream, place).await,
            Encryption::Off | Encryption::On => Err(Refused::new("not-tls", "what comes is not TLS")),
        };
    }
    let started = LazyConfigAcceptor::new(Acceptor::default(), stream).await;
    let started = started.map_err(|error| Refused::new("not-tls", error))?;
    let offered: Vec<Vec<u8>> =
        started.client_hello().alpn().map(|all| all.map(<[u8]>::to_vec).collect()).unwrap_or_default();
    if offered.iter().any(|protocol| protocol == tls::PAIR) && is_inviting(house)? {
        let config = tls::server(&house.identity, Whose::Anyone, tls::PAIR)?;
        let stream = started.into_stream(config).await.map_err(|error| Refused::new("no-handshake", error))?;
        return inviting::receive(house, stream, from).await.map(|()| Taken::Guest);
    }
    // Whoever offers neither is refused by TLS itself.
    let refused = |error: std::io::Error| match tls::is_unknown(&error) {
        true => Refused::new("unknown", "no peer has this certificate"),
        false => Refused::new("no-handshake", error),
    };
    let stream = started.into_stream(peers_only(house)?).await.map_err(refused)?;
    let fingerprint = tls::fingerprint(stream.get_ref().1);
    let known = fingerprint.map(|fingerprint| peers::known(&house.layout, fingerprint)).transpose()?.flatten();
    // It was removed in this moment.
    let (peer, pinned) = known.ok_or_else(|| Refused::new("unknown", "no peer has this certificate"))?;
    let Some(place) = place.known() else {
        return Err(Refused::new("too-many", format!("the peer {peer} has too many connections at once")));
    };
    let mut stream = stream;
    let (hello, version) = hello(house, &mut stream).await?;
    match hello.purpose {
        Purpose::Control => {
            welcome(house, &mut stream, version).await?;
            let session = house.next_session();
            let fingerprint = pinned.fingerprint;
            let caller = Caller { peer, host: pinned.host, fingerprint, address: from, version, session };
            Ok(Taken::Peer { stream: Box::new(stream), caller, place })
        }
        Purpose::Stream { ticket } => {
            let found = house.tickets.take(&ticket, Instant::now());
            let found =
                found.and_then(|ticket| match ticket.caller.fingerprint == pinned.fingerprint && !ticket.plain {
                    true => Ok(ticket),
                    false => Err(Failure::denied("no stream is expected, or not any more")),
                });
            let ticket = admitted(&mut stream, found).await?;
            // Who reads what comes may stand still for a while.
            let _ = rustix::net::sockopt::set_tcp_user_timeout(stream.get_ref().0, 0);
            welcome(house, &mut stream, version).await?;
            Ok(Taken::Bytes { stream: Stream::Encrypted(Box::new(stream.into())), ticket, _place: Some(place) })
        }
    }
}

/// Bytes in the clear, on this machine alone, for a ticket that was given over TLS.
async fn plain(house: &House, mut stream: TcpStream, place: Place) -> Result<Taken, Refused> {
    let (hello, version) = hello(house, &mut stream).await?;
    let found = match hello.purpose {
        Purpose::Stream { ticket } => {
            house.tickets.take(&ticket, Instant::now()).and_then(|ticket| match ticket.plain {
                true => Ok(ticket),
                false => Err(Failure::denied("that stream is encrypted")),
            })
        }
        Purpose::Control => Err(Failure::denied("what hosts say to each other is encrypted")),
    };
    let ticket = admitted(&mut stream, found).await?;
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, 0);
    welcome(house, &mut stream, version).await?;
    Ok(Taken::Bytes { stream: Stream::Plain(stream), ticket, _place: place.known() })
}

fn is_inviting(house: &House) -> Result<bool, Refused> {
    Ok(peers::open_invitations(&house.layout, now_seconds())? > 0)
}

fn peers_only(house: &House) -> Result<Arc<ServerConfig>> {
    let layout = house.layout.clone();
    let known = move |fingerprint| match peers::known(&layout, fingerprint) {
        Ok(known) => known.is_some(),
        Err(failure) => {
            tracing::warn!(%failure, "nobody is let in");
            false
        }
    };
    tls::server(&house.identity, Whose::Known(Box::new(known)), tls::PEER)
}

/// Who is there, and the version that both speak from then on.
async fn hello(house: &House, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<(Hello, u16), Refused> {
    let hello: Hello = match frame::receive(stream, HELLO_MAX, Within::all(HANDSHAKE)).await {
        Ok(hello) => hello,
        Err(trouble) => {
            // A host that can be told what was wrong is told; this one's own log has it too.
            if let Trouble::TooLong { .. } | Trouble::Wrong(_) = trouble {
                refuse(
                    stream,
                    &Failure::usage(format!("the other host says what this one does not understand: {trouble}")),
                )
                .await;
            }
            return Err(trouble.into());
        }
    };
    if let Err(trouble) = hello.check() {
        refuse(stream, &Failure::usage(trouble.to_string())).await;
        return Err(trouble.into());
    }
    let Some(version) = newest_common(&fault::spoken(VERSIONS), &hello.versions) else {
        let ours = who(&house.layout)?.fief;
        let failure = Failure::conflict(format!(
            "the two hosts have no version in common: fief {ours} speaks {VERSIONS:?}, fief {} speaks {:?}",
            text::word(&hello.who.fief),
            hello.versions,
        ));
        let failure = failure.hint("bring the older one up to date");
        refuse(stream, &failure).await;
        return Err(Refused::new("no-version", failure));
    };
    Ok((hello, version))
}

async fn welcome(house: &House, stream: &mut (impl AsyncWrite + Unpin), version: u16) -> Result<(), Refused> {
    let welcome = Welcome::Accepted { version, who: who(&house.layout)? };
    Ok(frame::send(stream, &welcome, HANDSHAKE).await?)
}

async fn admitted<T>(stream: &mut (impl AsyncWrite + Unpin), found: Result<T>) -> Result<T, Refused> {
    match found {
        Ok(found) => Ok(found),
        Err(failure) => {
            refuse(stream, &failure).await;
            Err(failure.into())
        }
    }
}

/// Best effort: it is refused whether it hears why or not.
async fn refuse(stream: &mut (impl AsyncWrite + Unpin), failure: &Failure) {
    let failure: Body = told(failure);
    let _ = frame::send(stream, &Welcome::Refused { failure }, HANDSHAKE).await;
    let _ = stream.shutdown().await;
}

/// This host's own address of a connection, for a peer to connect to again.
pub(super) fn is_near(stream: &TcpStream) -> Result<bool> {
    let saying = || "a connection is gone".to_owned();
    let (here, there) = (stream.local_addr().context(saying)?, stream.peer_addr().context(saying)?);
    Ok(here.ip().is_loopback() && there.ip().is_loopback())
}
