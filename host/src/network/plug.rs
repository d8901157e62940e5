//! Where a card goes: the plugin's answer, held against what the operator granted. Pure.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::{Nic, Port};
use crate::error::{Failure, Kind, Result};
use crate::sandbox::protocol::{Forward, Port as RawPort};
use crate::types::{InterfaceName, NetworkName};

/// What a link can carry: the least that IPv4 asks for (RFC 791, 68 bytes) to the most that Linux takes for a bridge.
const MTU: std::ops::RangeInclusive<u32> = 68..=65_535;
/// Forwards of one card.
const FORWARDS_MAX: usize = 256;

/// What is known of a bridge that a plugin names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// This network made it or gave it its address.
    Own,
    /// The operator granted it to the plugin by name.
    Granted,
    /// Another network's.
    Of(NetworkName),
    /// Neither: why, and what to do.
    Denied { reason: String, hint: String },
}

/// # Errors
/// `PluginFault` for an answer that makes no sense, `Denied` for one that asks for more than was granted.
pub(super) fn check(
    network: &NetworkName,
    nic: &Nic,
    answer: RawPort,
    standing: impl Fn(&InterfaceName) -> Standing,
) -> Result<Port> {
    match answer {
        RawPort::Bridge { bridge, admit_address, mtu, vlan } => {
            let bridge: InterfaceName =
                bridge.parse().map_err(|error| fault(network, format!("{bridge:?} is no bridge: {error}")))?;
            match standing(&bridge) {
                Standing::Own | Standing::Granted => {}
                Standing::Of(other) => {
                    return Err(Failure::denied(format!(
                        "bridge {bridge} belongs to network {other}, not to {network}"
                    ))
                    .hint("give each network a bridge of its own"));
                }
                Standing::Denied { reason, hint } => {
                    return Err(
                        Failure::denied(format!("network {network} may not use bridge {bridge}: {reason}")).hint(hint)
                    );
                }
            }
            if let Some(mtu) = mtu.filter(|mtu| !MTU.contains(mtu)) {
                return Err(fault(network, format!("an MTU of {mtu} is outside {} to {}", MTU.start(), MTU.end())));
            }
            if vlan.is_some() {
                return Err(fault(network, "this host does not put cards into VLANs yet".into()));
            }
            let admitted: Option<Ipv4Addr> = admit_address
                .map(|text| text.parse().map_err(|_| fault(network, format!("{text:?} is no IPv4 address"))))
                .transpose()?;
            if let (Some(admitted), Some(defined)) = (admitted, nic.address)
                && admitted != defined
            {
                return Err(fault(network, format!("it admits {admitted}, the card's definition says {defined}")));
            }
            Ok(Port::Bridge { bridge, admit_address: nic.address.or(admitted), mtu })
        }
        RawPort::User { network: subnet, forwards, restricted } => {
            if let Some(address) = nic.address {
                return Err(Failure::conflict(format!(
                    "network {network} cannot hold a card to the address {address}"
                ))
                .hint("leave `address` out of the card, or use a network with a bridge"));
            }
            if let Some(text) = subnet.as_deref().filter(|text| !is_subnet(text)) {
                return Err(fault(network, format!("{text:?} is no IPv4 network")));
            }
            check_forwards(network, &forwards)?;
            Ok(Port::User { network: subnet, forwards, restricted })
        }
    }
}

fn fault(network: &NetworkName, what: String) -> Failure {
    Failure::new(Kind::PluginFault, format!("the plugin of network {network} gave an answer that cannot be: {what}"))
}

/// `10.0.2.0/24`, with room for QEMU's own addresses in it (the first sixteen).
fn is_subnet(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else { return false };
    let (Ok(address), Ok(prefix)) = (address.parse::<Ipv4Addr>(), prefix.parse::<u8>()) else { return false };
    (8..=27).contains(&prefix) && address.to_bits().trailing_zeros() >= 32 - u32::from(prefix)
}

/// A forward opens a door of the host: on its loopback alone, each only once.
fn check_forwards(network: &NetworkName, forwards: &[Forward]) -> Result<()> {
    if forwards.len() > FORWARDS_MAX {
        return Err(fault(
            network,
            format!("it forwards {} ports, at most {FORWARDS_MAX} are allowed", forwards.len()),
        ));
    }
    let mut seen = BTreeSet::new();
    for forward in forwards {
        let text = &forward.host_address;
        let address: Ipv4Addr =
            text.parse().map_err(|_| fault(network, format!("{text:?}, to forward from, is no IPv4 address")))?;
        if forward.host_port == 0 || forward.guest_port == 0 {
            return Err(fault(network, "it forwards port 0".into()));
        }
        if !address.is_loopback() {
            return Err(Failure::denied(format!(
                "network {network} may not forward from {address}:{}: only from 127.0.0.0/8",
                forward.host_port
            ))
            .hint("forward from 127.0.0.1, and let a proxy of the host's show it outside"));
        }
        if !seen.insert((forward.protocol as u8, address, forward.host_port)) {
            return Err(fault(network, format!("it forwards {address}:{} twice", forward.host_port)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::protocol::Protocol;

    fn nic(address: Option<&str>) -> Nic {
        Nic {
            domain: "node1".parse().unwrap(),
            index: 0,
            mac: "52:54:00:00:00:01".parse().unwrap(),
            address: address.map(|a| a.parse().unwrap()),
        }
    }

    fn standing(bridge: &InterfaceName) -> Standing {
        match bridge.as_str() {
            "fief-lab" => Standing::Own,
            "br0" => Standing::Granted,
            "fief-other" => Standing::Of("other".parse().unwrap()),
            _ => Standing::Denied { reason: "not granted".into(), hint: "grant it".into() },
        }
    }

    fn bridge(name: &str, admit: Option<&str>, mtu: Option<u32>, vlan: Option<u16>) -> RawPort {
        RawPort::Bridge { bridge: name.into(), admit_address: admit.map(str::to_owned), mtu, vlan }
    }

    fn asked(nic: &Nic, answer: RawPort) -> Result<Port, Kind> {
        check(&"lab".parse().unwrap(), nic, answer, standing).map_err(|failure| failure.kind)
    }

    #[test]
    fn a_card_goes_to_its_networks_bridge_or_a_granted_one_only() {
        let port = |name: &str| asked(&nic(None), bridge(name, None, Some(9000), None));
        for name in ["fief-lab", "br0"] {
            let expected = Port::Bridge { bridge: name.parse().unwrap(), admit_address: None, mtu: Some(9000) };
            assert_eq!(port(name), Ok(expected));
        }
        assert_eq!(port("fief-other"), Err(Kind::Denied));
        assert_eq!(port("eth0"), Err(Kind::Denied));
        assert_eq!(port("-c"), Err(Kind::PluginFault));
    }

    #[test]
    fn numbers_and_addresses_that_cannot_be_are_the_plugins_fault() {
        for answer in [
            bridge("fief-lab", None, Some(67), None),
            bridge("fief-lab", None, Some(u32::MAX), None),
            bridge("fief-lab", None, None, Some(7)),
            bridge("fief-lab", Some("10.77.0"), None, None),
        ] {
            assert_eq!(asked(&nic(None), answer.clone()), Err(Kind::PluginFault), "{answer:?}");
        }
    }

    #[test]
    fn the_definitions_address_is_admitted_whether_the_plugin_says_so_or_not() {
        let own = nic(Some("10.77.0.5"));
        let expected = Port::Bridge { bridge: "fief-lab".parse().unwrap(), admit_address: own.address, mtu: None };
        assert_eq!(asked(&own, bridge("fief-lab", None, None, None)), Ok(expected.clone()));
        assert_eq!(asked(&own, bridge("fief-lab", Some("10.77.0.5"), None, None)), Ok(expected));
        assert_eq!(asked(&own, bridge("fief-lab", Some("10.77.0.6"), None, None)), Err(Kind::PluginFault));
    }

    #[test]
    fn forwards_start_on_the_loopback_and_once() {
        let forward = |address: &str, host_port: u16, guest_port: u16| Forward {
            protocol: Protocol::Tcp,
            host_address: address.into(),
            host_port,
            guest_port,
        };
        let user = |forwards: &[Forward]| {
            asked(&nic(None), RawPort::User { network: None, forwards: forwards.to_vec(), restricted: false })
        };
        assert!(user(&[forward("127.0.0.1", 2222, 22), forward("127.0.0.2", 2222, 22)]).is_ok());
        for (forwards, kind) in [
            (vec![forward("0.0.0.0", 2222, 22)], Kind::Denied),
            (vec![forward("10.0.0.1", 2222, 22)], Kind::Denied),
            (vec![forward("", 2222, 22)], Kind::PluginFault),
            (vec![forward("127.0.0.1", 0, 22)], Kind::PluginFault),
            (vec![forward("127.0.0.1", 2222, 0)], Kind::PluginFault),
            (vec![forward("127.0.0.1", 2222, 22), forward("127.0.0.1", 2222, 80)], Kind::PluginFault),
            (vec![forward("127.0.0.1,x=y", 2222, 22)], Kind::PluginFault),
        ] {
            assert_eq!(user(&forwards), Err(kind), "{forwards:?}");
        }
    }

    #[test]
    fn a_user_network_is_a_network_and_pins_no_address() {
        let user = |subnet: &str| {
            asked(&nic(None), RawPort::User { network: Some(subnet.into()), forwards: vec![], restricted: true })
        };
        assert!(user("10.0.2.0/24").is_ok());
        for bad in ["10.0.2.1/24", "10.0.2.0", "10.0.2.0/33", "10.0.2.0/24,id=x", ""] {
            assert_eq!(user(bad), Err(Kind::PluginFault), "{bad:?}");
        }
        let pinned = RawPort::User { network: None, forwards: vec![], restricted: true };
        assert_eq!(asked(&nic(Some("10.0.2.15")), pinned), Err(Kind::Conflict));
    }
}
