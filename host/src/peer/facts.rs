//! What a host is and has: the record that both sides of a move are held against. `fief peer show` prints the main ones.
//!
//! Keys are only ever added. One that a newer host has and this one does not know is passed over; one that an older host
//! does not have is empty here.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::service::{Caller, Service};
use crate::config::domain::Accelerator;
use crate::config::network::NetworkDefinition;
use crate::config::policy;
use crate::error::{Context, Failure, Result};
use crate::gate::{Gate, Mode, host_id};
use crate::hypervisor::ChosenAccelerator;
use crate::hypervisor::qemu::processor::{Processor, processor};
use crate::hypervisor::qemu::{facts, probe};
use crate::layout::Layout;
use crate::network::{Network, NetworkState, bridge_of};
use crate::plugin::package;
use crate::sandbox::protocol::PluginKind;
use crate::storage::look::{self, State};
use crate::storage::{Pool, PoolInfo};
use crate::sys::machine;
use crate::types::{ByteSize, Digest, NetworkName, PluginId, PoolName};

/// The kind of a guest's card, as the kernel calls it.
const TAP: &str = "tun";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Facts {
    pub host: Uuid,
    /// As its kernel has it.
    pub name: String,
    /// The version of fief.
    pub fief: String,
    /// As `uname -m` says it.
    pub architecture: String,
    pub kernel: String,
    #[serde(default)]
    pub hypervisors: Vec<Hypervisor>,
    #[serde(default)]
    pub processors: u32,
    /// In bytes; none where its kernel does not say.
    pub memory: Option<u64>,
    pub memory_available: Option<u64>,
    #[serde(default)]
    pub networks: Vec<NetworkFacts>,
    #[serde(default)]
    pub pools: Vec<PoolFacts>,
    #[serde(default)]
    pub plugins: Vec<PluginFacts>,
    /// What could not be found out, and why.
    #[serde(default)]
    pub unknown: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Hypervisor {
    pub name: String,
    pub version: String,
    pub accelerator: Option<ChosenAccelerator>,
    #[serde(default)]
    pub machines: Vec<String>,
    pub processor: Option<Processor>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NetworkFacts {
    pub name: NetworkName,
    pub kind: String,
    /// None where its record cannot be read.
    pub up: Option<bool>,
    /// None where it is down, or has none.
    pub bridge: Option<String>,
    pub mtu: Option<u32>,
    /// Of the bridge, as `10.77.0.1/24`: the subnets that are reached through it.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Whether more than guests of this host is on its bridge; none where it is down.
    #[serde(default)]
    pub reaches_out: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PoolFacts {
    pub name: PoolName,
    pub kind: String,
    pub plugin: Option<PluginId>,
    /// As `fief pool list` says it; none where no plugin serves it.
    pub state: Option<String>,
    /// What the storage is, wherever it is reached from; none where it does not answer.
    pub identity: Option<String>,
    #[serde(default)]
    pub reachable_from_peers: bool,
    pub capacity: Option<u64>,
    pub available: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PluginFacts {
    pub id: PluginId,
    pub version: String,
    pub kind: PluginKind,
    pub digest: Digest,
}

/// This host's, found out now. What cannot be found out is said, and keeps nothing else back.
pub fn gather(gate: &Gate) -> Result<Facts> {
    let mut unknown = Vec::new();
    let mut known = |what: &str, failure: Failure| unknown.push(format!("{what}: {failure}"));
    let uname = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let host = host_id::this(gate.layout())?;
    let machine = machine::read();
    let hypervisors = match qemu(gate) {
        Ok(qemu) => vec![qemu],
        Err(failure) => {
            known("qemu", failure);
            Vec::new()
        }
    };
    let networks = networks(gate).unwrap_or_else(|failure| {
        known("networks", failure);
        Vec::new()
    });
    let pools = pools(gate).unwrap_or_else(|failure| {
        known("pools", failure);
        Vec::new()
    });
    let plugins = plugins(gate.layout()).unwrap_or_else(|failure| {
        known("plugins", failure);
        Vec::new()
    });
    Ok(Facts {
        host: host.id,
        name: host.name,
        fief: env!("CARGO_PKG_VERSION").to_owned(),
        architecture: text(uname.machine()),
        kernel: text(uname.release()),
        hypervisors,
        processors: machine.map_or(0, |machine| machine.cpus),
        memory: machine.map(|machine| machine.memory.bytes()),
        memory_available: machine.map(|machine| machine.memory.bytes().saturating_sub(machine.memory_used.bytes())),
        networks,
        pools,
        plugins,
        unknown,
    })
}

fn qemu(gate: &Gate) -> Result<Hypervisor> {
    let facts = facts::facts(gate)?;
    let accelerator = probe::choose(gate, Accelerator::Auto).map(|(chosen, _)| chosen)?;
    Ok(Hypervisor {
        name: "qemu".to_owned(),
        version: facts.version,
        accelerator: Some(accelerator),
        machines: facts.machines,
        processor: Some(processor(gate, accelerator)?),
    })
}

fn networks(gate: &Gate) -> Result<Vec<NetworkFacts>> {
    Ok(Network::all(gate)?.into_iter().map(|definition| network(gate, definition)).collect())
}

pub fn network(gate: &Gate, definition: NetworkDefinition) -> NetworkFacts {
    let up = Network::state(gate, &definition.name)
        .ok()
        .map(|state| matches!(state, NetworkState::Up | NetworkState::Trial));
    // A network that is down has none, and one of kind `user` never has.
    let (bridge, links) = bridge_of(gate, &definition.name).ok().unzip();
    let others = links.iter().flatten().filter(|link| link.kind != TAP);
    let wired = bridge.as_ref().map(|bridge| others.into_iter().any(|link| link.bridge.as_ref() == Some(&bridge.name)));
    NetworkFacts {
        name: definition.name,
        kind: definition.kind,
        up,
        // Without a bridge, its guests speak through a process of this host's.
        reaches_out: up.filter(|up| *up).map(|_| wired.unwrap_or(false)),
        mtu: bridge.as_ref().map(|bridge| bridge.mtu),
        addresses: bridge.as_ref().map(|bridge| bridge.addresses.clone()).unwrap_or_default(),
        bridge: bridge.map(|bridge| bridge.name),
    }
}

fn pools(gate: &Gate) -> Result<Vec<PoolFacts>> {
    let pools = Pool::all(gate)?;
    let plugin = |kind: &String| gate.policy().pools.get(kind).cloned();
    let names: Vec<PoolName> =
        pools.iter().filter(|pool| plugin(&pool.kind).is_some()).map(|pool| pool.name.clone()).collect();
    let mut states = look::states(gate, &names).into_iter();
    let facts = |pool: crate::config::pool::PoolDefinition| {
        let plugin = plugin(&pool.kind);
        let state = plugin.as_ref().and_then(|_| states.next());
        let info = state.as_ref().and_then(State::info);
        let size = |of: fn(&PoolInfo) -> Option<ByteSize>| info.and_then(of).map(ByteSize::bytes);
        PoolFacts {
            name: pool.name,
            kind: pool.kind,
            plugin,
            identity: info.map(|info| info.identity.clone()),
            reachable_from_peers: info.is_some_and(|info| info.reachable_from_peers),
            capacity: size(|info| info.capacity),
            available: size(|info| info.available),
            state: state.map(|state| state.word().to_owned()),
        }
    };
    Ok(pools.into_iter().map(facts).collect())
}

fn plugins(layout: &Layout) -> Result<Vec<PluginFacts>> {
    let facts = |installed: crate::plugin::Installed| PluginFacts {
        id: installed.manifest.id,
        version: installed.manifest.version,
        kind: installed.manifest.kind,
        digest: installed.digest,
    };
    Ok(package::all(layout)?.into_iter().map(facts).collect())
}

/// Peers are told them.
pub struct Desk {
    layout: Layout,
}

impl Desk {
    pub fn new(gate: &Gate) -> Desk {
        Desk { layout: gate.layout().clone() }
    }
}

impl Service for Desk {
    fn answer(&self, _: &Caller, body: Value) -> Result<Value> {
        if !body.is_null() {
            return Err(Failure::usage("facts are asked for without a word"));
        }
        // As policy stands now.
        let policy = policy::load(&self.layout.policy())?;
        let gate = Gate::new(self.layout.clone(), std::sync::Arc::new(policy), Mode::Perform);
        serde_json::to_value(gather(&gate)?).context(|| "cannot tell what this host is".to_owned())
    }
}
