//! What a link has: read once, kept as the kernel's own messages, so that they can be said again word for word.

use std::net::IpAddr;

use futures_util::{StreamExt, TryStreamExt, pin_mut};
use rtnetlink::packet_core::{Emitable, Parseable};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressHeaderFlags, AddressMessage, AddressScope};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType,
};
use rtnetlink::{Handle, IpVersion, RouteMessageBuilder};
use serde::{Deserialize, Serialize};

use super::super::netlink::{self, Link, address_of, failed};
use super::client::Client;
use crate::error::{Failure, Result};
use crate::sys::process;

/// The table of the kernel's own local and broadcast routes (rtnetlink(7), RT_TABLE_LOCAL), which follow the addresses.
const TABLE_LOCAL: u8 = 255;

/// One message of the kernel's: what it says for people, and its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) says: String,
    #[serde(with = "hexadecimal")]
    bytes: Vec<u8>,
}

impl Kept {
    fn of(says: String, message: &impl Emitable) -> Kept {
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        Kept { says, bytes }
    }
    fn read<T: Parseable<[u8]>>(&self) -> Result<T> {
        T::parse(&self.bytes).map_err(|error| {
            Failure::other(format!("what was written down of a link cannot be read ({})", self.says)).because(error)
        })
    }
}

/// On one line: the file is there for people too.
mod hexadecimal {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let pair = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(pair).collect();
        bytes.ok_or_else(|| D::Error::custom("an even number of hexadecimal digits is wanted"))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct UplinkFacts {
    /// The kernel's run that this is of: in another one the numbers mean other links.
    pub(super) boot: String,
    pub(super) link: String,
    pub(super) index: u32,
    #[serde(with = "hexadecimal")]
    pub(super) mac: Vec<u8>,
    pub(super) mtu: u32,
    pub(super) up: bool,
    addresses: Vec<Kept>,
    routes: Vec<Kept>,
    pub(super) clients: Vec<Client>,
}

impl UplinkFacts {
    pub(super) fn read(link: &Link, clients: Vec<Client>) -> Result<Self> {
        netlink::run(async |handle| {
            Ok(UplinkFacts {
                boot: process::boot_id(),
                link: link.name.clone(),
                index: link.index,
                mac: link.mac.clone(),
                mtu: link.mtu,
                up: link.up,
                addresses: addresses(handle, link.index).await?,
                routes: routes(handle, link.index, &link.name).await?,
                clients,
            })
        })
    }

    /// What was written down before, and what the link has got since. Its number may be another: unplugged, and back.
    pub(super) fn joined(mut self, now: UplinkFacts) -> Self {
        let further = |ours: &mut Vec<Kept>, theirs: Vec<Kept>| {
            for one in theirs {
                if !ours.iter().any(|known| known.says == one.says) {
                    ours.push(one);
                }
            }
        };
        further(&mut self.addresses, now.addresses);
        further(&mut self.routes, now.routes);
        self.clients.extend(now.clients);
        self.index = now.index;
        self
    }

    /// This, with the addresses and routes that `bridge` has, where it has an address that this has not.
    pub(super) fn renewed(&self, bridge: UplinkFacts) -> Option<UplinkFacts> {
        let new = |one: &Kept| !self.addresses.iter().any(|known| known.says == one.says);
        bridge.addresses.iter().any(new).then(|| UplinkFacts {
            addresses: bridge.addresses,
            routes: bridge.routes,
            ..self.clone()
        })
    }

    pub(super) fn address_messages(&self) -> Result<Vec<AddressMessage>> {
        self.addresses.iter().map(Kept::read).collect()
    }
    /// In the order in which they can be set: those without a gateway first, which the others' gateways are reached by.
    pub(super) fn route_messages(&self) -> Result<Vec<RouteMessage>> {
        let mut all: Vec<RouteMessage> = self.routes.iter().map(Kept::read).collect::<Result<_>>()?;
        all.sort_by_key(|route| gateway(route).is_some());
        Ok(all)
    }
}

/// What of it the bridge has not, as words.
pub(super) async fn lost(handle: &Handle, facts: &UplinkFacts, bridge: &Link) -> Result<Vec<String>> {
    let there = addresses(handle, bridge.index).await?;
    // What a client has set it sets again by itself, to another address as it may be.
    if !facts.clients.is_empty() {
        let none = there.is_empty() && !facts.addresses.is_empty();
        return Ok(if none { vec!["its address".to_owned()] } else { Vec::new() });
    }
    let there = there.into_iter().chain(routes(handle, bridge.index, &bridge.name).await?);
    let there: Vec<String> = there.map(|one| one.says).collect();
    let all = facts.addresses.iter().chain(&facts.routes);
    Ok(all.filter(|one| !there.contains(&one.says)).map(|one| one.says.clone()).collect())
}

pub(super) fn gateway(route: &RouteMessage) -> Option<&RouteAddress> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => Some(address),
        _ => None,
    })
}

async fn addresses(handle: &Handle, index: u32) -> Result<Vec<Kept>> {
    let all = handle.address().get().execute();
    pin_mut!(all);
    let mut kept = Vec::new();
    while let Some(message) = all.next().await {
        let message = message.map_err(|error| failed("cannot list the network addresses".into(), &error))?;
        // Each link makes its own link-local address, and its own temporary ones (RFC 8981).
        let temporary = message.header.family == AddressFamily::Inet6
            && message.header.flags.contains(AddressHeaderFlags::Secondary);
        if message.header.index == index
            && message.header.scope == AddressScope::Universe
            && !temporary
            && let Some(address) = address_of(&message)
        {
            kept.push(Kept::of(format!("{address}/{}", message.header.prefix_len), &message));
        }
    }
    Ok(kept)
}

pub(super) async fn all_routes(handle: &Handle) -> Result<Vec<RouteMessage>> {
    let mut all = Vec::new();
    for version in [IpVersion::V4, IpVersion::V6] {
        let question = match version {
            IpVersion::V4 => RouteMessageBuilder::<std::net::Ipv4Addr>::new().build(),
            IpVersion::V6 => RouteMessageBuilder::<std::net::Ipv6Addr>::new().build(),
        };
        let of_version: Vec<RouteMessage> = handle
            .route()
            .get(question)
            .execute()
            .try_collect()
            .await
            .map_err(|error| failed("cannot list the routes".into(), &error))?;
        all.extend(of_version);
    }
    Ok(all)
}

fn leaves_by(route: &RouteMessage, index: u32) -> bool {
    route.attributes.iter().any(|attribute| matches!(attribute, RouteAttribute::Oif(oif) if *oif == index))
}

async fn routes(handle: &Handle, index: u32, name: &str) -> Result<Vec<Kept>> {
    let mut kept = Vec::new();
    for route in all_routes(handle).await? {
        let many = route.attributes.iter().any(|attribute| match attribute {
            RouteAttribute::MultiPath(hops) => hops.iter().any(|hop| hop.interface_index == index),
            _ => false,
        });
        if many {
            return Err(Failure::conflict(format!("a route with several ways goes through {name}"))
                .hint("replace it with routes that have one way each; `ip route` shows it under `nexthop`"));
        }
        if leaves_by(&route, index) && route.attributes.iter().any(|one| matches!(one, RouteAttribute::NhId(_))) {
            return Err(Failure::conflict(format!("the route {} through {name} is by a nexthop object", says(&route)))
                .hint("replace it with a route that names its gateway; `ip nexthop` shows the objects"));
        }
        // Those of the kernel's own making follow the addresses.
        if leaves_by(&route, index)
            && route.header.kind == RouteType::Unicast
            && route.header.table != TABLE_LOCAL
            && route.header.protocol != RouteProtocol::Kernel
        {
            kept.push(Kept::of(says(&route), &route));
        }
    }
    Ok(kept)
}

fn says(route: &RouteMessage) -> String {
    let written = |address: &RouteAddress| match address {
        RouteAddress::Inet(address) => address.to_string(),
        RouteAddress::Inet6(address) => address.to_string(),
        other => format!("{other:?}"),
    };
    let mut target = None;
    for attribute in &route.attributes {
        if let RouteAttribute::Destination(address) = attribute {
            target = Some(format!("{}/{}", written(address), route.header.destination_prefix_length));
        }
    }
    let via = gateway(route).map(|address| format!(" via {}", written(address))).unwrap_or_default();
    let family = if route.header.address_family == AddressFamily::Inet6 { "inet6 " } else { "" };
    format!("{family}{}{via}", target.unwrap_or_else(|| "default".into()))
}

/// The links that carry a default route, or the route to `peer`: without them the operator is locked out.
pub(super) async fn operator_links(handle: &Handle, peer: Option<IpAddr>) -> Result<Vec<(u32, Option<IpAddr>)>> {
    let mut carrying = Vec::new();
    for route in all_routes(handle).await? {
        let in_main = route.header.table == RouteHeader::RT_TABLE_MAIN;
        let covers = route.header.destination_prefix_length == 0 || peer.is_some_and(|peer| covers(&route, peer));
        if !in_main || !covers || route.header.kind != RouteType::Unicast {
            continue;
        }
        let next = gateway(&route).and_then(|address| match address {
            RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
            RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
            _ => None,
        });
        for attribute in &route.attributes {
            if let RouteAttribute::Oif(index) = attribute {
                carrying.push((*index, next.or(peer)));
            }
        }
    }
    Ok(carrying)
}

/// Whether `peer` lies in the route's network.
fn covers(route: &RouteMessage, peer: IpAddr) -> bool {
    let length = u32::from(route.header.destination_prefix_length);
    route.attributes.iter().any(|attribute| match (attribute, peer) {
        (RouteAttribute::Destination(RouteAddress::Inet(network)), IpAddr::V4(peer)) => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            network.to_bits() & mask == peer.to_bits() & mask
        }
        (RouteAttribute::Destination(RouteAddress::Inet6(network)), IpAddr::V6(peer)) => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            network.to_bits() & mask == peer.to_bits() & mask
        }
        _ => false,
    })
}
