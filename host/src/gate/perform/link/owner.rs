//! Whose a link is.

use super::netlink::{self, Link, Links};
use crate::error::{Failure, Result};
use crate::gate::operation::LinkFacts;
use crate::types::{InterfaceName, NetworkName};

/// The interface alias of what fief makes for a network or a domain.
pub(super) fn alias(owner: impl std::fmt::Display) -> String {
    format!("fief:{owner}")
}

/// All links; `owned` are the bridges that fief made for this network.
pub(super) fn list(network: &NetworkName) -> Result<Vec<LinkFacts>> {
    let owner = alias(network);
    netlink::run(async |handle| {
        let links = Links::read(handle).await?;
        Ok(links.0.iter().map(|link| links.facts(link, &owner)).collect())
    })
}

/// The network's own bridge among `links`.
///
/// # Errors
/// `NotFound` where there is none of that name, `Conflict` where it is not a bridge that fief made for this network.
pub(super) fn own<'a>(links: &'a Links, network: &NetworkName, bridge: &InterfaceName) -> Result<&'a Link> {
    let link = links.named(bridge).ok_or_else(|| {
        Failure::not_found(format!("there is no bridge {bridge}"))
            .hint(format!("`fief network stop {network}` and `start` make it anew"))
    })?;
    if link.is_bridge() && link.alias.as_deref() == Some(&alias(network)) {
        Ok(link)
    } else {
        Err(foreign(link, network))
    }
}

/// Why a link may not be used as this network's bridge.
pub(super) fn foreign(link: &Link, network: &NetworkName) -> Failure {
    let name = &link.name;
    let whose = link.alias.as_deref().and_then(|alias| alias.strip_prefix("fief:"));
    let failure = match whose {
        Some(owner) => {
            Failure::conflict(format!("{name} belongs to {}, not to network {network}", owner.escape_debug()))
        }
        None => Failure::conflict(format!("the link {name} exists and was not made by fief")),
    };
    failure.hint("name another bridge in the network's settings, or remove that link")
}

/// [`own`], looked up now.
pub(in crate::gate::perform) fn owned_bridge(network: &NetworkName, bridge: &InterfaceName) -> Result<Link> {
    netlink::run(async |handle| own(&Links::read(handle).await?, network, bridge).cloned())
}

/// What of a bridge that was joined is missing.
pub(super) fn missing_joined(bridge: &InterfaceName) -> Result<Option<String>> {
    netlink::run(async |handle| {
        let links = Links::read(handle).await?;
        Ok(match links.named(bridge) {
            Some(link) if link.is_bridge() && link.up => None,
            Some(link) if link.is_bridge() => Some(format!("bridge {bridge} is down")),
            Some(_) | None => Some(format!("there is no bridge {bridge}")),
        })
    })
}

pub(super) fn missing_bridge(network: &NetworkName, bridge: &InterfaceName) -> Result<Option<String>> {
    netlink::run(async |handle| {
        let links = Links::read(handle).await?;
        Ok(match own(&links, network, bridge) {
            Ok(link) if link.up => None,
            Ok(_) => Some(format!("bridge {bridge} is down")),
            Err(failure) => Some(failure.message),
        })
    })
}
