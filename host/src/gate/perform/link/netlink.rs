//! Links as the kernel tells them over rtnetlink(7), and the few requests that change them.
//!
//! The netlink crate is asynchronous, the gate is not, and its callers may or may not be in a runtime already: so
//! each act gets a thread of its own with a runtime of its own, in the network namespace of the caller's thread.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, pin_mut};
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{
    BridgeStpState, InfoBridge, InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType,
    LinkMessage,
};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec};

use crate::error::{Context, Failure, Kind, Result};
use crate::gate::operation::LinkFacts;
use crate::types::{Cidr, InterfaceName};

/// The kernel answers at once; past this something is wrong with it.
const LIMIT: Duration = Duration::from_secs(5);

/// Runs `body` with a netlink connection in this thread's network namespace.
pub(in crate::gate::perform) fn run<T: Send>(body: impl AsyncFnOnce(&Handle) -> Result<T> + Send) -> Result<T> {
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context(|| "cannot start a runtime for netlink".into())?;
        runtime.block_on(async {
            let (connection, handle, _) =
                rtnetlink::new_connection().context(|| "cannot open a netlink socket".into())?;
            let connection = tokio::spawn(connection);
            let answer = tokio::time::timeout(LIMIT, body(&handle)).await;
            connection.abort();
            answer.unwrap_or_else(|_| Err(Failure::new(Kind::TimedOut, "the kernel does not answer on netlink")))
        })
    };
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// A link and its addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::gate::perform) struct Link {
    pub(in crate::gate::perform) index: u32,
    pub(in crate::gate::perform) name: String,
    pub(super) kind: String,
    pub(super) mac: Vec<u8>,
    pub(super) mtu: u32,
    pub(super) up: bool,
    pub(super) alias: Option<String>,
    pub(super) controller: Option<u32>,
    pub(in crate::gate::perform) addresses: Vec<(IpAddr, u8)>,
    /// Of a bridge: priority and address, and whether it runs the spanning tree protocol.
    pub(super) bridge_id: Option<String>,
    pub(super) stp: bool,
    /// Of a VLAN's link: the VLAN, and the link that it is on.
    pub(super) vlan: Option<u16>,
    pub(super) parent: Option<u32>,
}

impl Link {
    pub(super) fn is_bridge(&self) -> bool {
        self.kind == InfoKind::Bridge.to_string()
    }
    pub(super) fn is_tap(&self) -> bool {
        self.kind == InfoKind::Tun.to_string()
    }
    pub(in crate::gate::perform) fn has(&self, address: Ipv4Addr, prefix: u8) -> bool {
        self.addresses.contains(&(IpAddr::V4(address), prefix))
    }

    fn of(message: LinkMessage) -> Self {
        let kind = match message.header.link_layer_type {
            LinkLayerType::Loopback => "loopback",
            _ => "ether",
        };
        let mut link = Link {
            index: message.header.index,
            kind: kind.into(),
            up: message.header.flags.contains(LinkFlags::Up),
            ..Link::default()
        };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::Address(mac) => link.mac = mac,
                LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
                LinkAttribute::Controller(index) => link.controller = Some(index),
                LinkAttribute::Link(parent) => link.parent = Some(parent),
                LinkAttribute::LinkInfo(infos) => infos.into_iter().for_each(|info| link.learn(info)),
                _ => {}
            }
        }
        link
    }

    fn learn(&mut self, info: LinkInfo) {
        match info {
            LinkInfo::Kind(kind) => self.kind = kind.to_string(),
            LinkInfo::Data(InfoData::Bridge(all)) => {
                for one in all {
                    match one {
                        InfoBridge::BridgeId(id) => {
                            let address: String = id.address.iter().map(|byte| format!("{byte:02x}")).collect();
                            self.bridge_id = Some(format!("{:04x}.{address}", id.priority));
                        }
                        InfoBridge::StpState(state) => self.stp = state != BridgeStpState::Disabled,
                        _ => {}
                    }
                }
            }
            LinkInfo::Data(InfoData::Vlan(all)) => {
                self.vlan = all.iter().find_map(|one| if let InfoVlan::Id(id) = one { Some(*id) } else { None });
            }
            _ => {}
        }
    }
}

/// All links of this network namespace.
pub(super) struct Links(pub(super) Vec<Link>);

impl Links {
    pub(super) async fn read(handle: &Handle) -> Result<Self> {
        let mut links: Vec<Link> = handle
            .link()
            .get()
            .execute()
            .map_ok(Link::of)
            .try_collect()
            .await
            .map_err(|error| failed("cannot list the network links".into(), &error))?;
        let addresses = handle.address().get().execute();
        pin_mut!(addresses);
        while let Some(message) = addresses.next().await {
            let message = message.map_err(|error| failed("cannot list the network addresses".into(), &error))?;
            if let (Some(link), Some(address)) =
                (links.iter_mut().find(|l| l.index == message.header.index), address_of(&message))
            {
                link.addresses.push((address, message.header.prefix_len));
            }
        }
        Ok(Links(links))
    }

    pub(super) fn named(&self, name: &InterfaceName) -> Option<&Link> {
        self.0.iter().find(|l| l.name == name.as_str())
    }

    /// What others are told of a link; `owner` is the alias that says whose it is.
    pub(super) fn facts(&self, link: &Link, owner: &str) -> LinkFacts {
        let mac: Vec<String> = link.mac.iter().map(|b| format!("{b:02x}")).collect();
        LinkFacts {
            name: link.name.clone(),
            kind: link.kind.clone(),
            mac: mac.join(":"),
            mtu: link.mtu,
            up: link.up,
            addresses: link.addresses.iter().map(|(address, prefix)| format!("{address}/{prefix}")).collect(),
            bridge: link
                .controller
                .and_then(|index| self.0.iter().find(|l| l.index == index))
                .filter(|l| l.is_bridge())
                .map(|l| l.name.clone()),
            owned: link.is_bridge() && link.alias.as_deref() == Some(owner),
            bridge_id: link.bridge_id.clone(),
            stp: link.stp,
        }
    }
}

/// The host's own end: `Local` on a point-to-point link, where `Address` is the peer.
pub(super) fn address_of(message: &AddressMessage) -> Option<IpAddr> {
    let mut peer = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => return Some(*address),
            AddressAttribute::Address(address) => peer = Some(*address),
            _ => {}
        }
    }
    peer
}

/// Changes a link by its index.
pub(super) async fn change(
    handle: &Handle,
    link: LinkMessageBuilder<LinkUnspec>,
    what: impl FnOnce() -> String,
) -> Result<()> {
    handle.link().change(link.build()).execute().await.map_err(|error| failed(what(), &error))
}

/// Removes a link; one that is gone is done.
pub(super) async fn remove(handle: &Handle, link: &Link) -> Result<()> {
    match handle.link().del(link.index).execute().await {
        Err(error) if errno(&error) != Some(libc::ENODEV) => {
            Err(failed(format!("cannot remove {}", link.name), &error))
        }
        _ => Ok(()),
    }
}

/// Removes one address of a link; one that is gone is done.
pub(super) async fn remove_address(handle: &Handle, link: &Link, cidr: Cidr) -> Result<()> {
    let message = rtnetlink::AddressMessageBuilder::<Ipv4Addr>::new()
        .index(link.index)
        .address(cidr.address, cidr.prefix)
        .build();
    match handle.address().del(message).execute().await {
        Err(error) if !matches!(errno(&error), Some(libc::ENODEV | libc::EADDRNOTAVAIL)) => {
            Err(failed(format!("cannot remove {cidr} from {}", link.name), &error))
        }
        _ => Ok(()),
    }
}

pub(super) fn errno(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => Some(message.raw_code().abs()),
        _ => None,
    }
}

pub(super) fn failed(message: String, error: &rtnetlink::Error) -> Failure {
    match errno(error) {
        None => Failure::other(message).because(error),
        Some(libc::EPERM) => Failure::new(Kind::Denied, message)
            .because(std::io::Error::from_raw_os_error(libc::EPERM))
            .hint("links need root (CAP_NET_ADMIN); a network of kind `user` does without"),
        Some(code) => Failure::other(message).because(std::io::Error::from_raw_os_error(code)),
    }
}
