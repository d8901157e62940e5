//! A network of guests and this host, and nothing else: a bridge with an address, a filter, DHCP and DNS.
//!
//! ```text
//!   guest ─┐
//!   guest ─┼─ bridge ── 10.77.0.1 this host, DHCP and DNS
//!   guest ─┘    ╳
//!             outside
//! ```
//! All of it is asked of the host (`bridges`), which keeps the ledger from which the network is taken down again.

mod check;
mod plan;
mod reservations;

use fief_sdk::bridges::{self, BridgeSpec, Reach};
use fief_sdk::network::{BridgePort, Finding, Network, NetworkMode, Nic, Port};
use fief_sdk::{Cidr, Interface, Permission, Result};

use crate::plan::Plan;
use crate::reservations::Reservations;

fief_sdk::plugin! {
    network: HostOnly;
    id: "network-host-only",
    summary: "guests reach each other and this host, and nothing else",
    permissions: [
        Permission::interface(Interface::Bridges, "makes the network's bridge, its address, its filter and its DHCP"),
    ],
}

fief_sdk::settings! {
    /// Of a network.
    pub struct Settings {
        /// This host's address on the network, with its prefix.
        address: Cidr = "10.77.0.1/24",
        /// Whether guests get addresses and names by DHCP and DNS.
        dhcp: bool = "true",
        /// First address that DHCP hands out; a little into the network where nothing is written.
        range_start: Option<std::net::Ipv4Addr>,
        /// Last address that DHCP hands out.
        range_end: Option<std::net::Ipv4Addr>,
        /// Seconds that an address is lent for.
        lease: u32 = "3600",
        /// DNS suffix of the guests, for example "lab.internal".
        domain: Option<String>,
        /// Name of the bridge; a free one where nothing is written.
        bridge: Option<String>,
        /// Largest packet, in bytes, 68 to 65521; the kernel's choice (1500) where nothing is written.
        mtu: Option<u32>,
        /// Fixed addresses: "MAC=ADDRESS,MAC=ADDRESS".
        reservations: Option<Reservations>,
    }
}

struct HostOnly;

impl NetworkMode for HostOnly {
    type Settings = Settings;

    fn up(network: &Network<Settings>) -> Result<()> {
        let plan = Plan::of(network)?;
        bridges::ensure(&BridgeSpec { name: plan.bridge.clone(), stp: false, mtu: plan.mtu, mac: None })?;
        // The filter stands before the address, so that the bridge is never open.
        bridges::limit(&plan.bridge, &Reach::HostOnly)?;
        bridges::address(&plan.bridge, &plan.address.to_string())?;
        match &plan.dhcp {
            Some(dhcp) => bridges::serve_dhcp(&plan.bridge, dhcp),
            None => Ok(()),
        }
    }

    fn plug(network: &Network<Settings>, nic: &Nic) -> Result<Port> {
        let plan = Plan::of(network)?;
        Ok(Port::Bridge(BridgePort {
            bridge: plan.bridge,
            admit_address: plan::admitted(plan.address, nic)?,
            mtu: plan.mtu,
            vlan: None,
        }))
    }

    fn check(network: &Network<Settings>) -> Result<Vec<Finding>> {
        match Plan::of(network) {
            Ok(plan) => Ok(check::findings(&network.name, &plan, &bridges::links()?)),
            Err(error) => Ok(vec![check::settings(&network.name, &error)]),
        }
    }
}
