//! What an operator writes for a pool of this plugin, and what a login makes of it.

use fief_sdk::manifest::SettingKind;
use fief_sdk::settings::Value;
use fief_sdk::storage::{Pool, Transport};
use fief_sdk::{Error, Result, SecretName, secrets};

use crate::protocol::chap::{self, Account, Credentials};
use crate::protocol::login::Wanted;
use crate::protocol::offer::{Wish, Wishes};

fief_sdk::settings! {
    /// Of a pool: one target of one portal.
    pub struct Settings {
        /// Name or address of the portal.
        portal: String,
        /// TCP port of the portal.
        port: u16 = "3260",
        /// Name of the target: `iqn.…`, `eui.…` or `naa.…`.
        target: String,
        /// Name that this host logs in with, where the target knows initiators by name. Best another on each host.
        initiator_name: Option<String>,
        /// CHAP: the user that the target knows.
        user: Option<String>,
        /// CHAP: the user's secret, 12 bytes or more.
        password: Option<SecretName>,
        /// Mutual CHAP: the name that the target must prove to have.
        mutual_user: Option<String>,
        /// Mutual CHAP: the target's secret, another than `password`.
        mutual_password: Option<SecretName>,
        /// CRC32C over headers: none, prefer-crc32c or crc32c.
        header_digest: DigestWish = "none",
        /// CRC32C over data: none, prefer-crc32c or crc32c; the hypervisor's own client has none.
        data_digest: DigestWish = "none",
        /// Who speaks iSCSI while a guest runs: this plugin (served), the hypervisor (native), or as the host picks (auto).
        transport: Transport = "auto",
        /// Whether every write waits for stable storage, for targets that may lose their cache without a word.
        durable_writes: bool = "false",
        /// Seconds, 1 to 3600, after which a read or write without an answer is aborted and sent again.
        command_timeout: Seconds = "30",
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestWish(pub Wish);

impl Value for DigestWish {
    const KIND: SettingKind = SettingKind::String;
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(DigestWish(Wish::None)),
            "prefer-crc32c" => Ok(DigestWish(Wish::Prefer)),
            "crc32c" => Ok(DigestWish(Wish::Require)),
            _ => Err(format!("{text:?} is no digest; none, prefer-crc32c and crc32c are")),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub u32);

impl Value for Seconds {
    const KIND: SettingKind = SettingKind::Integer;
    fn parse(text: &str) -> Result<Self, String> {
        let seconds = text.parse().ok().filter(|seconds| (1..=3600).contains(seconds));
        seconds.map(Seconds).ok_or_else(|| format!("{text:?} is no number of seconds from 1 to 3600"))
    }
}

/// A pool of this plugin.
pub type IscsiPool = Pool<Settings>;

/// Prefix of the names that pools without `initiator-name` log in with.
const NAMES: &str = "iqn.2026-01.org.fief:";

/// The name to log in with.
pub fn initiator(pool: &IscsiPool) -> String {
    pool.settings.initiator_name.clone().unwrap_or_else(|| format!("{NAMES}{}", pool.name.to_ascii_lowercase()))
}

/// `HOST:PORT`, an IPv6 address in brackets.
pub fn portal(settings: &Settings) -> String {
    let host = &settings.portal;
    match host.contains(':') && !host.starts_with('[') {
        true => format!("[{host}]:{}", settings.port),
        false => format!("{host}:{}", settings.port),
    }
}

/// What to log in with.
///
/// # Errors
/// `invalid`: settings that do not fit together, or secrets that must not be used; else what the host says of a secret.
pub fn wanted(pool: &IscsiPool, isid: [u8; 6]) -> Result<Wanted> {
    let settings = &pool.settings;
    let initiator = initiator(pool);
    for (setting, name) in [("target", &settings.target), ("initiator-name", &initiator)] {
        if !is_name(name) {
            return Err(Error::invalid(format!(
                "setting {setting}: {name:?} is no iSCSI name; write it as in iqn.2026-01.org.example:disks"
            )));
        }
    }
    Ok(Wanted {
        initiator,
        target: Some(settings.target.clone()),
        credentials: credentials(settings)?,
        wishes: Wishes { header: settings.header_digest.0, data: settings.data_digest.0 },
        isid,
    })
}

/// RFC 7143, section 4.2.7.1: at most 223 bytes, of few kinds.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.:_".contains(c) || !c.is_ascii();
    let kind = ["iqn.", "eui.", "naa."].iter().any(|kind| name.starts_with(kind));
    kind && name.len() <= 223 && name.chars().all(plain)
}

fn credentials(settings: &Settings) -> Result<Option<Credentials>> {
    let ours = account("user", settings.user.as_ref(), "password", settings.password.as_ref())?;
    let theirs =
        account("mutual-user", settings.mutual_user.as_ref(), "mutual-password", settings.mutual_password.as_ref())?;
    match (ours, theirs) {
        (None, None) => Ok(None),
        (None, Some(_)) => {
            Err(Error::invalid("mutual CHAP is set up without user and password: the target asks first"))
        }
        (Some(ours), Some(theirs)) if ours.secret == theirs.secret => Err(Error::invalid(
            "password and mutual-password are the same secret: whoever asks for one proof could pass it on as the other",
        )),
        (Some(ours), theirs) => Ok(Some(Credentials { ours, theirs })),
    }
}

fn account(
    user_key: &str,
    user: Option<&String>,
    secret_key: &str,
    secret: Option<&SecretName>,
) -> Result<Option<Account>> {
    match (user, secret) {
        (None, None) => Ok(None),
        (Some(name), Some(reference)) => {
            let secret = secrets::reveal(reference)?;
            if secret.len() < chap::SHORTEST_SECRET {
                return Err(Error::invalid(format!(
                    "the secret of setting {secret_key} has fewer than {} bytes: whoever hears a login could guess it",
                    chap::SHORTEST_SECRET
                )));
            }
            Ok(Some(Account { name: name.clone(), secret }))
        }
        (Some(_), None) => Err(Error::invalid(format!("setting {user_key} needs {secret_key} beside it"))),
        (None, Some(_)) => Err(Error::invalid(format!("setting {secret_key} needs {user_key} beside it"))),
    }
}

#[cfg(test)]
mod tests {
    use fief_sdk::Settings as _;
    use fief_sdk::settings::Setting;

    use super::*;

    fn pool(written: &[(&str, &str)]) -> IscsiPool {
        let all =
            [("portal", "10.0.0.1"), ("target", "iqn.2026-01.test:disks")].into_iter().chain(written.iter().copied());
        // The last one written counts.
        let mut settings: Vec<Setting> = Vec::new();
        for (key, value) in all {
            settings.retain(|setting| setting.key != key);
            settings.push(Setting { key: key.into(), value: value.into() });
        }
        Pool { name: "San".into(), settings: Settings::read(&settings).unwrap() }
    }

    fn refused(written: &[(&str, &str)]) -> String {
        match wanted(&pool(written), [0; 6]) {
            Ok(_) => panic!("{written:?} was taken"),
            Err(error) => error.message,
        }
    }

    #[test]
    fn a_login_is_made_of_the_settings() {
        fief_sdk::native::grant_secret("one", b"secret123456");
        fief_sdk::native::grant_secret("two", b"mutual123456");
        let plain = wanted(&pool(&[]), [0; 6]).unwrap();
        assert_eq!(plain.initiator, "iqn.2026-01.org.fief:san");
        assert!(plain.credentials.is_none());
        let full = wanted(
            &pool(&[
                ("initiator-name", "iqn.2026-01.test:host"),
                ("user", "alice"),
                ("password", "one"),
                ("mutual-user", "bob"),
                ("mutual-password", "two"),
                ("data-digest", "crc32c"),
            ]),
            [0; 6],
        )
        .unwrap();
        let credentials = full.credentials.unwrap();
        assert_eq!((credentials.ours.name.as_str(), credentials.theirs.unwrap().name.as_str()), ("alice", "bob"));
        assert_eq!((full.wishes.header, full.wishes.data), (Wish::None, Wish::Require));
    }

    #[test]
    fn settings_that_do_not_fit_together_are_refused() {
        fief_sdk::native::grant_secret("one", b"secret123456");
        fief_sdk::native::grant_secret("short", b"secret");
        assert!(refused(&[("target", "disks")]).contains("setting target"));
        assert!(refused(&[("initiator-name", "iqn.a b")]).contains("setting initiator-name"));
        assert!(refused(&[("user", "alice")]).contains("needs password"));
        assert!(refused(&[("mutual-password", "one")]).contains("needs mutual-user"));
        assert!(refused(&[("mutual-user", "bob"), ("mutual-password", "one")]).contains("without user"));
        let short = refused(&[("user", "alice"), ("password", "short")]);
        assert!(short.contains("fewer than 12") && !short.contains("secret\""), "{short}");
        let same = [("user", "a"), ("password", "one"), ("mutual-user", "b"), ("mutual-password", "one")];
        assert!(refused(&same).contains("same secret"));
    }

    #[test]
    fn a_portal_is_written_as_an_address_is() {
        assert_eq!(portal(&pool(&[]).settings), "10.0.0.1:3260");
        assert_eq!(portal(&pool(&[("portal", "fd00::1"), ("port", "860")]).settings), "[fd00::1]:860");
    }
}
