//! Whether a machine answers: to an echo request, or with its hardware address.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use rtnetlink::Handle;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rustix::net::{RecvFlags, SendFlags, SocketFlags, SocketType, ipproto};

use super::super::netlink::{self, Links, errno, failed};
use crate::error::Result;
use crate::gate::rollback::{Answer, Armed, Peer};
use crate::sys::process;

/// For one answer. A machine on the same wire takes a millisecond, one across the world a third of a second.
const PATIENCE: Duration = Duration::from_millis(700);
/// Between two looks at the neighbour table.
const STEP: Duration = Duration::from_millis(20);

/// What `address` answers now by the link `index`; none where it is silent.
pub(super) fn how(address: IpAddr, index: u32) -> Result<Option<Peer>> {
    // Once more: the first request may be lost to the question for the hardware address.
    for _ in 0..2 {
        for answers in [Answer::Echo, Answer::Neighbour] {
            let peer = Peer { address, answers };
            if answered(&peer, index)? {
                return Ok(Some(peer));
            }
        }
    }
    Ok(None)
}

/// Those that do not answer by the bridge as they did by the link.
pub(in crate::gate) fn silent(armed: &Armed) -> Result<Vec<IpAddr>> {
    let links = netlink::run(async |handle| Links::read(handle).await)?;
    let Some(bridge) = links.named(&armed.bridge) else {
        return Ok(armed.peers.iter().map(|peer| peer.address).collect());
    };
    let mut silent = Vec::new();
    for peer in &armed.peers {
        if !answered(peer, bridge.index)? {
            silent.push(peer.address);
        }
    }
    Ok(silent)
}

fn answered(peer: &Peer, index: u32) -> Result<bool> {
    match (peer.answers, peer.address) {
        // What goes wrong with the socket (no route, for one) is no answer.
        (Answer::Echo, IpAddr::V4(address)) => Ok(echo(address).unwrap_or(false)),
        (Answer::Echo, IpAddr::V6(_)) => Ok(false),
        (Answer::Neighbour, address) => neighbour(address, index),
    }
}

/// One echo request (RFC 792), and its reply.
fn echo(address: Ipv4Addr) -> std::io::Result<bool> {
    const REQUEST: u8 = 8;
    const REPLY: u8 = 0;
    let flags = SocketFlags::CLOEXEC;
    let socket =
        rustix::net::socket_with(rustix::net::AddressFamily::INET, SocketType::RAW, flags, Some(ipproto::ICMP))?;
    let [high, low] = u16::try_from(std::process::id() & 0xffff).unwrap_or_default().to_be_bytes();
    let mut request = [REQUEST, 0, 0, 0, high, low, 0, 1];
    let checksum = checksum(&request);
    request[2..4].copy_from_slice(&checksum);
    rustix::net::sendto(&socket, &request, SendFlags::empty(), &SocketAddrV4::new(address, 0))?;
    let until = Instant::now() + PATIENCE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || !process::readable(&socket, left)? {
            return Ok(false);
        }
        // With the header of IPv4, whose length is in its first byte, in words of four bytes.
        let mut packet = [0; 256];
        let (length, _, from) = rustix::net::recvfrom(&socket, &mut packet, RecvFlags::DONTWAIT)?;
        let header = usize::from(packet[0] & 0x0f) * 4;
        let of_peer = from.and_then(|from| SocketAddrV4::try_from(from).ok()).is_some_and(|from| *from.ip() == address);
        let message = packet.get(header..length).unwrap_or_default();
        if of_peer && message.first() == Some(&REPLY) && message.get(4..6) == Some(&[high, low]) {
            return Ok(true);
        }
    }
}

/// RFC 1071; `bytes` are even in number.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let sum: u32 = bytes.chunks(2).map(|pair| pair.iter().fold(0, |word, byte| word << 8 | u32::from(*byte))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    u16::try_from(!folded & 0xffff).unwrap_or_default().to_be_bytes()
}

/// Forgets what is known of the neighbour and asks anew.
fn neighbour(address: IpAddr, index: u32) -> Result<bool> {
    netlink::run(async |handle| {
        match known(handle, address, index).await? {
            // The operator's own entry stays, and tells nothing.
            Some(message) if fixed(message.header.state) => return Ok(false),
            Some(message) => match handle.neighbours().del(message).execute().await {
                Err(error) if errno(&error) != Some(libc::ENOENT) => {
                    return Err(failed(format!("cannot ask for {address} anew"), &error));
                }
                _ => {}
            },
            None => {}
        }
        // NTF_USE makes the kernel look for it as if a packet were on its way there.
        let mut ask = handle.neighbours().add(index, address).flags(NeighbourFlags::Use).state(NeighbourState::None);
        ask.message_mut().attributes.retain(|one| !matches!(one, NeighbourAttribute::LinkLayerAddress(_)));
        // A link without the network of that address cannot be asked there.
        if ask.execute().await.is_err() {
            return Ok(false);
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let state = known(handle, address, index).await?.map(|message| message.header.state);
            match state {
                Some(NeighbourState::Reachable) => return Ok(true),
                Some(NeighbourState::Failed) => return Ok(false),
                _ if Instant::now() >= until => return Ok(false),
                _ => tokio::time::sleep(STEP).await,
            }
        }
    })
}

fn fixed(state: NeighbourState) -> bool {
    matches!(state, NeighbourState::Permanent | NeighbourState::Noarp)
}

async fn known(handle: &Handle, address: IpAddr, index: u32) -> Result<Option<NeighbourMessage>> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let all: Vec<NeighbourMessage> = handle
        .neighbours()
        .get()
        .set_address_family(family)
        .execute()
        .try_collect()
        .await
        .map_err(|error| failed("cannot list the neighbours".into(), &error))?;
    Ok(all.into_iter().find(|message| message.header.ifindex == index && is_of(message, address)))
}

fn is_of(message: &NeighbourMessage, address: IpAddr) -> bool {
    message.attributes.iter().any(|attribute| match (attribute, address) {
        (NeighbourAttribute::Destination(NeighbourAddress::Inet(there)), IpAddr::V4(wanted)) => *there == wanted,
        (NeighbourAttribute::Destination(NeighbourAddress::Inet6(there)), IpAddr::V6(wanted)) => *there == wanted,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::netns::{Guest, ip, within};

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // The example of RFC 1071, section 3: the sum is ddf2.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), (!0xddf2u16).to_be_bytes());
    }

    #[test]
    fn a_machine_answers_an_echo_or_at_least_with_its_hardware_address() {
        within(|| {
            let there = Guest::new("eth0", None, Some("192.0.2.1/24"));
            ip("address add 192.0.2.9/24 dev eth0");
            let index = netlink::run(async |handle| {
                Ok(Links::read(handle).await?.named(&"eth0".parse().unwrap()).unwrap().index)
            })
            .unwrap();
            let asked = |address: &str| how(address.parse().unwrap(), index).unwrap().map(|peer| peer.answers);
            assert_eq!(asked("192.0.2.1"), Some(Answer::Echo));
            assert_eq!(asked("192.0.2.7"), None);
            let mute = there.run(&["sh", "-c", "echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all"]);
            assert!(mute.status.success());
            assert_eq!(asked("192.0.2.1"), Some(Answer::Neighbour));
            there.ip("link set eth0 down");
            assert_eq!(asked("192.0.2.1"), None);
        });
    }
}
