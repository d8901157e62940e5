//! What passes through a tap, with frames as its guest would send them.

use std::fs::File;
use std::io::{Read, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;

/// Bytes of a virtio-net header without merged buffers (virtio 1.2, 5.1.6).
const HEADER: usize = 10;
const ONE: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
const TWO: [u8; 6] = [0x52, 0x54, 0, 0, 0, 2];
const FORGED: [u8; 6] = [0x52, 0x54, 0, 0, 0, 9];
/// UDP headers: from a port that is nobody's, and from a DHCPv6 server's to a client's.
const PLAIN: [u8; 8] = [0, 9, 0, 9, 0, 8, 0, 0];
const DHCPV6: [u8; 8] = [0x02, 0x23, 0x02, 0x22, 0, 8, 0, 0];
const ALL: [u8; 6] = [0xff; 6];

fn ethernet(to: [u8; 6], from: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&to[..], &from, &kind.to_be_bytes(), payload].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

/// RFC 826: `who has TARGET`, asked by a card and an address.
fn arp_for(target: [u8; 4], card: [u8; 6], claims: [u8; 6], address: [u8; 4]) -> Vec<u8> {
    let fixed = [0, 1, 8, 0, 6, 4, 0, 1];
    ethernet(ALL, card, 0x0806, &[&fixed[..], &claims, &address, &[0; 6], &target].concat())
}

fn arp(card: [u8; 6], claims: [u8; 6], address: [u8; 4]) -> Vec<u8> {
    arp_for([10, 77, 0, 1], card, claims, address)
}

fn sum(bytes: &[u8]) -> [u8; 2] {
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    (!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes()
}

/// An IPv4 packet to everyone, with UDP ports and a payload of zeroes.
fn udp_of(card: [u8; 6], address: [u8; 4], ports: (u16, u16), payload: usize) -> Vec<u8> {
    let length = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
    let mut ip = [&[0x45, 0][..], &length(28 + payload), &[0, 0, 0, 0, 64, 17, 0, 0], &address, &[255; 4]].concat();
    let check = sum(&ip);
    ip[10..12].copy_from_slice(&check);
    let udp = [&ports.0.to_be_bytes()[..], &ports.1.to_be_bytes(), &length(8 + payload), &[0, 0]].concat();
    ethernet(ALL, card, 0x0800, &[&ip[..], &udp, &vec![0; payload]].concat())
}

fn udp(card: [u8; 6], address: [u8; 4], ports: (u16, u16)) -> Vec<u8> {
    udp_of(card, address, ports, 0)
}

/// An IPv6 packet to all nodes, of a next header and what follows it (RFC 8200). Checksums are for whom it reaches.
fn six(card: [u8; 6], next: u8, payload: &[u8]) -> Vec<u8> {
    let link_local = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    let all_nodes = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let header = [0x60, 0, 0, 0, 0, u8::try_from(payload.len()).unwrap(), next, 255];
    ethernet([0x33, 0x33, 0, 0, 0, 1], card, 0x86dd, &[&header[..], &link_local, &all_nodes, payload].concat())
}

/// A router's advertisement (RFC 4861, 4.2), behind an empty header of destination options for good measure.
fn router_advertisement(card: [u8; 6]) -> Vec<u8> {
    let options = [58, 0, 1, 4, 0, 0, 0, 0];
    six(card, 60, &[&options[..], &[134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]].concat())
}

/// A bridge that says it is the root (IEEE 802.1D, 9.3.1): in an 802.3 frame, with a length in place of a type.
fn bpdu(card: [u8; 6]) -> Vec<u8> {
    ethernet([0x01, 0x80, 0xc2, 0, 0, 0], card, 38, &[&[0x42, 0x42, 3][..], &[0; 35]].concat())
}

fn tagged(mut frame: Vec<u8>) -> Vec<u8> {
    frame.splice(12..12, [0x81, 0x00, 0x00, 0x07]);
    frame
}

fn open(operation: &Operation) -> File {
    File::from(done(operation).unwrap().descriptors.remove(0))
}

fn send(tap: &mut File, frame: &[u8]) {
    tap.write_all(&[&[0; HEADER][..], frame].concat()).unwrap();
}

/// Without padding, which br_netfilter takes away.
fn same(got: &[u8], frame: &[u8]) -> bool {
    got.len() >= 42 && got.starts_with(&frame[..42])
}

/// Guests on one bridge; the last one listens.
struct Wire {
    taps: Vec<File>,
    marks: u8,
}

impl Wire {
    /// Whether a frame that guest `from` sends comes to the listener, before one that is sent after it.
    fn arrives(&mut self, from: usize, frame: &[u8]) -> bool {
        self.marks += 1;
        let mark = arp_for([10, 77, 1, self.marks], TWO, TWO, [10, 77, 0, 6]);
        send(&mut self.taps[from], frame);
        send(&mut self.taps[1], &mark);
        let listener = self.taps.last_mut().unwrap();
        let mut arrived = false;
        loop {
            let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
            assert_eq!(
                poll(&mut [PollFd::new(&*listener, PollFlags::IN)], Some(&patience)).unwrap(),
                1,
                "no mark came"
            );
            let mut bytes = [0; 2048];
            let length = listener.read(&mut bytes).unwrap();
            let got = &bytes[HEADER..length];
            if same(got, &mark) {
                return arrived;
            }
            arrived |= same(got, frame);
        }
    }
}

#[test]
fn a_tap_lets_in_its_own_card_and_address_only() {
    within(|| {
        done(&create("lab", "fief-lab")).unwrap();
        let pinned = open(&tap("vif1.0", "52:54:00:00:00:01", Some("10.77.0.5")));
        let free = open(&tap("vif1.1", "52:54:00:00:00:02", None));
        let router = open(&card("vif1.2", "52:54:00:00:00:04", Some("10.77.0.7"), Spoofing::Allowed, None));
        let listener = open(&tap("vif1.3", "52:54:00:00:00:03", None));
        let (pinned, free, router, mut wire) = (0, 1, 2, Wire { taps: vec![pinned, free, router, listener], marks: 0 });
        let (own, other, none) = ([10, 77, 0, 5], [10, 77, 0, 6], [0; 4]);

        let mut holds = |from: usize, frame: &[u8], expected: bool, what: &str| {
            assert_eq!(wire.arrives(from, frame), expected, "{what}");
        };
        holds(free, &arp(TWO, TWO, other), true, "a card without an address speaks from any");
        holds(free, &udp(TWO, other, (9, 9)), true, "IPv4");
        holds(free, &six(TWO, 17, &PLAIN), true, "IPv6");
        holds(free, &udp(TWO, none, (68, 67)), true, "a DHCP request");
        holds(free, &arp(FORGED, FORGED, other), false, "another's card");
        holds(free, &arp(TWO, FORGED, other), false, "ARP in another's name");
        holds(free, &udp(TWO, other, (67, 68)), false, "a DHCP server's answer");
        holds(free, &six(TWO, 17, &DHCPV6), false, "a DHCPv6 server's answer");
        holds(free, &router_advertisement(TWO), false, "a router's advertisement");
        holds(free, &tagged(arp(TWO, TWO, other)), false, "a VLAN tag");
        holds(free, &bpdu(TWO), false, "a bridge's word");

        holds(pinned, &arp(ONE, ONE, own), true, "ARP");
        holds(pinned, &arp(ONE, ONE, none), true, "a probe (RFC 5227)");
        holds(pinned, &udp(ONE, own, (9, 9)), true, "its address");
        holds(pinned, &udp(ONE, none, (68, 67)), true, "a DHCP request");
        holds(pinned, &udp(ONE, none, (9, 9)), false, "no address");
        holds(pinned, &arp(ONE, ONE, other), false, "ARP from another address");
        holds(pinned, &udp(ONE, other, (9, 9)), false, "another address");
        holds(pinned, &udp(ONE, other, (68, 67)), false, "a DHCP request from another address");
        holds(pinned, &six(ONE, 17, &PLAIN), false, "IPv6, which no address was admitted for");
        holds(pinned, &tagged(arp(ONE, ONE, own)), false, "a VLAN tag");

        holds(router, &arp(FORGED, FORGED, other), true, "a router speaks for others");
        holds(router, &udp(FORGED, other, (67, 68)), true, "and serves addresses");
        holds(router, &router_advertisement(FORGED), true, "and says that it routes");
        holds(router, &bpdu(FORGED), false, "and is no bridge");
    });
}

/// Sends 4,000 packets of 1,400 bytes through `from`; gives the bytes that come out of `to`, and the seconds it took.
fn poured(from: &mut File, frame: &[u8], to: &mut File) -> (f64, f64) {
    let (mut bytes, mut received) = ([0; 2048], 0.0);
    let begun = Instant::now();
    for _ in 0..4_000 {
        send(from, frame);
        while let Ok(length @ 1_000..) = to.read(&mut bytes) {
            received += length as f64;
        }
    }
    (received, begun.elapsed().as_secs_f64())
}

#[test]
fn a_limited_card_sends_and_receives_no_more_than_its_bandwidth() {
    within(|| {
        done(&create("lab", "fief-lab")).unwrap();
        let mut limited = open(&card("vif1.0", "52:54:00:00:00:01", None, Spoofing::Denied, Some("8Mbit")));
        let mut free = open(&tap("vif1.1", "52:54:00:00:00:02", None));
        // 5.6 MB each, which an idle machine moves in a tenth of a second.
        let rate = 1e6;
        let (sent, took) = poured(&mut limited, &udp_of(ONE, [10, 77, 0, 5], (9, 9), 1_372), &mut free);
        let most = rate * (took + 1.0) + f64::from(128 << 10);
        assert!((0.9 * rate..1.05 * most).contains(&sent), "{sent} bytes sent in {took} s");
        let (received, took) = poured(&mut free, &udp_of(TWO, [10, 77, 0, 6], (9, 9), 1_372), &mut limited);
        let most = rate * took + f64::from(2 * (128 << 10));
        assert!((f64::from(64 << 10)..1.05 * most).contains(&received), "{received} bytes received in {took} s");

        let fastest = done(&card("vif1.2", "52:54:00:00:00:03", None, Spoofing::Denied, Some("100Gbit"))).unwrap();
        drop((limited, free, fastest));
    });
}
