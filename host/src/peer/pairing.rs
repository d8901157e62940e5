//! Two hosts come to trust each other: one makes a token, the other brings it.
//!
//! ```text
//!   inviting host                                            invited host
//!   invite: what a token is checked by, on disk ─ token ─▸   the operator carries it
//!                                       ◂── TLS ──           join: its certificate is the token's, or nothing is said
//!   inviting.rs: the proof, once         ◂── Join ──          proves the secret for this session
//!   pins the guest's certificate         ── Joined ─▸        pins the inviting host's
//! ```

use std::time::{Duration, Instant};

use fief_wire::frame::{self, PAIRING_MAX, Within};
use fief_wire::hello::VERSIONS;
use fief_wire::pairing::{Join, Joined};
use fief_wire::text::{hex, word};
use fief_wire::{Token, text};
use uuid::Uuid;

use super::tls::{self, Whose};
use super::{HANDSHAKE, Identity, dial, heard, now_seconds, proof, who};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::{Actor, Gate, Ledger, Operation, peers, secret};
use crate::sys::stream::Watch;
use crate::types::{Digest, Endpoint, PeerName, Secret};

/// An invitation, and the token that it is taken by.
#[derive(Debug)]
pub struct Invited {
    pub token: Token,
    pub invitation: String,
    pub fingerprint: Digest,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub until: u64,
}

/// Opens an invitation.
///
/// # Errors
/// `Denied` where this host's relocation is off: nobody could come.
pub fn invite(gate: &Gate, name: Option<PeerName>, valid: Duration) -> Result<Invited> {
    if !gate.policy().relocation.enabled {
        return Err(off());
    }
    if let Some(name) = &name
        && let Ok(taken) = peers::get(gate.layout(), name)
    {
        return Err(Failure::conflict(format!("{name} is a peer already ({})", text::word(&taken.host_name)))
            .hint(format!("choose another name; or fief peer remove {name}")));
    }
    let identity = Identity::own(gate.layout())?;
    let token = Token { fingerprint: identity.fingerprint.bytes(), invitation: random()?, secret: random()? };
    let until = now_seconds().saturating_add(valid.as_secs());
    let invitation = hex(&token.invitation);
    let verifier = secret::hand_over(&Secret::new(hex(&proof::verifier(&token.secret)).into_bytes()))?;
    let operation = Operation::PeerInvite { invitation: invitation.clone(), name, until };
    gate.perform(&Actor::Operator, &mut Ledger::volatile(), operation, vec![verifier])?;
    Ok(Invited { token, invitation, fingerprint: identity.fingerprint, until })
}

pub(super) fn off() -> Failure {
    Failure::denied("this host's relocation is off: no other host can come here")
        .hint("in policy.toml: [relocation], enabled = true; docs/peers.md tells the rest")
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let saying = || "cannot get random bytes".to_owned();
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).context(saying)?;
    Ok(bytes)
}

/// Pairs this host with the one that made the token, which is then the peer `name` here. Gives the name that this host has
/// there.
///
/// # Errors
/// `Conflict` where the name or the host is taken, or is this host itself; `Denied` where the token is not good, or another
/// host is at that address; `Unreachable`, `TimedOut`.
pub async fn join(gate: &Gate, name: &PeerName, endpoint: &Endpoint, token: &Token) -> Result<String> {
    let layout = gate.layout();
    let identity = Identity::own(layout)?;
    let expected = Digest::from_bytes(token.fingerprint);
    if expected == identity.fingerprint {
        return Err(Failure::conflict("this token is of this very host").hint("take it to the other host"));
    }
    if let Some(failure) = peers::conflict(layout, name, None, expected)? {
        return Err(failure);
    }
    let relocation = &gate.policy().relocation;
    let whom = format!("the host at {endpoint}");
    let until = Instant::now() + HANDSHAKE;
    let stream = dial::tcp(endpoint, relocation.control_network, Watch::Words, until).await?;
    let config = tls::client(&identity, Whose::Exactly(expected), tls::PAIR)?;
    let mut stream = dial::secure(stream, config, &whom, until).await?;

    let binding = tls::binding(stream.get_ref().1, expected, identity.fingerprint)?;
    let listens = relocation.listens().0;
    let join = Join {
        versions: VERSIONS.to_vec(),
        invitation: hex(&token.invitation),
        proof: hex(&proof::prove(&token.secret, &token.invitation, &binding)),
        port: relocation.enabled.then_some(relocation.port),
        address: (!listens.is_unspecified()).then(|| listens.to_string()),
        who: who(layout)?,
    };
    let exchange = async {
        frame::send(&mut stream, &join, HANDSHAKE).await?;
        frame::receive::<Joined>(&mut stream, PAIRING_MAX, Within::all(HANDSHAKE)).await
    };
    let (known_as, them) = match exchange.await.map_err(|trouble| dial::troubled(trouble, &whom))? {
        Joined::Paired { known_as, who } => (known_as, who),
        Joined::Refused { failure } => return Err(heard(failure)),
    };
    let host = Uuid::try_parse(&them.host).map_err(|error| {
        Failure::new(Kind::Unreachable, format!("{whom} says what this host does not understand")).because(error)
    })?;
    let operation = Operation::PeerPin {
        peer: name.clone(),
        host,
        host_name: word(&them.name),
        fingerprint: expected,
        address: Some(endpoint.clone()),
        invitation: None,
    };
    gate.perform(&Actor::Operator, &mut Ledger::volatile(), operation, Vec::new()).map_err(|failure| {
        failure.while_doing(format!("{whom} trusts this host now, and this host could not write down that one"))
    })?;
    Ok(word(&known_as))
}
