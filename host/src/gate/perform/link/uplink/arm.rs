//! Before a link is touched that the operator is reached by: who answers behind it is found out, and a guard is started
//! that undoes all unless they still answer.

use std::io::Read;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::netlink::{self, Link};
use super::facts::{UplinkFacts, operator_links};
use super::probe;
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::Gate;
use crate::gate::rollback::{ANSWER_LIMIT, Armed, MOVE_LIMIT, Peer, Phase, READY, Rollback, STP_DELAY, VERB, after};
use crate::sys::process;
use crate::types::{InterfaceName, NetworkName};

/// For the guard to say that it watches.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// Arms a rollback where the link carries the operator's route, or where the operator wants to confirm.
///
/// # Errors
/// `Conflict` where nothing behind the link answers, so that nothing could tell whether it still does.
pub(super) fn arm(gate: &Gate, network: &NetworkName, facts: &UplinkFacts, into: &Link) -> Result<()> {
    let care = gate.care();
    let carrying = netlink::run(async |handle| operator_links(handle, care.peer).await)?;
    let next: Vec<Option<IpAddr>> =
        carrying.into_iter().filter(|(index, _)| *index == facts.index).map(|(_, next)| next).collect();
    if next.is_empty() && care.confirm_within.is_none() {
        return Ok(());
    }
    let mut candidates: Vec<IpAddr> = next.iter().copied().flatten().chain(care.peer).collect();
    candidates.sort();
    candidates.dedup();
    let peers = match care.confirm_within {
        Some(_) => Vec::new(),
        None => answering(&candidates, facts)?,
    };
    let trial = care.confirm_within.unwrap_or(if into.stp { ANSWER_LIMIT + STP_DELAY } else { ANSWER_LIMIT });
    let armed = Armed {
        boot: process::boot_id(),
        link: facts.link.clone(),
        bridge: into.name.parse().map_err(|error| Failure::other(format!("{} is no bridge: {error}", into.name)))?,
        peers,
        starter: process::this(),
        guard: None,
        phase: Phase::Moving,
        trial_ms: u64::try_from(trial.as_millis()).unwrap_or(u64::MAX),
        by_hand: care.confirm_within.is_some(),
        until_ms: after(MOVE_LIMIT),
    };
    let rollback = Rollback(super::folder(gate, network));
    rollback.arm(&armed)?;
    start(gate, network, &rollback)
        .inspect_err(|_| {
            if let Err(failure) = rollback.disarm() {
                tracing::warn!(%failure, "a rollback that was not used stays");
            }
        })
        .map_err(|failure| failure.while_doing("cannot start the guard that would put all back"))
}

/// Before an uplink is given everything back: a guard that goes on with it where this process is ended in the middle.
pub(in crate::gate) fn cover(gate: &Gate, network: &NetworkName, bridge: &InterfaceName) -> Result<()> {
    let folder = super::folder(gate, network);
    let Some(facts) = super::load(&folder)?.filter(|facts| facts.boot == process::boot_id()) else { return Ok(()) };
    let rollback = Rollback(folder);
    let watching = rollback.armed()?.filter(Armed::guarded);
    let armed = Armed {
        boot: facts.boot,
        link: facts.link,
        bridge: bridge.clone(),
        peers: Vec::new(),
        starter: process::this(),
        guard: watching.as_ref().and_then(|armed| armed.guard),
        phase: Phase::Moving,
        trial_ms: 0,
        by_hand: false,
        until_ms: after(MOVE_LIMIT),
    };
    rollback.arm(&armed)?;
    if watching.is_some() { Ok(()) } else { start(gate, network, &rollback) }
}

fn answering(candidates: &[IpAddr], facts: &UplinkFacts) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for address in candidates {
        peers.extend(probe::how(*address, facts.index)?);
    }
    if peers.is_empty() {
        let link = &facts.link;
        let who: Vec<String> = candidates.iter().map(IpAddr::to_string).collect();
        let asked = if who.is_empty() { String::new() } else { format!(" ({} was asked)", who.join(", ")) };
        return Err(Failure::conflict(format!(
            "the route out leads by {link}, and nothing behind it answers{asked}: afterwards nothing would tell whether \
             this host is still reached"
        ))
        .hint("say --peer ADDRESS for a machine that answers, or --confirm-within 60s to confirm it by hand"));
    }
    Ok(peers)
}

fn start(gate: &Gate, network: &NetworkName, rollback: &Rollback) -> Result<()> {
    let log = std::fs::File::create(rollback.log()).context(|| format!("cannot write {}", rollback.log().display()))?;
    let mut child = Command::new(process::executable())
        .arg0("fief")
        .arg(VERB)
        .arg(gate.layout().root())
        .arg(network.as_str())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        // A test that ends the command is not to end what watches over it.
        .env_remove("FIEF_FAULT")
        .spawn()
        .context(|| format!("cannot run {}", process::executable().display()))?;
    let ready = child.stdout.take().map_or(Ok(false), says_ready);
    match ready {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => {
            let _ = child.kill();
            let _ = child.wait();
            let said = std::fs::read_to_string(rollback.log()).unwrap_or_default();
            let mut failure = Failure::new(Kind::Other, "it did not come so far as to watch");
            failure.causes.extend(said.lines().take(3).map(|line| line.escape_debug().to_string()));
            Err(failure)
        }
    }
}

fn says_ready(mut stdout: ChildStdout) -> std::io::Result<bool> {
    let until = Instant::now() + READY_WITHIN;
    let mut said = Vec::new();
    while said.len() < READY.len() {
        let left = until.saturating_duration_since(Instant::now());
        let mut piece = [0; 16];
        if left.is_zero() || !process::readable(&stdout, left)? {
            return Ok(false);
        }
        match stdout.read(&mut piece)? {
            0 => return Ok(false),
            length => said.extend_from_slice(&piece[..length]),
        }
    }
    Ok(said == READY)
}
