//! An address with its prefix, as networks are written: `10.77.0.1/24`.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 address and the length of its network's prefix, 0 to 32 (RFC 4632).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    pub address: Ipv4Addr,
    pub prefix: u8,
}

impl Cidr {
    pub fn netmask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0))
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
    /// Whether a host of this network may have the address: inside, and neither the network's own nor its broadcast.
    pub fn has_host(self, address: Ipv4Addr) -> bool {
        self.contains(address) && address != self.network() && address != self.broadcast()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("{text:?} is not an address with its prefix; write it as in 10.0.0.1/24");
        let (address, prefix) = text.split_once('/').ok_or_else(malformed)?;
        let address = address.parse().map_err(|_| malformed())?;
        match prefix.parse() {
            Ok(prefix) if prefix <= 32 => Ok(Cidr { address, prefix }),
            _ => Err(malformed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_knows_its_hosts() {
        let cidr: Cidr = "10.1.2.3/24".parse().unwrap();
        assert_eq!(cidr.network(), Ipv4Addr::new(10, 1, 2, 0));
        assert_eq!(cidr.broadcast(), Ipv4Addr::new(10, 1, 2, 255));
        assert!(cidr.has_host(Ipv4Addr::new(10, 1, 2, 254)));
        assert!(!cidr.has_host(cidr.broadcast()) && !cidr.has_host(Ipv4Addr::new(10, 1, 3, 1)));
        for bad in ["10.0.0.1", "10.0.0.1/33", "10.0.0/24", "a/24", ""] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad:?} was taken");
        }
        let all: Cidr = "0.0.0.0/0".parse().unwrap();
        assert_eq!(all.netmask(), Ipv4Addr::UNSPECIFIED);
    }
}
