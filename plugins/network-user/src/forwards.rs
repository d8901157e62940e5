//! Forwarded ports, as they are written: `tcp:127.0.0.1:2222:22,…`, QEMU's own order less the guest's address.

use std::net::Ipv4Addr;

use fief_sdk::manifest::SettingKind;
use fief_sdk::network::{Forward, Protocol};
use fief_sdk::settings::Value;

#[derive(Debug, Clone)]
pub struct Forwards(pub Vec<Forward>);

impl Value for Forwards {
    const KIND: SettingKind = SettingKind::String;

    fn parse(text: &str) -> Result<Self, String> {
        let mut all: Vec<Forward> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let forward = one(part).ok_or_else(|| {
                format!("{part:?} is not a forward; write PROTOCOL:HOST-ADDRESS:HOST-PORT:GUEST-PORT, as in tcp:127.0.0.1:2222:22")
            })?;
            let same = |other: &Forward| {
                (other.protocol, &other.host_address, other.host_port)
                    == (forward.protocol, &forward.host_address, forward.host_port)
            };
            if all.iter().any(same) {
                return Err(format!("{part:?} uses a port of this host a second time"));
            }
            all.push(forward);
        }
        Ok(Forwards(all))
    }
}

fn one(part: &str) -> Option<Forward> {
    let fields: Vec<&str> = part.split(':').collect();
    let [protocol, address, host, guest] = fields[..] else { return None };
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
    Some(Forward {
        protocol: match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return None,
        },
        host_address: address.parse::<Ipv4Addr>().ok()?.to_string(),
        host_port: port(host)?,
        guest_port: port(guest)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_are_read_in_order_and_each_host_port_serves_once() {
        let read = Forwards::parse("tcp:127.0.0.1:2222:22, udp:127.0.0.1:2222:53").unwrap().0;
        assert_eq!((read[0].protocol, read[0].host_port, read[0].guest_port), (Protocol::Tcp, 2222, 22));
        assert_eq!((read[1].protocol, read[1].guest_port), (Protocol::Udp, 53));
        assert!(Forwards::parse("").unwrap().0.is_empty());
        for bad in [
            "tcp:127.0.0.1:2222",
            "sctp:127.0.0.1:1:1",
            "tcp:localhost:1:1",
            "tcp:127.0.0.1:0:1",
            "tcp:127.0.0.1:1:65536",
            "tcp:127.0.0.1:1:1:1",
            "tcp:127.0.0.1:1:1,tcp:127.0.0.1:1:2",
        ] {
            assert!(Forwards::parse(bad).is_err(), "{bad:?} was taken");
        }
    }
}
