//! CHAP, one way and mutual (RFC 7143, section 12.1.3; RFC 1994), with MD5 or SHA-256.

use std::cell::RefCell;

use md5::{Digest, Md5};
use sha2::Sha256;

/// Shortest secret that may be used where nothing else protects the connection (section 9.2.1): 96 bits.
pub const SHORTEST_SECRET: usize = 12;
/// Longest challenge or response (section 12.1.3), in bytes.
const LONGEST: usize = 1024;
/// Bytes of our own challenges.
const CHALLENGE: usize = 32;
/// Challenges of ours that are remembered, to be recognised when they come back.
const REMEMBERED: usize = 64;

/// A name and its secret. No Debug: it would print the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub secret: Vec<u8>,
}

/// Who we are, and who the target has to be.
#[derive(Clone)]
pub struct Credentials {
    pub ours: Account,
    /// Where the target must prove itself too.
    pub theirs: Option<Account>,
}

/// What is offered: values of `CHAP_A`. MD5 comes first, although SHA-256 is better: there are targets (tgt 1.0) that
/// mean SHA-1 by 7, and take the first that they know. With secrets of 96 bits and more, MD5 still keeps them.
pub const OFFER: &str = "5,7";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    pub fn read(word: &str) -> Option<Self> {
        match word {
            "5" => Some(Algorithm::Md5),
            "7" => Some(Algorithm::Sha256),
            _ => None,
        }
    }

    /// What proves that we know the secret: the hash of identifier, secret and challenge.
    pub fn response(self, identifier: u8, secret: &[u8], challenge: &[u8]) -> Vec<u8> {
        match self {
            Algorithm::Md5 => hash::<Md5>(identifier, secret, challenge),
            Algorithm::Sha256 => hash::<Sha256>(identifier, secret, challenge),
        }
    }
}

fn hash<D: Digest>(identifier: u8, secret: &[u8], challenge: &[u8]) -> Vec<u8> {
    D::new().chain_update([identifier]).chain_update(secret).chain_update(challenge).finalize().to_vec()
}

/// A challenge of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    pub identifier: u8,
    pub bytes: Vec<u8>,
}

thread_local! {
    /// What we asked of targets lately. One that gives it back wants us to answer our own question for it.
    static ASKED: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

impl Challenge {
    /// A new one, from the host's random source.
    pub fn new() -> Option<Self> {
        let mut bytes = vec![0; CHALLENGE + 1];
        getrandom::fill(&mut bytes).ok()?;
        let identifier = bytes.pop()?;
        ASKED.with_borrow_mut(|asked| {
            if asked.len() == REMEMBERED {
                asked.remove(0);
            }
            asked.push(bytes.clone());
        });
        Some(Challenge { identifier, bytes })
    }

    /// Whether a target asks us what we asked one.
    pub fn is_reflected(challenge: &[u8]) -> bool {
        ASKED.with_borrow(|asked| asked.iter().any(|ours| ours == challenge))
    }
}

/// Whether two responses are equal, in a time that does not tell where they differ.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// Binary values as negotiation writes them (section 6.1): `0x…`.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// `0x` with hexadecimal digits or `0b` with base64; none where it is neither, is empty, or is longer than a challenge.
pub fn binary(text: &str) -> Option<Vec<u8>> {
    let (kind, digits) = text.split_at_checked(2)?;
    let bytes = match kind {
        "0x" | "0X" => from_hex(digits)?,
        "0b" | "0B" => from_base64(digits)?,
        _ => return None,
    };
    (!bytes.is_empty() && bytes.len() <= LONGEST).then_some(bytes)
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    if !digits.len().is_multiple_of(2) || digits.len() > 2 * LONGEST {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16);
    digits.chunks(2).map(|pair| u8::try_from(value(pair[0])? << 4 | value(pair[1])?).ok()).collect()
}

/// RFC 4648, section 4.
fn from_base64(digits: &str) -> Option<Vec<u8>> {
    if digits.len() > 2 * LONGEST {
        return None;
    }
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn responses_are_those_of_the_algorithms() {
        // echo -ne '\x07secret123456challenge' | md5sum, sha256sum
        let response = |algorithm: Algorithm| hex(&algorithm.response(7, b"secret123456", b"challenge"));
        assert_eq!(response(Algorithm::Md5), "0x5fcd72df4a91af60ca6e75be940bf226");
        assert_eq!(response(Algorithm::Sha256), "0x82179be26a6da416563bcf473d60b086737c6b1b1d2c61401b34444145c73e92");
    }

    #[test]
    fn a_challenge_that_comes_back_is_known() {
        let ours = Challenge::new().unwrap();
        assert!(Challenge::is_reflected(&ours.bytes));
        assert!(!Challenge::is_reflected(b"another"));
        assert_ne!(Challenge::new().unwrap().bytes, ours.bytes);
    }

    #[test]
    fn binary_values_have_two_forms() {
        assert_eq!(binary("0x00ffA5"), Some(vec![0, 0xff, 0xa5]));
        assert_eq!(binary("0bAP+l"), Some(vec![0, 0xff, 0xa5]));
        assert_eq!(binary("0bAA=="), Some(vec![0]));
        for bad in ["", "0x", "0xf", "0xzz", "ff", "0b*", "é", &format!("0x{}", "00".repeat(1025))] {
            assert_eq!(binary(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_equal_responses_are_equal() {
        assert!(equal(b"abc", b"abc"));
        assert!(!equal(b"abc", b"abd"));
        assert!(!equal(b"abc", b"ab"));
    }

    proptest! {
        #[test]
        fn hexadecimal_goes_there_and_back(bytes in prop::collection::vec(any::<u8>(), 1..200)) {
            prop_assert_eq!(binary(&hex(&bytes)), Some(bytes));
        }
        #[test]
        fn no_text_makes_the_reader_panic(text in "0[xb]\\PC*") {
            let _ = binary(&text);
        }
    }
}
