//! What dnsmasq is told (dnsmasq(8)). Pure: words go into its file, paths into its arguments, where nothing in a path
//! can be read as another line.

use std::net::Ipv4Addr;

use crate::error::{Failure, Result};
use crate::gate::operation::Dhcp;
use crate::gate::served::ServeDirectory;
use crate::types::{Cidr, InterfaceName, MacAddress};

/// The shortest lease that dnsmasq gives, in seconds.
const LEASE_MIN: u32 = 120;
/// Leases that are kept at most, whatever the range: a guest that asks under ever new names stops here.
const LEASES_MAX: u64 = 65_536;

/// Checks what types alone do not.
///
/// # Errors
/// `Usage`, naming what does not fit.
pub(super) fn check(dhcp: &Dhcp) -> Result<()> {
    let wrong = |what: String| Err(Failure::usage(format!("the DHCP settings do not fit: {what}")));
    let mask = dhcp.netmask.to_bits();
    if mask.leading_ones() + mask.trailing_zeros() != 32 || !(1..=30).contains(&mask.leading_ones()) {
        return wrong(format!("{} is no netmask with room for guests", dhcp.netmask));
    }
    let subnet = |address: Ipv4Addr| address.to_bits() & mask;
    let (start, end) = (dhcp.range_start, dhcp.range_end);
    if start > end {
        return wrong(format!("the range ends at {end}, before its start {start}"));
    }
    if subnet(start) != subnet(end) {
        return wrong(format!("{start} and {end} are in different networks of mask {}", dhcp.netmask));
    }
    for (card, address) in &dhcp.reservations {
        if subnet(*address) != subnet(start) {
            return wrong(format!("{address}, reserved for {card}, is outside the network of {start}"));
        }
    }
    if let Some(domain) = &dhcp.domain
        && !is_domain(domain)
    {
        return wrong(format!("{domain:?} is no domain name"));
    }
    Ok(())
}

/// With what domains' cards are to get. A card that is defined with an address may send from no other, so that its word
/// counts before the network's own; one that lies outside of the network cannot be given.
pub(super) fn with_cards(dhcp: &Dhcp, cards: &[(MacAddress, Ipv4Addr)]) -> Dhcp {
    let mask = dhcp.netmask.to_bits();
    let inside = |address: Ipv4Addr| address.to_bits() & mask == dhcp.range_start.to_bits() & mask;
    let mut reservations: Vec<_> = cards.iter().copied().filter(|(_, address)| inside(*address)).collect();
    let of_cards = reservations.clone();
    let clashes = |(mac, address): &(MacAddress, Ipv4Addr)| of_cards.iter().any(|(m, a)| m == mac || a == address);
    reservations.extend(dhcp.reservations.iter().copied().filter(|own| !clashes(own)));
    Dhcp { reservations, ..dhcp.clone() }
}

/// The network that the range lies in holds one of the bridge's addresses.
pub(super) fn fits(dhcp: &Dhcp, address: Ipv4Addr, prefix: u8) -> bool {
    u32::from(prefix) == dhcp.netmask.to_bits().leading_ones() && Cidr { address, prefix }.contains(dhcp.range_start)
}

/// Labels of letters, digits and hyphens (RFC 1123, 2.1), 253 bytes in all.
fn is_domain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

/// The file.
pub(super) fn file(bridge: &InterfaceName, dhcp: &Dhcp) -> String {
    let mut lines: Vec<String> = vec![
        "# Written by fief; changes are lost.".into(),
        format!("interface={bridge}"),
        "except-interface=lo".into(),
        // Binds this bridge alone, beside other servers of the host, and again where it was made anew.
        "bind-dynamic".into(),
        // Names of guests only: nothing of the host's, and no one above to ask.
        "no-resolv".into(),
        "no-poll".into(),
        "no-hosts".into(),
        "domain-needed".into(),
        "bogus-priv".into(),
        // The one server of this network: a client that asks for an address of another gets its answer at once.
        "dhcp-authoritative".into(),
        // Else each first offer waits seconds for an answer to a ping.
        "no-ping".into(),
        "dhcp-no-override".into(),
        // A guest by the name of `wpad` would become every browser's proxy (CERT VU#598349).
        "dhcp-name-match=set:refused-name,wpad".into(),
        "dhcp-ignore-names=tag:refused-name".into(),
    ];
    let lease = match dhcp.lease_seconds {
        u32::MAX => "infinite".to_owned(),
        seconds => seconds.max(LEASE_MIN).to_string(),
    };
    lines.push(format!("dhcp-range={},{},{},{lease}", dhcp.range_start, dhcp.range_end, dhcp.netmask));
    let addresses = u64::from(dhcp.range_end.to_bits() - dhcp.range_start.to_bits()) + 1;
    let leases = addresses.saturating_add(dhcp.reservations.len() as u64).min(LEASES_MAX);
    lines.push(format!("dhcp-lease-max={leases}"));
    match dhcp.router {
        Some(router) => lines.push(format!("dhcp-option=option:router,{router}")),
        // Empty: not sent. Without the line dnsmasq sends its own address.
        None => lines.push("dhcp-option=option:router".into()),
    }
    if !dhcp.dns.is_empty() {
        let servers: Vec<String> = dhcp.dns.iter().map(Ipv4Addr::to_string).collect();
        lines.push(format!("dhcp-option=option:dns-server,{}", servers.join(",")));
    }
    if let Some(domain) = &dhcp.domain {
        lines.push(format!("domain={domain}"));
        lines.push(format!("local=/{domain}/"));
        lines.push("expand-hosts".into());
    }
    lines.extend(dhcp.reservations.iter().map(|(mac, address)| format!("dhcp-host={mac},{address},{lease}")));
    lines.push(String::new());
    lines.join("\n")
}

/// The arguments. It stays in the foreground, as a child of its watcher, and logs to its standard error.
pub(super) fn arguments(directory: &ServeDirectory) -> Vec<String> {
    vec![
        format!("--conf-file={}", directory.configuration().display()),
        format!("--dhcp-leasefile={}", directory.leases().display()),
        format!("--pid-file={}", directory.pid_file().display()),
        "--keep-in-foreground".into(),
        "--log-facility=-".into(),
        "--user=nobody".into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dhcp() -> Dhcp {
        Dhcp {
            range_start: "10.77.0.100".parse().unwrap(),
            range_end: "10.77.0.199".parse().unwrap(),
            netmask: "255.255.255.0".parse().unwrap(),
            router: None,
            dns: vec![],
            domain: None,
            lease_seconds: 3600,
            reservations: vec![],
        }
    }

    #[test]
    fn a_host_only_network_gives_no_route_and_asks_no_one() {
        insta::assert_snapshot!(file(&"fief-lab".parse().unwrap(), &dhcp()));
    }

    #[test]
    fn every_setting_has_its_line() {
        let full = Dhcp {
            router: Some("10.77.0.1".parse().unwrap()),
            dns: vec!["10.77.0.1".parse().unwrap(), "9.9.9.9".parse().unwrap()],
            domain: Some("lab.example".into()),
            lease_seconds: 5,
            reservations: vec![("52:54:00:12:34:56".parse().unwrap(), "10.77.0.5".parse().unwrap())],
            ..dhcp()
        };
        check(&full).unwrap();
        insta::assert_snapshot!(file(&"fief-lab".parse().unwrap(), &full));
    }

    #[test]
    fn a_cards_own_address_counts_before_the_networks_word_and_stays_inside_the_network() {
        let pair = |mac: &str, address: &str| (mac.parse().unwrap(), address.parse().unwrap());
        let (a, b, c) = ("52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03");
        let own = vec![pair(a, "10.77.0.5"), pair(b, "10.77.0.6"), pair(c, "10.77.0.7")];
        let dhcp = Dhcp { reservations: own, ..dhcp() };
        let cards = [pair(a, "10.77.0.8"), pair("52:54:00:00:00:04", "10.77.0.6"), pair(b, "10.78.0.9")];
        let expected = [pair(a, "10.77.0.8"), pair("52:54:00:00:00:04", "10.77.0.6"), pair(c, "10.77.0.7")];
        assert_eq!(with_cards(&dhcp, &cards).reservations, expected);
    }

    #[test]
    fn paths_are_arguments() {
        insta::assert_snapshot!(arguments(&ServeDirectory("/r oot/networks/lab/dhcp".into())).join("\n"));
    }

    #[test]
    fn settings_that_do_not_fit_are_refused_by_name() {
        type Change = fn(&mut Dhcp);
        let cases: [(Change, &str); 7] = [
            (|d| d.netmask = "255.0.255.0".parse().unwrap(), "netmask"),
            (|d| d.netmask = "255.255.255.255".parse().unwrap(), "netmask"),
            (|d| d.range_end = "10.77.0.99".parse().unwrap(), "before its start"),
            (|d| d.range_end = "10.77.1.99".parse().unwrap(), "different networks"),
            (
                |d| d.reservations = vec![("52:54:00:00:00:01".parse().unwrap(), "10.78.0.1".parse().unwrap())],
                "outside the network",
            ),
            (|d| d.domain = Some("lab\ndhcp-script=/bin/sh".into()), "no domain name"),
            (|d| d.domain = Some("-lab".into()), "no domain name"),
        ];
        for (change, word) in cases {
            let mut changed = dhcp();
            change(&mut changed);
            let failure = check(&changed).unwrap_err();
            assert!(failure.message.contains(word), "{failure}");
            assert_eq!(failure.kind, crate::error::Kind::Usage);
        }
        check(&dhcp()).unwrap();
    }
}
