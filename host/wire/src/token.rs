//! The token that an operator carries from the host that invites to the host that is invited.
//!
//! ```text
//!   fief1- hexadecimal of: fingerprint of the inviting host's certificate (SHA-256) 32 · invitation 8 · secret 16 · check 4
//! ```
//! The check is the beginning of a SHA-256 of the rest: half a token, or one with a letter wrong, is told from a token
//! that is refused.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::text::{hex, unhex};

const HEAD: &str = "fief1-";
const CHECK: usize = 4;

/// No `Debug` of the secret; whoever prints it says so by [`Token::reveal`].
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Of the inviting host's certificate.
    pub fingerprint: [u8; 32],
    pub invitation: [u8; 8],
    pub secret: [u8; 16],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoToken(&'static str);

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for NoToken {}

impl Token {
    /// As it is carried.
    pub fn reveal(&self) -> String {
        let mut bytes = [&self.fingerprint[..], &self.invitation, &self.secret].concat();
        bytes.extend_from_slice(&Sha256::digest(&bytes)[..CHECK]);
        let text = format!("{HEAD}{}", hex(&bytes));
        bytes.fill(0);
        text
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", hex(&self.invitation))
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.secret.fill(0);
        // Whoever might look is not known to the compiler, so the zeroes have to be there.
        std::hint::black_box(&self.secret);
    }
}

impl FromStr for Token {
    type Err = NoToken;
    fn from_str(text: &str) -> Result<Self, NoToken> {
        let digits = text.trim().strip_prefix(HEAD).ok_or(NoToken("a token begins with fief1-"))?;
        let bytes: [u8; 60] = unhex(digits).ok_or(NoToken("it is not all of a token, or more"))?;
        let (said, check) = bytes.split_at(60 - CHECK);
        if Sha256::digest(said)[..CHECK] != *check {
            return Err(NoToken("it is not a token as it was printed"));
        }
        let mut token = Token { fingerprint: [0; 32], invitation: [0; 8], secret: [0; 16] };
        token.fingerprint.copy_from_slice(&said[..32]);
        token.invitation.copy_from_slice(&said[32..40]);
        token.secret.copy_from_slice(&said[40..]);
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_as_itself_and_a_torn_one_is_told() {
        let token = Token { fingerprint: [7; 32], invitation: [1; 8], secret: *b"canary-of-a-test" };
        let text = token.reveal();
        assert_eq!(text.parse::<Token>().unwrap(), token);
        assert_eq!(format!(" {text}\n").parse::<Token>().unwrap(), token);
        assert!(!format!("{token:?}").contains(&hex(b"canary")));
        for at in 0..text.len() {
            assert!(text[..at].parse::<Token>().is_err());
            let mut torn = text.clone().into_bytes();
            torn[at] = if torn[at] == b'0' { b'1' } else { b'0' };
            assert!(String::from_utf8(torn).unwrap().parse::<Token>().is_err(), "{at}");
        }
        assert!((text + "0").parse::<Token>().is_err());
    }
}
