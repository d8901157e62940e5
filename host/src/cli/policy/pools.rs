//! The settings of a pool, held against what policy grants its plugin: where its connections lead, and its secrets. Pure.

use super::review::Host;
use crate::cli::findings::found;
use crate::config::policy::{PluginGrants, Policy};
use crate::config::pool::PoolDefinition;
use crate::plugin::manifest::{Permission, SettingKind};
use crate::plugin::{Manifest, settings};
use crate::sandbox::protocol::{Finding, Severity};

pub(super) fn pool(policy: &Policy, host: &Host, pool: &PoolDefinition, findings: &mut Vec<Finding>) {
    // That there is none is another finding.
    let Some(id) = policy.pools.get(&pool.kind) else { return };
    let Some(installed) = host.installed.iter().find(|installed| installed.manifest.id == *id) else { return };
    let none = PluginGrants::default();
    let grants = policy.plugins.get(id).unwrap_or(&none);
    let object = format!("pool {}", pool.name);
    let mut blocker = |code: &str, message: String, remedy: String| {
        findings.push(Finding { remedy: Some(remedy), ..found(Severity::Blocker, code, &object, message) });
    };
    let all = match settings::resolve(&installed.manifest, &pool.settings) {
        Ok(all) => all,
        Err(failure) => {
            let remedy = format!("fief plugin show {id} lists its settings");
            return blocker("settings-wrong", failure.to_string(), remedy);
        }
    };
    for (name, why) in astray(&installed.manifest, grants, &all) {
        let remedy = format!("change the pool's settings, or to = … of the connection {name} in [plugins.{id}]");
        blocker("connection-astray", why, remedy);
    }
    for (key, value) in &all {
        let kind = installed.manifest.settings.iter().find(|setting| setting.key == *key).map(|setting| setting.kind);
        if kind == Some(SettingKind::Secret) && !grants.secrets.iter().any(|secret| secret.as_str() == value) {
            let message = format!("{key} names the secret {value}, which is not granted");
            blocker("secret-not-granted", message, format!("in [plugins.{id}], add \"{value}\" to secrets"));
        }
    }
}

/// Connections that do not lead where the plugin would go for this pool, each with why.
fn astray(manifest: &Manifest, grants: &PluginGrants, all: &[(String, String)]) -> Vec<(String, String)> {
    let value = |key: &str| all.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let mut astray = Vec::new();
    for permission in &manifest.permissions {
        let Permission::Connect { name, to, .. } = permission else { continue };
        // One for a setting that the pool does not have is not wanted; one that is not granted is another finding.
        let wanted = to.settings().iter().all(|key| value(key).is_some());
        let Some(grant) = grants.connections.get(name).filter(|_| wanted) else { continue };
        let why = match (to.fill(value), grant.to.fill(value)) {
            (Ok(wanted), Ok(granted)) if wanted == granted => continue,
            (Ok(wanted), Ok(granted)) => {
                format!("is at {wanted}, and the connection {name} is granted to {granted}")
            }
            (Err(why), _) | (_, Err(why)) => format!("its connection {name} leads nowhere: {why}"),
        };
        astray.push((name.to_string(), why));
    }
    astray
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::plugin::asks::tests::{grants, manifest};
    use crate::plugin::Installed;
    use crate::plugin::manifest::SettingSchema;
    use crate::types::Digest;

    fn codes(settings: &[(&str, &str)], to: &str) -> Vec<String> {
        let setting = |key: &str, kind| SettingSchema {
            key: key.into(),
            kind,
            default: None,
            required: false,
            doc: "It.".into(),
        };
        let manifest = Manifest {
            settings: vec![
                setting("server", SettingKind::String),
                setting("port", SettingKind::Integer),
                setting("password", SettingKind::Secret),
            ],
            ..manifest()
        };
        let mut grants = grants();
        grants.connections.values_mut().for_each(|grant| grant.to = to.parse().unwrap());
        let mut policy = Policy::default();
        policy.plugins.insert(manifest.id.clone(), grants);
        policy.pools.insert("nas".to_owned(), manifest.id.clone());
        let installed = Installed {
            digest: Digest::of(b"abc"),
            manifest,
            imports: Vec::new(),
            exports: Vec::new(),
            signer: None,
            source: None,
            trial: None,
        };
        let host = Host { installed: vec![installed], ..Host::default() };
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let definition = PoolDefinition { name: "nas".parse().unwrap(), kind: "nas".into(), settings };
        let mut findings = Vec::new();
        pool(&policy, &host, &definition, &mut findings);
        findings.into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn a_pool_leads_where_policy_lets_it_and_names_secrets_that_are_granted() {
        let good = &[("server", "nas.example.com"), ("port", "2049"), ("password", "key")];
        assert!(codes(good, "{server}:{port}").is_empty());
        assert!(codes(good, "nas.example.com:2049").is_empty());
        assert!(codes(&[], "{server}:{port}").is_empty());
        assert_eq!(codes(good, "other.example.com:2049"), ["connection-astray"]);
        assert_eq!(codes(&[("server", "a:22"), ("port", "1")], "{server}:{port}"), ["connection-astray"]);
        assert_eq!(codes(&[("password", "other")], "{server}:{port}"), ["secret-not-granted"]);
        assert_eq!(codes(&[("sever", "a")], "{server}:{port}"), ["settings-wrong"]);
    }
}
