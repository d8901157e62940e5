//! Addresses of cards and of networks.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use super::{Invalid, text_serde};

/// A unicast Ethernet address (IEEE 802: the lowest bit of the first byte is clear).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    pub fn new(bytes: [u8; 6]) -> Result<Self, Invalid> {
        if bytes[0] & 1 == 1 {
            return Err(Invalid::new("a card's address may not be a multicast one (odd first byte)"));
        }
        if bytes == [0; 6] {
            return Err(Invalid::new("a card's address may not be all zeroes"));
        }
        Ok(MacAddress(bytes))
    }
    /// In the range that QEMU guests use (`52:54:00`), from three bytes of the caller's.
    pub fn for_guest(seed: [u8; 3]) -> Self {
        MacAddress([0x52, 0x54, 0x00, seed[0], seed[1], seed[2]])
    }
    pub fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let b = self.0;
        write!(f, "{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", b[0], b[1], b[2], b[3], b[4], b[5])
    }
}

impl FromStr for MacAddress {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let malformed =
            || Invalid::new(format!("{text:?} is not a MAC address; write six bytes, as in 52:54:00:12:34:56"));
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(malformed)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| malformed())?;
        }
        if parts.next().is_some() {
            return Err(malformed());
        }
        MacAddress::new(bytes)
    }
}

/// An IPv4 address of a host in its network: `10.0.0.1/24`. Prefix 1 to 30, so that there is room for a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    pub address: Ipv4Addr,
    pub prefix: u8,
}

impl Cidr {
    pub fn netmask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::MAX << (32 - u32::from(self.prefix)))
    }
    pub fn network(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() & self.netmask().to_bits())
    }
    pub fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() | !self.netmask().to_bits())
    }
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.netmask().to_bits() == self.network().to_bits()
    }
    pub fn overlaps(self, other: Cidr) -> bool {
        self.contains(other.network()) || other.contains(self.network())
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let malformed =
            || Invalid::new(format!("{text:?} is not an address with its prefix; write it as in 10.0.0.1/24"));
        let (address, prefix) = text.split_once('/').ok_or_else(malformed)?;
        let cidr = Cidr {
            address: address.parse().map_err(|_| malformed())?,
            prefix: prefix.parse().map_err(|_| malformed())?,
        };
        if !(1..=30).contains(&cidr.prefix) {
            return Err(Invalid::new(format!("the prefix /{} is outside /1 to /30", cidr.prefix)));
        }
        let address = cidr.address;
        if address == cidr.network() || address == cidr.broadcast() {
            return Err(Invalid::new(format!("{address} is the network's own or its broadcast address, not a host's")));
        }
        if address.is_loopback() || address.is_multicast() || address.is_unspecified() {
            return Err(Invalid::new(format!("{address} is not an address that a bridge can have")));
        }
        Ok(cidr)
    }
}

text_serde!(MacAddress, Cidr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_has_a_unicast_address_of_six_bytes() {
        for bad in [
            "",
            "52:54:00",
            "52:54:00:12:34:56:78",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "5:4:0:1:2:3",
            "zz:54:00:12:34:56",
        ] {
            assert!(bad.parse::<MacAddress>().is_err(), "{bad:?} was taken");
        }
        assert_eq!("52:54:00:AB:cd:ef".parse::<MacAddress>().unwrap().to_string(), "52:54:00:ab:cd:ef");
    }

    #[test]
    fn a_bridge_address_is_a_hosts_in_a_network_with_room() {
        for bad in ["10.0.0.1", "10.0.0.0/24", "10.0.0.255/24", "10.0.0.1/0", "10.0.0.1/31", "127.0.0.1/8", "10.0.0/24"]
        {
            assert!(bad.parse::<Cidr>().is_err(), "{bad:?} was taken");
        }
        let cidr: Cidr = "10.1.2.3/24".parse().unwrap();
        assert_eq!(cidr.network(), Ipv4Addr::new(10, 1, 2, 0));
        assert_eq!(cidr.broadcast(), Ipv4Addr::new(10, 1, 2, 255));
        assert!(cidr.overlaps("10.1.0.1/16".parse().unwrap()));
        assert!(!cidr.overlaps("10.2.0.1/16".parse().unwrap()));
    }
}
