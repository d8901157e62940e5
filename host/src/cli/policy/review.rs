//! Holds policy against what is installed and defined. Pure, but for the question whether a directory is there.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cli::findings::found;
use crate::cli::plugin::asks::{asks, remedy, unasked};
use crate::config::network::NetworkDefinition;
use crate::config::policy::{PluginGrants, Policy};
use crate::config::pool::PoolDefinition;
use crate::plugin::Installed;
use crate::sandbox::protocol::{Finding, PluginKind, Severity};
use crate::types::{GrantName, PluginId};

/// What policy is held against.
#[derive(Debug, Default)]
pub(super) struct Host {
    pub installed: Vec<Installed>,
    pub pools: Vec<PoolDefinition>,
    pub networks: Vec<NetworkDefinition>,
    /// Names of those that are stored.
    pub secrets: Vec<GrantName>,
}

/// A blocker is what would be denied, a warning what is likely a slip, a note what is of no effect.
pub(super) fn review(policy: &Policy, host: &Host, is_directory: &dyn Fn(&Path) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for installed in &host.installed {
        plugin(policy.plugins.get(&installed.manifest.id), installed, &mut findings);
        if let Err((why, remedy)) = policy.trust.admit(&installed.manifest.id, installed.signer) {
            let object = installed.manifest.id.as_str();
            findings.push(Finding { remedy: Some(remedy), ..found(Severity::Blocker, "not-trusted", object, why) });
        }
    }
    for (id, grants) in &policy.plugins {
        if !host.installed.iter().any(|installed| installed.manifest.id == *id) {
            findings.push(Finding {
                remedy: Some("fief plugin install FILE, or take the section out".to_owned()),
                ..found(Severity::Warning, "unknown-plugin", id.as_str(), "has grants, and is not installed")
            });
        }
        for name in grants.secrets.iter().filter(|name| !host.secrets.contains(name)) {
            findings.push(Finding {
                remedy: Some(format!("fief secret set {name}")),
                ..found(Severity::Warning, "secret-missing", id.as_str(), format!("secret {name} is not stored"))
            });
        }
        for (name, grant) in &grants.directories {
            if !is_directory(&grant.path) {
                let message = format!("directory {name} is not there: {}", grant.path.display());
                findings.push(Finding {
                    remedy: Some(format!("mkdir -p {}", grant.path.display())),
                    ..found(Severity::Blocker, "directory-missing", id.as_str(), message)
                });
            }
        }
    }
    served("pools", &policy.pools, PluginKind::Storage, host, &mut findings);
    served("networks", &policy.networks, PluginKind::Network, host, &mut findings);
    selected(policy, host, &mut findings);
    for pool in &host.pools {
        defined(&format!("pool {}", pool.name), &pool.kind, &policy.pools, &mut findings);
        super::pools::pool(policy, host, pool, &mut findings);
    }
    for network in &host.networks {
        defined(&format!("network {}", network.name), &network.kind, &policy.networks, &mut findings);
    }
    findings
}

fn plugin(grants: Option<&PluginGrants>, installed: &Installed, findings: &mut Vec<Finding>) {
    let id = installed.manifest.id.as_str();
    for ask in asks(&installed.manifest, grants).into_iter().filter(|ask| ask.granted.is_none()) {
        findings.push(Finding {
            remedy: remedy(&installed.manifest.id, std::slice::from_ref(&ask)),
            ..found(Severity::Blocker, "grant-missing", id, format!("asks for {}, and is not granted it", ask.what))
        });
    }
    let Some(grants) = grants else { return };
    if let Some(pin) = grants.digest.filter(|pin| *pin != installed.digest) {
        let message = format!("is pinned to {pin}, and {} is installed", installed.digest);
        findings.push(Finding {
            remedy: Some("install the pinned plugin, or change digest once you trust the new one".to_owned()),
            ..found(Severity::Blocker, "digest-differs", id, message)
        });
    }
    if let Some(pin) = grants.signer.filter(|pin| Some(*pin) != installed.signer) {
        let message = format!("is pinned to what {pin} has signed, and what is installed is not that");
        findings.push(Finding {
            remedy: Some(format!("install one that is, or fief plugin revoke {id} --pin")),
            ..found(Severity::Blocker, "signer-differs", id, message)
        });
    }
    for grant in unasked(&installed.manifest, grants) {
        let message = format!("is granted {grant}, and does not ask for it");
        findings.push(found(Severity::Note, "grant-unused", id, message));
    }
}

/// A `[pools]` or `[networks]` table: each plugin in it is installed and of the right kind.
fn served(
    table: &str,
    plugins: &BTreeMap<String, PluginId>,
    wanted: PluginKind,
    host: &Host,
    findings: &mut Vec<Finding>,
) {
    for (kind, id) in plugins {
        let object = format!("[{table}] {kind}");
        match host.installed.iter().find(|installed| installed.manifest.id == *id) {
            None => findings.push(Finding {
                remedy: Some("fief plugin install FILE".to_owned()),
                ..found(Severity::Blocker, "unknown-plugin", &object, format!("plugin {id} is not installed"))
            }),
            Some(installed) if installed.manifest.kind != wanted => {
                let message = format!("plugin {id} is of another kind, and cannot serve {table}");
                findings.push(found(Severity::Blocker, "wrong-kind", &object, message));
            }
            Some(_) => {}
        }
    }
}

/// `[[select.migration]]`: each line counts, and names a strategy that is there.
fn selected(policy: &Policy, host: &Host, findings: &mut Vec<Finding>) {
    let object = |line: usize| format!("[[select.migration]], line {line}");
    for line in &policy.select.migration {
        let id = &line.strategy;
        match host.installed.iter().find(|installed| installed.manifest.id == *id) {
            None => findings.push(Finding {
                remedy: Some("fief plugin install FILE".to_owned()),
                ..found(
                    Severity::Blocker,
                    "unknown-plugin",
                    &object(line.line),
                    format!("plugin {id} is not installed"),
                )
            }),
            Some(installed) if installed.manifest.kind != PluginKind::Migration => {
                let message = format!("plugin {id} is of another kind, and moves nothing");
                findings.push(found(Severity::Blocker, "wrong-kind", &object(line.line), message));
            }
            Some(_) => {}
        }
    }
    for (line, earlier) in policy.select.hidden() {
        let message = format!("never counts: line {} takes all that it takes ({})", earlier.line, earlier.when);
        findings.push(Finding {
            remedy: Some("put it above that one, or take it out".to_owned()),
            ..found(Severity::Warning, "line-hidden", &object(line.line), message)
        });
    }
}

fn defined(object: &str, kind: &str, plugins: &BTreeMap<String, PluginId>, findings: &mut Vec<Finding>) {
    if !plugins.contains_key(kind) {
        findings.push(Finding {
            remedy: Some(format!("fief plugin grant PLUGIN --serve {kind}")),
            ..found(Severity::Blocker, "kind-unserved", object, format!("no plugin serves its kind, {kind}"))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::plugin::asks::tests::{grants, manifest};
    use crate::types::Digest;

    fn installed() -> Installed {
        Installed {
            digest: Digest::of(b"abc"),
            manifest: manifest(),
            imports: Vec::new(),
            exports: Vec::new(),
            signer: None,
            source: None,
            trial: None,
        }
    }

    fn whole() -> (Policy, Host) {
        let id: PluginId = "storage-file".parse().unwrap();
        let mut policy = Policy::default();
        policy.plugins.insert(id.clone(), grants());
        policy.pools.insert("file".to_owned(), id);
        let secrets = vec!["key".parse().unwrap()];
        (policy, Host { installed: vec![installed()], secrets, ..Host::default() })
    }

    fn codes(policy: &Policy, host: &Host) -> Vec<String> {
        let there = |path: &Path| path == Path::new("/srv/images");
        review(policy, host, &there).into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn a_policy_that_grants_what_is_asked_has_nothing_amiss() {
        let (policy, host) = whole();
        assert_eq!(codes(&policy, &host), Vec::<String>::new());
    }

    #[test]
    fn every_missing_grant_is_found_at_once() {
        let (_, host) = whole();
        assert_eq!(codes(&Policy::default(), &host), ["grant-missing"; 5]);
    }

    #[test]
    fn pins_unknown_plugins_and_unserved_kinds_are_found() {
        let (mut policy, mut host) = whole();
        let id: PluginId = "storage-file".parse().unwrap();
        policy.plugins.insert(id.clone(), PluginGrants { digest: Some(Digest::of(b"other")), ..grants() });
        policy.plugins.insert("gone".parse().unwrap(), PluginGrants::default());
        policy.pools.insert("nfs".to_owned(), "storage-nfs".parse().unwrap());
        policy.networks.insert("lab".to_owned(), id);
        host.pools.push(PoolDefinition {
            name: "tapes".parse().unwrap(),
            kind: "tape".to_owned(),
            settings: BTreeMap::new(),
        });
        assert_eq!(
            codes(&policy, &host),
            ["digest-differs", "unknown-plugin", "unknown-plugin", "wrong-kind", "kind-unserved"]
        );
    }

    #[test]
    fn lines_that_choose_what_is_not_there_or_never_count_are_found() {
        let text = "[plugins.storage-file]\n[plugins.gone]\n\
            [[select.migration]]\nwhen = { power = \"off\" }\nuse = \"gone\"\n\
            [[select.migration]]\nwhen = { power = \"off\", storage = \"shared\" }\nuse = \"storage-file\"\n";
        let select = crate::config::policy::parse(text.as_bytes(), "x").unwrap().select;
        let (policy, host) = whole();
        let policy = Policy { select, ..policy };
        assert_eq!(codes(&policy, &host), ["unknown-plugin", "wrong-kind", "line-hidden"]);
    }

    #[test]
    fn a_granted_directory_must_be_there() {
        let (policy, host) = whole();
        let found = review(&policy, &host, &|_| false);
        assert_eq!(found[0].code, "directory-missing");
        assert_eq!(found[0].remedy.as_deref(), Some("mkdir -p /srv/images"));
    }
}
