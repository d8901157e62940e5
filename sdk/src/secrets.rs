//! The bytes of secrets that the operator stored and granted.

use crate::error::Result;
use crate::settings::SecretName;

/// The secret that a setting names. Keep it out of logs and errors: the host cannot see to that.
///
/// # Errors
/// `denied` without a grant, `not-found` where the operator has not stored it.
pub fn reveal(secret: &SecretName) -> Result<Vec<u8>> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::host::fief::storage::secrets::reveal(&secret.0);
    #[cfg(not(target_family = "wasm"))]
    crate::native::grants::secret(&secret.0)
}
