//! Fixed addresses, as they are written: `52:54:00:00:00:01=10.77.0.5,…`.

use std::net::Ipv4Addr;

use fief_sdk::manifest::SettingKind;
use fief_sdk::settings::Value;

/// Each address once, each card once. MACs in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservations(pub Vec<(String, Ipv4Addr)>);

impl Value for Reservations {
    const KIND: SettingKind = SettingKind::String;

    fn parse(text: &str) -> Result<Self, String> {
        let mut all: Vec<(String, Ipv4Addr)> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let malformed = || format!("{part:?} is not a reservation; write it as in 52:54:00:12:34:56=10.77.0.5");
            let (mac, address) = part.split_once('=').ok_or_else(malformed)?;
            let mac = mac.trim().to_ascii_lowercase();
            let address: Ipv4Addr = address.trim().parse().map_err(|_| malformed())?;
            if !is_unicast_mac(&mac) {
                return Err(malformed());
            }
            if all.iter().any(|(other, _)| *other == mac) {
                return Err(format!("the card {mac} is reserved two addresses"));
            }
            if all.iter().any(|(_, other)| *other == address) {
                return Err(format!("{address} is reserved for two cards"));
            }
            all.push((mac, address));
        }
        Ok(Reservations(all))
    }
}

/// Six bytes in hexadecimal, the lowest bit of the first one clear (IEEE 802), not all zero.
fn is_unicast_mac(mac: &str) -> bool {
    let parts: Vec<&str> = mac.split(':').collect();
    let hex = |part: &&str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let even = |part: &str| u8::from_str_radix(part, 16).is_ok_and(|byte| byte & 1 == 0);
    parts.len() == 6 && parts.iter().all(hex) && even(parts[0]) && mac != "00:00:00:00:00:00"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_are_pairs_that_do_not_clash() {
        let read = Reservations::parse("52:54:00:AB:00:01=10.0.0.5, 52:54:00:ab:00:02=10.0.0.6").unwrap();
        assert_eq!(read.0[0], ("52:54:00:ab:00:01".into(), Ipv4Addr::new(10, 0, 0, 5)));
        assert_eq!(read.0.len(), 2);
        for bad in [
            "52:54:00:00:00:01",
            "10.0.0.5=52:54:00:00:00:01",
            "53:54:00:00:00:01=10.0.0.5",
            "00:00:00:00:00:00=10.0.0.5",
            "+2:54:00:00:00:01=10.0.0.5",
            "52:54:00:00:00=10.0.0.5",
            "52:54:00:00:00:01=10.0.0.5,52:54:00:00:00:01=10.0.0.6",
            "52:54:00:00:00:01=10.0.0.5,52:54:00:00:00:02=10.0.0.5",
        ] {
            assert!(Reservations::parse(bad).is_err(), "{bad:?} was taken");
        }
    }
}
