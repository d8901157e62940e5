//! The address of a bridge.

use std::net::{IpAddr, Ipv4Addr};

use super::netlink::{self, Link, Links, failed};
use super::owner::own;
use crate::error::{Failure, Result};
use crate::gate::Outcome;
use crate::types::{Cidr, InterfaceName, NetworkName};

/// Sets an address on the network's bridge. One that would shadow another link's network is refused: the host would
/// no longer reach what is there.
pub(super) fn set(network: &NetworkName, bridge: &InterfaceName, address: Cidr) -> Result<Outcome> {
    netlink::run(async |handle| {
        let links = Links::read(handle).await?;
        let link = own(&links, network, bridge)?;
        if link.has(address.address, address.prefix) {
            return Ok(Outcome::Unchanged);
        }
        if let Some((other, taken)) = overlapping(&links.0, link.index, address) {
            return Err(Failure::conflict(format!(
                "{address} for bridge {bridge} overlaps {taken} of the link {other}"
            ))
            .hint(format!("give network {network} a range that no link of this host has (`ip -brief address`)")));
        }
        handle
            .address()
            .add(link.index, IpAddr::V4(address.address), address.prefix)
            .execute()
            .await
            .map_err(|error| failed(format!("cannot set {address} on bridge {bridge}"), &error))?;
        Ok(Outcome::Set)
    })
}

pub(super) fn unset(network: &NetworkName, bridge: &InterfaceName, address: Cidr) -> Result<()> {
    netlink::run(async |handle| {
        let links = Links::read(handle).await?;
        match own(&links, network, bridge) {
            Ok(link) => netlink::remove_address(handle, link, address).await,
            // Gone, or by now another's: the address went with it.
            Err(_) => Ok(()),
        }
    })
}

pub(super) fn missing(network: &NetworkName, bridge: &InterfaceName, address: Cidr) -> Result<Option<String>> {
    netlink::run(async |handle| {
        let links = Links::read(handle).await?;
        Ok(match own(&links, network, bridge) {
            Ok(link) if link.has(address.address, address.prefix) => None,
            Ok(_) => Some(format!("bridge {bridge} has lost its address {address}")),
            Err(failure) => Some(failure.message),
        })
    })
}

/// The first address of another link whose network shares addresses with `wanted`.
fn overlapping(links: &[Link], own_index: u32, wanted: Cidr) -> Option<(String, String)> {
    let masked = |address: Ipv4Addr, prefix: u8| {
        address.to_bits() & u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)
    };
    for link in links.iter().filter(|l| l.index != own_index) {
        for (address, prefix) in &link.addresses {
            let IpAddr::V4(address) = address else { continue };
            // Two networks share addresses where they agree in the shorter of their prefixes.
            let shorter = wanted.prefix.min(*prefix);
            if masked(*address, shorter) == masked(wanted.address, shorter) {
                return Some((link.name.clone(), format!("{address}/{prefix}")));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(address: &str, prefix: u8) -> Link {
        Link {
            index: 2,
            name: "eth0".into(),
            addresses: vec![("fe80::1".parse().unwrap(), 64), (address.parse().unwrap(), prefix)],
            ..Link::default()
        }
    }

    #[test]
    fn a_network_inside_around_or_equal_to_anothers_overlaps_it() {
        let wanted: Cidr = "10.1.2.1/24".parse().unwrap();
        for (address, prefix, expected) in [
            ("10.1.2.9", 24, true),
            ("10.1.2.200", 28, true),
            ("10.1.2.7", 32, true),
            ("10.1.0.1", 16, true),
            ("10.1.3.1", 24, false),
            ("10.1.3.7", 32, false),
            ("192.168.0.1", 16, false),
            ("1.2.3.4", 0, true),
        ] {
            let found = overlapping(&[link(address, prefix)], 1, wanted);
            assert_eq!(found.is_some(), expected, "{address}/{prefix}");
        }
        assert_eq!(overlapping(&[link("10.1.2.9", 24)], 2, wanted), None, "its own address is no overlap");
    }
}
