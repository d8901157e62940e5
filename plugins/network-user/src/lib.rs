//! QEMU's own user-space network (SLIRP): needs no privilege and no host interface. A guest gets out through this
//! host, and in there are only the ports that the settings forward.

mod forwards;

use fief_sdk::network::{Finding, Network, NetworkMode, Nic, Port, UserPort};
use fief_sdk::{Cidr, Error, Result};

use crate::forwards::Forwards;

fief_sdk::plugin! {
    network: User;
    id: "network-user",
    summary: "the hypervisor's own user-space network, for those who are not root",
    permissions: [],
}

fief_sdk::settings! {
    /// Of a network.
    pub struct Settings {
        /// The guests' network with its prefix; QEMU's own (10.0.2.0/24) where nothing is written.
        network: Option<Cidr>,
        /// Ports of this host that lead to a guest's: "tcp:127.0.0.1:2222:22,udp:127.0.0.1:5353:53".
        forwards: Option<Forwards>,
        /// Whether guests are kept from reaching anything but what is forwarded to them.
        restricted: bool = "false",
    }
}

/// Prefixes that leave room for SLIRP's own addresses: the host is .2, the name server .3, guests from .15 on.
const PREFIXES: std::ops::RangeInclusive<u8> = 8..=27;

struct User;

fn port(settings: &Settings) -> Result<UserPort> {
    let network = match settings.network {
        Some(cidr) if !PREFIXES.contains(&cidr.prefix) => {
            return Err(Error::invalid(format!(
                "setting network: the prefix /{} is outside /{} to /{}",
                cidr.prefix,
                PREFIXES.start(),
                PREFIXES.end()
            )));
        }
        Some(cidr) if cidr.address.is_loopback() || cidr.address.is_multicast() => {
            return Err(Error::invalid(format!("setting network: {cidr} is not a network that guests can have")));
        }
        // QEMU wants the network's own address.
        Some(cidr) => Some(Cidr { address: cidr.network(), prefix: cidr.prefix }.to_string()),
        None => None,
    };
    let forwards = settings.forwards.as_ref().map(|all| all.0.clone()).unwrap_or_default();
    Ok(UserPort { network, forwards, restricted: settings.restricted })
}

impl NetworkMode for User {
    type Settings = Settings;

    /// There is nothing to build: each card has a network of its own, inside its hypervisor.
    fn up(network: &Network<Settings>) -> Result<()> {
        port(&network.settings).map(drop)
    }

    fn plug(network: &Network<Settings>, nic: &Nic) -> Result<Port> {
        if let Some(address) = &nic.address {
            return Err(Error::unsupported(format!(
                "card {} of domain {} asks for the address {address}; in a user network the hypervisor chooses it",
                nic.index, nic.domain
            )));
        }
        port(&network.settings).map(Port::User)
    }

    fn check(network: &Network<Settings>) -> Result<Vec<Finding>> {
        port(&network.settings).map(|_| Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use fief_sdk::settings::{Setting, Settings as _};

    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<UserPort> {
        let written: Vec<Setting> =
            pairs.iter().map(|(key, value)| Setting { key: (*key).into(), value: (*value).into() }).collect();
        Settings::read(&written).and_then(|settings| port(&settings))
    }

    #[test]
    fn a_network_is_given_by_its_own_address() {
        assert_eq!(with(&[("network", "10.9.8.7/24")]).unwrap().network.as_deref(), Some("10.9.8.0/24"));
        assert_eq!(with(&[]).unwrap().network, None);
        for bad in ["10.0.0.0/30", "10.0.0.0/7", "127.0.0.0/8", "10.0.0.0"] {
            let error = with(&[("network", bad)]).unwrap_err();
            assert!(error.message.starts_with("setting network: "), "{}", error.message);
        }
    }

    #[test]
    fn a_card_with_a_fixed_address_is_refused() {
        let network = Network { name: "n".into(), bridge: "b".into(), settings: Settings::read(&[]).unwrap() };
        let nic = Nic { domain: "d".into(), index: 0, mac: "m".into(), address: Some("10.0.2.15".into()) };
        assert!(User::plug(&network, &nic).unwrap_err().message.contains("the hypervisor chooses it"));
        assert!(User::plug(&network, &Nic { address: None, ..nic }).is_ok());
    }
}
