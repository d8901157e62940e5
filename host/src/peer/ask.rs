//! Peers asked by commands, which have no runtime of their own: one, or all at a time.

use std::future::Future;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Session, clock, seen};
use crate::error::{Context, Failure, Result};
use crate::gate::Gate;
use crate::types::PeerName;

/// A peer that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reached {
    pub host: String,
    pub host_name: String,
    pub fief: String,
    /// Of the protocol.
    pub version: u16,
    /// From a request to its answer, in microseconds.
    pub round_trip_us: u64,
    /// How much its clock is ahead of this host's, in milliseconds; right to half a round trip.
    pub skew_ms: i64,
}

/// What a peer answers to `ping`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Pong {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub clock: u64,
}

/// Runs something that needs peers to its end. What is left of it then is not waited for.
pub fn run<T>(what: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context(|| "cannot speak with a peer".to_owned())?;
    let done = runtime.block_on(what);
    runtime.shutdown_background();
    done
}

/// Whether a peer is there, and how far. Remembered either way (`seen.rs`).
pub fn reach(gate: &Gate, peer: &PeerName, within: Duration) -> Result<Reached> {
    reach_and(gate, peer, within, async |_| Ok(())).0
}

/// The same, and what one that is there answers to more than that.
pub fn reach_and<T>(
    gate: &Gate,
    peer: &PeerName,
    within: Duration,
    ask: impl AsyncFnOnce(&Session) -> Result<T>,
) -> (Result<Reached>, Option<Result<T>>) {
    let mut answer = None;
    let reached = run(async {
        let session = Session::connect(gate, peer, within).await?;
        let reached = measure(&session, within).await?;
        answer = Some(ask(&session).await);
        Ok(reached)
    });
    seen::remember(gate, peer, &reached);
    (reached, answer)
}

pub(super) async fn measure(session: &Session, within: Duration) -> Result<Reached> {
    let (sent, before) = (clock(), Instant::now());
    let pong: Pong = session.request("ping", &(), within).await?;
    let round_trip = before.elapsed();
    let middle = sent.saturating_add(u64::try_from(round_trip.as_millis() / 2).unwrap_or(0));
    let greeted = session.greeted();
    Ok(Reached {
        host: greeted.who.host.clone(),
        host_name: greeted.who.name.clone(),
        fief: greeted.who.fief.clone(),
        version: greeted.version,
        round_trip_us: u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX),
        skew_ms: i64::try_from(i128::from(pong.clock) - i128::from(middle)).unwrap_or(i64::MAX),
    })
}

/// All of them side by side, none waited for longer than `within`; in their order. One that did not answer a moment ago is
/// not asked again.
pub fn reach_all(gate: &Gate, peers: &[PeerName], within: Duration) -> Vec<Result<Reached>> {
    let mut found: Vec<Result<Reached>> = Vec::new();
    let (tell, told) = mpsc::channel();
    let mut asked = 0;
    for (place, peer) in peers.iter().enumerate() {
        if let Some(failure) = seen::away(gate.layout(), peer) {
            found.push(Err(failure));
            continue;
        }
        found.push(Err(super::dial::late(&format!("the peer {peer}"))));
        let (gate, peer, tell) = (gate.clone(), peer.clone(), tell.clone());
        let ask = move || {
            // Nobody may be waiting any more.
            let _ = tell.send((place, reach(&gate, &peer, within)));
        };
        match std::thread::Builder::new().name("peer".into()).spawn(ask) {
            Ok(_) => asked += 1,
            Err(error) => found[place] = Err(Failure::other("a peer cannot be asked").because(error)),
        }
    }
    // A little more than each has for itself, so that what it says of its failure is heard.
    let until = Instant::now() + within + within / 4;
    for _ in 0..asked {
        match told.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok((place, reached)) => found[place] = reached,
            Err(_) => break,
        }
    }
    found
}
