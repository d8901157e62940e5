//! The pattern of links that a plugin may name.

use std::str::FromStr;

use crate::types::{InterfaceName, Invalid};

/// A name of a link in which `*` stands for any run of characters. It starts with a letter or a digit, so that no
/// pattern is every link of the host.
#[derive(PartialEq)]
pub(super) struct BridgePattern(String);

impl From<BridgePattern> for String {
    fn from(pattern: BridgePattern) -> Self {
        pattern.0
    }
}

impl FromStr for BridgePattern {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.starts_with('*') {
            return Err(Invalid::new(format!("{text:?} would be links of any name; begin with a letter or a digit")));
        }
        // Each star as a letter: then it is a name, or it is wrong for the reason that a name would be.
        text.replace('*', "x").parse::<InterfaceName>()?;
        Ok(BridgePattern(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_of_links_never_means_all() {
        for good in ["fief-*", "br0", "f*", "virbr*-lab"] {
            assert!(good.parse::<BridgePattern>().is_ok(), "{good:?} was refused");
        }
        for bad in ["*", "", "-x", "a/b", "fief-0123456789*", "a b", "**"] {
            assert!(bad.parse::<BridgePattern>().is_err(), "{bad:?} was taken");
        }
    }
}
