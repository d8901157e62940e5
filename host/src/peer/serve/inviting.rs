//! The inviting host's side of a pairing: the only frame that is read from a stranger, and the proof in it.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use fief_wire::frame::{self, PAIRING_MAX, Within};
use fief_wire::hello::{VERSIONS, newest_common};
use fief_wire::pairing::{Join, Joined};
use fief_wire::text::{hex, unhex, word};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use uuid::Uuid;

use super::accept::Refused;
use super::{HANDSHAKE, House};
use crate::error::{Failure, Result};
use crate::gate::{Actor, Ledger, Operation, peers};
use crate::peer::{now_seconds, proof, tls, told, who};
use crate::types::{Digest, Endpoint, Host, PeerName};

/// Wrong tokens within a minute, from everywhere; after that nobody is paired for the rest of it. A token has 128 bits, so
/// this is against load and noise more than against luck.
const WRONG_MAX: usize = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// When wrong tokens came.
#[derive(Debug, Default)]
pub(super) struct Tries(Vec<Instant>);

impl Tries {
    fn too_many(&mut self, now: Instant) -> bool {
        self.0.retain(|at| now.saturating_duration_since(*at) < MINUTE);
        self.0.len() >= WRONG_MAX
    }
    fn note(&mut self, now: Instant) {
        self.0.push(now);
    }
}

/// A guest that passed.
struct Guest {
    name: PeerName,
    host: Uuid,
    host_name: String,
    fingerprint: Digest,
    address: Option<Endpoint>,
    invitation: String,
}

pub(super) async fn receive(house: &House, mut stream: TlsStream<TcpStream>, from: SocketAddr) -> Result<(), Refused> {
    let join: Join = frame::receive(&mut stream, PAIRING_MAX, Within::all(HANDSHAKE)).await?;
    let outcome = answer(house, &stream, &join, from);
    let joined = match &outcome {
        Ok(name) => Joined::Paired { known_as: name.to_string(), who: who(&house.layout)? },
        Err(failure) => Joined::Refused { failure: told(failure) },
    };
    let sent = frame::send(&mut stream, &joined, HANDSHAKE).await;
    let _ = stream.shutdown().await;
    let name = outcome.map_err(|failure| Refused::new("not-paired", failure))?;
    sent?;
    tracing::info!(peer = %name, %from, "paired");
    Ok(())
}

fn answer(house: &House, stream: &TlsStream<TcpStream>, join: &Join, from: SocketAddr) -> Result<PeerName> {
    let guest = judge(house, stream, join, from.ip())?;
    let operation = Operation::PeerPin {
        peer: guest.name.clone(),
        host: guest.host,
        host_name: guest.host_name,
        fingerprint: guest.fingerprint,
        address: guest.address,
        invitation: Some(guest.invitation),
    };
    house.gate()?.perform(&Actor::Operator, &mut Ledger::volatile(), operation, Vec::new())?;
    Ok(guest.name)
}

fn judge(house: &House, stream: &TlsStream<TcpStream>, join: &Join, from: IpAddr) -> Result<Guest> {
    let session = stream.get_ref().1;
    let fingerprint = tls::fingerprint(session).ok_or_else(peers::void)?;
    let now = Instant::now();
    if tries(house).too_many(now) {
        return Err(Failure::denied("too many wrong tokens came here").hint("try again in a minute"));
    }
    let found = unhex::<8>(&join.invitation).ok_or_else(peers::void).and_then(|id| {
        let kept = peers::invitation(&house.layout, &hex(&id), now_seconds())?;
        let verifier = unhex::<32>(&kept.verifier).ok_or_else(peers::void)?;
        let binding = tls::binding(session, house.identity.fingerprint, fingerprint)?;
        let proof = unhex::<32>(&join.proof).ok_or_else(peers::void)?;
        match proof::is_proven(&verifier, &id, &binding, &proof) {
            true => Ok((hex(&id), kept)),
            false => {
                peers::count_wrong(&house.layout, &hex(&id))?;
                Err(peers::void())
            }
        }
    });
    let (invitation, kept) = found.inspect_err(|_| tries(house).note(now))?;

    // From here on it is a guest that may be told what is the matter.
    join.who.check().map_err(|trouble| Failure::usage(trouble.to_string()))?;
    if newest_common(VERSIONS, &join.versions).is_none() {
        return Err(Failure::conflict(format!(
            "this host speaks the versions {VERSIONS:?}, and none that was offered"
        ))
        .hint("bring the older one up to date"));
    }
    let host =
        Uuid::try_parse(&join.who.host).map_err(|error| Failure::usage("a host without an identity").because(error))?;
    let host_name = word(&join.who.name);
    let name = match kept.name {
        Some(name) => name,
        None => host_name.parse().map_err(|error| {
            Failure::conflict("the name of that host cannot be a peer's")
                .because(error)
                .hint("invite it by name: fief peer invite --for NAME")
        })?,
    };
    if let Some(failure) = peers::conflict(&house.layout, &name, Some(host), fingerprint)? {
        return Err(failure.hint(
            "invite it by another name: fief peer invite --for NAME; or fief peer remove the one that is there",
        ));
    }
    let address = join.port.map(|port| {
        let said = join.address.as_deref().and_then(|text| text.parse::<IpAddr>().ok());
        Endpoint { host: Host::Address(said.filter(|said| !said.is_unspecified()).unwrap_or(from)), port }
    });
    Ok(Guest { name, host, host_name, fingerprint, address, invitation })
}

fn tries(house: &House) -> std::sync::MutexGuard<'_, Tries> {
    house.tries.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_tokens_are_counted_for_a_minute() {
        let (mut tries, start) = (Tries::default(), Instant::now());
        for _ in 0..WRONG_MAX {
            assert!(!tries.too_many(start));
            tries.note(start);
        }
        assert!(tries.too_many(start + MINUTE / 2) && !tries.too_many(start + MINUTE));
    }
}
