//! A network plugin that uses all that `fief:network@0.1.0` has.

use fief_sdk::bridges;
use fief_sdk::network::{BridgePort, Finding, Network, NetworkMode, Nic, Port, Severity};
use fief_sdk::{Error, Interface, Permission, Result};

fief_sdk::plugin! {
    network: Frozen;
    id: "frozen-network",
    summary: "was built for version 0.1.0 of the interfaces, and goes on working",
    permissions: [
        Permission::interface(Interface::Bridges, "makes a bridge"),
    ],
}

fief_sdk::settings! {
    /// Of a network.
    pub struct Settings {
        /// Of the bridge.
        address: String,
        /// The first address that guests are given.
        from: String,
        /// The last one.
        to: String,
        /// Their mask.
        mask: String,
        /// A card of the host's that becomes part of the bridge.
        uplink: Option<String>,
    }
}

struct Frozen;

impl NetworkMode for Frozen {
    type Settings = Settings;

    fn up(network: &Network<Settings>) -> Result<()> {
        let Settings { address, from, to, mask, uplink } = &network.settings;
        let bridge = &network.bridge;
        match uplink {
            Some(uplink) => {
                bridges::join(bridge)?;
                bridges::enslave(bridge, uplink, None)
            }
            None => {
                bridges::ensure(&bridges::BridgeSpec { name: bridge.clone(), stp: false, mtu: None, mac: None })?;
                bridges::address(bridge, address)?;
                bridges::limit(bridge, &bridges::Reach::HostOnly)?;
                bridges::serve_dhcp(
                    bridge,
                    &bridges::Dhcp {
                        range_start: from.clone(),
                        range_end: to.clone(),
                        netmask: mask.clone(),
                        router: None,
                        dns: Vec::new(),
                        domain: None,
                        lease_seconds: 3600,
                        reservations: Vec::new(),
                    },
                )
            }
        }
    }
    fn plug(network: &Network<Settings>, nic: &Nic) -> Result<Port> {
        if nic.address.is_some() {
            return Err(Error::unsupported("nobody here gives out addresses by name"));
        }
        Ok(Port::Bridge(BridgePort { bridge: network.bridge.clone(), admit_address: None, mtu: None, vlan: None }))
    }
    fn check(network: &Network<Settings>) -> Result<Vec<Finding>> {
        let there = bridges::links()?.iter().any(|link| link.name == network.bridge);
        let finding = Finding {
            severity: Severity::Warning,
            code: "no-bridge".into(),
            object: network.bridge.clone(),
            message: "the bridge is not there".into(),
            remedy: None,
        };
        Ok(if there { Vec::new() } else { vec![finding] })
    }
}
