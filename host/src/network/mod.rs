//! Networks: what a network plugin says, checked, and the port that a card gets.

use std::net::Ipv4Addr;

use crate::config::network::NetworkDefinition;
use crate::error::{Failure, Result};
use crate::gate::Gate;
use crate::sandbox::protocol::{Finding, Forward};
use crate::types::{DomainName, InterfaceName, MacAddress, NetworkName};

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
    /// Its ledger holds the rest of a start or stop that was cut off.
    Partial,
}

/// A DHCP lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub mac: String,
    pub address: String,
    pub host_name: Option<String>,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub expires: u64,
}

/// A network that is being worked on: its definition, and its plugin's sandbox once it is needed.
/// `up` and `down` take the network's lock.
pub struct Network {}

impl Network {
    pub fn all(gate: &Gate) -> Result<Vec<NetworkDefinition>> {
        let _ = gate;
        Err(Failure::other("no networks yet"))
    }
    /// Checks the definition against policy and the plugin's schema and writes it; nothing is started.
    pub fn define(gate: &Gate, definition: NetworkDefinition) -> Result<Network> {
        let _ = (gate, definition);
        Err(Failure::other("no networks yet"))
    }
    pub fn open(gate: &Gate, name: &NetworkName) -> Result<Network> {
        let _ = (gate, name);
        Err(Failure::other("no networks yet"))
    }
    pub fn definition(&self) -> &NetworkDefinition {
        unreachable!("a network is never made yet")
    }
    pub fn state(gate: &Gate, name: &NetworkName) -> Result<NetworkState> {
        let _ = (gate, name);
        Err(Failure::other("no networks yet"))
    }
    /// Brings the network up; one that is up stays as it is. What was done stays in the network's ledger.
    pub fn up(&mut self) -> Result<()> {
        Err(Failure::other("no networks yet"))
    }
    /// Takes the network down by its ledger; the plugin is not asked. One that is down stays as it is.
    ///
    /// # Errors
    /// `Conflict` where a domain's card is on it and `force` is not set.
    pub fn down(gate: &Gate, name: &NetworkName, force: bool) -> Result<()> {
        let _ = (gate, name, force);
        Err(Failure::other("no networks yet"))
    }
    /// Takes it down and forgets it.
    pub fn delete(gate: &Gate, name: &NetworkName, force: bool) -> Result<()> {
        let _ = (gate, name, force);
        Err(Failure::other("no networks yet"))
    }
    /// Asks the plugin where a card goes, and checks the answer against policy.
    pub fn plug(&mut self, nic: &Nic) -> Result<Port> {
        let _ = nic;
        Err(Failure::other("no networks yet"))
    }
    pub fn check(&mut self) -> Result<Vec<Finding>> {
        Err(Failure::other("no networks yet"))
    }
    pub fn leases(gate: &Gate, name: &NetworkName) -> Result<Vec<Lease>> {
        let _ = (gate, name);
        Err(Failure::other("no networks yet"))
    }
}
