//! What a plugin reaches beyond its sandbox in a call about a pool: streams and secrets. Pure; the gate does it.
//!
//! The plugin says names alone. Where a stream goes, and which secret a setting names, comes from the pool's settings as
//! the host checked them.

use crate::config::policy::Policy;
use crate::gate::Operation;
use crate::gate::operation::{ConnectionRef, Purpose};
use crate::plugin::ask::word;
use crate::plugin::failure::refusal;
use crate::plugin::manifest::SecretAsk;
use crate::plugin::{Effective, Subject};
use crate::sandbox::protocol::{ErrorCode, PluginError};
use crate::types::{GrantName, PluginId, PoolName};

/// Who asks, and in which call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    pub plugin: &'a PluginId,
    pub policy: &'a Policy,
    pub effective: &'a Effective,
    pub subject: &'a Subject,
    /// Of the pool that the call is about, checked against the plugin's schema.
    pub settings: &'a [(String, String)],
    pub purpose: Purpose,
}

impl Asker<'_> {
    pub(super) fn connect(&self, grant: &str) -> Result<Operation, PluginError> {
        let pool = self.pool()?;
        let name: GrantName = word("grant", grant)?;
        let Some(asked) = self.effective.connections.get(&name) else {
            return Err(refusal(ErrorCode::Denied, format!("the manifest asks for no connection {name}")));
        };
        let value = |key: &str| self.value(key);
        let granted = self.policy.plugins.get(self.plugin).and_then(|grants| grants.connections.get(&name));
        // Policy may have narrowed what the manifest asks for: then a pool may not lead elsewhere.
        if let Some(grant) = granted
            && let (Ok(wanted), Ok(allowed)) = (asked.fill(value), grant.to.fill(value))
            && wanted != allowed
        {
            // Where policy lets it go is not the plugin's to know.
            let message = format!(
                "the pool {pool} leads elsewhere than policy lets the connection {name} go: see fief policy check"
            );
            return Err(refusal(ErrorCode::Denied, message));
        }
        let to = ConnectionRef::new(self.policy, self.plugin, &name, pool, self.settings);
        Ok(Operation::ConnectionOpen { to, purpose: self.purpose })
    }

    pub(super) fn reveal(&self, secret: &str) -> Result<Operation, PluginError> {
        let pool = self.pool()?;
        let name: GrantName = word("secret", secret)?;
        let named = self.effective.secrets.iter().any(|asked| match asked {
            SecretAsk::Fixed(fixed) => *fixed == name,
            SecretAsk::Setting(key) => self.value(key) == Some(name.as_str()),
        });
        if !named {
            return Err(refusal(ErrorCode::Denied, format!("the pool {pool} names no secret {name}")));
        }
        Ok(Operation::SecretReveal { plugin: self.plugin.clone(), pool: pool.clone(), secret: name })
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.settings.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn pool(&self) -> Result<&PoolName, PluginError> {
        match self.subject {
            Subject::Pool(pool) => Ok(pool),
            Subject::Network(_) | Subject::Domain(_) => {
                Err(refusal(ErrorCode::Denied, "only a call about a pool has connections and secrets"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::policy::{ConnectionGrant, PluginGrants};

    struct Case {
        plugin: PluginId,
        policy: Policy,
        effective: Effective,
        subject: Subject,
        settings: Vec<(String, String)>,
    }

    impl Case {
        /// A pool at `10.0.0.5:2049` with the password `san`; policy grants `server` to `granted`.
        fn new(granted: &str) -> Case {
            let connections = [("server".parse().unwrap(), ConnectionGrant::new(granted.parse().unwrap()))].into();
            let grants = PluginGrants { connections, ..PluginGrants::default() };
            let setting = |key: &str, value: &str| (key.to_owned(), value.to_owned());
            Case {
                plugin: "it".parse().unwrap(),
                policy: Policy { plugins: [("it".parse().unwrap(), grants)].into(), ..Policy::default() },
                effective: Effective {
                    connections: [("server".parse().unwrap(), "{server}:{port}".parse().unwrap())].into(),
                    secrets: vec!["{password}".parse().unwrap(), "fixed".parse().unwrap()],
                    ..Effective::default()
                },
                subject: Subject::Pool("nas".parse().unwrap()),
                settings: vec![
                    setting("server", "10.0.0.5"),
                    setting("port", "2049"),
                    setting("password", "san"),
                    setting("share", "/x"),
                ],
            }
        }

        fn asker(&self) -> Asker<'_> {
            Asker {
                plugin: &self.plugin,
                policy: &self.policy,
                effective: &self.effective,
                subject: &self.subject,
                settings: &self.settings,
                purpose: Purpose::Ask,
            }
        }
    }

    fn code<T>(result: Result<T, PluginError>) -> ErrorCode {
        result.map(drop).unwrap_err().code
    }

    #[test]
    fn an_endpoint_comes_from_the_pools_settings_and_never_from_the_plugin() {
        let case = Case::new("{server}:{port}");
        let Ok(Operation::ConnectionOpen { to, .. }) = case.asker().connect("server") else { panic!("refused") };
        let keys: Vec<&str> = to.settings.keys().map(String::as_str).collect();
        assert_eq!((keys, to.pool.as_str()), (vec!["port", "server"], "nas"));
        for (grant, wanted) in [
            ("other", ErrorCode::Denied),
            ("10.0.0.9:22", ErrorCode::Invalid),
            ("", ErrorCode::Invalid),
            ("../server", ErrorCode::Invalid),
        ] {
            assert_eq!(code(case.asker().connect(grant)), wanted, "{grant:?}");
        }
    }

    #[test]
    fn a_pool_that_leads_elsewhere_than_a_narrower_grant_is_refused() {
        assert!(Case::new("10.0.0.5:2049").asker().connect("server").is_ok());
        assert!(Case::new("10.0.0.5:{port}").asker().connect("server").is_ok());
        assert_eq!(code(Case::new("10.0.0.6:2049").asker().connect("server")), ErrorCode::Denied);
        assert_eq!(code(Case::new("{server}:111").asker().connect("server")), ErrorCode::Denied);
    }

    #[test]
    fn a_secret_is_one_that_the_pool_or_the_manifest_names() {
        let mut case = Case::new("{server}:{port}");
        assert!(case.asker().reveal("san").is_ok() && case.asker().reveal("fixed").is_ok());
        // The value of another setting is no name of a secret.
        for secret in ["other", "10.0.0.5", "2049", "{password}", "/x", ""] {
            assert!(case.asker().reveal(secret).is_err(), "{secret:?}");
        }
        case.settings.retain(|(key, _)| key != "password");
        assert_eq!(code(case.asker().reveal("san")), ErrorCode::Denied);
    }

    #[test]
    fn a_network_has_neither() {
        let mut case = Case::new("{server}:{port}");
        case.subject = Subject::Network("lab".parse().unwrap());
        assert_eq!(code(case.asker().connect("server")), ErrorCode::Denied);
        assert_eq!(code(case.asker().reveal("san")), ErrorCode::Denied);
    }
}
