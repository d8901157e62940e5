//! That a host knows the secret of an invitation, without saying it, and for one TLS session alone.
//!
//! It is the client's half of SCRAM (RFC 5802, section 3) with the channel of RFC 9266 (`tls-exporter`). The secret is
//! random and long, so nothing is salted or iterated. What the inviting host keeps, the `StoredKey`, checks a proof and
//! makes none: whoever reads it from a disk or a backup cannot join by it. A proof that was overheard or relayed is of no
//! use in another session, since the exporter and both certificates are in what is signed.
//!
//! ```text
//!   ClientKey = HMAC(secret, "…client")      StoredKey = SHA-256(ClientKey)
//!   proof = ClientKey ⊕ HMAC(StoredKey, invitation ‖ exporter)
//! ```

use ring::hmac;
use sha2::{Digest as _, Sha256};

const CLIENT: &[u8] = b"fief pairing: client key";

pub(super) type Bytes = [u8; 32];

fn client_key(secret: &[u8]) -> Bytes {
    signed(secret, CLIENT)
}

fn signed(key: &[u8], what: &[u8]) -> Bytes {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), what);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

/// What the inviting host keeps.
pub(super) fn verifier(secret: &[u8]) -> Bytes {
    Sha256::digest(client_key(secret)).into()
}

/// What the invited host sends. `binding` is the session's.
pub(super) fn prove(secret: &[u8], invitation: &[u8], binding: &Bytes) -> Bytes {
    either(client_key(secret), signature(&verifier(secret), invitation, binding))
}

pub(super) fn is_proven(verifier: &Bytes, invitation: &[u8], binding: &Bytes, proof: &Bytes) -> bool {
    let claimed: Bytes = Sha256::digest(either(*proof, signature(verifier, invitation, binding))).into();
    // No early end: how much of it was right is not to be told by time.
    claimed.iter().zip(verifier).fold(0, |differ, (one, other)| differ | (one ^ other)) == 0
}

fn signature(verifier: &Bytes, invitation: &[u8], binding: &Bytes) -> Bytes {
    signed(verifier, &[invitation, binding].concat())
}

fn either(one: Bytes, other: Bytes) -> Bytes {
    std::array::from_fn(|at| one[at] ^ other[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_good_for_its_secret_its_invitation_and_its_session() {
        let (kept, binding) = (verifier(b"secret"), [7; 32]);
        let proof = prove(b"secret", b"one", &binding);
        assert!(is_proven(&kept, b"one", &binding, &proof));
        assert!(!is_proven(&kept, b"one", &[8; 32], &proof));
        assert!(!is_proven(&kept, b"two", &binding, &proof));
        assert!(!is_proven(&verifier(b"other"), b"one", &binding, &proof));
        assert!(!is_proven(&kept, b"one", &binding, &prove(b"secreT", b"one", &binding)));
        // What is kept does not help to make one.
        assert!(!is_proven(&kept, b"one", &binding, &prove(&kept, b"one", &binding)));
        assert!(!is_proven(&kept, b"one", &binding, &either(kept, signature(&kept, b"one", &binding))));
    }
}
