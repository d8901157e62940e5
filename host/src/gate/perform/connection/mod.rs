//! Streams for plugins: the grant's pattern filled, the name looked up, the address checked and pinned, then connected.
//!
//! ```text
//!   grant ∧ the pool's settings ─▸ endpoint ─▸ pinned? ─▸ connect ─▸ descriptor
//!                                                 │ no, or it does not answer
//!                                                 ▾
//!                                              look up ─▸ check each address ─▸ connect ─▸ pin ─▸ descriptor
//! ```

mod address;
mod resolve;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::{Done, Gate, Operation, Outcome};
use crate::config::policy::ConnectionGrant;
use crate::error::{Failure, Kind, Result};
use crate::gate::operation::{ConnectionRef, Purpose};
use crate::sys::stream;
use crate::types::{Endpoint, Host};

pub(super) fn act(gate: &Gate, operation: &Operation) -> Result<Done> {
    match operation {
        Operation::ConnectionOpen { to, purpose } => open(gate, to, *purpose),
        Operation::ConnectionResolve { to } => resolve(gate, to),
        other => Err(Failure::other(format!("not an operation on connections: {other:?}"))),
    }
}

/// What a grant stands for.
struct Way<'a> {
    grant: &'a ConnectionGrant,
    endpoint: Endpoint,
    /// Where it went the last time.
    pinned: Option<IpAddr>,
    /// For all of it.
    timeout: Duration,
}

/// For somebody who looks: the first try, and two that went missing on the way (RFC 6298, section 2).
const LOOK: Duration = Duration::from_secs(4);

fn way<'a>(gate: &'a Gate, to: &ConnectionRef) -> Result<Way<'a>> {
    let (plugin, name) = (&to.plugin, &to.connection);
    let grants = gate.policy().plugins.get(plugin);
    let grant = grants
        .and_then(|grants| grants.connections.get(name))
        .ok_or_else(|| Failure::denied(format!("policy grants plugin {plugin} no connection {:?}", name.as_str())))?;
    let endpoint = grant
        .to
        .fill(|key| to.settings.get(key).map(String::as_str))
        .map_err(|why| Failure::denied(format!("the connection {:?} leads nowhere", name.as_str())).because(why))?;
    Ok(Way { grant, pinned: gate.pins.get(to, &endpoint), endpoint, timeout: grant.timeout })
}

fn open(gate: &Gate, to: &ConnectionRef, purpose: Purpose) -> Result<Done> {
    let mut way = way(gate, to)?;
    way.timeout = match purpose {
        Purpose::Look => way.timeout.min(LOOK),
        Purpose::Ask | Purpose::Change => way.timeout,
    };
    connect(&way)
        .map(|(address, stream)| {
            gate.pins.set(to, &way.endpoint, address.ip());
            let before = way.pinned.filter(|before| *before != address.ip());
            if let Some(before) = before {
                tracing::warn!(plugin = %to.plugin, pool = %to.pool, to = %way.endpoint, %before, now = %address.ip(),
                    "a connection goes to another address than before");
            }
            Done { outcome: Outcome::Connected { address, before }, descriptors: vec![stream] }
        })
        .map_err(|failure| failure.while_doing(format!("cannot connect to {}", way.endpoint)))
}

/// For a client that connects by itself: it is given one address, and keeps to it.
fn resolve(gate: &Gate, to: &ConnectionRef) -> Result<Done> {
    let way = way(gate, to)?;
    let all = addresses(&way, Instant::now() + way.timeout)
        .map_err(|failure| failure.while_doing(format!("cannot reach {}", way.endpoint)))?;
    let address = way.pinned.filter(|pinned| all.contains(pinned)).unwrap_or(all[0]);
    gate.pins.set(to, &way.endpoint, address);
    let before = way.pinned.filter(|before| *before != address);
    let outcome = Outcome::Connected { address: SocketAddr::new(address, way.endpoint.port), before };
    Ok(Done { outcome, descriptors: Vec::new() })
}

fn connect(way: &Way<'_>) -> Result<(SocketAddr, OwnedFd)> {
    let until = Instant::now() + way.timeout;
    let Some(pinned) = way.pinned else {
        return first(way, &addresses(way, until)?, until);
    };
    // Half of the time: what is left is for finding out that the server has moved.
    let failed = match first(way, &[pinned], Instant::now() + way.timeout / 2) {
        Err(failure) => failure,
        connected => return connected,
    };
    let others: Vec<IpAddr> = match addresses(way, until) {
        Ok(all) => all.into_iter().filter(|address| *address != pinned).collect(),
        Err(_) => Vec::new(),
    };
    if others.is_empty() { Err(failed) } else { first(way, &others, until) }
}

/// The addresses that the host has and that policy lets it have; at least one.
fn addresses(way: &Way<'_>, until: Instant) -> Result<Vec<IpAddr>> {
    let all = match &way.endpoint.host {
        Host::Address(address) => vec![*address],
        Host::Name(name) => resolve::lookup(name, until.saturating_duration_since(Instant::now()))?,
    };
    let mut refused = None;
    let mut admitted = Vec::new();
    for address in all.into_iter().map(address::plain) {
        match address::admit(address, stream::is_own(address), way.grant) {
            Ok(()) if !admitted.contains(&address) => admitted.push(address),
            Ok(()) => {}
            Err(why) => drop(refused.get_or_insert((address, why))),
        }
    }
    match (admitted.is_empty(), refused) {
        (false, _) => Ok(admitted),
        (true, Some((address, (kind, word)))) => {
            let failure = Failure::denied(format!("{address} is {kind}"));
            Err(match word {
                Some(word) => failure.hint(format!(
                    "if that is meant, write allow = [\"{}\"] into the grant in policy.toml",
                    word.as_str()
                )),
                None => failure.hint("the pool's settings name the wrong server"),
            })
        }
        (true, None) => Err(Failure::new(Kind::Unreachable, "its name has no address")),
    }
}

/// Connects to the first of several addresses that answers, each with its share of the time that is left.
fn first(way: &Way<'_>, addresses: &[IpAddr], until: Instant) -> Result<(SocketAddr, OwnedFd)> {
    let mut failed = Failure::new(Kind::TimedOut, "there was no time left");
    for (index, address) in addresses.iter().enumerate() {
        let address = SocketAddr::new(*address, way.endpoint.port);
        let left = until.saturating_duration_since(Instant::now());
        if left < Duration::from_millis(1) {
            break;
        }
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(1);
        match stream::connect(address, share, way.grant.reserved_port) {
            Ok(stream) => return Ok((address, stream)),
            Err(error) => failed = refused(address, &error, way.grant),
        }
    }
    Err(failed)
}

fn refused(address: SocketAddr, error: &std::io::Error, grant: &ConnectionGrant) -> Failure {
    let because = |kind, what: &str| {
        let mut failure = Failure::new(kind, format!("{address} {what}"));
        failure.causes.push(error.to_string());
        failure
    };
    match error.kind() {
        ErrorKind::TimedOut => Failure::new(Kind::TimedOut, format!("{address} did not answer in time"))
            .hint("is the server up, and does a firewall stand between?"),
        ErrorKind::PermissionDenied if grant.reserved_port => {
            because(Kind::Denied, "was not tried").hint("a source port below 1024 needs root, or CAP_NET_BIND_SERVICE")
        }
        ErrorKind::AddrInUse => because(Kind::NoRoom, "was not tried: no source port below 1024 is free"),
        ErrorKind::ConnectionRefused => because(Kind::Unreachable, "refuses connections")
            .hint("does the server listen there? check the pool's settings"),
        _ => because(Kind::Unreachable, "cannot be reached"),
    }
}
