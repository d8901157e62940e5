//! What a plugin asks for, beside what it was granted. Pure.

use crate::config::policy::edit::Edit;
use crate::config::policy::{ConnectionGrant, HostInterface, PluginGrants};
use crate::plugin::Manifest;
use crate::plugin::manifest::{Permission, SecretAsk};
use crate::types::{Access, GrantName, PluginId};

/// One permission of a manifest, held against policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// `interface images`, `directory, read-write`, `connect server = {server}:{port}`, `secret backup-key`.
    pub what: String,
    /// The plugin's own word; untrusted.
    pub reason: String,
    /// What policy grants of it; none where nothing.
    pub granted: Option<String>,
    /// What `fief plugin grant ID` is told so that it is granted; capitals are for the operator to fill in.
    pub options: String,
    /// The change that grants it, where it takes no choice of the operator's.
    pub edit: Option<Edit>,
}

/// The command that grants all of these; none where there is nothing to grant.
pub(crate) fn remedy(id: &PluginId, asks: &[Ask]) -> Option<String> {
    let options: Vec<&str> = asks.iter().filter(|ask| ask.granted.is_none()).map(|ask| ask.options.as_str()).collect();
    (!options.is_empty()).then(|| format!("fief plugin grant {id} {}", options.join(" ")))
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
    manifest.permissions.iter().map(|permission| ask(permission, grants)).collect()
}

fn ask(permission: &Permission, grants: Option<&PluginGrants>) -> Ask {
    match permission {
        Permission::Interface { interface: wanted, reason } => {
            let name = interface(*wanted);
            let granted = grants.filter(|g| g.interfaces.contains(wanted));
            let patterns = grants.map(|g| g.bridges.join(", ")).unwrap_or_default();
            let edit = Edit::GrantInterface { interface: *wanted };
            let alone = format!("--interface {name}");
            let (granted, options, edit) = match wanted {
                // The interface alone is of no use: each name that it makes or uses is judged too.
                HostInterface::Bridges if patterns.is_empty() => {
                    let interface = if granted.is_some() { String::new() } else { alone + " " };
                    (None, format!("{interface}--bridge 'fief-*'"), None)
                }
                HostInterface::Bridges => (granted.map(|_| format!("yes, bridges {patterns}")), alone, Some(edit)),
                HostInterface::Images | HostInterface::Session => {
                    (granted.map(|_| "yes".to_owned()), alone, Some(edit))
                }
            };
            Ask { what: format!("interface {name}"), reason: reason.clone(), granted, options, edit }
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
            let mode = match wanted {
                Access::ReadOnly => "",
                Access::ReadWrite => ":rw",
            };
            Ask {
                what: format!("directory, {}", access(*wanted)),
                reason: reason.clone(),
                granted,
                options: format!("--directory images=/DIRECTORY{mode}"),
                edit: None,
            }
        }
        Permission::Connect { name, to, reason } => {
            let there = grants.and_then(|g| g.connections.get(name));
            let edit = Edit::GrantConnection {
                name: name.clone(),
                to: to.clone(),
                allow: Vec::new(),
                reserved_port: false,
                timeout_ms: None,
            };
            Ask {
                what: format!("connect {name} = {to}"),
                reason: reason.clone(),
                granted: there.filter(|grant| grant.to.may_agree(to)).map(connection),
                options: match to.names_host() {
                    true => format!("--connection {name}={to}"),
                    false => format!("--connection {name}"),
                },
                // One that leads elsewhere is the operator's own word; and a host that a stranger names, this one perhaps, takes
                // the operator's.
                edit: (there.is_none() && !to.names_host()).then_some(edit),
            }
        }
        Permission::Secret { name, reason } => {
            let all = grants.map(|g| g.secrets.as_slice()).unwrap_or_default();
            let (granted, options) = match name {
                SecretAsk::Fixed(secret) => {
                    (all.contains(secret).then(|| "yes".to_owned()), format!("--secret {secret}"))
                }
                // Wanted only where a pool sets it; `policy check` holds each pool against it.
                SecretAsk::Setting(_) if all.is_empty() => (Some("none yet".to_owned()), String::new()),
                SecretAsk::Setting(_) => {
                    let names: Vec<&str> = all.iter().map(GrantName::as_str).collect();
                    (Some(format!("of {}", names.join(", "))), String::new())
                }
            };
            // Who is given a secret is told it.
            Ask { what: format!("secret {name}"), reason: reason.clone(), granted, options, edit: None }
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
            summary: "Volumes are files".to_owned(),
            ..Manifest::plain(PluginKind::Storage)
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
            }
            let remedy = remedy(&manifest().id, &asks(&manifest(), grants.as_ref())).unwrap();
            let command = "fief plugin grant storage-file --interface images --interface bridges --bridge 'fief-*' \
                --directory images=/DIRECTORY --connection server --secret key";
            assert_eq!(remedy, command);
        }
        assert_eq!(remedy(&manifest().id, &asks(&manifest(), Some(&grants()))), None);
        let nameless = PluginGrants { bridges: Vec::new(), ..grants() };
        assert_eq!(asks(&manifest(), Some(&nameless))[1].granted, None, "bridges without a name are of no use");
    }

    #[test]
    fn what_takes_a_choice_is_not_granted_without_one() {
        let connect = |to: &str| Permission::Connect {
            name: "server".parse().unwrap(),
            to: to.parse().unwrap(),
            reason: String::new(),
        };
        let (near, said) = (connect("169.254.169.254:80"), connect("{server}:80"));
        let manifest = Manifest { permissions: [manifest().permissions, vec![near, said]].concat(), ..manifest() };
        let without: Vec<bool> = asks(&manifest, None).iter().map(|ask| ask.edit.is_some()).collect();
        assert_eq!(without, [true, false, false, true, false, false, true]);
        let patterns = PluginGrants { bridges: vec!["fief-*".to_owned()], ..PluginGrants::default() };
        assert!(asks(&manifest, Some(&patterns))[1].edit.is_some(), "the interface, where links are named");
        let elsewhere = ConnectionGrant::new("192.0.2.7:81".parse().unwrap());
        let narrowed = PluginGrants { connections: [("server".parse().unwrap(), elsewhere)].into(), ..patterns };
        let ask = &asks(&manifest, Some(&narrowed))[6];
        assert_eq!((ask.granted.is_none(), ask.edit.is_none()), (true, true), "the operator's word stays");
        assert_eq!(asks(&manifest, None)[5].options, "--connection server=169.254.169.254:80");
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
