//! Names with `*` in them.

use std::fmt;
use std::str::FromStr;

use super::{DomainName, Invalid, text_serde};

/// A pattern of names of domains or peers, in which `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamePattern(String);

impl NamePattern {
    pub fn takes(&self, name: &str) -> bool {
        matches(&self.0, name)
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NamePattern {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        // Each star as a letter: then it is a name, or it is wrong for the reason that a name would be.
        text.replace('*', "x").parse::<DomainName>()?;
        Ok(NamePattern(text.to_owned()))
    }
}

text_serde!(NamePattern);

/// Whether `name` is what `pattern` describes: `*` stands for any run of characters, all else for itself.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where the last star stood, and how much of the name it has taken: on a mismatch it takes one more.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
        } else if pattern.get(p) == Some(&name[n]) {
            p += 1;
            n += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            n = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_names_and_is_made_of_what_names_are() {
        for (pattern, name, taken) in [("*", "a", true), ("web-*", "web-1", true), ("web-*", "db", false)] {
            assert_eq!(pattern.parse::<NamePattern>().unwrap().takes(name), taken, "{pattern} {name}");
        }
        for bad in ["", "a b", "/x", "-*", "a/*"] {
            assert!(bad.parse::<NamePattern>().is_err(), "{bad}");
        }
    }
}
