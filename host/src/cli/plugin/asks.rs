//! What a plugin asks for, beside what it was granted. Pure.

use crate::config::policy::{ConnectionGrant, HostInterface, PluginGrants};
use crate::plugin::Manifest;
use crate::plugin::manifest::{Permission, SecretAsk};
use crate::types::{Access, GrantName};

/// One permission of a manifest, held against policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// `interface images`, `directory, read-write`, `connect server = {server}:{port}`, `secret backup-key`.
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
                HostInterface::Images | HostInterface::Session => {
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
        Permission::Connect { name, to, reason } => {
            let granted = grants.and_then(|g| g.connections.get(name)).filter(|grant| grant.to.may_agree(to));
            let remedy = format!("in {section}, add connections = [{{ name = \"{name}\", to = \"{to}\" }}]");
            Ask {
                what: format!("connect {name} = {to}"),
                reason: reason.clone(),
                granted: granted.map(connection),
                remedy,
            }
        }
        Permission::Secret { name, reason } => {
            let all = grants.map(|g| g.secrets.as_slice()).unwrap_or_default();
            let (granted, remedy) = match name {
                SecretAsk::Fixed(secret) => {
                    (all.contains(secret).then(|| "yes".to_owned()), format!("in {section}, add \"{name}\" to secrets"))
                }
                // Wanted only where a pool sets it; `policy check` holds each pool against it.
                SecretAsk::Setting(_) if all.is_empty() => (Some("none yet".to_owned()), String::new()),
                SecretAsk::Setting(_) => {
                    let names: Vec<&str> = all.iter().map(GrantName::as_str).collect();
                    (Some(format!("of {}", names.join(", "))), String::new())
                }
            };
            Ask { what: format!("secret {name}"), reason: reason.clone(), granted, remedy }
        }
    }
}

/// A grant with all that it allows beyond its endpoint.
fn connection(grant: &ConnectionGrant) -> String {
    let mut text = grant.to.to_string();
    for near in &grant.allow {
        text.push_str(&format!(", allows {}", near.as_str()));
    }
    if grant.reserved_port {
        text.push_str(", from a reserved port");
    }
    text
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
    for name in grants.connections.keys() {
        if !asks(&|p| matches!(p, Permission::Connect { name: asked, .. } if asked == name)) {
            unasked.push(format!("connection {name}"));
        }
    }
    for secret in &grants.secrets {
        let by_setting = |p: &Permission| matches!(p, Permission::Secret { name: SecretAsk::Setting(_), .. });
        let by_name = |p: &Permission| matches!(p, Permission::Secret { name: SecretAsk::Fixed(n), .. } if n == secret);
        if !asks(&|p| by_setting(p) || by_name(p)) {
            unasked.push(format!("secret {secret}"));
        }
    }
    unasked
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::config::policy::DirectoryGrant;
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
                Permission::Connect {
                    name: "server".parse().unwrap(),
                    to: "{server}:{port}".parse().unwrap(),
                    reason: reason(),
                },
                Permission::Secret { name: "key".parse().unwrap(), reason: reason() },
            ],
        }
    }

    pub fn grants() -> PluginGrants {
        let directory = DirectoryGrant { path: "/srv/images".into(), access: Access::ReadWrite };
        let connection = ConnectionGrant::new("{server}:{port}".parse().unwrap());
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
                yes("{server}:{port}"),
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
