//! A physical link in a bridge: what the host had on the link it then has on the bridge, and gets back.
//!
//! ```text
//!   before   eth0  addresses, routes, a DHCP client          after   eth0 ─ bridge  addresses, routes, a DHCP client
//! ```
//!
//! What the link had is written down ([`facts`]) before anything is moved, so that whoever undoes a move that was cut
//! off in the middle knows what there was. The bridge takes the link's own address (MAC): the switch and the DHCP server
//! see the same machine as before.

mod client;
mod facts;
mod moves;

use std::path::{Path, PathBuf};

use rtnetlink::{LinkMessageBuilder, LinkUnspec};

pub(super) use facts::operator_links;

use super::netlink::{self, Link, Links};
use super::{owner, sysctl};
use crate::error::{Context, Failure, Result};
use crate::fault;
use crate::gate::operation::Outcome;
use crate::sys::{durable, process};
use crate::types::{InterfaceName, NetworkName};
use facts::UplinkFacts;

/// Where it is written what the link had, in the network's folder.
const FILE: &str = "uplink.json";

fn load(folder: &Path) -> Result<Option<UplinkFacts>> {
    let path = folder.join(FILE);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).context(|| format!("cannot read {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(|| format!("cannot read {}", path.display())),
    }
}

/// Puts the link into the network's bridge, and moves to the bridge what the link has.
pub(super) fn enslave(
    folder: &Path,
    network: &NetworkName,
    bridge: &InterfaceName,
    link: &InterfaceName,
) -> Result<Outcome> {
    let (into, link_now) = netlink::run(async |handle| {
        let links = Links::read(handle).await?;
        let into = owner::own(&links, network, bridge)?.clone();
        let found = links.named(link).cloned();
        let found = found.ok_or_else(|| {
            Failure::not_found(format!("there is no link {link}")).hint("`ip -brief link` lists those of this host")
        })?;
        if found.controller != Some(into.index) {
            fit(&links, &found)?;
        }
        Ok((into, found))
    })?;
    if link_now.controller == Some(into.index) {
        return Ok(Outcome::Unchanged);
    }
    let clients = client::of(link)?;
    let facts = UplinkFacts::read(link, clients)?;
    let bytes = serde_json::to_vec_pretty(&facts).context(|| format!("cannot write down what {link} has"))?;
    durable::write(&folder.join(FILE), &bytes)?;
    fault::point("uplink.noted")?;
    match forward(&facts, &into) {
        Ok(()) => Ok(Outcome::Set),
        Err(failure) => {
            let failure = failure.while_doing(format!("cannot move what {link} has to bridge {bridge}"));
            match back(folder, bridge, &facts) {
                Ok(()) => Err(failure),
                Err(rest) => {
                    let causes = failure.causes.iter().cloned().chain([format!("and not all was put back: {rest}")]);
                    Err(Failure { causes: causes.collect(), ..failure })
                }
            }
        }
    }
}

/// Why a link cannot be an uplink.
fn fit(links: &Links, link: &Link) -> Result<()> {
    let name = &link.name;
    let no = |why: String| {
        Err(Failure::conflict(format!("{name} cannot be put into a bridge: {why}"))
            .hint("name another card as the uplink, or take it out of there first"))
    };
    if let Some(master) = link.controller {
        let master = links.0.iter().find(|other| other.index == master);
        return no(format!("it is in {} already", master.map_or("another link", |master| &master.name)));
    }
    if link.is_bridge() || link.kind == "loopback" || link.is_tap() {
        return no(format!("it is a {}, not a card", link.kind));
    }
    if link.mac.len() != 6 {
        return no("it has no Ethernet address".into());
    }
    if Path::new("/sys/class/net").join(name).join("phy80211").exists() {
        return no("a wireless card sends with its own address only".into());
    }
    Ok(())
}

fn forward(facts: &UplinkFacts, into: &Link) -> Result<()> {
    // A client that saw its address go would ask for another.
    client::stop(&facts.clients)?;
    fault::point("uplink.clients-stopped")?;
    sysctl::copy_ipv6(&facts.link, &into.name);
    netlink::run(async |handle| {
        let index = into.index;
        let same = LinkMessageBuilder::<LinkUnspec>::default().index(index).address(facts.mac.clone()).mtu(facts.mtu);
        netlink::change(handle, same, || format!("cannot give {} the link's address", into.name)).await?;
        let port = LinkMessageBuilder::<LinkUnspec>::default().index(facts.index).controller(index).up();
        netlink::change(handle, port, || format!("cannot put {} into {}", facts.link, into.name)).await?;
        fault::point("uplink.port")?;
        moves::addresses(handle, facts, facts.index, index).await?;
        fault::point("uplink.addresses")?;
        moves::routes(handle, facts, index).await
    })?;
    fault::point("uplink.routes")?;
    client::start(&facts.clients, &facts.link, &into.name)
}

/// Gives the link back all that it had. What is so already counts as done.
fn back(folder: &Path, bridge: &InterfaceName, facts: &UplinkFacts) -> Result<()> {
    if facts.boot != process::boot_id() {
        // The kernel that knew of the move is gone, and the move with it.
        return forget(folder);
    }
    client::stop(&client::named(&facts.clients, &facts.link, bridge.as_str()))?;
    netlink::run(async |handle| {
        let links = Links::read(handle).await?;
        let Some(link) = links.0.iter().find(|link| link.index == facts.index) else {
            // Unplugged meanwhile: there is nothing to give it back to.
            return Ok(());
        };
        let index = link.index;
        if link.controller.is_some() {
            let free = LinkMessageBuilder::<LinkUnspec>::default().index(index).nocontroller().up();
            netlink::change(handle, free, || format!("cannot take {} out of {bridge}", facts.link)).await?;
        }
        let from = links.named(bridge).map_or(index, |bridge| bridge.index);
        moves::addresses(handle, facts, from, index).await?;
        moves::routes(handle, facts, index).await
    })?;
    client::start_missing(&facts.clients)?;
    forget(folder)
}

fn forget(folder: &Path) -> Result<()> {
    let path = folder.join(FILE);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Undoes [`enslave`], whole or half.
pub(super) fn release(folder: &Path, bridge: &InterfaceName) -> Result<()> {
    match load(folder)? {
        Some(facts) => back(folder, bridge, &facts),
        // Nothing was moved yet.
        None => Ok(()),
    }
}

/// What another tool undid of it.
pub(super) fn missing(folder: &Path, bridge: &InterfaceName, link: &InterfaceName) -> Result<Option<String>> {
    let facts = load(folder)?;
    netlink::run(async |handle| {
        let links = Links::read(handle).await?;
        let (Some(into), Some(port)) = (links.named(bridge), links.named(link)) else {
            return Ok(Some(format!("the link {link} or the bridge {bridge} is gone")));
        };
        if port.controller != Some(into.index) {
            return Ok(Some(format!("{link} is no longer in bridge {bridge}")));
        }
        let addresses = facts.map(|facts| facts.addresses()).unwrap_or_default();
        let lost: Vec<String> = addresses
            .into_iter()
            .filter(|address| !into.addresses.contains(address))
            .map(|(address, prefix)| format!("{address}/{prefix}"))
            .collect();
        Ok((!lost.is_empty()).then(|| format!("bridge {bridge} has lost {}", lost.join(", "))))
    })
}

/// The network's folder, where `layout` keeps it.
pub(super) fn folder(gate: &crate::gate::Gate, network: &NetworkName) -> PathBuf {
    gate.layout().network(network)
}
