//! Which addresses a stream may go to. Pure.
//!
//! A name is answered for by whoever runs its zone, and may be answered otherwise the next time (DNS rebinding). So an
//! address that leads into this host is taken only where policy says so itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::policy::{ConnectionGrant, NearAddress};

/// Whether `address` may be connected to under `grant`; `own`: one of this host's links has it.
///
/// # Errors
/// What kind of address it is, and the word of policy that would allow it, if one does.
pub(super) fn admit(
    address: IpAddr,
    own: bool,
    grant: &ConnectionGrant,
) -> Result<(), (&'static str, Option<NearAddress>)> {
    let address = plain(address);
    if let Some(kind) = never(address) {
        return Err((kind, None));
    }
    match near(address, own) {
        // The operator wrote the address, or the one name that has always meant this host.
        Some(_) if grant.to.names_host() && literal(grant) == Some(address) => Ok(()),
        Some(NearAddress::Loopback) if grant.to.to_string().starts_with("localhost:") => Ok(()),
        Some(near) if grant.allow.contains(&near) => Ok(()),
        Some(NearAddress::Loopback) => Err(("this host's loopback", Some(NearAddress::Loopback))),
        Some(NearAddress::LinkLocal) => Err(("a link-local address", Some(NearAddress::LinkLocal))),
        Some(NearAddress::ThisHost) => Err(("this host's own address", Some(NearAddress::ThisHost))),
        None => Ok(()),
    }
}

/// An IPv4 address that is written as an IPv6 one (RFC 4291, section 2.5.5) is that IPv4 address.
pub(super) fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => match v6.to_canonical() {
            IpAddr::V6(v6) if v6.segments()[..6] == [0; 6] && v6 != Ipv6Addr::LOCALHOST && !v6.is_unspecified() => {
                let [.., a, b] = v6.segments();
                IpAddr::V4(Ipv4Addr::from_bits(u32::from(a) << 16 | u32::from(b)))
            }
            other => other,
        },
        IpAddr::V4(_) => address,
    }
}

/// What nothing connects to, whatever policy says.
fn never(address: IpAddr) -> Option<&'static str> {
    match address {
        // All of 0.0.0.0/8 is "this host on this network" (RFC 1122, section 3.2.1.3); Linux takes 0.0.0.0 for loopback.
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Some("an unspecified address"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address"),
        address if address.is_unspecified() => Some("an unspecified address"),
        address if address.is_multicast() => Some("a multicast address"),
        _ => None,
    }
}

fn near(address: IpAddr, own: bool) -> Option<NearAddress> {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if address.is_loopback() {
        Some(NearAddress::Loopback)
    } else if link_local {
        Some(NearAddress::LinkLocal)
    } else {
        own.then_some(NearAddress::ThisHost)
    }
}

/// The address that the grant's pattern is.
fn literal(grant: &ConnectionGrant) -> Option<IpAddr> {
    match grant.to.fill(|_| Some("1")).ok()?.host {
        crate::types::Host::Address(address) => Some(plain(address)),
        crate::types::Host::Name(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grant(to: &str, allow: &[NearAddress]) -> ConnectionGrant {
        ConnectionGrant { allow: allow.to_vec(), ..ConnectionGrant::new(to.parse().unwrap()) }
    }

    fn admitted(address: &str, own: bool, to: &str, allow: &[NearAddress]) -> bool {
        admit(address.parse().unwrap(), own, &grant(to, allow)).is_ok()
    }

    #[test]
    fn an_address_that_leads_into_this_host_needs_a_word_of_policy() {
        use NearAddress::{LinkLocal, Loopback, ThisHost};
        let pattern = "{server}:{port}";
        for (address, own, word) in [
            ("127.0.0.1", false, Loopback),
            ("127.8.9.1", false, Loopback),
            ("::1", false, Loopback),
            ("::ffff:127.0.0.1", false, Loopback),
            ("::127.0.0.1", false, Loopback),
            ("169.254.169.254", false, LinkLocal),
            ("fe80::1", false, LinkLocal),
            ("::ffff:169.254.1.1", false, LinkLocal),
            ("10.0.0.5", true, ThisHost),
            ("2001:db8::5", true, ThisHost),
        ] {
            assert!(!admitted(address, own, pattern, &[]), "{address}");
            assert!(!admitted(address, own, "nas.example.com:2049", &[]), "{address}");
            let others: Vec<_> = [Loopback, LinkLocal, ThisHost].into_iter().filter(|other| *other != word).collect();
            assert!(!admitted(address, own, pattern, &others), "{address}");
            assert!(admitted(address, own, pattern, &[word]), "{address}");
        }
        assert!(admitted("127.0.0.1", false, "127.0.0.1:{port}", &[]));
        assert!(admitted("::1", false, "[::1]:80", &[]));
        assert!(admitted("127.0.0.1", false, "localhost:80", &[]));
        assert!(admitted("10.0.0.5", true, "10.0.0.5:80", &[]));
        assert!(!admitted("127.0.0.2", false, "127.0.0.1:80", &[]));
        assert!(!admitted("10.0.0.6", true, "localhost:80", &[]));
        assert!(!admitted("127.0.0.1", false, "localhost.example.com:80", &[]));
        assert!(admitted("10.0.0.5", false, pattern, &[]) && admitted("2001:db8::5", false, pattern, &[]));
    }

    #[test]
    fn nothing_goes_to_many_or_to_nobody() {
        use NearAddress::{LinkLocal, Loopback, ThisHost};
        for address in
            ["0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "239.1.1.1", "ff02::1", "255.255.255.255", "::ffff:0.0.0.0"]
        {
            assert!(!admitted(address, true, "{server}:{port}", &[Loopback, LinkLocal, ThisHost]), "{address}");
        }
    }

    proptest! {
        #[test]
        fn a_mapped_address_is_judged_as_what_it_maps(bits: u32, own: bool, loopback: bool) {
            let v4 = Ipv4Addr::from_bits(bits);
            let allow: &[NearAddress] = if loopback { &[NearAddress::Loopback] } else { &[] };
            let grant = grant("{server}:{port}", allow);
            let verdict = admit(IpAddr::V4(v4), own, &grant);
            prop_assert_eq!(admit(IpAddr::V6(v4.to_ipv6_mapped()), own, &grant), verdict);
        }

        #[test]
        fn what_is_far_is_admitted_and_what_is_own_is_not(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let near = v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || v4.octets()[0] == 0;
            let grant = grant("{server}:{port}", &[]);
            prop_assert_eq!(admit(IpAddr::V4(v4), false, &grant).is_ok(), !near);
            prop_assert!(admit(IpAddr::V4(v4), true, &grant).is_err());
        }
    }
}
