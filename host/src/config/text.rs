//! Texts that definitions and policy share: paths, short texts, words for kinds.

use std::path::PathBuf;
use std::str::FromStr;

use crate::types::Invalid;

/// `PATH_MAX` of Linux less the closing NUL, in bytes.
const PATH_MAX: usize = 4095;
/// Longest word for a kind of pool or network, in bytes: as a plugin's id.
const KIND_MAX: usize = 64;

/// A path from the root, with no `.`, `..`, doubled or trailing slash, so that it can be compared as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AbsolutePath(String);

impl From<AbsolutePath> for PathBuf {
    fn from(path: AbsolutePath) -> Self {
        PathBuf::from(path.0)
    }
}

impl FromStr for AbsolutePath {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let Some(below) = text.strip_prefix('/') else {
            return Err(Invalid::new(format!("{text:?} is not an absolute path")));
        };
        if text.len() > PATH_MAX {
            return Err(Invalid::new(format!("the path is {} bytes long, at most {PATH_MAX} are allowed", text.len())));
        }
        if let Some(bad) = text.chars().find(|c| c.is_control()) {
            return Err(Invalid::new(format!("{bad:?} may not stand in a path")));
        }
        if below.is_empty() {
            return Ok(AbsolutePath(text.to_owned()));
        }
        for component in below.split('/') {
            match component {
                "" => return Err(Invalid::new("a path has no doubled slash and no slash at its end")),
                "." | ".." => return Err(Invalid::new("a path may not hold '.' or '..'")),
                _ => {}
            }
        }
        Ok(AbsolutePath(text.to_owned()))
    }
}

/// One line of at most `MAXIMUM` bytes.
pub(super) struct ShortText<const MAXIMUM: usize>(String);

impl<const MAXIMUM: usize> From<ShortText<MAXIMUM>> for String {
    fn from(text: ShortText<MAXIMUM>) -> Self {
        text.0
    }
}

impl<const MAXIMUM: usize> FromStr for ShortText<MAXIMUM> {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.len() > MAXIMUM {
            return Err(Invalid::new(format!("it is {} bytes long, at most {MAXIMUM} are allowed", text.len())));
        }
        match text.chars().find(|c| c.is_control()) {
            Some(bad) => Err(Invalid::new(format!("{bad:?} may not stand here"))),
            None => Ok(ShortText(text.to_owned())),
        }
    }
}

/// A kind of pool or network: small letters, digits and `-`, a letter first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KindWord(String);

impl From<KindWord> for String {
    fn from(kind: KindWord) -> Self {
        kind.0
    }
}

impl FromStr for KindWord {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.len() > KIND_MAX {
            return Err(Invalid::new(format!("a kind has at most {KIND_MAX} letters")));
        }
        if !text.starts_with(|c: char| c.is_ascii_lowercase()) || !text.chars().all(plain) {
            return Err(Invalid::new(format!("{text:?} is not a kind; small letters, digits and '-' make one")));
        }
        Ok(KindWord(text.to_owned()))
    }
}
