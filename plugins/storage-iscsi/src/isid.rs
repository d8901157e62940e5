//! The initiator's half of a session's name (RFC 7143, section 11.12.5), of the form "random": 24 bits, and 16 more.
//!
//! A login with the name of a session that still is takes its place (section 6.3.5). So a served volume always logs in
//! with the same one, which ends what its predecessor left half done, and control calls with a new one each, so that
//! they leave each other alone.

use fief_sdk::{Error, Result};
use sha2::{Digest, Sha256};

const RANDOM: u8 = 0x80;

fn of(bytes: [u8; 5]) -> [u8; 6] {
    [RANDOM, bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]]
}

/// A new one.
///
/// # Errors
/// The host gives no random numbers.
pub fn new() -> Result<[u8; 6]> {
    let mut bytes = [0; 5];
    getrandom::fill(&mut bytes).map_err(|_| Error::io("the host gives no random numbers"))?;
    Ok(of(bytes))
}

/// The same for the same words.
pub fn for_words(words: &[&str]) -> [u8; 6] {
    let [a, b, c, d, e, ..] = digest(words);
    of([a, b, c, d, e])
}

/// A hash that tells `["ab", "c"]` from `["a", "bc"]`.
pub fn digest(words: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for word in words {
        hash.update((word.len() as u64).to_be_bytes());
        hash.update(word);
    }
    hash.finalize().into()
}
