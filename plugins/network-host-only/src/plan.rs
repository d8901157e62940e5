//! From settings to what the network is made of, with every mistake told by its key. Pure.

use std::net::Ipv4Addr;

use fief_sdk::bridges::Dhcp;
use fief_sdk::network::{Network, Nic};
use fief_sdk::{Cidr, Error, Result};

use crate::Settings;

/// IPv4's least (RFC 791, section 3.2) and a tap's most (`MAX_TAP_MTU` less Ethernet's header, drivers/net/tun.c).
const MTU: std::ops::RangeInclusive<u32> = 68..=65_521;
/// Shortest lease, in seconds: dnsmasq's own bound.
const LEASE_MIN: u32 = 120;
/// Longest name in DNS (RFC 1035, section 2.3.4) and of one label in it.
const DOMAIN_MAX: usize = 253;
const LABEL_MAX: usize = 63;
/// `IFNAMSIZ` less the closing NUL (linux/if.h).
const BRIDGE_MAX: usize = 15;
/// How many addresses the range holds where nothing is written, and how far into the network it starts.
const RANGE_LENGTH: u32 = 100;
const RANGE_START: u32 = 100;

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) bridge: String,
    pub(crate) address: Cidr,
    pub(crate) mtu: Option<u32>,
    pub(crate) dhcp: Option<Dhcp>,
}

impl Plan {
    /// # Errors
    /// `invalid`, naming the setting.
    pub(crate) fn of(network: &Network<Settings>) -> Result<Plan> {
        let settings = &network.settings;
        let address = host_address(settings.address)?;
        let bridge = settings.bridge.as_deref().unwrap_or(&network.bridge);
        if !is_interface(bridge) {
            return Err(wrong(
                "bridge",
                format!("{bridge:?} is not a name of a link; it has 1 to 15 letters, digits, '-', '_' or '.'"),
            ));
        }
        if let Some(mtu) = settings.mtu
            && !MTU.contains(&mtu)
        {
            return Err(wrong("mtu", format!("{mtu} is outside {} to {}", MTU.start(), MTU.end())));
        }
        let dhcp = if settings.dhcp { Some(dhcp(settings, address)?) } else { None };
        Ok(Plan { bridge: bridge.to_owned(), address, mtu: settings.mtu, dhcp })
    }
}

fn wrong(key: &str, reason: impl std::fmt::Display) -> Error {
    Error::invalid(format!("setting {key}: {reason}"))
}

/// An address that a bridge can have, in a network with room for a guest.
fn host_address(cidr: Cidr) -> Result<Cidr> {
    let address = cidr.address;
    if !(1..=30).contains(&cidr.prefix) {
        return Err(wrong("address", format!("the prefix /{} is outside /1 to /30", cidr.prefix)));
    }
    if address.is_loopback() || address.is_multicast() || address.is_unspecified() || address.is_broadcast() {
        return Err(wrong("address", format!("{address} is not an address that a bridge can have")));
    }
    if !cidr.has_host(address) {
        return Err(wrong("address", format!("{address} is the network's own or its broadcast address, not a host's")));
    }
    Ok(cidr)
}

fn dhcp(settings: &Settings, cidr: Cidr) -> Result<Dhcp> {
    let (start, end) = range(settings, cidr)?;
    if settings.lease < LEASE_MIN {
        return Err(wrong("lease", format!("{} seconds is too short; at least {LEASE_MIN}", settings.lease)));
    }
    if let Some(domain) = &settings.domain
        && !is_domain(domain)
    {
        return Err(wrong("domain", format!("{domain:?} is not a DNS suffix; write it as in lab.internal")));
    }
    let mut reservations = Vec::new();
    for (mac, address) in settings.reservations.iter().flat_map(|all| &all.0) {
        if !cidr.has_host(*address) || *address == cidr.address {
            return Err(wrong("reservations", format!("{address} is not an address for a guest of {cidr}")));
        }
        reservations.push((mac.clone(), address.to_string()));
    }
    Ok(Dhcp {
        range_start: start.to_string(),
        range_end: end.to_string(),
        netmask: cidr.netmask().to_string(),
        // No router: there is nowhere to go.
        router: None,
        dns: vec![cidr.address.to_string()],
        domain: settings.domain.clone(),
        lease_seconds: settings.lease,
        reservations,
    })
}

/// `.100` to `.199` of a /24 and of what is larger; of a smaller network the upper half, its host excepted; of a /30
/// the one address that is left.
fn range(settings: &Settings, cidr: Cidr) -> Result<(Ipv4Addr, Ipv4Addr)> {
    let (network, broadcast) = (cidr.network().to_bits(), cidr.broadcast().to_bits());
    let hosts = broadcast - network - 1;
    let own = cidr.address.to_bits();
    let (low, high) = if hosts > RANGE_START + RANGE_LENGTH {
        (network + RANGE_START, network + RANGE_START + RANGE_LENGTH - 1)
    } else if hosts == 2 {
        let other = if own == network + 1 { network + 2 } else { network + 1 };
        (other, other)
    } else {
        (network + 1 + hosts / 2, broadcast - 1)
    };
    let start = settings.range_start.map_or(low, Ipv4Addr::to_bits);
    let end = settings
        .range_end
        .map_or(if settings.range_start.is_some() { broadcast - 1 } else { high }, |end| end.to_bits());
    // The host's own address may lie at an end of the range, where it is cut off; DHCP leaves it out in the middle.
    let (start, end) = match (start == own, end == own) {
        (true, _) => (start + 1, end),
        (false, true) => (start, end - 1),
        (false, false) => (start, end),
    };
    for (key, bits) in [("range-start", start), ("range-end", end)] {
        let address = Ipv4Addr::from_bits(bits);
        if !cidr.has_host(address) {
            return Err(wrong(key, format!("{address} is not an address for a guest of {cidr}")));
        }
    }
    if start > end {
        let (start, end) = (Ipv4Addr::from_bits(start), Ipv4Addr::from_bits(end));
        return Err(wrong("range-end", format!("{end} comes before the start of the range, {start}")));
    }
    Ok((Ipv4Addr::from_bits(start), Ipv4Addr::from_bits(end)))
}

/// The one address that a card may send from, where its domain names one.
pub(crate) fn admitted(cidr: Cidr, nic: &Nic) -> Result<Option<String>> {
    let Some(text) = &nic.address else { return Ok(None) };
    match text.parse::<Ipv4Addr>() {
        Ok(address) if cidr.has_host(address) && address != cidr.address => Ok(Some(address.to_string())),
        _ => Err(Error::invalid(format!(
            "card {} of domain {} has the address {text:?}, which no guest of {cidr} can have",
            nic.index, nic.domain
        ))),
    }
}

fn is_interface(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.len() <= BRIDGE_MAX && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain)
}

fn is_domain(name: &str) -> bool {
    let label = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= DOMAIN_MAX && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use fief_sdk::settings::{Setting, Settings as _};

    use super::*;

    pub(crate) fn plan(pairs: &[(&str, &str)]) -> Result<Plan> {
        let written: Vec<Setting> =
            pairs.iter().map(|(key, value)| Setting { key: (*key).into(), value: (*value).into() }).collect();
        let settings = Settings::read(&written)?;
        Plan::of(&Network { name: "lab".into(), bridge: "fief-lab".into(), settings })
    }

    fn ranged(pairs: &[(&str, &str)]) -> (String, String) {
        let dhcp = plan(pairs).unwrap().dhcp.unwrap();
        (dhcp.range_start, dhcp.range_end)
    }

    #[test]
    fn nothing_written_is_a_whole_network() {
        let plan = plan(&[]).unwrap();
        assert_eq!((plan.bridge.as_str(), plan.address.to_string().as_str()), ("fief-lab", "10.77.0.1/24"));
        let dhcp = plan.dhcp.unwrap();
        assert_eq!((dhcp.range_start.as_str(), dhcp.range_end.as_str()), ("10.77.0.100", "10.77.0.199"));
        assert_eq!((dhcp.netmask.as_str(), dhcp.router, dhcp.lease_seconds), ("255.255.255.0", None, 3600));
        assert_eq!(dhcp.dns, ["10.77.0.1"]);
    }

    #[test]
    fn the_range_fits_a_network_of_any_size() {
        let cases = [
            ("10.0.0.1/16", "10.0.0.100", "10.0.0.199"),
            ("10.0.0.1/24", "10.0.0.100", "10.0.0.199"),
            ("10.0.0.1/25", "10.0.0.64", "10.0.0.126"),
            ("10.0.0.1/29", "10.0.0.4", "10.0.0.6"),
            ("10.0.0.6/29", "10.0.0.4", "10.0.0.5"),
            ("10.0.0.1/30", "10.0.0.2", "10.0.0.2"),
            ("10.0.0.2/30", "10.0.0.1", "10.0.0.1"),
        ];
        for (address, start, end) in cases {
            assert_eq!(ranged(&[("address", address)]), (start.into(), end.into()), "{address}");
        }
        assert_eq!(ranged(&[("range-start", "10.77.0.7")]), ("10.77.0.7".into(), "10.77.0.254".into()));
    }

    #[test]
    fn every_mistake_names_its_setting() {
        let cases: [(&[(&str, &str)], &str); 15] = [
            (&[("address", "10.0.0.0/24")], "setting address: 10.0.0.0 is the network's own"),
            (&[("address", "10.0.0.1/31")], "setting address: the prefix /31"),
            (&[("address", "127.0.0.1/8")], "setting address: 127.0.0.1"),
            (&[("address", "10.0.0.1")], "setting address: \"10.0.0.1\""),
            (&[("bridge", "a;rm")], "setting bridge: \"a;rm\""),
            (&[("bridge", "-c")], "setting bridge: \"-c\""),
            (&[("bridge", "sixteen-letters-")], "setting bridge"),
            (&[("mtu", "67")], "setting mtu: 67"),
            (&[("lease", "1")], "setting lease: 1 seconds"),
            (&[("domain", "a b")], "setting domain: \"a b\""),
            (&[("range-start", "10.78.0.1")], "setting range-start: 10.78.0.1"),
            (&[("range-start", "10.77.0.9"), ("range-end", "10.77.0.8")], "setting range-end: 10.77.0.8 comes before"),
            (&[("reservations", "52:54:00:00:00:01=10.78.0.1")], "setting reservations: 10.78.0.1"),
            (&[("reservations", "52:54:00:00:00:01=10.77.0.1")], "setting reservations: 10.77.0.1"),
            (&[("dhcp", "perhaps")], "setting dhcp"),
        ];
        for (pairs, expected) in cases {
            let error = plan(pairs).unwrap_err();
            assert!(error.message.starts_with(expected), "{:?} does not begin {expected:?}", error.message);
        }
    }

    #[test]
    fn without_dhcp_its_settings_do_not_matter() {
        assert!(plan(&[("dhcp", "false"), ("lease", "1")]).unwrap().dhcp.is_none());
    }

    #[test]
    fn a_card_is_held_to_its_own_address_and_no_others() {
        let cidr: Cidr = "10.77.0.1/24".parse().unwrap();
        let nic = |address: Option<&str>| Nic {
            domain: "node1".into(),
            index: 0,
            mac: "52:54:00:00:00:01".into(),
            address: address.map(str::to_owned),
        };
        assert_eq!(admitted(cidr, &nic(None)).unwrap(), None);
        assert_eq!(admitted(cidr, &nic(Some("10.77.0.5"))).unwrap().as_deref(), Some("10.77.0.5"));
        for bad in ["10.77.0.1", "10.77.0.255", "10.78.0.5", "x"] {
            assert!(admitted(cidr, &nic(Some(bad))).is_err(), "{bad} was taken");
        }
    }
}
