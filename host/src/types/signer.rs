//! The public key that plugins are signed with.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, hex, text_serde, unhex};

/// A public key of Ed25519 (RFC 8032, section 5.1.5), written `ed25519:` and 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signer([u8; 32]);

impl Signer {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Signer(bytes)
    }
    pub const fn bytes(self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ed25519:{}", hex(&self.0))
    }
}

impl FromStr for Signer {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let malformed = || Invalid::new("a signer is written ed25519: and 64 hexadecimal digits");
        let digits = text.strip_prefix("ed25519:").ok_or_else(malformed)?;
        unhex(digits).map(Signer).ok_or_else(malformed)
    }
}

text_serde!(Signer);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signer_reads_back_as_itself() {
        // RFC 8032, section 7.1, test 1.
        let text = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let signer: Signer = text.parse().unwrap();
        assert_eq!((signer.to_string().as_str(), signer.bytes()[..2].to_vec()), (text, vec![0xd7, 0x5a]));
        for wrong in ["", "ed25519:", &text[8..], &text[..60], &text.replace("d7", "g7"), &text.replace("d7", "é")] {
            assert!(wrong.parse::<Signer>().is_err(), "{wrong}");
        }
    }
}
