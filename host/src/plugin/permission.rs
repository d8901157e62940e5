//! What a plugin has: what its manifest asks for ∧ what policy grants. Pure.

use std::collections::BTreeMap;

use crate::config::policy::{HostInterface, PluginGrants};
use crate::error::{Failure, Result};
use crate::plugin::Manifest;
use crate::plugin::manifest::{Permission, SecretAsk};
use crate::plugin::text::printable;
use crate::types::{Access, EndpointPattern, GrantName};

/// The permissions that hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effective {
    pub interfaces: Vec<HostInterface>,
    pub directories: BTreeMap<GrantName, Access>,
    /// What may be revealed; policy is asked for each name.
    pub secrets: Vec<SecretAsk>,
    /// Where the plugin said that each goes: policy's own word counts, and the two have to agree.
    pub connections: BTreeMap<GrantName, EndpointPattern>,
}

/// More grants never take a permission away, and never give one that the manifest does not ask for.
///
/// # Errors
/// `Denied` where a permission is asked for that no grant covers; all of them at once as causes.
pub fn effective(manifest: &Manifest, grants: &PluginGrants) -> Result<Effective> {
    let mut has = Effective::default();
    let mut missing = Vec::new();
    let mut lines = Vec::new();
    for permission in &manifest.permissions {
        match permission {
            Permission::Interface { interface, reason } => {
                let name = interface_name(*interface);
                if !grants.interfaces.contains(interface) {
                    missing.push(format!("the host interface {name} ({})", printable(reason)));
                    lines.push(format!("interfaces = [\"{name}\"]"));
                } else if !has.interfaces.contains(interface) {
                    has.interfaces.push(*interface);
                }
            }
            Permission::Directory { access, reason } => {
                if grants.directories.is_empty() {
                    missing.push(format!("a directory ({})", printable(reason)));
                    lines.push("directories = [{ name = \"…\", path = \"/…\", access = \"…\" }]".into());
                }
                for (name, grant) in &grants.directories {
                    let access = narrower(*access, grant.access);
                    let entry = has.directories.entry(name.clone()).or_insert(access);
                    *entry = wider(*entry, access);
                }
            }
            Permission::Connect { name, to, reason } => {
                if grants.connections.get(name).is_some_and(|grant| grant.to.may_agree(to)) {
                    has.connections.insert(name.clone(), to.clone());
                } else {
                    missing.push(format!("a connection {name} to {to} ({})", printable(reason)));
                    lines.push(format!("connections = [{{ name = \"{name}\", to = \"{to}\" }}]"));
                }
            }
            Permission::Secret { name, reason } => match name {
                SecretAsk::Fixed(secret) if !grants.secrets.contains(secret) => {
                    missing.push(format!("the secret {secret} ({})", printable(reason)));
                    lines.push(format!("secrets = [\"{secret}\"]"));
                }
                // Which one that is, and whether there is one, each pool says.
                SecretAsk::Fixed(_) | SecretAsk::Setting(_) => has.secrets.push(name.clone()),
            },
        }
    }
    if missing.is_empty() {
        return Ok(has);
    }
    let id = &manifest.id;
    let mut failure = Failure::denied(format!("policy does not grant the plugin {id} what it asks for"));
    failure.causes = missing;
    lines.dedup();
    Err(failure.hint(format!("grant it below [plugins.{id}] in policy.toml: {}", lines.join(", "))))
}

/// As policy.toml writes it.
pub const fn interface_name(interface: HostInterface) -> &'static str {
    match interface {
        HostInterface::Images => "images",
        HostInterface::Bridges => "bridges",
        HostInterface::Session => "session",
    }
}

fn narrower(one: Access, other: Access) -> Access {
    match (one, other) {
        (Access::ReadWrite, Access::ReadWrite) => Access::ReadWrite,
        (Access::ReadOnly, Access::ReadOnly | Access::ReadWrite) | (Access::ReadWrite, Access::ReadOnly) => {
            Access::ReadOnly
        }
    }
}

fn wider(one: Access, other: Access) -> Access {
    match (one, other) {
        (Access::ReadOnly, Access::ReadOnly) => Access::ReadOnly,
        (Access::ReadWrite, Access::ReadOnly | Access::ReadWrite) | (Access::ReadOnly, Access::ReadWrite) => {
            Access::ReadWrite
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::policy::{ConnectionGrant, DirectoryGrant};
    use crate::error::Kind;
    use crate::sandbox::protocol::PluginKind;

    fn manifest(permissions: Vec<Permission>) -> Manifest {
        Manifest { permissions, ..Manifest::plain(PluginKind::Storage) }
    }

    fn access() -> impl Strategy<Value = Access> {
        prop_oneof![Just(Access::ReadOnly), Just(Access::ReadWrite)]
    }

    fn interface() -> impl Strategy<Value = HostInterface> {
        prop_oneof![Just(HostInterface::Images), Just(HostInterface::Bridges), Just(HostInterface::Session),]
    }

    fn permission() -> impl Strategy<Value = Permission> {
        let reason = String::from("Because.");
        prop_oneof![
            interface().prop_map({
                let reason = reason.clone();
                move |interface| Permission::Interface { interface, reason: reason.clone() }
            }),
            access().prop_map({
                let reason = reason.clone();
                move |access| Permission::Directory { access, reason: reason.clone() }
            }),
            ("[cd]", "(a|\\{x\\}):1").prop_map({
                let reason = reason.clone();
                move |(name, to)| Permission::Connect {
                    name: name.parse().unwrap(),
                    to: to.parse().unwrap(),
                    reason: reason.clone(),
                }
            }),
            "(a|b|\\{x\\})"
                .prop_map(move |name| Permission::Secret { name: name.parse().unwrap(), reason: reason.clone() }),
        ]
    }

    prop_compose! {
        fn grants()(
            interfaces in prop::collection::vec(interface(), 0..4),
            directories in prop::collection::btree_map("[ab]", access(), 0..3),
            connections in prop::collection::btree_map("[cd]", "(a|b|\\{x\\}):1", 0..3),
            secrets in prop::collection::vec("[ab]", 0..3),
        ) -> PluginGrants {
            PluginGrants {
                interfaces,
                directories: directories.into_iter().map(|(name, access)| {
                    (name.parse().unwrap(), DirectoryGrant { path: "/srv".into(), access })
                }).collect(),
                connections: connections.into_iter().map(|(name, to)| {
                    (name.parse().unwrap(), ConnectionGrant::new(to.parse().unwrap()))
                }).collect(),
                secrets: secrets.iter().map(|name| name.parse().unwrap()).collect(),
                ..PluginGrants::default()
            }
        }
    }

    /// `one` and all that `more` adds; a directory in both has the wider access.
    fn union(one: &PluginGrants, more: &PluginGrants) -> PluginGrants {
        let mut all = one.clone();
        all.interfaces.extend(&more.interfaces);
        all.secrets.extend(more.secrets.iter().cloned());
        for (name, grant) in &more.directories {
            let entry = all.directories.entry(name.clone()).or_insert_with(|| grant.clone());
            entry.access = wider(entry.access, grant.access);
        }
        for (name, grant) in &more.connections {
            all.connections.entry(name.clone()).or_insert_with(|| grant.clone());
        }
        all
    }

    proptest! {
        #[test]
        fn more_grants_never_take_a_permission_away(
            permissions in prop::collection::vec(permission(), 0..6),
            one in grants(),
            more in grants(),
        ) {
            let manifest = manifest(permissions);
            if let Ok(before) = effective(&manifest, &one) {
                let after = effective(&manifest, &union(&one, &more)).unwrap();
                prop_assert!(before.interfaces.iter().all(|i| after.interfaces.contains(i)));
                prop_assert!(before.secrets.iter().all(|s| after.secrets.contains(s)));
                prop_assert_eq!(&before.connections, &after.connections);
                for (name, access) in &before.directories {
                    prop_assert_eq!(wider(*access, after.directories[name]), after.directories[name]);
                }
            }
        }

        #[test]
        fn nothing_is_given_that_was_not_both_asked_for_and_granted(
            permissions in prop::collection::vec(permission(), 0..6),
            grants in grants(),
        ) {
            let manifest = manifest(permissions);
            if let Ok(has) = effective(&manifest, &grants) {
                prop_assert!(has.interfaces.iter().all(|i| manifest.asks_for(*i) && grants.interfaces.contains(i)));
                let asked = |wanted| manifest.permissions.iter().any(|permission| {
                    matches!(permission, Permission::Directory { access, .. } if *access == wanted)
                });
                for (name, to) in &has.connections {
                    prop_assert!(grants.connections[name].to.may_agree(to));
                    let asked = |permission: &Permission| {
                        matches!(permission, Permission::Connect { name: other, to: there, .. }
                            if other == name && there == to)
                    };
                    prop_assert!(manifest.permissions.iter().any(asked));
                }
                for secret in &has.secrets {
                    if let SecretAsk::Fixed(name) = secret {
                        prop_assert!(grants.secrets.contains(name));
                    }
                }
                for (name, access) in &has.directories {
                    prop_assert_eq!(narrower(*access, grants.directories[name].access), *access);
                    prop_assert!(asked(Access::ReadWrite) || (asked(Access::ReadOnly) && *access == Access::ReadOnly));
                }
            }
        }
    }

    #[test]
    fn every_missing_grant_is_told_at_once() {
        let reason = || String::from("Because.");
        let manifest = manifest(vec![
            Permission::Interface { interface: HostInterface::Images, reason: reason() },
            Permission::Directory { access: Access::ReadWrite, reason: reason() },
            Permission::Secret { name: "key".parse().unwrap(), reason: reason() },
            Permission::Connect { name: "s".parse().unwrap(), to: "{x}:1".parse().unwrap(), reason: reason() },
        ]);
        let failure = effective(&manifest, &PluginGrants::default()).unwrap_err();
        assert_eq!((failure.kind, failure.causes.len()), (Kind::Denied, 4));
        assert!(failure.hint.unwrap().contains("[plugins.storage-file]"));
    }
}
