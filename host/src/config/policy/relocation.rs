//! `[relocation]`: whether other hosts reach this one, and what they may bring.
//!
//! ```toml
//! [relocation]
//! enabled = true                       # off where nothing is said
//! address = "0.0.0.0"                  # where `fief serve` listens, if no network is named
//! port = 8002
//! control-network = "10.0.0.5"         # this host's address on the network for what hosts say to each other …
//! stream-network = "10.9.0.5"          # … and on the one for memory and disks
//! bandwidth = "1Gbit"                  # of all that comes and goes, at most
//! at-once = 2                          # domains that come or go
//! encryption = "off"                   # of streams, where every address above is this machine's loopback
//!
//! [[relocation.accept]]                # which peers may send which domains; none where nothing is said
//! peer = "hosta"
//! domains = ["web-*", "db1"]
//! ```

use std::net::{IpAddr, Ipv4Addr};

use crate::config::reader::{Choice, TableReader};
use crate::types::{Bandwidth, DomainName, NamePattern, PeerName};

/// Most lines of `accept`.
const ACCEPT_MAX: usize = 64;
/// Domains that come or go at once: each has a hypervisor on both sides, and they share what the network gives.
const AT_ONCE: (u32, u32) = (2, 64);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relocation {
    pub enabled: bool,
    pub address: IpAddr,
    pub port: u16,
    pub control_network: Option<IpAddr>,
    pub stream_network: Option<IpAddr>,
    pub bandwidth: Option<Bandwidth>,
    pub at_once: u32,
    pub encryption: Encryption,
    pub accept: Vec<Accept>,
}

/// Of streams. What hosts say to each other is always encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    On,
    Off,
}

/// Peers, and the domains that they may send here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    pub peer: NamePattern,
    pub domains: Vec<NamePattern>,
}

impl Relocation {
    /// The port of xend's relocation server, which this is in the place of.
    pub const PORT: u16 = 8002;

    /// Whether `peer` may send `domain` here.
    pub fn accepts(&self, peer: &PeerName, domain: &DomainName) -> bool {
        let takes = |accept: &Accept| {
            accept.peer.takes(peer.as_str()) && accept.domains.iter().any(|pattern| pattern.takes(domain.as_str()))
        };
        self.accept.iter().any(takes)
    }

    /// Where to listen: for control connections, and for streams where that is another address.
    pub fn listens(&self) -> (IpAddr, Option<IpAddr>) {
        let control = self.control_network.unwrap_or(self.address);
        // Whoever listens everywhere listens there too.
        let apart = self.stream_network.filter(|stream| *stream != control && !control.is_unspecified());
        (control, apart)
    }
}

impl Default for Relocation {
    fn default() -> Self {
        Relocation {
            enabled: false,
            address: Ipv4Addr::UNSPECIFIED.into(),
            port: Relocation::PORT,
            control_network: None,
            stream_network: None,
            bandwidth: None,
            at_once: AT_ONCE.0,
            encryption: Encryption::On,
            accept: Vec::new(),
        }
    }
}

impl Choice for Encryption {
    const WORDS: &'static [(&'static str, Self)] = &[("on", Encryption::On), ("off", Encryption::Off)];
}

pub(super) fn read(table: &mut TableReader<'_>) -> Relocation {
    let default = Relocation::default();
    let enabled = table.boolean("enabled").unwrap_or(default.enabled);
    let address = address(table, "address", true).unwrap_or(default.address);
    let port = table.integer("port", 1..=i64::from(u16::MAX)).and_then(|port| u16::try_from(port).ok());
    let control_network = self::address(table, "control-network", false);
    let stream_network = self::address(table, "stream-network", false);
    let bandwidth = table.optional("bandwidth", "1Gbit");
    let at_once = table.integer("at-once", 1..=i64::from(AT_ONCE.1)).and_then(|number| u32::try_from(number).ok());
    let encryption = table.choice("encryption").unwrap_or(default.encryption);
    if encryption == Encryption::Off {
        let named =
            [("address", Some(address)), ("control-network", control_network), ("stream-network", stream_network)];
        // Where both networks are named, nothing listens on `address`.
        let both = control_network.is_some() && stream_network.is_some();
        let out = |(key, named): &(&str, Option<IpAddr>)| {
            named.is_some_and(|named| !named.is_loopback()) && !(both && *key == "address")
        };
        if let Some((key, Some(out))) = named.into_iter().find(out) {
            table.wrong(
                "encryption",
                format!("\"off\" is for hosts on one machine, and {key} is {out}"),
                "leave it out; or listen on 127.0.0.1 alone",
            );
        }
    }
    let accept = table.tables("accept", ACCEPT_MAX, |table| {
        let peer = table.required("peer", "hosta");
        let domains: Option<Vec<NamePattern>> = table.words("domains", "web-*");
        if !table.has("domains") {
            table.wrong("domains", "which domains is not said", "write domains = [\"*\"] for all");
        }
        Some(Accept { peer: peer?, domains: domains? })
    });
    Relocation {
        enabled,
        address,
        port: port.unwrap_or(default.port),
        control_network,
        stream_network,
        bandwidth,
        at_once: at_once.unwrap_or(default.at_once),
        encryption,
        accept,
    }
}

fn address(table: &mut TableReader<'_>, key: &str, any: bool) -> Option<IpAddr> {
    let example = if any { "0.0.0.0" } else { "10.0.0.5" };
    let address: IpAddr = table.optional(key, example)?;
    if address.is_multicast() || (address.is_unspecified() && !any) {
        table.wrong(key, format!("{address} is no address of one host"), format!("as in {example:?}"));
        return None;
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::policy::parse;

    #[test]
    fn who_may_send_what_is_denied_unless_a_line_says_so() {
        let text = "[relocation]\nenabled = true\n[[relocation.accept]]\npeer = \"host?\"\n";
        assert!(parse(text.as_bytes(), "x.toml").is_err());
        let text = "[relocation]\nenabled = true\nport = 9\n[[relocation.accept]]\npeer = \"a*\"\ndomains = [\"web-*\"]\n\
            [[relocation.accept]]\npeer = \"b\"\ndomains = []\n";
        let relocation = parse(text.as_bytes(), "x.toml").unwrap().relocation;
        assert!(relocation.enabled && relocation.port == 9 && relocation.encryption == Encryption::On);
        for (peer, domain, taken) in [("a1", "web-2", true), ("a1", "db", false), ("b", "web-2", false)] {
            assert_eq!(relocation.accepts(&peer.parse().unwrap(), &domain.parse().unwrap()), taken, "{peer} {domain}");
        }
        assert!(!parse(b"# nothing", "x.toml").unwrap().relocation.enabled);
    }

    #[test]
    fn two_networks_are_two_places_to_listen() {
        let of = |text: &str| parse(format!("[relocation]\n{text}").as_bytes(), "x.toml").unwrap().relocation.listens();
        let (one, two): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 9, 0, 1].into());
        assert_eq!(of(""), (Ipv4Addr::UNSPECIFIED.into(), None));
        assert_eq!(of("stream-network = \"10.9.0.1\""), (Ipv4Addr::UNSPECIFIED.into(), None));
        assert_eq!(of("control-network = \"10.0.0.1\"\nstream-network = \"10.9.0.1\""), (one, Some(two)));
        assert_eq!(of("control-network = \"10.0.0.1\"\nstream-network = \"10.0.0.1\""), (one, None));
    }
}
