//! Misuses a link that is not its own, with the function that the settings name.

use fief_sdk::bridges::{self, BridgeSpec, Dhcp, Reach};
use fief_sdk::network::Network;
use hostile::Wanted;

hostile::up!("hostile-links", up);

fn ensure(name: &str) -> fief_sdk::Result<()> {
    bridges::ensure(&BridgeSpec { name: name.to_owned(), stp: false, mtu: None, mac: None }).map(drop)
}

fn up(network: &Network<Wanted>) -> fief_sdk::Result<()> {
    let link = network.settings.link.as_str();
    match network.settings.function.as_str() {
        "ensure" => ensure(link),
        "address" => bridges::address(link, "10.66.0.1/24"),
        "limit" => bridges::limit(link, &Reach::Routed),
        "enslave" => {
            ensure(&network.bridge)?;
            bridges::enslave(&network.bridge, link, None)
        }
        "join" => bridges::join(link).map(drop),
        "serve" => bridges::serve_dhcp(
            link,
            &Dhcp {
                range_start: "10.66.0.10".into(),
                range_end: "10.66.0.20".into(),
                netmask: "255.255.255.0".into(),
                router: None,
                dns: Vec::new(),
                domain: None,
                lease_seconds: 3600,
                reservations: Vec::new(),
            },
        ),
        _ => {
            ensure(&network.bridge)?;
            panic!("in the middle of it");
        }
    }
}
