//! The two patterns of policy: where a plugin may connect, and which links it may name.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::types::{InterfaceName, Invalid};

/// Longest name of a host, in bytes (RFC 1035, 2.3.4, as text).
const HOST_MAX: usize = 253;

/// `HOST:PORT`. Either part may hold settings in braces; IPv6 addresses stand in square brackets.
#[derive(PartialEq)]
pub(super) struct ConnectionPattern(String);

impl From<ConnectionPattern> for String {
    fn from(pattern: ConnectionPattern) -> Self {
        pattern.0
    }
}

impl FromStr for ConnectionPattern {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (host, port) = text
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty())
            .ok_or_else(|| Invalid::new(format!("{text:?} is not HOST:PORT")))?;
        check_host(host)?;
        if !without_settings(port)?.is_empty() {
            check_port(port)?;
        } else if port.is_empty() || port.matches('{').count() != 1 {
            return Err(Invalid::new(format!("{text:?} has no port")));
        }
        Ok(ConnectionPattern(text.to_owned()))
    }
}

fn check_host(host: &str) -> Result<(), Invalid> {
    if let Some(address) = host.strip_prefix('[') {
        return match address.strip_suffix(']').map(str::parse::<Ipv6Addr>) {
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) | None => Err(Invalid::new(format!("{host:?} is not an IPv6 address in square brackets"))),
        };
    }
    if host.len() > HOST_MAX {
        return Err(Invalid::new(format!("the host is {} bytes long, at most {HOST_MAX} are allowed", host.len())));
    }
    let fixed = without_settings(host)?;
    if let Some(bad) = fixed.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '.' || *c == '-')) {
        return Err(match bad {
            ':' => Invalid::new(format!("{host:?} looks like an IPv6 address; write it in square brackets")),
            other => Invalid::new(format!("{other:?} may not stand in the name of a host")),
        });
    }
    // Digits and dots alone are an address; `getaddrinfo` would take `10.1` as one too.
    let digits_only = fixed == host && host.chars().all(|c| c.is_ascii_digit() || c == '.');
    if digits_only && host.parse::<Ipv4Addr>().is_err() {
        return Err(Invalid::new(format!("{host:?} is not an IPv4 address")));
    }
    if host.starts_with(['.', '-']) || host.contains("..") {
        return Err(Invalid::new(format!("{host:?} is not the name of a host")));
    }
    Ok(())
}

fn check_port(port: &str) -> Result<(), Invalid> {
    match port.parse::<u16>() {
        Ok(number) if number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        Ok(_) | Err(_) => Err(Invalid::new(format!("{port:?} is not a port from 1 to 65535"))),
    }
}

/// The text with each `{setting}` taken out.
fn without_settings(text: &str) -> Result<String, Invalid> {
    let mut fixed = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let setting = after.split_once('}').filter(|(setting, _)| {
            !setting.is_empty() && setting.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        });
        let Some((_, after)) = setting else {
            return Err(Invalid::new(format!("{text:?} has a brace that is not a setting's, as in {{server}}")));
        };
        fixed.push_str(before);
        rest = after;
    }
    if rest.contains('}') {
        return Err(Invalid::new(format!("{text:?} has a brace that is not a setting's, as in {{server}}")));
    }
    fixed.push_str(rest);
    Ok(fixed)
}

/// A name of a link in which `*` stands for any run of characters. It starts with a letter or a digit, so that no
/// pattern is every link of the host.
#[derive(PartialEq)]
pub(super) struct BridgePattern(String);

impl From<BridgePattern> for String {
    fn from(pattern: BridgePattern) -> Self {
        pattern.0
    }
}

impl FromStr for BridgePattern {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.starts_with('*') {
            return Err(Invalid::new(format!("{text:?} would be links of any name; begin with a letter or a digit")));
        }
        // Each star as a letter: then it is a name, or it is wrong for the reason that a name would be.
        text.replace('*', "x").parse::<InterfaceName>()?;
        Ok(BridgePattern(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_name_a_host_and_a_port() {
        for good in [
            "{server}:{port}",
            "nfs.example.com:2049",
            "10.0.0.5:111",
            "[2001:db8::1]:3260",
            "{server}.example.com:2049",
            "localhost:1",
            "a:65535",
        ] {
            assert!(good.parse::<ConnectionPattern>().is_ok(), "{good:?} was refused");
        }
        for bad in [
            "",
            ":",
            "a",
            "a:",
            ":80",
            "a:0",
            "a:65536",
            "a:+80",
            "a:-1",
            "a:8o",
            "::1:80",
            "[::1:80",
            "[x]:80",
            "*:80",
            "a:*",
            "{:80",
            "}:80",
            "{}:80",
            "{a b}:80",
            "{{a}}:80",
            "a b:80",
            "a/b:80",
            "10.1:80",
            "256.0.0.1:80",
            ".a:80",
            "a..b:80",
            "{a}:{b}{c}",
            "{a}:8{b}",
            "a\0:80",
            "ü:80",
        ] {
            assert!(bad.parse::<ConnectionPattern>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_pattern_of_links_never_means_all() {
        for good in ["fief-*", "br0", "f*", "virbr*-lab"] {
            assert!(good.parse::<BridgePattern>().is_ok(), "{good:?} was refused");
        }
        for bad in ["*", "", "-x", "a/b", "fief-0123456789*", "a b", "**"] {
            assert!(bad.parse::<BridgePattern>().is_err(), "{bad:?} was taken");
        }
    }
}
