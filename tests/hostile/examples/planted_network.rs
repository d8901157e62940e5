//! Makes networks rightly, but for one mistake that the setting `mistake` names: what `fief plugin test` has to find.

use std::hash::{BuildHasher, RandomState};

use fief_sdk::bridges::{self, BridgeSpec, Reach};
use fief_sdk::network::{BridgePort, Finding, Network, NetworkMode, Nic, Port, Severity};
use fief_sdk::{Interface, Permission, Result};

fief_sdk::plugin! {
    network: Planted;
    id: "hostile-planted-network",
    summary: "makes one mistake, for a test",
    permissions: [Permission::interface(Interface::Bridges, "makes a bridge")],
}

fief_sdk::settings! {
    pub struct Settings {
        /// The mistake; none.
        mistake: String = "",
        /// A number; none.
        vlan: String = "7",
    }
}

struct Planted;

fn any() -> u64 {
    RandomState::new().hash_one(0)
}

fn bridge(network: &Network<Settings>) -> String {
    match network.settings.mistake.as_str() {
        "bridge-varies" => format!("fief-v{}", any() % 100_000),
        _ => network.bridge.clone(),
    }
}

impl NetworkMode for Planted {
    type Settings = Settings;

    fn up(network: &Network<Settings>) -> Result<()> {
        let (mistake, bridge) = (network.settings.mistake.as_str(), bridge(network));
        let made = bridges::ensure(&BridgeSpec { name: bridge.clone(), stp: false, mtu: None, mac: None });
        if mistake == "errors-trap" {
            made.expect("a bridge");
        } else if mistake == "errors-swallowed" {
            return Ok(());
        } else {
            made?;
        }
        let limited = bridges::limit(&bridge, &Reach::HostOnly);
        if mistake != "errors-passed-over" {
            limited?;
        }
        bridges::address(&bridge, "10.99.0.1/24")?;
        if mistake == "up-adds" {
            bridges::address(&bridge, &format!("10.99.0.{}/24", 2 + any() % 200))?;
        }
        Ok(())
    }

    fn plug(network: &Network<Settings>, nic: &Nic) -> Result<Port> {
        let mistake = network.settings.mistake.as_str();
        if mistake == "settings-trap" {
            let _: u32 = network.settings.vlan.parse().expect("a number");
        }
        Ok(Port::Bridge(BridgePort {
            bridge: if mistake == "plug-strays" { "other0".into() } else { bridge(network) },
            admit_address: nic.address.clone().or((mistake == "plug-confuses").then(|| "10.99.0.300".into())),
            mtu: (mistake == "plug-varies").then(|| 1_000 + (any() % 500) as u32),
            vlan: None,
        }))
    }

    fn check(network: &Network<Settings>) -> Result<Vec<Finding>> {
        let mistake = network.settings.mistake.as_str();
        if mistake == "check-changes" {
            bridges::ensure(&BridgeSpec { name: "fief-stray".into(), stp: false, mtu: None, mac: None })?;
        }
        Ok((mistake == "check-invents")
            .then(|| Finding {
                severity: Severity::Blocker,
                code: "planted".into(),
                object: network.name.clone(),
                message: "it is broken".into(),
                remedy: None,
            })
            .into_iter()
            .collect())
    }
}
