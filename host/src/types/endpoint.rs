//! Where a stream may go: `HOST:PORT`, and the pattern that policy and manifests write it with.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{Invalid, text_serde};

/// Longest name of a host, in bytes (RFC 1035, section 2.3.4, as text).
const HOST_MAX: usize = 253;
/// Longest label of a name, in bytes (the same section).
const LABEL_MAX: usize = 63;

/// A host: by its address, or by a name that is looked up when it is needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    Address(IpAddr),
    /// In lower case.
    Name(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Address(address) => address.fmt(f),
            Host::Name(name) => f.write_str(name),
        }
    }
}

impl FromStr for Host {
    type Err = Invalid;
    /// An IPv6 address with or without its square brackets, an IPv4 address, or a name (RFC 1123, section 2.1).
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(text).parse::<Ipv6Addr>() {
            return Ok(Host::Address(IpAddr::V6(address)));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Host::Address(IpAddr::V4(address)));
        }
        if text.is_empty() || text.len() > HOST_MAX {
            return Err(Invalid::new(format!("the host is {} bytes long, 1 to {HOST_MAX} are allowed", text.len())));
        }
        if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '.' || *c == '-')) {
            return Err(Invalid::new(format!("{bad:?} may not stand in the name of a host")));
        }
        // A dot at the end says that no search domain is added.
        let labels = text.strip_suffix('.').unwrap_or(text);
        let fits =
            |label: &str| (1..=LABEL_MAX).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
        if !labels.split('.').all(fits) {
            return Err(Invalid::new(format!("{text:?} is not the name of a host")));
        }
        // The system's resolver takes `10.1`, `0x7f.1` and `2130706433` as addresses; a reader does not.
        let last = labels.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        let number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let hexadecimal = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
        if number(&last) || hexadecimal {
            return Err(Invalid::new(format!("{text:?} is not an IPv4 address")));
        }
        Ok(Host::Name(text.to_ascii_lowercase()))
    }
}

/// A host and a port, both fixed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub host: Host,
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            Host::Address(IpAddr::V4(_)) | Host::Name(_) => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for Endpoint {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (host, number) = text.rsplit_once(':').ok_or_else(|| Invalid::new(format!("{text:?} is not HOST:PORT")))?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(Invalid::new(format!("{text:?} looks like an IPv6 address; write it in square brackets")));
        }
        Ok(Endpoint { host: host.parse()?, port: port(number)? })
    }
}

text_serde!(Endpoint);

/// `HOST:PORT`. The host may hold settings in braces, and the port may be one; IPv6 addresses stand in square brackets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndpointPattern {
    host: String,
    port: String,
}

impl EndpointPattern {
    /// The settings that it names, in their order.
    pub fn settings(&self) -> Vec<&str> {
        let all = pieces(&self.host).into_iter().chain(pieces(&self.port));
        all.filter_map(|piece| match piece {
            Piece::Setting(name) => Some(name),
            Piece::Fixed(_) => None,
        })
        .collect()
    }

    /// The endpoint, with each setting replaced by its value. A value fills its own part and nothing else: it brings no
    /// port into a host and no second host.
    ///
    /// # Errors
    /// Which setting is absent, or is not what stands in its place.
    pub fn fill<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> Result<Endpoint, Invalid> {
        let absent = |name: &str| Invalid::new(format!("the setting {name:?}, which {self} names, is not set"));
        let host = match pieces(&self.host)[..] {
            [Piece::Setting(name)] => {
                let value = value(name).ok_or_else(|| absent(name))?;
                value.parse().map_err(|why: Invalid| Invalid::new(format!("setting {name:?}: {why}")))?
            }
            ref several => {
                let mut text = String::new();
                for piece in several {
                    match piece {
                        Piece::Fixed(fixed) => text.push_str(fixed),
                        Piece::Setting(name) => {
                            let part = value(name).ok_or_else(|| absent(name))?;
                            if part.is_empty()
                                || !part.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
                            {
                                return Err(Invalid::new(format!(
                                    "setting {name:?}: {part:?} is no part of a host's name"
                                )));
                            }
                            text.push_str(part);
                        }
                    }
                }
                text.parse()?
            }
        };
        let port = match pieces(&self.port)[..] {
            [Piece::Setting(name)] => {
                let value = value(name).ok_or_else(|| absent(name))?;
                port(value).map_err(|why| Invalid::new(format!("setting {name:?}: {why}")))?
            }
            _ => port(&self.port)?,
        };
        Ok(Endpoint { host, port })
    }

    /// Whether the two can be the same endpoint for some settings: each part equal, or a setting's in one of them.
    pub fn may_agree(&self, other: &EndpointPattern) -> bool {
        let agree =
            |one: &str, other: &str| one.eq_ignore_ascii_case(other) || one.contains('{') || other.contains('{');
        agree(&self.host, &other.host) && agree(&self.port, &other.port)
    }

    /// Whether the host stands here as it is, and not as a setting.
    pub fn names_host(&self) -> bool {
        !self.host.contains('{')
    }
}

impl fmt::Display for EndpointPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for EndpointPattern {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (host, number) = text
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty())
            .ok_or_else(|| Invalid::new(format!("{text:?} is not HOST:PORT")))?;
        check_host(host)?;
        match without_settings(number)? {
            fixed if fixed == number && !number.is_empty() => drop(port(number)?),
            fixed if fixed.is_empty() && number.matches('{').count() == 1 => {}
            fixed if fixed.is_empty() => return Err(Invalid::new(format!("{text:?} has no port"))),
            _ => return Err(Invalid::new(format!("{number:?} is not a port from 1 to 65535"))),
        }
        Ok(EndpointPattern { host: host.to_owned(), port: number.to_owned() })
    }
}

text_serde!(EndpointPattern);

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
    if fixed.contains(':') {
        return Err(Invalid::new(format!("{host:?} looks like an IPv6 address; write it in square brackets")));
    }
    // Each setting as a letter: then it is a host, or wrong for the reason that a host would be.
    let mut like = String::new();
    for piece in pieces(host) {
        like.push_str(match piece {
            Piece::Fixed(text) => text,
            Piece::Setting(_) => "x",
        });
    }
    like.parse::<Host>().map(drop)
}

fn port(text: &str) -> Result<u16, Invalid> {
    match text.parse::<u16>() {
        Ok(number) if number > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
        Ok(_) | Err(_) => Err(Invalid::new(format!("{text:?} is not a port from 1 to 65535"))),
    }
}

enum Piece<'a> {
    Fixed(&'a str),
    Setting(&'a str),
}

/// The pieces of a part of a checked pattern.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        if !before.is_empty() {
            pieces.push(Piece::Fixed(before));
        }
        pieces.push(Piece::Setting(name));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Fixed(rest));
    }
    pieces
}

/// The text with each `{setting}` taken out.
fn without_settings(text: &str) -> Result<String, Invalid> {
    let mut fixed = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let setting = after.split_once('}').filter(|(setting, _)| is_setting(setting));
        let Some((_, after)) = setting else { return Err(brace(text)) };
        fixed.push_str(before);
        rest = after;
    }
    fixed.push_str(rest);
    if fixed.contains('}') { Err(brace(text)) } else { Ok(fixed) }
}

fn is_setting(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn brace(text: &str) -> Invalid {
    Invalid::new(format!("{text:?} has a brace that is not a setting's, as in {{server}}"))
}

#[cfg(test)]
mod tests;
