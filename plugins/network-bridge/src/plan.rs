//! From settings to what the network is made of, with every mistake told by its key. Pure.

use fief_sdk::bridges::Link;
use fief_sdk::network::Network;
use fief_sdk::{Cidr, Error, Result};

use crate::Settings;

/// IPv4's least (RFC 791, section 3.2) and a tap's most (`MAX_TAP_MTU` less Ethernet's header, drivers/net/tun.c).
const MTU: std::ops::RangeInclusive<u32> = 68..=65_521;
/// IEEE 802.1Q, table 9-2: 0 and 4095 are no VLANs.
const VLAN: std::ops::RangeInclusive<u16> = 1..=4094;
/// `IFNAMSIZ` less the closing NUL (linux/if.h).
const NAME_MAX: usize = 15;
/// Links that carry another link's address, and are no card.
const NO_CARDS: &[&str] = &["bridge", "vlan", "tun", "macvlan", "macvtap", "ipvlan"];

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) bridge: String,
    pub(crate) mtu: Option<u32>,
    pub(crate) way: Way,
}

#[derive(Debug)]
pub(crate) enum Way {
    /// A bridge that is there already.
    Joined,
    Uplink {
        card: Card,
        vlan: Option<u16>,
        stp: bool,
        address: Option<Cidr>,
    },
}

/// How the operator named a card.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Card {
    Name(String),
    /// In lower case.
    Mac(String),
}

impl Plan {
    /// # Errors
    /// `invalid`, naming the setting.
    pub(crate) fn of(network: &Network<Settings>) -> Result<Plan> {
        let settings = &network.settings;
        let bridge = settings.bridge.as_deref().unwrap_or(&network.bridge);
        if !is_interface(bridge) {
            return Err(wrong("bridge", not_a_link(bridge)));
        }
        if let Some(mtu) = settings.mtu
            && !MTU.contains(&mtu)
        {
            return Err(wrong("mtu", format!("{mtu} is outside {} to {}", MTU.start(), MTU.end())));
        }
        if let Some(vlan) = settings.vlan
            && !VLAN.contains(&vlan)
        {
            return Err(wrong("vlan", format!("{vlan} is outside {} to {}", VLAN.start(), VLAN.end())));
        }
        let way = match &settings.uplink {
            Some(text) => Way::Uplink {
                card: Card::parse(text)?,
                vlan: settings.vlan,
                stp: settings.stp,
                address: settings.address.map(host_address).transpose()?,
            },
            None => joined(settings)?,
        };
        Ok(Plan { bridge: bridge.to_owned(), mtu: settings.mtu, way })
    }
}

/// Without an uplink the bridge is the operator's, and what it is like is his to say.
fn joined(settings: &Settings) -> Result<Way> {
    if settings.bridge.is_none() {
        return Err(wrong("uplink", "name the card that leads out, or a bridge that is there already (bridge)"));
    }
    let written = [
        ("vlan", settings.vlan.is_some()),
        ("mtu", settings.mtu.is_some()),
        ("stp", settings.stp),
        ("address", settings.address.is_some()),
    ];
    match written.into_iter().find(|(_, written)| *written) {
        Some((key, _)) => Err(wrong(key, "without an uplink the bridge is used as it is; change it where it is made")),
        None => Ok(Way::Joined),
    }
}

impl Card {
    fn parse(text: &str) -> Result<Card> {
        let lower = text.to_ascii_lowercase();
        if is_mac(&lower) {
            Ok(Card::Mac(lower))
        } else if is_interface(text) {
            Ok(Card::Name(text.to_owned()))
        } else {
            Err(wrong("uplink", format!("{}, nor an address as in 52:54:00:12:34:56", not_a_link(text))))
        }
    }

    /// Its name, and the largest packet that it carries where that is known.
    ///
    /// # Errors
    /// `not-found`, or `invalid` where several links have the address.
    pub(crate) fn among(&self, links: &[Link]) -> Result<(String, Option<u32>)> {
        match self {
            // One that is not granted is not among them, and is refused by the host in its own words.
            Card::Name(name) => Ok((name.clone(), links.iter().find(|link| link.name == *name).map(|link| link.mtu))),
            Card::Mac(mac) => {
                let is_card = |link: &&Link| link.mac == *mac && !NO_CARDS.contains(&link.kind.as_str());
                let found: Vec<&Link> = links.iter().filter(is_card).collect();
                match &found[..] {
                    [one] => Ok((one.name.clone(), Some(one.mtu))),
                    [] => Err(Error::not_found(format!(
                        "setting uplink: no link that policy grants to this plugin (bridges) has the address {mac}"
                    ))),
                    several => {
                        let names: Vec<&str> = several.iter().map(|link| link.name.as_str()).collect();
                        Err(wrong("uplink", format!("{mac} is the address of {}; write a name", names.join(" and "))))
                    }
                }
            }
        }
    }
}

fn wrong(key: &str, reason: impl std::fmt::Display) -> Error {
    Error::invalid(format!("setting {key}: {reason}"))
}

/// An address that a bridge can have.
fn host_address(cidr: Cidr) -> Result<Cidr> {
    let address = cidr.address;
    if address.is_loopback() || address.is_multicast() || address.is_unspecified() || address.is_broadcast() {
        return Err(wrong("address", format!("{address} is not an address that a bridge can have")));
    }
    if !(1..=32).contains(&cidr.prefix) || cidr.prefix < 31 && !cidr.has_host(address) {
        return Err(wrong("address", format!("{cidr} is the network's own or its broadcast address, not a host's")));
    }
    Ok(cidr)
}

fn not_a_link(name: &str) -> String {
    format!("{name:?} is not a name of a link; it has 1 to {NAME_MAX} letters, digits, '-', '_' or '.'")
}

fn is_interface(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.len() <= NAME_MAX && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain)
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    parts.len() == 6 && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
pub(crate) mod tests {
    use fief_sdk::settings::{Setting, Settings as _};

    use super::*;

    pub(crate) fn plan(pairs: &[(&str, &str)]) -> Result<Plan> {
        let written: Vec<Setting> =
            pairs.iter().map(|(key, value)| Setting { key: (*key).into(), value: (*value).into() }).collect();
        let settings = Settings::read(&written)?;
        Plan::of(&Network { name: "lan".into(), bridge: "fief-lan".into(), settings })
    }

    pub(crate) fn link(name: &str, kind: &str, mac: &str) -> Link {
        Link {
            name: name.into(),
            kind: kind.into(),
            mac: mac.into(),
            mtu: 1500,
            up: true,
            addresses: Vec::new(),
            bridge: None,
            owned: false,
        }
    }

    #[test]
    fn a_card_is_named_by_its_name_or_by_its_address() {
        let card = |text: &str| match plan(&[("uplink", text)]).unwrap().way {
            Way::Uplink { card, .. } => card,
            Way::Joined => panic!("no uplink"),
        };
        assert_eq!(card("enp0s31f6"), Card::Name("enp0s31f6".into()));
        assert_eq!(card("52:54:00:AB:cd:ef"), Card::Mac("52:54:00:ab:cd:ef".into()));
        let mac = "52:54:00:00:00:01";
        // Once it is in the bridge, the bridge has its address, and a VLAN's link has had it all along.
        let links = [
            link("eth0", "ether", mac),
            link("fief-lan", "bridge", mac),
            link("eth0.7", "vlan", mac),
            link("eth1", "ether", "52:54:00:00:00:02"),
        ];
        assert_eq!(Card::Mac(mac.into()).among(&links).unwrap(), ("eth0".into(), Some(1500)));
        assert_eq!(Card::Name("eth7".into()).among(&links).unwrap(), ("eth7".into(), None));
        assert!(Card::Mac("52:54:00:00:00:03".into()).among(&links).is_err());
        let bond = [link("bond0", "bond", mac), link("eth0", "ether", mac)];
        assert!(Card::Mac(mac.into()).among(&bond).unwrap_err().message.contains("bond0 and eth0"));
    }

    #[test]
    fn without_an_uplink_a_bridge_is_used_as_it_is() {
        let joined = plan(&[("bridge", "br0")]).unwrap();
        assert!(matches!(joined.way, Way::Joined), "{joined:?}");
        assert_eq!(joined.bridge, "br0");
        for key in [("vlan", "7"), ("mtu", "9000"), ("stp", "true"), ("address", "10.0.0.1/24")] {
            let message = plan(&[("bridge", "br0"), key]).unwrap_err().message;
            assert!(message.starts_with(&format!("setting {}: without an uplink", key.0)), "{message}");
        }
    }

    #[test]
    fn every_mistake_names_its_setting() {
        let cases: [(&[(&str, &str)], &str); 9] = [
            (&[], "setting uplink: name the card"),
            (&[("uplink", "a;rm")], "setting uplink: \"a;rm\""),
            (&[("uplink", "52:54:00:00:00")], "setting uplink: \"52:54:00:00:00\""),
            (&[("uplink", "eth0"), ("bridge", "-c")], "setting bridge: \"-c\""),
            (&[("uplink", "eth0"), ("vlan", "4095")], "setting vlan: 4095"),
            (&[("uplink", "eth0"), ("mtu", "67")], "setting mtu: 67"),
            (&[("uplink", "eth0"), ("address", "10.0.0.0/24")], "setting address: 10.0.0.0/24"),
            (&[("uplink", "eth0"), ("address", "127.0.0.1/8")], "setting address: 127.0.0.1"),
            (&[("uplink", "eth0"), ("stp", "perhaps")], "setting stp"),
        ];
        for (pairs, expected) in cases {
            let error = plan(pairs).unwrap_err();
            assert!(error.message.starts_with(expected), "{:?} does not begin {expected:?}", error.message);
        }
    }
}
