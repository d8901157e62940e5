//! What stands before a volume's bytes: by which the right key is told from a wrong one, and no two volumes have the same. Pure,
//! but for [`Secret::reveal`].
//!
//! ```text
//!   0    "fief-crypt 1\n"
//!   16   salt, 32 bytes, drawn when the volume is first written to
//!   48   check: HMAC-SHA256(secret, "fief-crypt 1 check" ‖ salt)
//!   80   zeroes up to 4 KiB
//! ```
//! The two AES-256 keys of a volume are HMAC-SHA256(secret, "fief-crypt 1 data" ‖ salt), and the same of "tweak".

use fief_sdk::{Error, Result, SecretName, secrets};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Bytes of it.
pub const HEAD: u64 = 4 << 10;
const MAGIC: &[u8; 16] = b"fief-crypt 1\n\0\0\0";
const SALT: std::ops::Range<usize> = 16..48;
const CHECK: std::ops::Range<usize> = 48..80;
/// Fewest bytes of a secret. It is used as it is: what people remember is too easily found by trying.
const LEAST: usize = 32;

/// What an operator stored. It has no `Debug`.
pub(crate) struct Secret(Vec<u8>);

/// The keys of one volume.
pub(crate) struct Keys {
    pub(crate) data: [u8; 32],
    pub(crate) tweak: [u8; 32],
}

impl Secret {
    /// # Errors
    /// `denied`, `not-found`; `invalid`: it is too short.
    pub(crate) fn reveal(name: &SecretName) -> Result<Self> {
        Secret::of(secrets::reveal(name)?)
    }

    fn of(bytes: Vec<u8>) -> Result<Self> {
        match bytes.len() >= LEAST {
            true => Ok(Secret(bytes)),
            false => Err(Error::invalid(format!(
                "setting key: the secret has fewer than {LEAST} bytes; make one: openssl rand -base64 48 | fief secret set NAME"
            ))),
        }
    }

    fn derive(&self, what: &str, salt: &[u8]) -> [u8; 32] {
        // A key of any length is taken.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return [0; 32] };
        mac.update(format!("fief-crypt 1 {what}").as_bytes());
        mac.update(salt);
        mac.finalize().into_bytes().into()
    }

    /// A head for a volume that has none.
    pub(crate) fn head(&self, salt: [u8; 32]) -> Vec<u8> {
        let mut head = vec![0; HEAD as usize];
        head[..16].copy_from_slice(MAGIC);
        head[SALT].copy_from_slice(&salt);
        head[CHECK].copy_from_slice(&self.derive("check", &salt));
        head
    }

    /// None for a volume that was never written to.
    ///
    /// # Errors
    /// `denied`: it was encrypted by another secret. `corrupt`: it is no head.
    pub(crate) fn keys(&self, head: &[u8]) -> Result<Option<Keys>> {
        if head.len() != HEAD as usize {
            return Err(Error::corrupt("the volume's file is too short to be one"));
        }
        if head.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if head[..16] != *MAGIC {
            return Err(Error::corrupt("the volume's file was not written by this plugin"));
        }
        let salt = &head[SALT];
        if self.derive("check", salt) != head[CHECK] {
            return Err(Error::denied("the volume was encrypted by another secret than the pool's key"));
        }
        Ok(Some(Keys { data: self.derive("data", salt), tweak: self.derive("tweak", salt) }))
    }
}

#[cfg(test)]
mod tests {
    use fief_sdk::ErrorCode;

    use super::*;

    #[test]
    fn the_right_secret_opens_and_no_other() {
        let secret = Secret::of(vec![7; 32]).unwrap();
        let head = secret.head([1; 32]);
        let keys = secret.keys(&head).unwrap().unwrap();
        let other = secret.keys(&secret.head([2; 32])).unwrap().unwrap();
        assert!(keys.data != keys.tweak && keys.data != other.data && keys.tweak != other.tweak);
        let code = |secret: &Secret, head: &[u8]| secret.keys(head).map(drop).unwrap_err().code;
        assert_eq!(code(&Secret::of(vec![8; 32]).unwrap(), &head), ErrorCode::Denied);
        assert!(secret.keys(&vec![0; HEAD as usize]).unwrap().is_none());
        assert_eq!(code(&secret, &vec![1; HEAD as usize]), ErrorCode::Corrupt);
        assert_eq!(code(&secret, &head[..100]), ErrorCode::Corrupt);
        assert_eq!(Secret::of(vec![7; 31]).map(drop).unwrap_err().code, ErrorCode::Invalid);
    }
}
