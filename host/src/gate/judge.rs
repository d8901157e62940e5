//! What policy says of an operation. Pure: the same policy, actor and operation always get the same verdict.
//!
//! ```text
//!   operator                 may, once policy names the directories that the operation is about
//!   plugin   images          interface "images" ∧ a directory of its own, with enough access
//!            links           interface "bridges" ∧ a bridge that one of its patterns names
//!            a directory     a directory of its own, with enough access
//!            a connection    a connection of its own that the pool's settings fill
//!            a secret        its name among those granted
//!            tap, hypervisor, image for a hypervisor, file of the host's      never
//! ```

use super::operation::{ConnectionRef, DiskSource, DiskTarget, ImageRef, Reach};
use super::{Actor, Operation};
use crate::config::policy::{HostInterface, PluginGrants, Policy};
use crate::types::{Access, GrantName, InterfaceName, PluginId, matches};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// `because` names the line of policy, or says that the operator may.
    Allowed {
        because: String,
    },
    Denied {
        reason: String,
        hint: String,
    },
}

/// What an operation needs of policy.
enum Need<'a> {
    /// A directory of a plugin's, for an image operation or for the sandbox itself.
    Directory {
        plugin: &'a PluginId,
        name: &'a GrantName,
        access: Access,
        interface: Option<HostInterface>,
    },
    /// A bridge, and the link behind which its guests hide, if any.
    Links(Vec<&'a InterfaceName>),
    Interface(HostInterface),
    Connection(&'a ConnectionRef),
    Secret {
        plugin: &'a PluginId,
        name: &'a GrantName,
    },
    /// The host's own: no grant lets a plugin do it. `about` are the directories that it reads or writes, if any.
    Host {
        what: &'static str,
        about: Vec<(&'a PluginId, &'a GrantName)>,
    },
}

fn need(operation: &Operation) -> Need<'_> {
    match operation {
        Operation::DirectoryOpen { plugin, directory, access } => {
            Need::Directory { plugin, name: directory, access: *access, interface: None }
        }
        Operation::DirectorySpace { plugin, directory } => Need::Directory {
            plugin,
            name: directory,
            access: Access::ReadOnly,
            interface: Some(HostInterface::Images),
        },
        Operation::ImageInspect { image } | Operation::SnapshotList { image } => {
            directory_need(image, Access::ReadOnly)
        }
        Operation::ImageCreate { image, .. }
        | Operation::ImageResize { image, .. }
        | Operation::ImageDelete { image }
        | Operation::ImageRename { image, .. }
        | Operation::ImageCopy { image, .. }
        | Operation::SnapshotCreate { image, .. }
        | Operation::SnapshotDelete { image, .. }
        | Operation::SnapshotRevert { image, .. }
        | Operation::SnapshotDate { image, .. } => directory_need(image, Access::ReadWrite),
        Operation::IdentityInspect { image } | Operation::IdentityReset { image, .. } => {
            Need::Host { what: "reset an identity", about: vec![(&image.plugin, &image.directory)] }
        }
        Operation::ImageServe { image, .. } => {
            Need::Host { what: "serve an image as a disk", about: vec![(&image.plugin, &image.directory)] }
        }
        Operation::ImageOpen { image, .. } => {
            Need::Host { what: "open an image for a hypervisor", about: vec![(&image.plugin, &image.directory)] }
        }
        Operation::ForeignInspect { .. } | Operation::ForeignDetect { .. } => {
            Need::Host { what: "look at a file of the host's", about: Vec::new() }
        }
        Operation::DiskCopy { from, to } => {
            let from = match from {
                DiskSource::File(_) | DiskSource::Served { .. } => None,
                DiskSource::Image { image, .. } => Some((&image.plugin, &image.directory)),
            };
            let to = match to {
                DiskTarget::File { .. } | DiskTarget::Served { .. } => None,
                DiskTarget::Image { image, .. } => Some((&image.plugin, &image.directory)),
            };
            Need::Host { what: "copy a disk", about: from.into_iter().chain(to).collect() }
        }
        Operation::LinkList { .. } => Need::Interface(HostInterface::Bridges),
        Operation::BridgeCreate { bridge, .. }
        | Operation::BridgeJoin { bridge, .. }
        | Operation::BridgeAddress { bridge, .. }
        | Operation::DhcpServe { bridge, .. } => Need::Links(vec![bridge]),
        // A card that fief did not make is touched only where policy names it.
        Operation::LinkEnslave { bridge, link, .. } => Need::Links(vec![bridge, link]),
        Operation::BridgeReach { bridge, reach, .. } => match reach {
            // What leaves by a link leaves with that link's address: it has to be granted by name as the bridge is.
            Reach::Nat(link) => Need::Links(vec![bridge, link]),
            Reach::Isolated | Reach::HostOnly | Reach::Routed => Need::Links(vec![bridge]),
        },
        Operation::ConnectionOpen { to, .. } | Operation::ConnectionResolve { to } => Need::Connection(to),
        Operation::SecretReveal { plugin, secret, .. } => Need::Secret { plugin, name: secret },
        Operation::SecretSet { .. } | Operation::SecretDelete { .. } => {
            Need::Host { what: "keep or forget a secret", about: Vec::new() }
        }
        Operation::PeerInvite { .. } | Operation::PeerPin { .. } | Operation::PeerForget { .. } => {
            Need::Host { what: "trust another host", about: Vec::new() }
        }
        Operation::PolicyEdit { .. } => Need::Host { what: "change policy", about: Vec::new() },
        Operation::TapCreate { .. } => Need::Host { what: "make a tap", about: Vec::new() },
        Operation::FenceBreak { .. } => Need::Host { what: "break a hold of another host's", about: Vec::new() },
        Operation::HypervisorProbe { .. } => Need::Host { what: "try an accelerator", about: Vec::new() },
        Operation::ServedFolder { .. } | Operation::MemoryFolder { .. } => {
            Need::Host { what: "make a folder for a hypervisor", about: Vec::new() }
        }
        Operation::ServedListen { .. } | Operation::MemoryListen { .. } => {
            Need::Host { what: "listen for a hypervisor", about: Vec::new() }
        }
        Operation::ServingStart { .. } => Need::Host { what: "start a sandbox", about: Vec::new() },
        Operation::HypervisorStart { .. } => Need::Host { what: "start a hypervisor", about: Vec::new() },
    }
}

fn directory_need(image: &ImageRef, access: Access) -> Need<'_> {
    Need::Directory { plugin: &image.plugin, name: &image.directory, access, interface: Some(HostInterface::Images) }
}

pub fn judge(policy: &Policy, actor: &Actor, operation: &Operation) -> Verdict {
    match actor {
        Actor::Operator => operator(policy, &need(operation)),
        Actor::Plugin(id) => plugin_of(policy, id, &need(operation)),
    }
}

fn plugin_of(policy: &Policy, id: &PluginId, need: &Need<'_>) -> Verdict {
    match policy.plugins.get(id) {
        Some(grants) => plugin(id, grants, need),
        None => denied(
            format!("policy grants plugin {id} nothing"),
            format!("write [plugins.{id}] in policy.toml, with what it may do"),
        ),
    }
}

fn operator(policy: &Policy, need: &Need<'_>) -> Verdict {
    let about = match need {
        Need::Directory { plugin, name, .. } => vec![(*plugin, *name)],
        Need::Host { about, .. } => about.clone(),
        Need::Links(_) | Need::Interface(_) => Vec::new(),
        // For a hypervisor's own client: what the plugin could not have, it does not get by that way either.
        Need::Connection(to) => return plugin_of(policy, &to.plugin, need),
        Need::Secret { plugin, .. } => return plugin_of(policy, plugin, need),
    };
    let missing = |(plugin, name): &(&PluginId, &GrantName)| {
        !policy.plugins.get(*plugin).is_some_and(|grants| grants.directories.contains_key(*name))
    };
    match about.into_iter().find(missing) {
        Some((plugin, name)) => no_directory(plugin, name, Access::ReadWrite),
        None => Verdict::Allowed { because: "the operator may".into() },
    }
}

fn plugin(id: &PluginId, grants: &PluginGrants, need: &Need<'_>) -> Verdict {
    match need {
        Need::Host { what, .. } => denied(
            format!("plugin {id} may not {what}: only fief itself does that"),
            "no grant allows it; the host does it for a domain from what the plugin answers".into(),
        ),
        Need::Interface(interface) => match granted_interface(id, grants, *interface) {
            Ok(because) => Verdict::Allowed { because },
            Err(verdict) => verdict,
        },
        Need::Connection(to) => connection(id, grants, to),
        Need::Secret { plugin, name } => {
            if *plugin != id {
                return denied(
                    format!("plugin {id} may not reach the secrets of plugin {plugin}"),
                    format!("grant {id} a secret of its own, under [plugins.{id}] in policy.toml"),
                );
            }
            if grants.secrets.contains(name) {
                return Verdict::Allowed { because: format!("plugins.{id}.secrets \"{name}\"") };
            }
            denied(
                format!("policy does not grant plugin {id} the secret \"{name}\""),
                format!("add \"{name}\" to secrets under [plugins.{id}] in policy.toml"),
            )
        }
        Need::Links(links) => {
            if let Err(verdict) = granted_interface(id, grants, HostInterface::Bridges) {
                return verdict;
            }
            let mut because = Vec::new();
            for link in links {
                match grants.bridges.iter().find(|pattern| matches(pattern, link.as_str())) {
                    Some(pattern) => because.push(format!("plugins.{id}.bridges \"{pattern}\"")),
                    None => {
                        return denied(
                            format!(
                                "plugin {id} may not make or use the link {link}: no pattern of its bridges names it"
                            ),
                            format!(
                                "write in policy.toml, under [plugins.{id}]: bridges = [\"{link}\"], or a pattern with *"
                            ),
                        );
                    }
                }
            }
            because.dedup();
            Verdict::Allowed { because: because.join(", ") }
        }
        Need::Directory { plugin, name, access, interface } => {
            if *plugin != id {
                return denied(
                    format!("plugin {id} may not reach the directories of plugin {plugin}"),
                    format!("grant {id} a directory of its own, under [plugins.{id}] in policy.toml"),
                );
            }
            if let Some(interface) = interface
                && let Err(verdict) = granted_interface(id, grants, *interface)
            {
                return verdict;
            }
            match (grants.directories.get(*name), access) {
                (None, access) => no_directory(id, name, *access),
                (Some(grant), Access::ReadWrite) if grant.access == Access::ReadOnly => denied(
                    format!("plugin {id} may only read the directory \"{name}\""),
                    format!(
                        "set access = \"read-write\" for the directory \"{name}\" under [plugins.{id}] in policy.toml"
                    ),
                ),
                (Some(grant), Access::ReadOnly | Access::ReadWrite) => Verdict::Allowed {
                    because: format!("plugins.{id}.directories \"{name}\" ({})", access_word(grant.access)),
                },
            }
        }
    }
}

fn connection(id: &PluginId, grants: &PluginGrants, to: &ConnectionRef) -> Verdict {
    let name = &to.connection;
    if to.plugin != *id {
        return denied(
            format!("plugin {id} may not use the connections of plugin {}", to.plugin),
            format!("grant {id} a connection of its own, under [plugins.{id}] in policy.toml"),
        );
    }
    let Some(grant) = grants.connections.get(name) else {
        return denied(
            format!("policy grants plugin {id} no connection \"{name}\""),
            format!(
                "write in policy.toml, under [plugins.{id}]: \
                 connections = [{{ name = \"{name}\", to = \"{{server}}:{{port}}\" }}]"
            ),
        );
    };
    match grant.to.fill(|key| to.settings.get(key).map(String::as_str)) {
        Ok(endpoint) => Verdict::Allowed {
            because: format!("plugins.{id}.connections \"{name}\" to {}, which is {endpoint} here", grant.to),
        },
        Err(why) => denied(
            format!("the connection \"{name}\" of plugin {id} leads nowhere: {why}"),
            format!("put the settings of the pool {} right", to.pool),
        ),
    }
}

fn granted_interface(id: &PluginId, grants: &PluginGrants, interface: HostInterface) -> Result<String, Verdict> {
    let word = match interface {
        HostInterface::Images => "images",
        HostInterface::Bridges => "bridges",
        HostInterface::Session => "session",
    };
    if grants.interfaces.contains(&interface) {
        return Ok(format!("plugins.{id}.interfaces \"{word}\""));
    }
    Err(denied(
        format!("policy does not grant plugin {id} the interface \"{word}\""),
        format!("add \"{word}\" to interfaces under [plugins.{id}] in policy.toml"),
    ))
}

fn no_directory(plugin: &PluginId, name: &GrantName, access: Access) -> Verdict {
    denied(
        format!("policy grants plugin {plugin} no directory \"{name}\""),
        format!(
            "write in policy.toml, under [plugins.{plugin}]: \
             directories = [{{ name = \"{name}\", path = \"/an/absolute/path\", access = \"{}\" }}]",
            access_word(access)
        ),
    )
}

fn denied(reason: String, hint: String) -> Verdict {
    Verdict::Denied { reason, hint }
}

fn access_word(access: Access) -> &'static str {
    match access {
        Access::ReadOnly => "read-only",
        Access::ReadWrite => "read-write",
    }
}

/// Whether policy names this link among those that the plugin may use.
pub fn names_link(policy: &Policy, plugin: &PluginId, link: &str) -> bool {
    policy.plugins.get(plugin).is_some_and(|grants| grants.bridges.iter().any(|pattern| matches(pattern, link)))
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
