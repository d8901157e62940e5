//! A VLAN of a physical link (IEEE 802.1Q) in a bridge: `eth0.20` is made and goes into the bridge, `eth0` stays as it is.

use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVlan};

use super::bridge;
use super::netlink::{self, Link, Links, errno, failed};
use super::owner::{self, alias, foreign};
use super::sysctl;
use crate::error::{Failure, Result};
use crate::gate::Outcome;
use crate::gate::operation::vlan_link;
use crate::types::{InterfaceName, NetworkName};

pub(super) fn enslave(network: &NetworkName, into: &InterfaceName, link: &InterfaceName, vlan: u16) -> Result<Outcome> {
    let name = vlan_link(link, vlan);
    netlink::run(async |handle| {
        let links = Links::read(handle).await?;
        let into = owner::own(&links, network, into)?;
        let parent = links.named(link).ok_or_else(|| no_link(link))?;
        if into.mtu > parent.mtu {
            return Err(Failure::conflict(format!(
                "{link} carries packets of {} bytes, the bridge {} of {}",
                parent.mtu, into.name, into.mtu
            ))
            .hint(format!("`ip link set {link} mtu {}`, or a smaller `mtu` of the network", into.mtu)));
        }
        match links.named(&name) {
            Some(found) if ours(found, network, parent, vlan) => {}
            Some(found) => return Err(foreign(found, network)),
            None => make(handle, network, &name, parent, vlan).await?,
        }
        let links = Links::read(handle).await?;
        let made = links.named(&name).ok_or_else(|| no_link(&name))?;
        // Its own address tells whose it is until it has its alias.
        let named = LinkMessageBuilder::<LinkUnspec>::default().index(made.index).alias(alias(network)).mtu(into.mtu);
        netlink::change(handle, named, || format!("cannot set up {name}")).await?;
        sysctl::quieten(&name);
        for (index, what) in [(parent.index, link), (made.index, &name)] {
            let mut up = LinkMessageBuilder::<LinkUnspec>::default().index(index).up();
            if index == made.index {
                up = up.controller(into.index);
            }
            netlink::change(handle, up, || format!("cannot bring {what} up")).await?;
        }
        Ok(Outcome::Set)
    })
    .inspect_err(|_| {
        // Nothing of it is left where it failed.
        if let Err(failure) = remove(network, link, vlan) {
            tracing::warn!(%failure, link = %name, "the link of a VLAN is left");
        }
    })
}

fn no_link(link: &InterfaceName) -> Failure {
    Failure::not_found(format!("there is no link {link}")).hint("`ip -brief link` lists those of this host")
}

async fn make(
    handle: &rtnetlink::Handle,
    network: &NetworkName,
    name: &InterfaceName,
    parent: &Link,
    vlan: u16,
) -> Result<()> {
    let link = LinkMessageBuilder::<LinkVlan>::new(name.as_str())
        .id(vlan)
        .link(parent.index)
        .address(bridge::stable_mac(network).to_vec());
    match handle.link().add(link.build()).execute().await {
        Ok(()) => Ok(()),
        Err(error) => {
            let failure = failed(format!("cannot make {name} for VLAN {vlan} on {}", parent.name), &error);
            Err(match errno(&error) {
                Some(libc::EOPNOTSUPP) => failure.hint("load the module `8021q`"),
                _ => failure,
            })
        }
    }
}

fn ours(link: &Link, network: &NetworkName, parent: &Link, vlan: u16) -> bool {
    let whose = match &link.alias {
        Some(alias_now) => *alias_now == alias(network),
        None => link.mac == bridge::stable_mac(network),
    };
    whose && link.vlan == Some(vlan) && link.parent == Some(parent.index)
}

pub(super) fn remove(network: &NetworkName, link: &InterfaceName, vlan: u16) -> Result<()> {
    let name = vlan_link(link, vlan);
    netlink::run(async |handle| {
        let links = Links::read(handle).await?;
        match (links.named(&name), links.named(link)) {
            (Some(found), Some(parent)) if ours(found, network, parent, vlan) => netlink::remove(handle, found).await,
            _ => Ok(()),
        }
    })
}

pub(super) fn missing(
    network: &NetworkName,
    into: &InterfaceName,
    link: &InterfaceName,
    vlan: u16,
) -> Result<Option<String>> {
    let name = vlan_link(link, vlan);
    netlink::run(async |handle| {
        let links = Links::read(handle).await?;
        let (Some(into), Some(parent), Some(port)) = (links.named(into), links.named(link), links.named(&name)) else {
            return Ok(Some(format!("the link {name} or what it joins is gone")));
        };
        Ok(if !ours(port, network, parent, vlan) {
            Some(format!("{name} is no longer the link of network {network}"))
        } else if port.controller != Some(into.index) {
            Some(format!("{name} is no longer in bridge {}", into.name))
        } else {
            (!port.up).then(|| format!("{name} is down"))
        })
    })
}
