//! What a card may do on its network.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Invalid, text_serde};

/// Whether a card may speak in another's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spoofing {
    /// From its own MAC address alone, and from its own IPv4 address where it has one; not as a DHCP server or a router.
    #[default]
    Denied,
    /// For a guest that routes, bridges or serves addresses itself.
    Allowed,
}

impl Spoofing {
    pub fn is_denied(&self) -> bool {
        *self == Spoofing::Denied
    }
}

/// Bits in a second, each way. Written with a unit: `100Mbit`, `1Gbit` (powers of 1000, as `tc` counts).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bandwidth(u64);

/// Slower, one packet of the largest kind takes a second and more.
const LEAST: u64 = 64_000;
/// Faster than any card; what a limit is counted in has room for it (net/netfilter/nft_limit.c).
const MOST: u64 = 100_000_000_000;
const UNITS: [(&str, u64); 4] = [("Gbit", 1_000_000_000), ("Mbit", 1_000_000), ("Kbit", 1_000), ("bit", 1)];

impl Bandwidth {
    pub const fn bits_per_second(self) -> u64 {
        self.0
    }
    pub const fn bytes_per_second(self) -> u64 {
        self.0 / 8
    }
}

/// Exact, in the largest unit that divides it.
impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS.into_iter().find(|(_, factor)| self.0.is_multiple_of(*factor)).unwrap_or(("bit", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl FromStr for Bandwidth {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        if number.is_empty() {
            return Err(Invalid::new(format!(
                "{text:?} is not a bandwidth; write a whole number and a unit, as in 100Mbit"
            )));
        }
        if unit.is_empty() {
            return Err(Invalid::new(format!("the bandwidth {text:?} has no unit; write {text}Mbit, say")));
        }
        let (_, factor) = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))
            .ok_or_else(|| Invalid::new(format!("{unit:?} is not a unit of bandwidth; Kbit, Mbit and Gbit are")))?;
        let bits = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*factor));
        match bits.filter(|bits| (LEAST..=MOST).contains(bits)) {
            Some(bits) => Ok(Bandwidth(bits)),
            None => Err(Invalid::new(format!("{text} is not from {} to {}", Bandwidth(LEAST), Bandwidth(MOST)))),
        }
    }
}

text_serde!(Bandwidth);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bandwidth_has_a_unit_and_sensible_bounds() {
        for bad in
            ["", "100", "Mbit", "-1Mbit", "1.5Mbit", "63Kbit", "101Gbit", "99999999999999999999bit", "1MB", "1M bit"]
        {
            assert!(bad.parse::<Bandwidth>().is_err(), "{bad:?} was taken");
        }
        assert_eq!("100mbit".parse::<Bandwidth>().unwrap().bytes_per_second(), 12_500_000);
        assert_eq!("64 Kbit".parse::<Bandwidth>().unwrap().bits_per_second(), 64_000);
    }

    proptest::proptest! {
        #[test]
        fn a_bandwidth_reads_back_as_itself(bits in LEAST..=MOST) {
            proptest::prop_assert_eq!(Bandwidth(bits).to_string().parse::<Bandwidth>().unwrap(), Bandwidth(bits));
        }
    }
}
