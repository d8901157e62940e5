//! A physical link in a bridge: what the host had on the link it then has on the bridge, and gets back.
//!
//! ```text
//!   before   eth0  addresses, routes, a DHCP client          after   eth0 ─ bridge  addresses, routes, a DHCP client
//! ```
//!
//! What the link had is written down ([`facts`]) before anything is moved, so that whoever undoes a move that was cut
//! off in the middle knows what there was. The bridge takes the link's own address (MAC): the switch and the DHCP server
//! see the same machine as before.

mod arm;
mod client;
mod facts;
mod moves;
mod probe;

use std::path::{Path, PathBuf};

use rtnetlink::{LinkMessageBuilder, LinkUnspec};

pub(in crate::gate) use arm::cover;
pub(in crate::gate) use probe::silent;

use super::netlink::{self, Link, Links};
use super::{owner, sysctl};
use crate::error::{Context, Failure, Result};
use crate::fault;
use crate::gate::{Gate, Outcome};
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

/// Puts the link into the network's bridge, and moves to the bridge what the link has. Where that was done before,
/// it puts back what was lost of it since.
pub(super) fn enslave(
    gate: &Gate,
    network: &NetworkName,
    bridge: &InterfaceName,
    link: &InterfaceName,
) -> Result<Outcome> {
    let folder = folder(gate, network);
    let (into, port) = netlink::run(async |handle| {
        let links = Links::read(handle).await?;
        let into = owner::own(&links, network, bridge)?.clone();
        let port = links.named(link).cloned().ok_or_else(|| {
            Failure::not_found(format!("there is no link {link}")).hint("`ip -brief link` lists those of this host")
        })?;
        if port.controller != Some(into.index) {
            fit(&links, &port)?;
        }
        Ok((into, port))
    })?;
    let kept = load(&folder)?.filter(|kept| kept.boot == process::boot_id() && kept.link == port.name);
    if port.controller == Some(into.index) && (kept.is_none() || missing(&folder, bridge, link)?.is_none()) {
        return Ok(Outcome::Unchanged);
    }
    let now = UplinkFacts::read(&port, client::of(&port)?)?;
    let again = kept.is_some();
    let facts = match kept {
        Some(kept) => kept.joined(now),
        None => now,
    };
    let bytes = serde_json::to_vec_pretty(&facts).context(|| format!("cannot write down what {link} has"))?;
    durable::write(&folder.join(FILE), &bytes)?;
    let moved = fault::point("uplink.noted")
        .and_then(|()| arm::arm(gate, network, &facts, &into))
        .and_then(|()| fault::point("uplink.armed"))
        .and_then(|()| forward(&facts, &into));
    match moved {
        Ok(()) => Ok(Outcome::Set),
        Err(failure) => {
            let failure = failure.while_doing(format!("cannot move what {link} has to bridge {bridge}"));
            // Domains may run on a network that is being repaired: what it has stays.
            let undone = if again { Ok(()) } else { back(&folder, bridge, &facts) };
            match undone {
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
    sysctl::copy(&facts.link, &into.name);
    netlink::run(async |handle| {
        let index = into.index;
        let same = LinkMessageBuilder::<LinkUnspec>::default().index(index).address(facts.mac.clone());
        netlink::change(handle, same, || format!("cannot give {} the link's address", into.name)).await?;
        let mut port = LinkMessageBuilder::<LinkUnspec>::default().index(facts.index).controller(index).up();
        if into.mtu != facts.mtu {
            port = port.mtu(into.mtu);
        }
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
    let links = netlink::run(async |handle| Links::read(handle).await)?;
    let from = links.named(bridge);
    // A client may have got another address since: then what the bridge has is what the link is to have.
    let renewed = match from {
        Some(bridge) if !facts.clients.is_empty() => facts.renewed(UplinkFacts::read(bridge, Vec::new())?),
        Some(_) | None => None,
    };
    let gives = renewed.as_ref().unwrap_or(facts);
    if let Some(link) = links.0.iter().find(|link| link.index == facts.index) {
        netlink::run(async |handle| {
            let index = link.index;
            let mut free = LinkMessageBuilder::<LinkUnspec>::default().index(index).up();
            if link.controller.is_some() {
                free = free.nocontroller();
            }
            if link.mtu != facts.mtu {
                free = free.mtu(facts.mtu);
            }
            netlink::change(handle, free, || format!("cannot take {} out of {bridge}", facts.link)).await?;
            fault::point("uplink.freed")?;
            moves::addresses(handle, gives, from.map_or(index, |bridge| bridge.index), index).await?;
            fault::point("uplink.given")?;
            moves::routes(handle, gives, index).await?;
            if facts.up {
                return Ok(());
            }
            let down = LinkMessageBuilder::<LinkUnspec>::default().index(index).down();
            netlink::change(handle, down, || format!("cannot bring {} down again", facts.link)).await
        })?;
    }
    // One that was unplugged meanwhile has nothing to be given; its client waits for it as before.
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
        let Some(facts) = &facts else { return Ok(None) };
        if let Some(client) = client::silent(&facts.clients, link.as_str(), bridge.as_str()) {
            return Ok(Some(format!("the DHCP client of bridge {bridge} does not run: {client}")));
        }
        let lost = facts::lost(handle, facts, into).await?;
        Ok((!lost.is_empty()).then(|| format!("bridge {bridge} has lost {}", lost.join(", "))))
    })
}

/// The network's folder, where `layout` keeps it.
pub(super) fn folder(gate: &Gate, network: &NetworkName) -> PathBuf {
    gate.layout().network(network)
}

#[cfg(test)]
mod tests;
