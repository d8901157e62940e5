//! What a plugin asks for, beside what it was granted. Pure.

use crate::config::policy::{HostInterface, PluginGrants};
use crate::plugin::Manifest;
use crate::plugin::manifest::Permission;
use crate::types::Access;

/// One permission of a manifest, held against policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// `interface images`, `directory, read-write`, `connect {server}:{port}`, `secret backup-key`.
    pub what: String,
    /// The plugin's own word; untrusted.
    pub reason: String,
    /// What policy grants of it; none where nothing.
    pub granted: Option<String>,
    /// What to write into policy where it grants nothing.
    pub remedy: String,
}

pub(crate) const fn access(access: Access) -> &'static str {
    match access {
        Access::ReadOnly => "read-only",
        Access::ReadWrite => "read-write",
    }
}

pub(crate) const fn interface(interface: HostInterface) -> &'static str {
    match interface {
        HostInterface::Images => "images",
        HostInterface::Connections => "connections",
        HostInterface::Bridges => "bridges",
        HostInterface::Session => "session",
    }
}

/// Every permission of the manifest, in its order.
pub(crate) fn asks(manifest: &Manifest, grants: Option<&PluginGrants>) -> Vec<Ask> {
    let section = format!("[plugins.{}]", manifest.id);
    manifest.permissions.iter().map(|permission| ask(permission, grants, &section)).collect()
}

fn ask(permission: &Permission, grants: Option<&PluginGrants>, section: &str) -> Ask {
    match permission {
        Permission::Interface { interface: wanted, reason } => {
            let name = interface(*wanted);
            let granted = grants.filter(|g| g.interfaces.contains(wanted));
            let bridges = granted.map(|g| g.bridges.join(", ")).unwrap_or_default();
            let (granted, remedy) = match wanted {
                // The interface alone is of no use: each name that it makes or uses is judged too.
                HostInterface::Bridges if granted.is_some() && bridges.is_empty() => {
                    (None, format!("in {section}, add bridges = [\"fief-*\"]"))
                }
                HostInterface::Bridges => (
                    granted.map(|_| format!("yes, bridges {bridges}")),
                    format!("in {section}, add \"{name}\" to interfaces, and bridges = [\"fief-*\"]"),
                ),
                HostInterface::Images | HostInterface::Connections | HostInterface::Session => {
                    (granted.map(|_| "yes".to_owned()), format!("in {section}, add \"{name}\" to interfaces"))
                }
            };
            Ask { what: format!("interface {name}"), reason: reason.clone(), granted, remedy }
        }
        Permission::Directory { access: wanted, reason } => {
            let all = grants.map(|g| &g.directories).filter(|d| !d.is_empty());
            let granted = all.map(|directories| {
                let each = directories.iter().map(|(name, grant)| {
                    let effective = if *wanted == Access::ReadOnly { Access::ReadOnly } else { grant.access };
                    format!("{name} = {} ({})", grant.path.display(), access(effective))
                });
                each.collect::<Vec<_>>().join(", ")
            });
            let remedy = format!(
                "in {section}, add directories = [{{ name = \"images\", path = \"/DIRECTORY\", access = \"{}\" }}]",
                access(*wanted)
            );
            Ask { what: format!("directory, {}", access(*wanted)), reason: reason.clone(), granted, remedy }
        }
        Permission::Connect { to, reason } => {
            let granted = grants.and_then(|g| g.connections.iter().find(|(_, grant)| grant.to == *to));
            let remedy = format!("in {section}, add connections = [{{ name = \"server\", to = \"{to}\" }}]");
            let granted = granted.map(|(name, grant)| format!("{name} = {}", grant.to));
            Ask { what: format!("connect {to}"), reason: reason.clone(), granted, remedy }
        }
        Permission::Secret { name, reason } => {
            let granted = grants.is_some_and(|g| g.secrets.iter().any(|secret| secret.as_str() == name));
            let remedy = format!("in {section}, add \"{name}\" to secrets");
            Ask {
                what: format!("secret {name}"),
                reason: reason.clone(),
                granted: granted.then(|| "yes".to_owned()),
                remedy,
            }
        }
    }
}

/// What policy grants and the plugin never asks for: of no effect, and worth saying.
pub(crate) fn unasked(manifest: &Manifest, grants: &PluginGrants) -> Vec<String> {
    let asks = |matches: &dyn Fn(&Permission) -> bool| manifest.permissions.iter().any(matches);
    let mut unasked = Vec::new();
    for granted in &grants.interfaces {
        if !asks(&|p| matches!(p, Permission::Interface { interface, .. } if interface == granted)) {
            unasked.push(format!("interface {}", interface(*granted)));
        }
    }
    if !grants.directories.is_empty() && !asks(&|p| matches!(p, Permission::Directory { .. })) {
        unasked.extend(grants.directories.keys().map(|name| format!("directory {name}")));
    }
    for (name, grant) in &grants.connections {
        if !asks(&|p| matches!(p, Permission::Connect { to, .. } if *to == grant.to)) {
            unasked.push(format!("connection {name}"));
        }
    }
    for secret in &grants.secrets {
        if !asks(&|p| matches!(p, Permission::Secret { name, .. } if name == secret.as_str())) {
            unasked.push(format!("secret {secret}"));
        }
    }
    unasked
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::config::policy::{ConnectionGrant, DirectoryGrant};
    use crate::sandbox::protocol::PluginKind;

    /// A storage plugin that asks for one of everything.
    pub fn manifest() -> Manifest {
        let reason = || "because".to_owned();
        Manifest {
            schema: 1,
            id: "storage-file".parse().unwrap(),
            version: "0.1.0".to_owned(),
            kind: PluginKind::Storage,
            host_api: "0.1.0".to_owned(),
            summary: "Volumes are files".to_owned(),
            settings: Vec::new(),
            permissions: vec![
                Permission::Interface { interface: HostInterface::Images, reason: reason() },
                Permission::Interface { interface: HostInterface::Bridges, reason: reason() },
                Permission::Directory { access: Access::ReadOnly, reason: reason() },
                Permission::Connect { to: "{server}:{port}".to_owned(), reason: reason() },
                Permission::Secret { name: "key".to_owned(), reason: reason() },
            ],
        }
    }

    pub fn grants() -> PluginGrants {
        let directory = DirectoryGrant { path: "/srv/images".into(), access: Access::ReadWrite };
        let connection = ConnectionGrant { to: "{server}:{port}".to_owned() };
        PluginGrants {
            interfaces: vec![HostInterface::Images, HostInterface::Bridges],
            directories: [("images".parse().unwrap(), directory)].into(),
            connections: [("server".parse().unwrap(), connection)].into(),
            secrets: vec!["key".parse().unwrap()],
            bridges: vec!["fief-*".to_owned()],
            ..PluginGrants::default()
        }
    }

    #[test]
    fn each_ask_stands_beside_what_is_granted_and_never_more_than_asked() {
        let granted: Vec<Option<String>> =
            asks(&manifest(), Some(&grants())).into_iter().map(|ask| ask.granted).collect();
        let yes = |text: &str| Some(text.to_owned());
        assert_eq!(
            granted,
            [
                yes("yes"),
                yes("yes, bridges fief-*"),
                yes("images = /srv/images (read-only)"),
                yes("server = {server}:{port}"),
                yes("yes")
            ]
        );
    }

    #[test]
    fn without_grants_every_ask_is_missing_and_says_what_to_write() {
        for grants in [None, Some(PluginGrants::default())] {
            for ask in asks(&manifest(), grants.as_ref()) {
                assert_eq!(ask.granted, None, "{}", ask.what);
                assert!(ask.remedy.contains("[plugins.storage-file]"), "{}", ask.remedy);
            }
        }
        let nameless = PluginGrants { bridges: Vec::new(), ..grants() };
        assert_eq!(asks(&manifest(), Some(&nameless))[1].granted, None, "bridges without a name are of no use");
    }

    #[test]
    fn what_is_granted_and_not_asked_for_is_named() {
        assert_eq!(unasked(&manifest(), &grants()), Vec::<String>::new());
        let silent = Manifest { permissions: Vec::new(), ..manifest() };
        assert_eq!(
            unasked(&silent, &grants()),
            ["interface images", "interface bridges", "directory images", "connection server", "secret key"]
        );
    }
}
