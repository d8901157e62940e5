//! The leases that dnsmasq keeps in its file: `EXPIRES MAC ADDRESS NAME CLIENT-ID`, `*` where there is none.

use std::net::Ipv4Addr;

use super::Lease;
use crate::types::MacAddress;

/// Reads the lines that are IPv4 leases; others (the server's own `duid`, a line cut by a crash) are left out.
pub(super) fn parse(text: &str) -> Vec<Lease> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Lease> {
    let mut words = line.split_ascii_whitespace();
    let expires = words.next()?.parse().ok()?;
    let mac: MacAddress = words.next()?.parse().ok()?;
    let address: Ipv4Addr = words.next()?.parse().ok()?;
    // Guests choose their names: what could not be one does not reach a terminal.
    let host_name = words.next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let named = host_name != "*" && host_name.len() <= 253 && host_name.chars().all(plain);
    // The client id is not shown, but a line without it was cut.
    words.next()?;
    Some(Lease {
        mac: mac.to_string(),
        address: address.to_string(),
        host_name: named.then(|| host_name.to_owned()),
        expires,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn leases_are_read_and_other_lines_left_out() {
        let leases = parse(
            "1700000000 52:54:00:12:34:56 10.77.0.101 node1 01:52:54:00:12:34:56\n\
             0 52:54:00:12:34:57 10.77.0.102 * *\n\
             1700000000 52:54:00:12:34:58 10.77.0.103 no\x1b[2Jde *\n\
             duid 00:01:00:01:2c\n\
             1700000000 7 fd00::1 node1 *\n\
             1700000000 52:54:00:12:34:59 10.77.0.1",
        );
        let shown: Vec<(&str, Option<&str>, u64)> =
            leases.iter().map(|l| (l.address.as_str(), l.host_name.as_deref(), l.expires)).collect();
        assert_eq!(
            shown,
            [
                ("10.77.0.101", Some("node1"), 1_700_000_000),
                ("10.77.0.102", None, 0),
                ("10.77.0.103", None, 1_700_000_000)
            ]
        );
    }

    proptest! {
        #[test]
        fn no_file_makes_it_fail_or_shows_a_control_character(text in "[ -~\\n\\x00-\\x1f*:.0-9]{0,200}") {
            for lease in parse(&text) {
                prop_assert!(!lease.host_name.unwrap_or_default().chars().any(char::is_control));
            }
        }
    }
}
