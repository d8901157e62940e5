//! Networks: what a network plugin says, checked, and the port that a card gets.
//!
//! ```text
//!            up: the plugin's `up`, each of its acts in the ledger
//!   Down ───────────────────────────────────────────────────────▸ Up ── what is missing is done again by `up`
//!    ▴  ◂── undone ── fails │                                      │
//!    │                      ▾ killed in the middle                 │
//!    ├──────────────── Partial ── `up` undoes it first             │
//!    └──────────────────────────────────────────────── down: the ledger, newest first; no plugin is asked
//! ```

mod bridge_name;
mod check;
mod compare;
pub mod guard;
mod leases;
mod life;
mod plug;
mod recover;
mod refilter;
mod store;
mod trial;
mod tries;
mod view;
pub mod watch;

use std::net::Ipv4Addr;

use crate::config::network::NetworkDefinition;
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::operation::{LinkFacts, vlan_link};
use crate::gate::recover::Mended;
use crate::gate::rollback::{Armed, RolledBack};
use crate::gate::served::Reserved;
use crate::gate::{Actor, Gate, Ledger, Mode, Operation, Outcome};
use crate::plugin::trouble::Trouble;
use crate::plugin::{self, Installed, Session, Subject, settings, strikes};
use crate::sandbox::protocol::{Call, Finding, Forward, NetworkCall, PluginKind, Return, Settings};
use crate::types::{DomainName, InterfaceName, MacAddress, NetworkName, PluginId};

pub use compare::compare;
pub use refilter::refilter;
use store::Store;
pub use view::{BridgeView, bridge_of, bridge_view};

/// Where a card goes, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    Bridge {
        bridge: InterfaceName,
        admit_address: Option<Ipv4Addr>,
        mtu: Option<u32>,
    },
    /// QEMU's own user-space network (SLIRP).
    User {
        network: Option<String>,
        forwards: Vec<Forward>,
        restricted: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    pub domain: DomainName,
    pub index: u32,
    pub mac: MacAddress,
    pub address: Option<Ipv4Addr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkState {
    Down,
    Up,
    /// It is up, and goes down again unless it is found good or confirmed.
    Trial,
    /// Its ledger holds the rest of a start or stop that was cut off.
    Partial,
}

/// A DHCP lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub mac: String,
    pub address: String,
    pub host_name: Option<String>,
    /// Seconds since 1970-01-01T00:00:00Z; 0: never.
    pub expires: u64,
}

/// What is asked of a sandbox here; tests stand in for it.
trait Caller {
    fn call(&mut self, ledger: &mut Ledger, subject: &Subject, call: Call) -> Result<Return>;
    fn fail(&mut self, _: Option<Trouble>) {}
    fn was_troubled(&self) -> bool {
        false
    }
}

impl Caller for Session {
    fn call(&mut self, ledger: &mut Ledger, subject: &Subject, call: Call) -> Result<Return> {
        Session::call(self, ledger, subject, call)
    }
    fn fail(&mut self, trouble: Option<Trouble>) {
        Session::fail(self, trouble);
    }
    fn was_troubled(&self) -> bool {
        Session::was_troubled(self)
    }
}

/// A plugin that was asked once: its sandbox, and the settings as it gets them.
struct Asked {
    caller: Box<dyn Caller + Send>,
    settings: Settings,
}

/// A network that is being worked on: its definition, and its plugin's sandbox once it is needed.
/// `up` and `down` take the network's lock.
pub struct Network {
    gate: Gate,
    store: Store,
    definition: NetworkDefinition,
    plugin: PluginId,
    asked: Option<Asked>,
    /// What the host fails at on purpose.
    trouble: Option<Trouble>,
}

impl Network {
    /// All networks of this host, by name.
    pub fn all(gate: &Gate) -> Result<Vec<NetworkDefinition>> {
        let names = store::names(gate.layout())?;
        names.iter().map(|name| Store::new(gate.layout(), name).definition()).collect()
    }

    /// Checks the definition against policy and the plugin's schema and writes it; nothing is started.
    ///
    /// # Errors
    /// `Conflict` where a network of that name exists, `Usage` where no plugin serves the kind or a setting is wrong.
    pub fn define(gate: &Gate, definition: NetworkDefinition) -> Result<Network> {
        let network = Network::of(gate, definition)?;
        network.settings()?;
        if network.store.exists() {
            return Err(Failure::conflict(format!("network {} exists", network.definition.name))
                .hint(format!("`fief network delete {}` removes it", network.definition.name)));
        }
        match gate.mode() {
            Mode::Perform => network.store.write_definition(&network.definition)?,
            Mode::DryRun => {}
        }
        Ok(network)
    }

    pub fn open(gate: &Gate, name: &NetworkName) -> Result<Network> {
        Network::of(gate, Store::new(gate.layout(), name).definition()?)
    }

    fn of(gate: &Gate, definition: NetworkDefinition) -> Result<Network> {
        let plugin = gate.policy().networks.get(&definition.kind).cloned().ok_or_else(|| {
            let kinds: Vec<&str> = gate.policy().networks.keys().map(String::as_str).collect();
            let known = if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") };
            Failure::usage(format!("no plugin serves networks of kind {:?}", definition.kind)).hint(format!(
                "fief plugin grant PLUGIN --serve {} says which does; kinds that are served: {known}",
                definition.kind
            ))
        })?;
        let store = Store::new(gate.layout(), &definition.name);
        Ok(Network { gate: gate.clone(), store, definition, plugin, asked: None, trouble: None })
    }

    /// The plugin that policy has for the network; none where there is no such network, or nobody serves its kind.
    pub fn served_by(gate: &Gate, name: &NetworkName) -> Option<PluginId> {
        let definition = Store::new(gate.layout(), name).definition().ok()?;
        gate.policy().networks.get(&definition.kind).cloned()
    }

    pub fn definition(&self) -> &NetworkDefinition {
        &self.definition
    }

    /// The settings as the plugin gets them.
    fn settings(&self) -> Result<Settings> {
        let Installed { manifest, .. } = plugin::chosen(&self.gate, &self.plugin)?;
        match manifest.kind {
            PluginKind::Network => settings::resolve(&manifest, &self.definition.settings).map_err(|failure| {
                failure.while_doing(format!("network {} is not defined right", self.definition.name))
            }),
            PluginKind::Storage | PluginKind::Migration => {
                Err(Failure::usage(format!("plugin {} serves no networks", self.plugin))
                    .hint("name another plugin for this kind under [networks] in policy.toml"))
            }
        }
    }

    /// Asks the plugin; its sandbox is started where it is not there yet.
    fn ask(&mut self, ledger: &mut Ledger, function: NetworkCall) -> Result<Return> {
        let subject = Subject::Network(self.definition.name.clone());
        strikes::may_call(&self.gate, &self.plugin, &subject)?;
        let answer = self.asked(ledger, &subject, function);
        strikes::heard(&self.gate, &self.plugin, &subject, &answer);
        answer
    }

    fn asked(&mut self, ledger: &mut Ledger, subject: &Subject, function: NetworkCall) -> Result<Return> {
        let bridge = self.offered_bridge()?.to_string();
        let asked = match &mut self.asked {
            Some(asked) => asked,
            None => {
                let settings = self.settings()?;
                let caller = Box::new(Session::start(&self.gate, &self.plugin)?);
                self.asked.insert(Asked { caller, settings })
            }
        };
        asked.caller.fail(self.trouble.clone());
        let network = self.definition.name.to_string();
        let call = Call::Network { network, bridge, settings: asked.settings.clone(), function };
        asked.caller.call(ledger, subject, call)
    }

    fn odd_answer(&self, function: &str) -> Failure {
        Failure::new(Kind::PluginFault, format!("plugin {} gave no answer to `{function}` that fits it", self.plugin))
    }

    /// The name that the plugin is offered for a bridge: that of its last start while it is up, else one that no
    /// other network and no other link has.
    fn offered_bridge(&self) -> Result<InterfaceName> {
        if let Some(record) = self.store.record()? {
            return Ok(record.bridge);
        }
        let layout = self.gate.layout();
        let mut taken = Vec::new();
        for other in store::names(layout)?.iter().filter(|name| **name != self.definition.name) {
            taken.extend(Store::new(layout, other).record()?.map(|record| record.bridge));
        }
        let links = links(&self.gate, &self.definition.name)?;
        bridge_name::suggest(&self.definition.name, |name| {
            taken.contains(name) || links.iter().any(|link| link.name == name.as_str() && !link.owned)
        })
    }

    pub fn state(gate: &Gate, name: &NetworkName) -> Result<NetworkState> {
        life::state(gate, name)
    }

    /// Brings the network up; one that is up stays as it is, and what it lost is put back. What was done stays in the
    /// network's ledger.
    pub fn up(&mut self) -> Result<()> {
        life::up(self)
    }

    /// Lets a network stand that is on trial. `false`: it was not.
    ///
    /// # Errors
    /// `Conflict` where it is down, perhaps again.
    pub fn confirm(gate: &Gate, name: &NetworkName) -> Result<bool> {
        trial::confirm(gate, name)
    }

    /// The rollback that is armed, if any. One without a guard is carried out first.
    pub fn trial(gate: &Gate, name: &NetworkName) -> Result<Option<Armed>> {
        let store = Store::new(gate.layout(), name);
        match store.rollback().armed()? {
            Some(armed) if !armed.guarded() => {
                let _lock = store.lock()?;
                trial::settle(gate, &store, name)?;
                store.rollback().armed()
            }
            armed => Ok(armed),
        }
    }

    /// Why it was taken down again after its last start, if it was.
    pub fn rolled_back(gate: &Gate, name: &NetworkName) -> Option<RolledBack> {
        Store::new(gate.layout(), name).rollback().last()
    }

    /// Takes the network down by its ledger; the plugin is not asked. One that is down stays as it is.
    ///
    /// # Errors
    /// `Conflict` where a domain's card is on it and `force` is not set.
    pub fn down(gate: &Gate, name: &NetworkName, force: bool) -> Result<()> {
        life::down(gate, name, force)
    }

    /// Takes it down and forgets it.
    pub fn delete(gate: &Gate, name: &NetworkName, force: bool) -> Result<()> {
        life::delete(gate, name, force)
    }

    /// Keeps these addresses for these cards, and no other's: a DHCP server of the network gives each its own. One that
    /// cannot take them up goes on with those before.
    pub fn reserve(&self, cards: &[(MacAddress, Ipv4Addr)]) -> Result<()> {
        let _lock = self.store.lock()?;
        let reserved = Reserved::of(self.gate.layout(), &self.definition.name);
        let before = reserved.read()?;
        // What was written and not taken up before a crash is taken up now.
        match (before == cards, cards.is_empty()) {
            (true, true) => return Ok(()),
            (true, false) => {}
            (false, _) => reserved.write(cards)?,
        }
        let ledger = Ledger::open(&self.store.ledger_file())?;
        self.gate.serve_again(&ledger).map_err(|failure| {
            let back = reserved.write(&before).and_then(|()| self.gate.serve_again(&ledger));
            if let Err(failure) = back {
                tracing::error!(network = %self.definition.name, %failure, "it serves no DHCP now");
            }
            failure.while_doing(format!("cannot reserve addresses on network {}", self.definition.name))
        })
    }

    /// Asks the plugin where a card goes, and checks the answer against policy.
    pub fn plug(&mut self, nic: &Nic) -> Result<Port> {
        let _lock = self.store.lock()?;
        let mut ledger = Ledger::open(&self.store.ledger_file())?;
        let function = NetworkCall::Plug {
            domain: nic.domain.to_string(),
            index: nic.index,
            mac: nic.mac.to_string(),
            address: nic.address.map(|address| address.to_string()),
        };
        // What the plugin does to the host here stays in the network's ledger until the network goes down.
        match self.ask(&mut ledger, function)? {
            Return::Port(answer) => {
                let name = &self.definition.name;
                plug::check(name, nic, answer, |bridge| view::standing(&self.gate, name, &self.plugin, &ledger, bridge))
            }
            _ => Err(self.odd_answer("plug")),
        }
    }

    /// What the plugin finds, and what the host finds missing of what was done for the network.
    pub fn check(&mut self) -> Result<Vec<Finding>> {
        check::check(self)
    }

    /// The folders of all networks, of those too that have lost their definition.
    pub fn recoverable(gate: &Gate) -> Result<Vec<NetworkName>> {
        recover::names(gate)
    }

    /// Takes down what is left of a start or stop that was killed; the plugin is not asked.
    pub fn recover(gate: &Gate, name: &NetworkName) -> Result<Vec<Mended>> {
        recover::recover(gate, name)
    }

    /// The addresses that were given to guests; none where the network serves no DHCP or is down.
    pub fn leases(gate: &Gate, name: &NetworkName) -> Result<Vec<Lease>> {
        let store = Store::new(gate.layout(), name);
        store.require()?;
        let path = store.leases_file();
        match std::fs::read(&path) {
            Ok(bytes) => Ok(leases::parse(&String::from_utf8_lossy(&bytes))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error).context(|| format!("cannot read {}", path.display())),
        }
    }
}

/// All links of the host, as the gate tells them; `owned` are this network's.
fn links(gate: &Gate, name: &NetworkName) -> Result<Vec<LinkFacts>> {
    let list = Operation::LinkList { network: name.clone() };
    match gate.perform(&Actor::Operator, &mut Ledger::volatile(), list, Vec::new())?.outcome {
        Outcome::Links { all } => Ok(all),
        other => Err(Failure::other(format!("the list of links came out as {other:?}"))),
    }
}

/// The links that a ledger says lead out of its network's bridge, by name.
fn uplinks(ledger: &Ledger) -> Vec<InterfaceName> {
    let port = |operation: &Operation| match operation {
        Operation::LinkEnslave { link, vlan: Some(vlan), .. } => Some(vlan_link(link, *vlan)),
        Operation::LinkEnslave { link, vlan: None, .. } => Some(link.clone()),
        _ => None,
    };
    ledger.entries().iter().filter_map(|entry| port(&entry.operation)).collect()
}

/// The bridges that a ledger says were made or given an address, oldest first.
fn bridges(ledger: &Ledger) -> Vec<InterfaceName> {
    let mut bridges = Vec::new();
    for entry in ledger.entries() {
        if let Operation::BridgeCreate { bridge, .. } | Operation::BridgeAddress { bridge, .. } = &entry.operation
            && !bridges.contains(bridge)
        {
            bridges.push(bridge.clone());
        }
    }
    bridges
}

#[cfg(test)]
mod tests;
