//! A network that reaches beyond the host: guests stand on the same wire as the host's own card.
//!
//! ```text
//!   guest ─┐                                        guest ─┐
//!   guest ─┼─ bridge ── eth0 ── switch              guest ─┼─ bridge ── eth0.20 ─┐
//!    host ─┘  (its addresses and routes)             host ───────────────── eth0 ─┴─ switch
//!             an uplink                                       an uplink with vlan = 20
//! ```
//! Or a bridge that the operator made: `bridge` alone, without `uplink`, uses it as it is.
//!
//! All of it is asked of the host (`bridges`), which moves what the card has, keeps the ledger from which it goes back,
//! and watches that the operator is not locked out.

mod check;
mod plan;

use fief_sdk::bridges::{self, BridgeSpec};
use fief_sdk::network::{BridgePort, Finding, Network, NetworkMode, Nic, Port};
use fief_sdk::{Cidr, Interface, Permission, Result};

use crate::plan::{Plan, Way};

fief_sdk::plugin! {
    network: Bridge;
    id: "network-bridge",
    summary: "guests reach machines beyond this host, through one of its cards",
    permissions: [
        Permission::interface(Interface::Bridges, "makes the network's bridge and puts the host's card into it"),
    ],
}

fief_sdk::settings! {
    /// Of a network.
    pub struct Settings {
        /// The card that leads out, by its name or its address: "eth0" or "52:54:00:12:34:56".
        uplink: Option<String>,
        /// Name of the bridge; a free one where nothing is written. Without an uplink: a bridge that is there already.
        bridge: Option<String>,
        /// VLAN of the network on the uplink, 1 to 4094; the uplink itself then keeps its addresses.
        vlan: Option<u16>,
        /// Largest packet, in bytes, 68 to 65521; what the uplink has where nothing is written.
        mtu: Option<u32>,
        /// Whether the bridge runs the spanning tree protocol; a card then waits half a minute before it carries anything.
        stp: bool = "false",
        /// An address of this host's on the bridge, with its prefix, besides those that come with the uplink.
        address: Option<Cidr>,
    }
}

struct Bridge;

impl NetworkMode for Bridge {
    type Settings = Settings;

    fn up(network: &Network<Settings>) -> Result<()> {
        let plan = Plan::of(network)?;
        let Way::Uplink { card, vlan, stp, address } = &plan.way else {
            return bridges::join(&plan.bridge).map(drop);
        };
        let (link, carries) = card.among(&bridges::links()?)?;
        // Said even where it is the kernel's own choice: a bridge that was told its MTU keeps it whatever joins it.
        let mtu = plan.mtu.or(carries);
        bridges::ensure(&BridgeSpec { name: plan.bridge.clone(), stp: *stp, mtu, mac: None })?;
        bridges::enslave(&plan.bridge, &link, *vlan)?;
        match address {
            Some(address) => bridges::address(&plan.bridge, &address.to_string()),
            None => Ok(()),
        }
    }

    fn plug(network: &Network<Settings>, nic: &Nic) -> Result<Port> {
        let plan = Plan::of(network)?;
        let admit_address = nic.address.clone();
        Ok(Port::Bridge(BridgePort { bridge: plan.bridge, admit_address, mtu: plan.mtu, vlan: None }))
    }

    fn check(network: &Network<Settings>) -> Result<Vec<Finding>> {
        match Plan::of(network) {
            Ok(plan) => Ok(check::findings(&network.name, &plan, &bridges::links()?)),
            Err(error) => Ok(vec![check::settings(&network.name, &error)]),
        }
    }
}
