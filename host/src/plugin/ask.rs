//! From what a plugin asks, in raw words, to an operation that the gate judges. Pure.

use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::config::policy::HostInterface;
use crate::gate::Operation;
use crate::gate::operation::{Dhcp, ImageRef, Reach};
use crate::plugin::failure::refusal;
use crate::plugin::reach::Asker;
use crate::plugin::session::Subject;
use crate::sandbox::protocol::{Ask, ErrorCode, PluginError, RawDhcp, RawReach};
use crate::types::{ByteSize, NetworkName};

/// Most DNS servers, and most reserved addresses, of one DHCP service.
const DNS_MAX: usize = 8;
const RESERVATIONS_MAX: usize = 4096;
/// IEEE 802.1Q, table 9-2: 0 and 4095 are no VLANs.
const VLANS: std::ops::RangeInclusive<u16> = 1..=4094;
/// Longest DNS suffix, in bytes (RFC 1035, section 2.3.4).
const SUFFIX_MAX: usize = 253;

/// The host interface that an ask belongs to; a sandbox that was not granted it has no business asking. None: the
/// permission for what is asked stands alone.
pub(super) fn interface(ask: &Ask) -> Option<HostInterface> {
    match ask {
        Ask::Connect { .. } | Ask::Reveal { .. } => None,
        Ask::ImageCreate { .. }
        | Ask::ImageInspect { .. }
        | Ask::ImageResize { .. }
        | Ask::ImageDelete { .. }
        | Ask::ImageRename { .. }
        | Ask::ImageCopy { .. }
        | Ask::SnapshotCreate { .. }
        | Ask::SnapshotDelete { .. }
        | Ask::SnapshotRevert { .. }
        | Ask::Snapshots { .. }
        | Ask::Space { .. } => Some(HostInterface::Images),
        Ask::Links
        | Ask::Ensure { .. }
        | Ask::Join { .. }
        | Ask::Enslave { .. }
        | Ask::Address { .. }
        | Ask::Limit { .. }
        | Ask::ServeDhcp { .. } => Some(HostInterface::Bridges),
        Ask::Step(_) => Some(HostInterface::Session),
    }
}

/// Whether the ask makes something that another may have made already.
pub(super) fn creates(ask: &Ask) -> bool {
    matches!(
        ask,
        Ask::ImageCreate { .. } | Ask::ImageRename { .. } | Ask::ImageCopy { .. } | Ask::SnapshotCreate { .. }
    )
}

/// # Errors
/// What the plugin is told: `invalid` with the word that is wrong.
pub(super) fn operation(asker: &Asker<'_>, ask: Ask) -> Result<Operation, PluginError> {
    let Asker { plugin, subject, .. } = *asker;
    let image = |directory: &str, path: &str| -> Result<ImageRef, PluginError> {
        Ok(ImageRef { plugin: plugin.clone(), directory: word("directory", directory)?, path: word("path", path)? })
    };
    Ok(match ask {
        Ask::Connect { grant } => asker.connect(&grant)?,
        Ask::Reveal { secret } => asker.reveal(&secret)?,
        Ask::ImageCreate { directory, path, format, size, preallocation, backing } => Operation::ImageCreate {
            image: image(&directory, &path)?,
            format,
            size: bytes(size)?,
            preallocation,
            backing: option("backing", backing)?,
        },
        Ask::ImageInspect { directory, path } => Operation::ImageInspect { image: image(&directory, &path)? },
        Ask::ImageResize { directory, path, size } => {
            Operation::ImageResize { image: image(&directory, &path)?, size: bytes(size)? }
        }
        Ask::ImageDelete { directory, path } => Operation::ImageDelete { image: image(&directory, &path)? },
        Ask::ImageRename { directory, path, to } => {
            Operation::ImageRename { image: image(&directory, &path)?, to: word("to", &to)? }
        }
        Ask::ImageCopy { directory, source, snapshot, target, format } => Operation::ImageCopy {
            image: image(&directory, &source)?,
            snapshot: option("snapshot", snapshot)?,
            target: word("target", &target)?,
            format,
        },
        Ask::SnapshotCreate { directory, path, name } => {
            Operation::SnapshotCreate { image: image(&directory, &path)?, snapshot: word("name", &name)? }
        }
        Ask::SnapshotDelete { directory, path, name } => {
            Operation::SnapshotDelete { image: image(&directory, &path)?, snapshot: word("name", &name)? }
        }
        Ask::SnapshotRevert { directory, path, name } => {
            Operation::SnapshotRevert { image: image(&directory, &path)?, snapshot: word("name", &name)? }
        }
        Ask::Snapshots { directory, path } => Operation::SnapshotList { image: image(&directory, &path)? },
        Ask::Space { directory } => {
            Operation::DirectorySpace { plugin: plugin.clone(), directory: word("directory", &directory)? }
        }
        Ask::Links => Operation::LinkList { network: network(subject)? },
        Ask::Ensure { name, stp, mtu, mac } => Operation::BridgeCreate {
            network: network(subject)?,
            bridge: word("name", &name)?,
            stp,
            mtu,
            mac: option("mac", mac)?,
        },
        Ask::Join { bridge } => Operation::BridgeJoin { network: network(subject)?, bridge: word("bridge", &bridge)? },
        Ask::Enslave { bridge, link, vlan } => Operation::LinkEnslave {
            network: network(subject)?,
            bridge: word("bridge", &bridge)?,
            link: word("link", &link)?,
            vlan: match vlan {
                Some(id) if !VLANS.contains(&id) => {
                    return Err(refusal(ErrorCode::Invalid, format!("vlan: {id} is outside 1 to 4094")));
                }
                other => other,
            },
        },
        Ask::Address { bridge, cidr } => Operation::BridgeAddress {
            network: network(subject)?,
            bridge: word("bridge", &bridge)?,
            address: word("cidr", &cidr)?,
        },
        Ask::Limit { bridge, reach } => Operation::BridgeReach {
            network: network(subject)?,
            bridge: word("bridge", &bridge)?,
            reach: match reach {
                RawReach::Isolated => Reach::Isolated,
                RawReach::HostOnly => Reach::HostOnly,
                RawReach::Routed => Reach::Routed,
                RawReach::Nat(link) => Reach::Nat(word("link", &link)?),
            },
        },
        // What a move asks for is no operation: `session/moving.rs` has who carries it out.
        Ask::Step(_) => return Err(refusal(ErrorCode::Denied, "there is no move yet")),
        Ask::ServeDhcp { bridge, dhcp } => Operation::DhcpServe {
            network: network(subject)?,
            bridge: word("bridge", &bridge)?,
            dhcp: checked_dhcp(dhcp)?,
        },
    })
}

fn network(subject: &Subject) -> Result<NetworkName, PluginError> {
    match subject {
        Subject::Network(name) => Ok(name.clone()),
        Subject::Pool(_) | Subject::Domain(_) => {
            Err(refusal(ErrorCode::Denied, "only a call about a network touches bridges"))
        }
    }
}

pub(super) fn word<T: FromStr>(what: &str, text: &str) -> Result<T, PluginError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| refusal(ErrorCode::Invalid, format!("{what}: {error}")))
}

fn option<T: FromStr>(what: &str, text: Option<String>) -> Result<Option<T>, PluginError>
where
    T::Err: std::fmt::Display,
{
    text.map(|text| word(what, &text)).transpose()
}

fn bytes(size: u64) -> Result<ByteSize, PluginError> {
    match size {
        fits if fits <= i64::MAX as u64 => Ok(ByteSize::from_bytes(fits)),
        _ => Err(refusal(ErrorCode::Invalid, "size: at most 8 EiB less one byte")),
    }
}

fn checked_dhcp(dhcp: RawDhcp) -> Result<Dhcp, PluginError> {
    let address = |what: &str, text: &str| word::<Ipv4Addr>(what, text);
    let over = |what: &str, most: usize| refusal(ErrorCode::Invalid, format!("{what}: at most {most}"));
    if dhcp.dns.len() > DNS_MAX {
        return Err(over("dns", DNS_MAX));
    }
    if dhcp.reservations.len() > RESERVATIONS_MAX {
        return Err(over("reservations", RESERVATIONS_MAX));
    }
    if let Some(suffix) = &dhcp.domain
        && !is_suffix(suffix)
    {
        return Err(refusal(ErrorCode::Invalid, "domain: letters, digits, '-' and single dots between"));
    }
    Ok(Dhcp {
        range_start: address("range-start", &dhcp.range_start)?,
        range_end: address("range-end", &dhcp.range_end)?,
        netmask: address("netmask", &dhcp.netmask)?,
        router: option("router", dhcp.router)?,
        dns: dhcp.dns.iter().map(|server| address("dns", server)).collect::<Result<_, _>>()?,
        domain: dhcp.domain,
        lease_seconds: dhcp.lease_seconds,
        reservations: dhcp
            .reservations
            .iter()
            .map(|(mac, ip)| Ok((word("reservations", mac)?, address("reservations", ip)?)))
            .collect::<Result<_, PluginError>>()?,
    })
}

/// A domain name of host name labels (RFC 1123, section 2.1): it ends up in a configuration file.
fn is_suffix(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= SUFFIX_MAX && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::policy::Policy;
    use crate::gate::operation::{ImageFormat, Preallocation, Purpose};
    use crate::plugin::Effective;

    fn ask_about(subject: &Subject, ask: Ask) -> Result<Operation, PluginError> {
        let asker = Asker {
            plugin: &"it".parse().unwrap(),
            policy: &Policy::default(),
            effective: &Effective::default(),
            subject,
            settings: &[],
            purpose: Purpose::Ask,
        };
        operation(&asker, ask)
    }

    fn ask(ask: Ask) -> Result<Operation, PluginError> {
        ask_about(&Subject::Network("lab".parse().unwrap()), ask)
    }

    fn inspect(directory: &str, path: &str) -> Ask {
        Ask::ImageInspect { directory: directory.into(), path: path.into() }
    }

    fn dhcp(change: impl FnOnce(&mut RawDhcp)) -> Ask {
        let mut dhcp = RawDhcp {
            range_start: "10.0.0.2".into(),
            range_end: "10.0.0.9".into(),
            netmask: "255.255.255.0".into(),
            router: None,
            dns: vec!["10.0.0.1".into()],
            domain: Some("lab.example".into()),
            lease_seconds: 3600,
            reservations: vec![("52:54:00:00:00:01".into(), "10.0.0.5".into())],
        };
        change(&mut dhcp);
        Ask::ServeDhcp { bridge: "fief-lab".into(), dhcp }
    }

    #[test]
    fn words_that_do_not_parse_never_become_an_operation() {
        let bridge = |name: &str| Ask::Ensure { name: name.into(), stp: false, mtu: None, mac: None };
        let create = Ask::ImageCreate {
            directory: "images".into(),
            path: "a".into(),
            format: ImageFormat::Raw,
            size: u64::MAX,
            preallocation: Preallocation::Sparse,
            backing: None,
        };
        let long = "x/".repeat(32 << 10);
        for bad in [
            inspect("images", "../../etc/shadow"),
            inspect("images", "/etc/shadow"),
            inspect("images", "a\0b"),
            inspect("images", "a/"),
            inspect("images", &long),
            inspect("../images", "a"),
            inspect("", "a"),
            create,
            bridge("-c"),
            bridge("a;rm"),
            bridge(&"x".repeat(40)),
            bridge("brücke"),
            Ask::Join { bridge: "../br0".into() },
            Ask::Enslave { bridge: "b".into(), link: "eth0".into(), vlan: Some(4095) },
            Ask::Address { bridge: "b".into(), cidr: "10.0.0.1".into() },
            Ask::Limit { bridge: "b".into(), reach: RawReach::Nat("../eth0".into()) },
            dhcp(|dhcp| dhcp.domain = Some("x\nport=0".into())),
            dhcp(|dhcp| dhcp.range_end = "10.0.0.999".into()),
            dhcp(|dhcp| dhcp.dns = vec!["10.0.0.1".into(); DNS_MAX + 1]),
            dhcp(|dhcp| dhcp.reservations[0].0 = "ff:ff:ff:ff:ff:ff".into()),
        ] {
            let shown = format!("{bad:?}").chars().take(200).collect::<String>();
            assert_eq!(ask(bad).map_err(|e| e.code), Err(ErrorCode::Invalid), "{shown}");
        }
        assert!(ask(inspect("images", "vm/a.qcow2")).is_ok());
        assert!(ask(dhcp(|_| {})).is_ok());
    }

    #[test]
    fn a_call_about_a_pool_reaches_no_bridge() {
        let subject = Subject::Pool("default".parse().unwrap());
        let refused = ask_about(&subject, Ask::Links).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Denied);
    }
}
