//! Sizes and spans of time with their units.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Invalid, text_serde};

/// A number of bytes, at most 2^63 − 1 (what `off_t` holds). Written with a unit: `512MiB`, `20G`
/// (`K M G T P` and `KiB …` are powers of 1024, as in `qemu-img`; `KB MB …` are powers of 1000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

const UNITS: [(&str, u64); 16] = [
    ("B", 1),
    ("K", 1 << 10),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("M", 1 << 20),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("G", 1 << 30),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("T", 1 << 40),
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("P", 1 << 50),
    ("PiB", 1 << 50),
    ("PB", 1_000_000_000_000_000),
];

impl ByteSize {
    pub const fn from_bytes(bytes: u64) -> Self {
        ByteSize(bytes)
    }
    pub const fn from_mib(mib: u64) -> Self {
        ByteSize(mib << 20)
    }
    pub const fn bytes(self) -> u64 {
        self.0
    }
    /// For people: three digits at the most, a binary unit (`1.5GiB`).
    pub fn human(self) -> String {
        let mut value = self.0 as f64;
        let mut unit = "B";
        for next in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
            if value < 1024.0 {
                break;
            }
            value /= 1024.0;
            unit = next;
        }
        if unit == "B" || value.fract() < 0.05 || value >= 100.0 {
            format!("{value:.0}{unit}")
        } else {
            format!("{value:.1}{unit}")
        }
    }
}

/// Exact, in the largest binary unit that divides it, so that it reads back as the same number.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 != 0 && self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}B", self.0)
    }
}

impl FromStr for ByteSize {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        if number.is_empty() {
            return Err(Invalid::new(format!(
                "{text:?} is not a size; write a number and a unit, as in 512MiB or 20G"
            )));
        }
        if unit.is_empty() {
            return Err(Invalid::new(format!("the size {text:?} has no unit; write {text}M or {text}G, say")));
        }
        let unit = unit.trim();
        let (_, factor) = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .ok_or_else(|| Invalid::new(format!("{unit:?} is not a unit of size; KiB, MiB, GiB and TiB are")))?;
        let bytes = match number.split_once('.') {
            None => number.parse::<u64>().ok().and_then(|n| n.checked_mul(*factor)),
            Some(_) => number.parse::<f64>().ok().map(|n| n * *factor as f64).filter(|n| *n < 9.0e18).map(|n| n as u64),
        };
        match bytes {
            Some(bytes) if bytes <= i64::MAX as u64 => Ok(ByteSize(bytes)),
            _ => Err(Invalid::new(format!("the size {text:?} is too large; at most 8 EiB less one byte"))),
        }
    }
}

/// A span of time: `250ms`, `10s`, `2m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        match ms {
            0 => write!(f, "0s"),
            _ if ms.is_multiple_of(3_600_000) => write!(f, "{}h", ms / 3_600_000),
            _ if ms.is_multiple_of(60_000) => write!(f, "{}m", ms / 60_000),
            _ if ms.is_multiple_of(1_000) => write!(f, "{}s", ms / 1_000),
            _ => write!(f, "{ms}ms"),
        }
    }
}

impl FromStr for Span {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let factor = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            _ => 0,
        };
        match number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)) {
            Some(ms) if factor > 0 => Ok(Span(Duration::from_millis(ms))),
            _ => Err(Invalid::new(format!(
                "{text:?} is not a span of time; write a whole number and ms, s, m or h, as in 30s"
            ))),
        }
    }
}

text_serde!(ByteSize, Span);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_unit_and_fit_in_63_bits() {
        for bad in ["", "12", "-1G", "8EiB", "G", "9000000P", "1e309", "NaN", "1.2.3G", "1 parsec"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad:?} was taken");
        }
        assert_eq!("512MiB".parse::<ByteSize>().unwrap().bytes(), 512 << 20);
        assert_eq!("1.5G".parse::<ByteSize>().unwrap().bytes(), 3 << 29);
        assert_eq!("20gb".parse::<ByteSize>().unwrap().bytes(), 20_000_000_000);
    }

    proptest::proptest! {
        #[test]
        fn a_size_reads_back_as_itself(bytes in 0..i64::MAX as u64) {
            let size = ByteSize::from_bytes(bytes);
            proptest::prop_assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size);
        }

        #[test]
        fn a_span_reads_back_as_itself(ms in 0u64..10_000_000_000) {
            let span = Span(Duration::from_millis(ms));
            proptest::prop_assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        }
    }
}
