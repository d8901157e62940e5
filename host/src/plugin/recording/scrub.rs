//! Secrets out of what is written down: looked for as they are, in base64, in hexadecimal and percent-encoded, and replaced
//! by a placeholder of the same length in the same clothes. A plugin that is given the placeholder in place of the secret
//! says the same again, as far as it only passes it on. Pure.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use memchr::memmem;
use serde_json::Value;

use crate::types::{Secret, hex};

/// Shorter ones, in bytes, cannot be told from what only looks like them.
pub(super) const SHORTEST: usize = 4;
/// What stands for each byte: a digit in decimal, in hexadecimal and in base64.
const PLACEHOLDER: u8 = b'0';
/// RFC 4648, table 1.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What is looked for.
#[derive(Default)]
pub(super) struct Scrub {
    secrets: Vec<Hidden>,
}

/// Bytes, and what stands in their place.
struct Hidden {
    bytes: Secret,
    placeholder: Vec<u8>,
}

/// What stands for a secret: its length stays, white space at its ends and the first colon, so that it is taken apart in
/// the same way.
pub(super) fn placeholder(secret: &[u8]) -> Vec<u8> {
    let inner = inner(secret);
    let colon = secret.iter().position(|byte| *byte == b':');
    let stands_for = |(at, byte): (usize, &u8)| match inner.contains(&at) && Some(at) != colon {
        true => PLACEHOLDER,
        false => *byte,
    };
    secret.iter().enumerate().map(stands_for).collect()
}

/// A secret without the white space around it.
fn inner(secret: &[u8]) -> Range<usize> {
    let start = secret.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(secret.len());
    let end = secret.iter().rposition(|byte| !byte.is_ascii_whitespace()).map_or(start, |last| last + 1);
    start..end
}

impl Scrub {
    /// Looks for this one too: all of it, each of its lines, what stands behind its first colon, and what it stands for where
    /// it is hexadecimal or base64.
    ///
    /// # Errors
    /// Where it is too short to be looked for.
    pub(super) fn hide(&mut self, secret: &[u8]) -> Result<(), TooShort> {
        let place = placeholder(secret);
        let range = inner(secret);
        if range.len() < SHORTEST {
            return Err(TooShort);
        }
        let whole = secret[range.clone()].to_vec();
        for (text, place) in lines(&secret[range.clone()], &place[range]) {
            self.also(text, place);
            if let Some(colon) = text.iter().position(|byte| *byte == b':') {
                self.also(&text[colon + 1..], &place[colon + 1..]);
            }
        }
        // A key is often kept as text and used as bytes.
        for decoded in decoded(&whole) {
            let place = vec![PLACEHOLDER; decoded.len()];
            self.also(&decoded, &place);
        }
        self.also(secret, &placeholder(secret));
        // What holds another comes first, else its rest would stay.
        self.secrets.sort_by_key(|hidden| std::cmp::Reverse(hidden.bytes.reveal().len()));
        Ok(())
    }

    fn also(&mut self, bytes: &[u8], placeholder: &[u8]) {
        let known = |hidden: &Hidden| hidden.bytes.reveal() == bytes;
        if bytes.len() >= SHORTEST && bytes != placeholder && !self.secrets.iter().any(known) {
            self.secrets.push(Hidden { bytes: Secret::new(bytes.to_vec()), placeholder: placeholder.to_vec() });
        }
    }

    /// Replaces each secret in place; the length stays.
    pub(super) fn bytes(&self, bytes: &mut [u8]) {
        for hidden in &self.secrets {
            let secret = hidden.bytes.reveal();
            for at in all(bytes, secret) {
                bytes[at..at + secret.len()].copy_from_slice(&hidden.placeholder);
            }
            hexadecimal(bytes, hidden);
            base64(bytes, hidden);
            percent(bytes, hidden);
        }
    }

    pub(super) fn text(&self, text: &mut String) {
        let mut bytes = std::mem::take(text).into_bytes();
        self.bytes(&mut bytes);
        // A placeholder takes the place of whole characters, unless the secret was none.
        *text = String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    }

    /// All texts in it, the names of its fields too.
    pub(super) fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(all) => all.iter_mut().for_each(|one| self.value(one)),
            Value::Object(fields) => {
                for (mut name, mut value) in std::mem::take(fields) {
                    self.text(&mut name);
                    self.value(&mut value);
                    fields.insert(name, value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Whether one is left in what is about to be written: as a number, say, or across two texts.
    pub(super) fn is_in(&self, line: &[u8]) -> bool {
        let mut scrubbed = line.to_vec();
        self.bytes(&mut scrubbed);
        scrubbed != line
    }
}

/// It cannot be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooShort;

/// The lines of a secret, each beside its placeholder.
fn lines<'a>(secret: &'a [u8], place: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let mut at = 0;
    secret.split(|byte| *byte == b'\n').map(move |line| {
        let begin = at;
        at += line.len() + 1;
        let range = inner(line);
        (&line[range.clone()], &place[begin + range.start..begin + range.end])
    })
}

/// What a text stands for, in each way that it can be read.
fn decoded(text: &[u8]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
        .iter()
        .filter_map(|engine| engine.decode(text).ok())
        .filter(|bytes| bytes.len() >= 8)
        .collect();
    if text.len() >= 16 && text.len().is_multiple_of(2) && text.iter().all(u8::is_ascii_hexdigit) {
        let digit = |at: usize| char::from(text[at]).to_digit(16).unwrap_or(0) as u8;
        all.push((0..text.len()).step_by(2).map(|at| digit(at) << 4 | digit(at + 1)).collect());
    }
    all
}

/// Where `needle` lies, from left to right.
fn all(bytes: &[u8], needle: &[u8]) -> Vec<usize> {
    memmem::find_iter(bytes, needle).collect()
}

fn hexadecimal(bytes: &mut [u8], hidden: &Hidden) {
    let needle = hex(hidden.bytes.reveal());
    let place = hex(&hidden.placeholder);
    for at in all(&bytes.to_ascii_lowercase(), needle.as_bytes()) {
        bytes[at..at + needle.len()].copy_from_slice(place.as_bytes());
    }
}

/// RFC 4648, sections 4 and 5. A secret that stands in the middle of what was encoded begins at one of three places of a group of
/// four characters, and its first and last character may hold bits of its neighbours.
fn base64(bytes: &mut [u8], hidden: &Hidden) {
    let secret = hidden.bytes.reveal();
    let plain: Vec<u8> = bytes
        .iter()
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    for before in 0..3 {
        // Bits of a neighbour in the first character that holds some of the secret's.
        let skip = before * 8 % 6;
        let characters = (skip + secret.len() * 8).div_ceil(6);
        let first_whole = usize::from(skip > 0);
        let whole = (skip + secret.len() * 8) / 6 - first_whole;
        let value = |of: &[u8], character: usize| -> (u8, u8) {
            // The six bits of that character, and which of them are the secret's.
            (0..6).fold((0, 0), |(bits, mask), bit| {
                let own = (character * 6 + bit).checked_sub(skip).filter(|own| *own < of.len() * 8);
                let (bits, mask) = (bits << 1, mask << 1);
                own.map_or((bits, mask), |own| (bits | (of[own / 8] >> (7 - own % 8) & 1), mask | 1))
            })
        };
        let needle: Vec<u8> =
            (first_whole..first_whole + whole).map(|at| BASE64[usize::from(value(secret, at).0)]).collect();
        for found in all(&plain, &needle) {
            let Some(begin) = found.checked_sub(first_whole).filter(|begin| begin + characters <= plain.len()) else {
                continue;
            };
            let six = |at: usize| BASE64.iter().position(|other| *other == plain[begin + at]).map(|six| six as u8);
            let fits = (0..characters).all(|at| {
                let (bits, mask) = value(secret, at);
                six(at).is_some_and(|six| six & mask == bits)
            });
            if !fits {
                continue;
            }
            for at in 0..characters {
                let (bits, mask) = value(&hidden.placeholder, at);
                let kept = six(at).unwrap_or(0) & !mask;
                bytes[begin + at] = BASE64[usize::from(kept | bits)];
            }
        }
    }
}

/// RFC 3986, section 2.1.
fn percent(bytes: &mut [u8], hidden: &Hidden) {
    if memchr::memchr(b'%', bytes).is_none() {
        return;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
    // Each byte that is meant, and where it stands.
    let mut meant = Vec::with_capacity(bytes.len());
    let mut places: Vec<Range<usize>> = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = match (byte, bytes.get(at + 1).and_then(digit), bytes.get(at + 2).and_then(digit)) {
            (b'%', Some(high), Some(low)) => Some(high << 4 | low),
            _ => None,
        };
        let length = if escaped.is_some() { 3 } else { 1 };
        meant.push(escaped.unwrap_or(*byte));
        places.push(at..at + length);
        at += length;
    }
    let secret = hidden.bytes.reveal();
    for found in all(&meant, secret) {
        for (place, byte) in places[found..found + secret.len()].iter().zip(&hidden.placeholder) {
            match place.len() {
                3 => bytes[place.clone()].copy_from_slice(format!("%{byte:02X}").as_bytes()),
                _ => bytes[place.start] = *byte,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CANARY: &[u8] = b"c4n4ry-7Qx/9zKw2p";

    fn scrub(secret: &[u8]) -> Scrub {
        let mut scrub = Scrub::default();
        scrub.hide(secret).unwrap();
        scrub
    }

    fn scrubbed(secret: &[u8], text: &[u8]) -> Vec<u8> {
        let mut bytes = text.to_vec();
        scrub(secret).bytes(&mut bytes);
        bytes
    }

    #[test]
    fn a_secret_is_found_in_its_clothes_and_what_it_stands_for_wears_the_same() {
        let zeroes = "0".repeat(CANARY.len());
        for around in ["", "a", "ab", "abc", "user:"] {
            let of = |secret: &str| -> Vec<String> {
                let all = format!("{around}{secret}{around}");
                let escaped: String = all.bytes().map(|byte| format!("%{byte:02X}")).collect();
                vec![all.clone(), STANDARD.encode(&all), URL_SAFE.encode(&all), hex(all.as_bytes()), escaped]
            };
            for (text, wanted) in of(std::str::from_utf8(CANARY).unwrap()).iter().zip(of(&zeroes)) {
                let got = String::from_utf8(scrubbed(CANARY, text.as_bytes())).unwrap();
                // Both alphabets have the characters of a placeholder.
                assert_eq!(got.replace(['-', '_'], "+"), wanted.replace(['-', '_'], "+"), "{text}");
            }
        }
        let upper = hex(CANARY).to_ascii_uppercase();
        assert_eq!(scrubbed(CANARY, upper.as_bytes()), hex(zeroes.as_bytes()).as_bytes());
        assert_eq!(
            scrubbed(CANARY, b"x=c4n4ry-7Qx%2F9zKw2p&"),
            format!("x={}%30{}&", &zeroes[..10], &zeroes[11..]).as_bytes()
        );
    }

    #[test]
    fn parts_of_a_secret_and_what_it_decodes_to_are_secret_too() {
        let trimmed = [CANARY, b"\n"].concat();
        assert_eq!(scrubbed(&trimmed, CANARY), vec![b'0'; CANARY.len()]);
        assert_eq!(placeholder(&trimmed), ["0".repeat(CANARY.len()).as_bytes(), b"\n"].concat());
        assert_eq!(scrubbed(b"admin:hunter22", b"<hunter22>"), b"<00000000>");
        assert_eq!(scrubbed(b"first line\nsecond line\n", b"second line"), vec![b'0'; 11]);
        let key: Vec<u8> = (200..232).collect();
        assert_eq!(scrubbed(hex(&key).as_bytes(), &key), vec![b'0'; 32]);
        assert_eq!(scrubbed(STANDARD.encode(&key).as_bytes(), &key), vec![b'0'; 32]);
        assert_eq!(placeholder(b" user:pass "), b" 0000:0000 ");
    }

    #[test]
    fn what_cannot_be_looked_for_is_refused_and_a_number_is_seen_at_the_end() {
        assert_eq!(Scrub::default().hide(b" abc \n"), Err(TooShort));
        let scrub = scrub(b"12345678");
        let mut value = serde_json::json!({ "size": 12_345_678, "12345678": ["x12345678y"] });
        scrub.value(&mut value);
        assert_eq!(value, serde_json::json!({ "size": 12_345_678, "00000000": ["x00000000y"] }));
        assert!(scrub.is_in(value.to_string().as_bytes()));
        assert!(!scrub.is_in(b"1234567"));
    }

    proptest! {
        #[test]
        fn no_secret_is_left_whatever_is_around_it(
            secret in proptest::collection::vec(1..=255_u8, 8..40),
            before in proptest::collection::vec(any::<u8>(), 0..7),
            after in proptest::collection::vec(any::<u8>(), 0..7),
        ) {
            prop_assume!(inner(&secret).len() == secret.len() && secret.iter().any(|byte| *byte != PLACEHOLDER));
            let all = [&before[..], &secret, &after].concat();
            let got = scrubbed(&secret, &all);
            prop_assert_eq!(got.len(), all.len());
            prop_assert!(memmem::find(&got, &secret).is_none());
            let text = STANDARD.encode(&all);
            let decoded = STANDARD.decode(scrubbed(&secret, text.as_bytes())).unwrap();
            prop_assert!(memmem::find(&decoded, &secret).is_none());
            prop_assert_eq!(&decoded[..before.len()], &before[..]);
            prop_assert_eq!(&decoded[before.len() + secret.len()..], &after[..]);
        }
    }
}
