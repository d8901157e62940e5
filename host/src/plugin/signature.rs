//! Who vouches for a plugin's bytes: an Ed25519 signature (RFC 8032) that is the last section of the component.
//!
//! ```text
//!   component ‖ custom section "fief:signature": version 1 │ public key, 32 bytes │ signature, 64 bytes
//!               the signature is over "fief plugin signature 1\0" ‖ SHA-256(component)
//! ```
//! To take the section away makes the plugin an unsigned one: a signature keeps nobody from changing bytes, it lets policy
//! tell whose they are (`config/policy/trust.rs`).

use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::error::{Context, Failure, Kind, Result};
use crate::types::{Digest, Signer, hex, unhex};

/// The custom section that holds the signature.
pub const SIGNATURE_SECTION: &str = "fief:signature";
const VERSION: u8 = 1;
const KEY: usize = 32;
const SIGNATURE: usize = 64;
/// Before what is signed, so that no signature made for anything else is one of a plugin.
const PURPOSE: &[u8] = b"fief plugin signature 1\0";
/// Section id, its size, the length of the name (each one byte in LEB128), the name, and what is in it.
const SECTION: usize = 3 + SIGNATURE_SECTION.len() + CONTENT;
const CONTENT: usize = 1 + KEY + SIGNATURE;
/// Longest file of a key, in bytes.
const KEY_FILE_MAX: u64 = 4096;

/// A key that plugins are signed with.
pub struct SigningKey {
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("signer", &self.signer()).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// # Errors
    /// Where the system has no random bytes.
    pub fn generate() -> Result<SigningKey> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| Failure::other("the system gives no random bytes"))?;
        SigningKey::from_seed(seed)
    }

    fn from_seed(seed: [u8; 32]) -> Result<SigningKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
            .map_err(|error| Failure::other("this is no key").because(std::io::Error::other(error.to_string())))?;
        Ok(SigningKey { seed, pair })
    }

    pub fn signer(&self) -> Signer {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        Signer::from_bytes(key)
    }

    /// What its file holds.
    pub fn text(&self) -> String {
        let seed = hex(&self.seed);
        format!(
            "# Signs plugins of fief. Whoever has this file signs as you: keep it to yourself.\nsigner = \"{}\"\nsecret = \"{seed}\"\n",
            self.signer()
        )
    }

    /// # Errors
    /// `Usage` where the file holds no key, `Denied` where others may read it.
    pub fn read(path: &Path) -> Result<SigningKey> {
        use std::io::Read;
        use std::os::unix::fs::MetadataExt;
        let shown = path.display();
        let saying = || format!("cannot read the key {shown}");
        let wrong = |why: &str| {
            Failure::usage(format!("{shown} holds no key that signs plugins: {why}"))
                .hint("`fief plugin keygen FILE` makes one")
        };
        let file = match std::fs::File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Failure::not_found(format!("there is no file {shown}"))
                    .hint("`fief plugin keygen FILE` makes a key"));
            }
            other => other.context(saying)?,
        };
        let metadata = file.metadata().context(saying)?;
        if metadata.mode() & 0o077 != 0 && metadata.is_file() {
            return Err(Failure::denied(format!("others may read the key {shown}"))
                .hint(format!("chmod 600 {shown}; and make another key, if somebody may have read it")));
        }
        let mut text = String::new();
        file.take(KEY_FILE_MAX).read_to_string(&mut text).map_err(|_| wrong("it is no text"))?;
        let table: toml::Table = text.parse().map_err(|_| wrong("it is no TOML"))?;
        let word =
            |key: &str| table.get(key).and_then(toml::Value::as_str).ok_or_else(|| wrong(&format!("{key} is missing")));
        let key =
            SigningKey::from_seed(unhex(word("secret")?).ok_or_else(|| wrong("secret is not 64 hexadecimal digits"))?)?;
        match word("signer")?.parse::<Signer>() {
            Ok(signer) if signer == key.signer() => Ok(key),
            Ok(_) | Err(_) => Err(wrong("its two halves do not belong together")),
        }
    }

    /// The plugin with this key's signature in the place of any that it had.
    pub fn sign(&self, plugin: &[u8]) -> Vec<u8> {
        let component = split(plugin).map_or(plugin, |(component, _)| component);
        let signature = self.pair.sign(&message(component));
        let mut signed = component.to_vec();
        signed.extend([0, (1 + SIGNATURE_SECTION.len() + CONTENT) as u8, SIGNATURE_SECTION.len() as u8]);
        signed.extend(SIGNATURE_SECTION.as_bytes());
        signed.push(VERSION);
        signed.extend(self.signer().bytes());
        signed.extend(signature.as_ref());
        signed
    }
}

/// Who signed those bytes; none where nobody did.
///
/// # Errors
/// `Denied` where there is a signature that is not of these bytes.
pub fn signer(plugin: &[u8]) -> Result<Option<Signer>> {
    let Some((component, content)) = split(plugin) else { return Ok(None) };
    let forged = |why: &str| {
        Failure::new(Kind::Denied, format!("the plugin's signature is not valid: {why}"))
            .hint("its bytes were changed after it was signed: get it anew from whoever made it")
    };
    let (version, rest) = (content[0], &content[1..]);
    if version != VERSION {
        return Err(Failure::new(
            Kind::Denied,
            format!("the plugin's signature is of version {version}, which this fief does not know"),
        )
        .hint("use a newer fief"));
    }
    let (key, signature) = rest.split_at(KEY);
    UnparsedPublicKey::new(&ED25519, key)
        .verify(&message(component), signature)
        .map_err(|_| forged("it is of other bytes"))?;
    let mut bytes = [0; KEY];
    bytes.copy_from_slice(key);
    Ok(Some(Signer::from_bytes(bytes)))
}

/// Whether there is a signature, valid or not.
pub fn is_signed(plugin: &[u8]) -> bool {
    split(plugin).is_some()
}

fn message(component: &[u8]) -> Vec<u8> {
    [PURPOSE, &Digest::of(component).bytes()].concat()
}

/// What is signed, and what its signature's section holds.
fn split(plugin: &[u8]) -> Option<(&[u8], &[u8])> {
    let (component, section) = plugin.split_at(plugin.len().checked_sub(SECTION)?);
    let content =
        section.strip_prefix(&[0, (1 + SIGNATURE_SECTION.len() + CONTENT) as u8, SIGNATURE_SECTION.len() as u8])?;
    Some((component, content.strip_prefix(SIGNATURE_SECTION.as_bytes())?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed([seed; 32]).unwrap()
    }

    #[test]
    fn a_signature_is_the_last_section_and_takes_the_place_of_one_before() {
        let plugin = b"\0asm a component".to_vec();
        assert_eq!(signer(&plugin).unwrap(), None);
        let signed = key(1).sign(&plugin);
        assert_eq!((signed.len(), &signed[..plugin.len()]), (plugin.len() + SECTION, &plugin[..]));
        assert_eq!(signer(&signed).unwrap(), Some(key(1).signer()));
        let again = key(2).sign(&signed);
        assert_eq!((again.len(), signer(&again).unwrap()), (signed.len(), Some(key(2).signer())));
        // It is deterministic (RFC 8032): the same key signs to the same bytes.
        assert_eq!(key(1).sign(&again), signed);
        let reader = wasmparser::Parser::new(0);
        let module = [&b"\0asm\x0d\0\x01\0"[..]].concat();
        let names: Vec<String> = reader
            .parse_all(&key(3).sign(&module))
            .filter_map(|payload| match payload.unwrap() {
                wasmparser::Payload::CustomSection(section) => Some(section.name().to_owned()),
                _ => None,
            })
            .collect();
        assert_eq!(names, [SIGNATURE_SECTION]);
    }

    #[test]
    fn a_key_is_read_back_where_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let generated = SigningKey::generate().unwrap();
        let write = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        write(&generated.text(), 0o600);
        assert_eq!(SigningKey::read(&path).unwrap().signer(), generated.signer());
        write(&generated.text(), 0o640);
        assert_eq!(SigningKey::read(&path).unwrap_err().kind, Kind::Denied);
        let other = key(1).text();
        let mixed = generated.text().lines().nth(1).unwrap().to_owned() + "\n" + other.lines().nth(2).unwrap();
        for wrong in ["", "x = 1", "signer = 1\nsecret = 2", &mixed, &other.replace("01", "0")] {
            write(wrong, 0o600);
            assert_eq!(SigningKey::read(&path).unwrap_err().kind, Kind::Usage, "{wrong}");
        }
        assert_eq!(SigningKey::read(&folder.path().join("none")).unwrap_err().kind, Kind::NotFound);
    }

    proptest! {
        /// Whatever is changed: it is not the signer's any more, or it is unsigned.
        #[test]
        fn no_changed_byte_is_the_signers(at in 0usize..140, bit in 0u8..8, bytes in proptest::collection::vec(any::<u8>(), 26)) {
            let mut signed = key(1).sign(&bytes);
            let at = at % signed.len();
            signed[at] ^= 1 << bit;
            prop_assert_ne!(signer(&signed).ok().flatten(), Some(key(1).signer()));
            signed.truncate(at);
            prop_assert_eq!(signer(&signed).ok().flatten(), None);
        }

        #[test]
        fn any_bytes_are_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = signer(&bytes);
        }
    }
}
