//! The checksum that another program wrote beside a file.

use std::fmt;
use std::str::FromStr;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::{Invalid, text_serde};

/// How it was made. SHA-1 tells damage, not malice; older packages have nothing better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumKind {
    Sha1,
    Sha256,
}

impl ChecksumKind {
    const ALL: [ChecksumKind; 2] = [ChecksumKind::Sha1, ChecksumKind::Sha256];

    pub const fn as_str(self) -> &'static str {
        match self {
            ChecksumKind::Sha1 => "sha1",
            ChecksumKind::Sha256 => "sha256",
        }
    }
    /// In bytes.
    const fn length(self) -> usize {
        match self {
            ChecksumKind::Sha1 => 20,
            ChecksumKind::Sha256 => 32,
        }
    }
}

/// Written as `sha256:` and hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    kind: ChecksumKind,
    bytes: Vec<u8>,
}

impl Checksum {
    /// `sha1` or `sha256`.
    pub const fn kind(&self) -> &'static str {
        self.kind.as_str()
    }
    /// Begins a sum over a content that is expected to have this one.
    pub fn begin(&self) -> Sum {
        match self.kind {
            ChecksumKind::Sha1 => Sum::Sha1(Box::default()),
            ChecksumKind::Sha256 => Sum::Sha256(Box::default()),
        }
    }
    pub fn is(&self, sum: Sum) -> bool {
        match sum {
            Sum::Sha1(sum) => self.bytes == sum.finalize().as_slice(),
            Sum::Sha256(sum) => self.bytes == sum.finalize().as_slice(),
        }
    }
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        let mut sum = self.begin();
        sum.add(bytes);
        self.is(sum)
    }
}

/// A sum in the making.
#[derive(Debug, Clone)]
pub enum Sum {
    Sha1(Box<Sha1>),
    Sha256(Box<Sha256>),
}

impl Sum {
    pub fn add(&mut self, bytes: &[u8]) {
        match self {
            Sum::Sha1(sum) => sum.update(bytes),
            Sum::Sha256(sum) => sum.update(bytes),
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.kind.as_str())?;
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Checksum {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let malformed = || Invalid::new("a checksum is written sha1: or sha256: and its hexadecimal digits");
        let (kind, digits) = text.split_once(':').ok_or_else(malformed)?;
        let kind = ChecksumKind::ALL
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(kind))
            .ok_or_else(malformed)?;
        if digits.len() != kind.length() * 2 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(malformed());
        }
        let bytes = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16));
        Ok(Checksum { kind, bytes: bytes.collect::<Result<_, _>>().map_err(|_| malformed())? })
    }
}

text_serde!(Checksum);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_reads_back_as_itself() {
        // FIPS 180-4 examples: "abc".
        for text in [
            "sha1:a9993e364706816aba3e25717850c26c9cd0d89d",
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ] {
            let checksum: Checksum = text.parse().unwrap();
            assert_eq!(checksum.to_string(), text);
            assert!(checksum.is_of(b"abc") && !checksum.is_of(b"abd"));
            assert_eq!(text.to_uppercase().parse::<Checksum>().unwrap().to_string(), text);
            assert!(text[..text.len() - 2].parse::<Checksum>().is_err());
        }
        for bad in ["", "md5:00", "sha1:", "sha1:é9993e364706816aba3e25717850c26c9cd0d8"] {
            assert!(bad.parse::<Checksum>().is_err(), "{bad:?} was taken");
        }
    }
}
