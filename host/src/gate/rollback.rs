//! A rollback that is armed: what those agree on who touch a link that the operator is reached by.
//!
//! ```text
//!   gate, about to move the link ── writes, starts ─▸ fief guard-network ROOT NAME
//!     │                                                  │ watches: the starter's life, the time, the peers
//!     ▾                                                  ▾
//!   Moving ── the network is up ─▸ Trial ── answered, or confirmed ─▸ file removed: it stands
//!     └── the starter ends, or time is up ──┴── time is up ─▸ all is undone from the ledger, file removed
//! ```
//!
//! Whoever removes the file, under the network's lock, has decided; a guard that finds none ends.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Context, Failure, Result};
use crate::sys::{durable, process};
use crate::types::{InterfaceName, NetworkName, ProcessId};

/// The hidden verb of the guard: `fief guard-network ROOT NAME`.
pub const VERB: &str = "guard-network";
/// What the guard says once it watches.
pub const READY: &[u8] = b"ready\n";
/// From the first touch until the network is up; then the guard no longer waits for who started it.
pub const MOVE_LIMIT: Duration = Duration::from_secs(30);
/// For the peers to answer once the network is up.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// More of it where the bridge runs STP: a port listens and learns for twice the forward delay (IEEE 802.1D, 15 s).
pub const STP_DELAY: Duration = Duration::from_secs(30);

/// How careful a start is with the operator's own way in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Care {
    /// Where the operator sits.
    pub peer: Option<IpAddr>,
    /// The operator confirms by hand within this time, or all is undone.
    pub confirm_within: Option<Duration>,
}

/// A machine behind the link, and what it answered before the link was touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Peer {
    pub address: IpAddr,
    pub answers: Answer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// ICMP echo (RFC 792).
    Echo,
    /// Its hardware address: ARP (RFC 826) or neighbour discovery (RFC 4861).
    Neighbour,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Moving,
    Trial,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Armed {
    /// The run of the kernel that it is of.
    pub boot: String,
    pub link: String,
    pub bridge: InterfaceName,
    pub peers: Vec<Peer>,
    pub starter: ProcessId,
    /// None until the guard has come so far.
    pub guard: Option<ProcessId>,
    pub phase: Phase,
    /// How long the trial takes, in milliseconds.
    pub trial_ms: u64,
    /// Whether the operator decides, and not the peers.
    pub by_hand: bool,
    /// End of the phase, on the clock that goes on in suspend and is nobody's to set (CLOCK_BOOTTIME), in milliseconds.
    pub until_ms: u64,
}

impl Armed {
    pub fn left(&self) -> Duration {
        Duration::from_millis(self.until_ms.saturating_sub(now_ms()))
    }
    pub fn guarded(&self) -> bool {
        self.guard.is_some_and(process::alive)
    }
}

pub fn now_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

pub fn after(span: Duration) -> u64 {
    now_ms().saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// Why a network was taken down again, for the operator who comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RolledBack {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub at: u64,
    pub why: String,
}

/// The files of one network's rollback, in its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback(pub PathBuf);

impl Rollback {
    fn armed_file(&self) -> PathBuf {
        self.0.join("rollback.json")
    }
    fn last_file(&self) -> PathBuf {
        self.0.join("rolled-back.json")
    }
    /// What the guard says of its errors.
    pub fn log(&self) -> PathBuf {
        self.0.join("guard.log")
    }
    /// None where none is armed in this run of the kernel.
    pub fn armed(&self) -> Result<Option<Armed>> {
        let armed: Option<Armed> = read(&self.armed_file())?;
        Ok(armed.filter(|armed| armed.boot == process::boot_id()))
    }
    pub fn arm(&self, armed: &Armed) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(armed).context(|| "cannot write a rollback as JSON".into())?;
        durable::write(&self.armed_file(), &bytes)
    }
    /// Removes the file, and ends the guard where it is another process.
    pub fn disarm(&self) -> Result<()> {
        let armed: Option<Armed> = read(&self.armed_file()).unwrap_or(None);
        remove(&self.armed_file())?;
        match armed.and_then(|armed| armed.guard) {
            Some(guard) if guard.pid != std::process::id() => {
                process::end(guard, GUARD_GRACE).context(|| format!("cannot end the guard {}", guard.pid))
            }
            Some(_) | None => Ok(()),
        }
    }
    pub fn last(&self) -> Option<RolledBack> {
        read(&self.last_file()).ok().flatten()
    }
    pub fn set_last(&self, last: &RolledBack) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(last).context(|| "cannot write a rollback as JSON".into())?;
        durable::write(&self.last_file(), &bytes)
    }
    pub fn forget_last(&self) -> Result<()> {
        remove(&self.last_file())
    }
}

/// For a guard to end: it holds nothing that has to be put away.
const GUARD_GRACE: Duration = Duration::from_secs(1);

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).context(|| format!("cannot read {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(|| format!("cannot read {}", path.display())),
    }
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Before a network's uplink is given everything back: starts a guard that goes on with it where this process is ended
/// in the middle. Nothing where the network has moved none.
pub fn cover(gate: &super::Gate, network: &NetworkName, bridge: &InterfaceName) -> Result<()> {
    super::perform::link::cover(gate, network, bridge)
}

/// The peers of an armed rollback that do not answer now as they did before.
///
/// # Errors
/// Where the kernel cannot be asked.
pub fn silent(armed: &Armed) -> Result<Vec<IpAddr>, Failure> {
    super::perform::link::silent(armed)
}
