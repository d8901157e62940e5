//! Bridges: made, taken up again, removed.

use rtnetlink::packet_route::link::BridgeStpState;
use rtnetlink::{LinkBridge, LinkMessageBuilder, LinkUnspec};
use sha2::{Digest, Sha256};

use super::netlink::{self, Link, Links, failed};
use super::owner::{alias, foreign};
use super::sysctl;
use crate::error::{Failure, Result};
use crate::gate::Outcome;
use crate::types::{InterfaceName, MacAddress, NetworkName};

/// The address of a bridge that was given none: locally administered, and the same each time, so that guests which
/// keep the host's address in their caches find it again.
pub(super) fn stable_mac(network: &NetworkName) -> [u8; 6] {
    let digest = Sha256::digest(alias(network));
    [0x02, digest[0], digest[1], digest[2], digest[3], digest[4]]
}

fn wanted_mac(network: &NetworkName, mac: Option<MacAddress>) -> [u8; 6] {
    mac.map_or_else(|| stable_mac(network), MacAddress::bytes)
}

/// Makes the bridge, or takes up the one that this network has: both are the ledger's to remove.
pub(super) fn create(
    network: &NetworkName,
    bridge: &InterfaceName,
    stp: bool,
    mtu: Option<u32>,
    mac: Option<MacAddress>,
) -> Result<Outcome> {
    let owner = alias(network);
    netlink::run(async |handle| {
        let links = Links::read(handle).await?;
        let made = match links.named(bridge) {
            Some(link) if link.is_bridge() && link.alias.as_deref() == Some(&owner) => false,
            Some(link) => return Err(foreign(link, network)),
            None => {
                let state = if stp { BridgeStpState::KernelStp } else { BridgeStpState::Disabled };
                // With a delay of zero a card's port forwards at once (without STP there is no loop to listen for).
                let mut link = LinkMessageBuilder::<LinkBridge>::new(bridge.as_str())
                    .address(wanted_mac(network, mac).to_vec())
                    .stp_state(state);
                if !stp {
                    link = link.forward_delay(0);
                }
                handle
                    .link()
                    .add(link.build())
                    .execute()
                    .await
                    .map_err(|error| failed(format!("cannot make bridge {bridge}"), &error))?;
                true
            }
        };
        let finished = finish(handle, bridge, &owner, mtu).await;
        match finished {
            Ok(facts) => Ok(Outcome::Link { facts }),
            Err(failure) if made => {
                if let Some(link) = Links::read(handle).await?.named(bridge) {
                    netlink::remove(handle, link).await?;
                }
                Err(failure)
            }
            Err(failure) => Err(failure),
        }
    })
}

/// A bridge of the operator's, used as it is.
pub(super) fn join(network: &NetworkName, bridge: &InterfaceName) -> Result<Outcome> {
    netlink::run(async |handle| {
        let links = Links::read(handle).await?;
        let link = links.named(bridge).ok_or_else(|| {
            Failure::not_found(format!("there is no bridge {bridge}"))
                .hint("make it, or name an uplink in the network's settings for a bridge that fief makes")
        })?;
        match link.alias.as_deref().and_then(|alias| alias.strip_prefix("fief:")) {
            Some(_) => Err(foreign(link, network)),
            None if link.is_bridge() => Ok(Outcome::Link { facts: links.facts(link, &alias(network)) }),
            None => Err(Failure::conflict(format!("{bridge} is there, and is no bridge"))),
        }
    })
}

/// What cannot be said in the request that makes a link, and does no harm where it is said again.
async fn finish(
    handle: &rtnetlink::Handle,
    bridge: &InterfaceName,
    owner: &str,
    mtu: Option<u32>,
) -> Result<crate::gate::operation::LinkFacts> {
    let gone = || Failure::not_found(format!("bridge {bridge} went away while it was made"));
    let index = Links::read(handle).await?.named(bridge).ok_or_else(gone)?.index;
    let mut change = LinkMessageBuilder::<LinkUnspec>::default().index(index).alias(owner);
    if let Some(mtu) = mtu {
        change = change.mtu(mtu);
    }
    netlink::change(handle, change, || format!("cannot set up bridge {bridge}")).await?;
    sysctl::quieten(bridge);
    let up = LinkMessageBuilder::<LinkUnspec>::default().index(index).up();
    netlink::change(handle, up, || format!("cannot bring bridge {bridge} up")).await?;
    let links = Links::read(handle).await?;
    let link = links.named(bridge).ok_or_else(gone)?;
    Ok(links.facts(link, owner))
}

/// A link is born without its alias, so that one which was being made when fief died is known by its address.
fn ours(link: &Link, network: &NetworkName, mac: Option<MacAddress>) -> bool {
    link.is_bridge()
        && match &link.alias {
            Some(alias_now) => *alias_now == alias(network),
            None => link.mac == wanted_mac(network, mac),
        }
}

pub(super) fn remove(network: &NetworkName, bridge: &InterfaceName, mac: Option<MacAddress>) -> Result<()> {
    netlink::run(async |handle| {
        let links = Links::read(handle).await?;
        match links.named(bridge).filter(|link| ours(link, network, mac)) {
            Some(link) => netlink::remove(handle, link).await,
            None => Ok(()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_gets_the_same_local_address_each_time() {
        let lab: NetworkName = "lab".parse().unwrap();
        let mac = stable_mac(&lab);
        assert_eq!(mac, stable_mac(&lab));
        assert_ne!(mac, stable_mac(&"lab2".parse().unwrap()));
        assert_eq!(mac[0] & 3, 2, "locally administered, unicast");
    }
}
