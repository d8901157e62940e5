//! Who this host is to other hosts: a key of its own, and a certificate for it that it signed itself. `host/peer-identity`,
//! made once. Its dates say nothing (docs/decisions/0016): the certificate is trusted where it is pinned, for as long as
//! it is, so a host whose clock is wrong is still itself.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use fief_wire::text::hex;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ED25519};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Failure, Kind, Result};
use crate::gate::{host_id, secret};
use crate::layout::Layout;
use crate::sys::durable;
use crate::types::{Digest, Secret};

/// For another command to make it.
const LOCK_LIMIT: Duration = Duration::from_secs(5);

pub struct Identity {
    certificate: CertificateDer<'static>,
    /// PKCS #8.
    key: Secret,
    pub fingerprint: Digest,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.fingerprint)
    }
}

/// As the file has it; both in hexadecimal.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Kept {
    certificate: String,
    key: String,
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(Secret::new(std::mem::take(&mut self.key).into_bytes()));
    }
}

impl Identity {
    /// This host's, which is made where there is none. From here on this process leaves no core dump.
    ///
    /// # Errors
    /// `Denied` where others could read its key; `NeedsRecover` where the file does not hold what was written there.
    pub fn own(layout: &Layout) -> Result<Identity> {
        secret::stay_private()?;
        let host = host_id::this(layout)?;
        let path = layout.host().join("peer-identity");
        let saying = || format!("cannot read {}", path.display());
        let _lock = durable::lock(&layout.host().join("peer-identity.lock"), LOCK_LIMIT)?;
        let bytes = match std::fs::File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let kept = make(&host.id.to_string())?;
                let bytes = Secret::new(serde_json::to_vec(&kept).context(|| "cannot write down a key".to_owned())?);
                durable::write(&path, bytes.reveal())?;
                bytes
            }
            other => {
                let mut file = other.context(saying)?;
                let mode = file.metadata().context(saying)?.mode();
                if mode & 0o077 != 0 {
                    let message = format!("the key of this host is not one: its mode is {:04o}", mode & 0o7777);
                    return Err(Failure::denied(message)
                        .hint(format!("see who read it, then remove {}, and pair this host anew", path.display())));
                }
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut file, &mut bytes).context(saying)?;
                Secret::new(bytes)
            }
        };
        let broken = || {
            Failure::new(Kind::NeedsRecover, saying())
                .hint("put back what it held, from a backup; without one remove it, and pair this host anew")
        };
        let kept: Kept = serde_json::from_slice(bytes.reveal()).map_err(|error| broken().because(error))?;
        let (certificate, key) = (unhex(&kept.certificate), unhex(&kept.key));
        let (Some(certificate), Some(key)) = (certificate, key) else { return Err(broken()) };
        Ok(Identity::of(certificate, key))
    }

    fn of(certificate: Vec<u8>, key: Vec<u8>) -> Identity {
        let fingerprint = Digest::of(&certificate);
        Identity { certificate: certificate.into(), key: Secret::new(key), fingerprint }
    }

    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.reveal().to_vec()).into()
    }

    /// In the place of that host's own.
    #[cfg(test)]
    pub(super) fn keep(&self, layout: &Layout) {
        let kept = Kept { certificate: hex(&self.certificate), key: hex(self.key.reveal()) };
        std::fs::create_dir_all(layout.host()).unwrap();
        durable::write(&layout.host().join("peer-identity"), &serde_json::to_vec(&kept).unwrap()).unwrap();
    }

    /// One of nobody, whose dates are these years.
    #[cfg(test)]
    pub(super) fn of_years(from: i32, to: i32) -> Identity {
        let kept = make_of("test", from, to).unwrap();
        Identity::of(unhex(&kept.certificate).unwrap(), unhex(&kept.key).unwrap())
    }
}

fn make(host: &str) -> Result<Kept> {
    make_of(host, 2000, 9999)
}

fn make_of(host: &str, from: i32, to: i32) -> Result<Kept> {
    let failed = |error: rcgen::Error| Failure::other("cannot make a certificate").because(error);
    let key = KeyPair::generate_for(&PKCS_ED25519).map_err(failed)?;
    let mut wanted = CertificateParams::default();
    wanted.distinguished_name.push(DnType::CommonName, format!("fief {host}"));
    wanted.not_before = rcgen::date_time_ymd(from, 1, 1);
    wanted.not_after = rcgen::date_time_ymd(to, 1, 1);
    let certificate = wanted.self_signed(&key).map_err(failed)?;
    Ok(Kept { certificate: hex(certificate.der()), key: hex(key.serialized_der()) })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_host_keeps_its_key_to_itself_and_stays_who_it_is() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let first = Identity::own(&layout).unwrap();
        let again = Identity::own(&layout).unwrap();
        assert_eq!((first.fingerprint, &first.key), (again.fingerprint, &again.key));
        let path = layout.host().join("peer-identity");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert!(!format!("{first:?}").contains(&hex(first.key.reveal())));

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(Identity::own(&layout).unwrap_err().kind, Kind::Denied);
        for broken in ["", "{}", "{\"certificate\":\"0\",\"key\":\"00\"}"] {
            durable::write(&path, broken.as_bytes()).unwrap();
            assert_eq!(Identity::own(&layout).unwrap_err().kind, Kind::NeedsRecover, "{broken}");
        }
    }
}
