//! Who we are to a registry: a file of credentials as `docker login` and `podman login` write it (containers-auth.json(5)).
//! Programs that such a file names are not run.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oci_client::Reference;
use serde::Deserialize;

use super::order::Login;
use crate::config::reader;
use crate::error::{Context, Failure, Result};

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    /// `USER:PASSWORD`, in Base64.
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

/// # Errors
/// `NotFound`, `Denied` where others may read it, `Usage` where it has nothing for that registry.
pub(super) fn read(path: &Path, reference: &Reference) -> Result<Login> {
    let shown = path.display();
    let file = reader::open(path)?;
    let metadata = file.metadata().context(|| format!("cannot look at {shown}"))?;
    if metadata.mode() & 0o077 != 0 && metadata.is_file() {
        return Err(Failure::denied(format!("others may read the credentials in {shown}"))
            .hint(format!("chmod 600 {shown}; and make others, if somebody may have read them")));
    }
    let text = reader::read_all(file, &shown.to_string())?;
    // Not the error itself: it may quote what it stumbled over.
    let file: File = serde_json::from_slice(&text).map_err(|error| {
        Failure::usage(format!("{shown} holds no credentials for registries"))
            .because(std::io::Error::other(format!("line {} is not as docker login writes it", error.line())))
    })?;
    let nothing = |why: String| {
        Failure::usage(format!("{shown} has no credentials for {}: {why}", reference.registry()))
            .hint("docker login writes them there, unless it hands them to a credential helper: fief runs none")
    };
    let entry = entry(&file, reference).ok_or_else(|| nothing("no entry under auths is for it".to_owned()))?;
    login(entry).ok_or_else(|| nothing("its entry has no user and password".to_owned()))
}

/// The entry of the longest name that leads to the repository.
fn entry<'a>(file: &'a File, reference: &Reference) -> Option<&'a Entry> {
    let mut place = format!("{}/{}", reference.registry(), reference.repository());
    loop {
        if let Some((_, entry)) = file.auths.iter().find(|(name, _)| bare(name) == place) {
            return Some(entry);
        }
        place.truncate(place.rfind('/')?);
    }
}

/// A name as docker writes it (`https://index.docker.io/v1/`), without what does not name the registry.
fn bare(name: &str) -> &str {
    let name = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://")).unwrap_or(name);
    let name = name.trim_end_matches('/');
    let name = name.strip_suffix("/v1").or_else(|| name.strip_suffix("/v2")).unwrap_or(name);
    if name == "index.docker.io" { "docker.io" } else { name }
}

fn login(entry: &Entry) -> Option<Login> {
    if !entry.auth.is_empty() {
        let plain = String::from_utf8(STANDARD.decode(entry.auth.trim()).ok()?).ok()?;
        let (user, password) = plain.split_once(':')?;
        return Some(Login { user: user.to_owned(), password: password.trim_end_matches('\0').to_owned() });
    }
    let Entry { auth: _, username, password } = entry;
    (!username.is_empty()).then(|| Login { user: username.clone(), password: password.clone() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::error::Kind;

    fn found(text: &str, reference: &str) -> Result<Login> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        read(&path, &reference.parse().unwrap())
    }

    #[test]
    fn the_longest_name_that_leads_to_a_repository_is_taken() {
        // alice:wonder, bob:
        let text = r#"{"auths":{
            "registry.example":{"auth":"YWxpY2U6d29uZGVy"},
            "registry.example/team":{"username":"carol","password":"sea"},
            "https://index.docker.io/v1/":{"auth":"Ym9iOg=="}}}"#;
        let user = |reference: &str| found(text, reference).map(|login| (login.user, login.password)).ok();
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(user("registry.example/disk:1"), pair("alice", "wonder"));
        assert_eq!(user("registry.example/team/disk:1"), pair("carol", "sea"));
        assert_eq!(user("docker.io/acme/disk:1"), pair("bob", ""));
        assert_eq!(user("other.example/disk:1"), None);
    }

    #[test]
    fn a_file_without_credentials_does_not_show_what_it_holds() {
        for text in [
            r#"{"auths":{"registry.example":{}}}"#,
            r#"{"credHelpers":{"registry.example":"x"}}"#,
            "canary",
            "{\"auths\":{\"registry.example\":\"canary\"}}",
        ] {
            let failure = found(text, "registry.example/disk:1").err().unwrap();
            assert_eq!(failure.kind, Kind::Usage, "{text}");
            assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
        }
    }
}
