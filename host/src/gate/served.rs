//! What the gate and the watcher of a DHCP server tell each other: files in one directory that only root reads.
//!
//! ```text
//!   networks/NAME/dhcp/  dnsmasq.conf  what it serves
//!                        serve.json    the command to run          (gate ─▸ watcher)
//!                        watch.json    who watches, who serves     (watcher ─▸ gate)
//!                        dnsmasq.pid   written by dnsmasq once its sockets are bound
//!                        leases        dnsmasq.log
//! ```

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Context, Result};
use crate::layout::Layout;
use crate::types::{MacAddress, NetworkName, ProcessId};

/// The hidden verb that runs the watcher: `fief watch-dhcp DIRECTORY`.
pub const VERB: &str = "watch-dhcp";

/// The command that serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Plan {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// The kernel's number of the bridge: a server is bound to that bridge, not to a later one of its name.
    pub link: u32,
}

/// How it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct State {
    pub watcher: ProcessId,
    /// None between its end and its next start.
    pub server: Option<ProcessId>,
    /// How often it was started again.
    pub restarts: u32,
    /// How it ended the last time, with its own last words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_end: Option<String>,
}

/// The directory of one network's DHCP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeDirectory(pub PathBuf);

impl ServeDirectory {
    pub fn configuration(&self) -> PathBuf {
        self.0.join("dnsmasq.conf")
    }
    pub fn leases(&self) -> PathBuf {
        self.0.join("leases")
    }
    pub fn pid_file(&self) -> PathBuf {
        self.0.join("dnsmasq.pid")
    }
    pub fn log(&self) -> PathBuf {
        self.0.join("dnsmasq.log")
    }
    fn plan_file(&self) -> PathBuf {
        self.0.join("serve.json")
    }
    fn state_file(&self) -> PathBuf {
        self.0.join("watch.json")
    }
    pub fn plan(&self) -> Result<Plan> {
        read(&self.plan_file())
    }
    pub fn set_plan(&self, plan: &Plan) -> Result<()> {
        replace(&self.plan_file(), plan)
    }
    /// None where no watcher has come so far yet.
    pub fn state(&self) -> Option<State> {
        read(&self.state_file()).ok()
    }
    pub fn set_state(&self, state: &State) -> Result<()> {
        replace(&self.state_file(), state)
    }
    pub fn forget_state(&self) -> Result<()> {
        match std::fs::remove_file(self.state_file()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context(|| format!("cannot remove {}", self.state_file().display()))
            }
            _ => Ok(()),
        }
    }
    /// The number of the server that has bound its sockets.
    pub fn ready(&self) -> Option<u32> {
        std::fs::read_to_string(self.pid_file()).ok()?.trim().parse().ok()
    }
}

/// `networks/NAME/reserved.json`: the addresses that domains' cards on a network are to get.
#[derive(Debug)]
pub struct Reserved(PathBuf);

impl Reserved {
    pub fn of(layout: &Layout, network: &NetworkName) -> Self {
        Reserved(layout.network(network).join("reserved.json"))
    }
    pub fn read(&self) -> Result<Vec<(MacAddress, Ipv4Addr)>> {
        match self.0.try_exists() {
            Ok(false) => Ok(Vec::new()),
            Ok(true) | Err(_) => read(&self.0),
        }
    }
    /// None is kept as no file.
    pub fn write(&self, reserved: &[(MacAddress, Ipv4Addr)]) -> Result<()> {
        if !reserved.is_empty() {
            return replace(&self.0, &reserved);
        }
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).context(|| format!("cannot remove {}", self.0.display()))
            }
            _ => Ok(()),
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let saying = || format!("cannot read {}", path.display());
    serde_json::from_slice(&std::fs::read(path).context(saying)?).context(saying)
}

/// Seen whole or not at all; need not outlive a reboot, so that nothing is synced.
fn replace(path: &Path, value: &impl Serialize) -> Result<()> {
    let saying = || format!("cannot write {}", path.display());
    let new = path.with_extension("new");
    std::fs::write(&new, serde_json::to_vec(value).context(saying)?).context(saying)?;
    std::fs::rename(&new, path).context(saying)
}
