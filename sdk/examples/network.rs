//! Cards that reach nothing: each guest has a network of its own, inside its hypervisor.
//!
//! What each function is for, when it is called and what an error means is in the manual of the SDK
//! (`cargo doc -p fief-sdk --open`).

use fief_sdk::network::{Finding, Network, NetworkMode, Nic, Port, UserPort};
use fief_sdk::{Error, Result};

fief_sdk::plugin! {
    network: Mine;
    id: "my-plugin",
    summary: "cards that reach nothing",
    permissions: [],
}

fief_sdk::settings! {
    /// Of a network. The comments are what an operator reads.
    pub struct Settings {
        /// Whether guests are kept from reaching this host, too.
        restricted: bool = "true",
    }
}

struct Mine;

impl NetworkMode for Mine {
    type Settings = Settings;

    /// There is nothing to build. A bridge would be asked of the host here (`fief_sdk::bridges`).
    fn up(_: &Network<Settings>) -> Result<()> {
        Ok(())
    }

    fn plug(network: &Network<Settings>, nic: &Nic) -> Result<Port> {
        if let Some(address) = &nic.address {
            return Err(Error::unsupported(format!("nobody here gives out {address}")));
        }
        let restricted = network.settings.restricted;
        Ok(Port::User(UserPort { network: None, forwards: Vec::new(), restricted }))
    }

    fn check(_: &Network<Settings>) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use fief_sdk::settings::Settings as _;

    use super::*;

    #[test]
    fn a_card_is_kept_from_everything_unless_the_operator_says_otherwise() {
        let network = Network { name: "n".into(), bridge: "b".into(), settings: Settings::read(&[]).unwrap() };
        let nic = Nic { domain: "d".into(), index: 0, mac: "52:54:00:00:00:01".into(), address: None };
        Mine::up(&network).unwrap();
        assert!(matches!(Mine::plug(&network, &nic), Ok(Port::User(port)) if port.restricted));
        assert!(Mine::plug(&network, &Nic { address: Some("10.0.0.1".into()), ..nic }).is_err());
        assert!(Mine::check(&network).unwrap().is_empty());
    }
}
