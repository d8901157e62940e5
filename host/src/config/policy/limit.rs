//! One of a plugin's limits, as a command names it and policy.toml writes it: `memory=128MiB`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Limits;
use crate::types::{ByteSize, Invalid, Span};

/// Which of [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitName {
    Memory,
    TableElements,
    Handles,
    Cpu,
    Wall,
    HostCallBytes,
    LogLinesPerSecond,
    BusyPollMicroseconds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitValue {
    Count(u32),
    Size(ByteSize),
    Time(Span),
}

impl LimitName {
    const ALL: [LimitName; 8] = [
        LimitName::Memory,
        LimitName::TableElements,
        LimitName::Handles,
        LimitName::Cpu,
        LimitName::Wall,
        LimitName::HostCallBytes,
        LimitName::LogLinesPerSecond,
        LimitName::BusyPollMicroseconds,
    ];

    /// As policy.toml writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            LimitName::Memory => "memory",
            LimitName::TableElements => "table-elements",
            LimitName::Handles => "handles",
            LimitName::Cpu => "cpu",
            LimitName::Wall => "wall",
            LimitName::HostCallBytes => "host-call-bytes",
            LimitName::LogLinesPerSecond => "log-lines-per-second",
            LimitName::BusyPollMicroseconds => "busy-poll-microseconds",
        }
    }

    /// What it is in those limits.
    pub const fn of(self, limits: &Limits) -> LimitValue {
        match self {
            LimitName::Memory => LimitValue::Size(limits.memory),
            LimitName::TableElements => LimitValue::Count(limits.table_elements),
            LimitName::Handles => LimitValue::Count(limits.handles),
            LimitName::Cpu => LimitValue::Time(Span(limits.cpu)),
            LimitName::Wall => LimitValue::Time(Span(limits.wall)),
            LimitName::HostCallBytes => LimitValue::Size(limits.host_call_bytes),
            LimitName::LogLinesPerSecond => LimitValue::Count(limits.log_lines_per_second),
            LimitName::BusyPollMicroseconds => LimitValue::Count(limits.busy_poll_microseconds),
        }
    }

    /// Sets it. A value of another kind changes nothing: [`SetLimit`] has none.
    pub const fn set(self, limits: &mut Limits, value: LimitValue) {
        match (self, value) {
            (LimitName::Memory, LimitValue::Size(size)) => limits.memory = size,
            (LimitName::TableElements, LimitValue::Count(count)) => limits.table_elements = count,
            (LimitName::Handles, LimitValue::Count(count)) => limits.handles = count,
            (LimitName::Cpu, LimitValue::Time(Span(time))) => limits.cpu = time,
            (LimitName::Wall, LimitValue::Time(Span(time))) => limits.wall = time,
            (LimitName::HostCallBytes, LimitValue::Size(size)) => limits.host_call_bytes = size,
            (LimitName::LogLinesPerSecond, LimitValue::Count(count)) => limits.log_lines_per_second = count,
            (LimitName::BusyPollMicroseconds, LimitValue::Count(count)) => limits.busy_poll_microseconds = count,
            (_, LimitValue::Size(_) | LimitValue::Count(_) | LimitValue::Time(_)) => {}
        }
    }
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LimitName {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let words = || LimitName::ALL.map(LimitName::as_str).join(", ");
        let found = LimitName::ALL.into_iter().find(|name| name.as_str() == text);
        found.ok_or_else(|| Invalid::new(format!("{text:?} is no limit; there are {}", words())))
    }
}

impl LimitValue {
    /// As policy.toml writes it.
    pub fn written(self) -> String {
        match self {
            LimitValue::Count(count) => count.to_string(),
            LimitValue::Size(size) => toml::Value::from(size.to_string()).to_string(),
            LimitValue::Time(time) => toml::Value::from(time.to_string()).to_string(),
        }
    }
}

/// `NAME=VALUE`. Whether policy takes it is looked at where it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetLimit {
    pub name: LimitName,
    pub value: LimitValue,
}

impl FromStr for SetLimit {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let malformed = || Invalid::new(format!("{text:?} sets no limit; write NAME=VALUE, as in memory=128MiB"));
        let (name, value) = text.split_once('=').ok_or_else(malformed)?;
        let name: LimitName = name.parse()?;
        let value = match name.of(&Limits::default()) {
            LimitValue::Size(_) => LimitValue::Size(value.parse()?),
            LimitValue::Time(_) => LimitValue::Time(value.parse()?),
            LimitValue::Count(_) => LimitValue::Count(
                value.parse().map_err(|_| Invalid::new(format!("{name} is a whole number, and {value:?} is none")))?,
            ),
        };
        Ok(SetLimit { name, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_set_by_its_name_and_in_its_own_unit() {
        for name in LimitName::ALL {
            assert_eq!(name.as_str().parse(), Ok(name));
            let mut limits = Limits::default();
            let text = match name.of(&limits) {
                LimitValue::Count(_) => "7",
                LimitValue::Size(_) => "7MiB",
                LimitValue::Time(_) => "7s",
            };
            let set: SetLimit = format!("{name}={text}").parse().unwrap();
            set.name.set(&mut limits, set.value);
            assert_eq!(name.of(&limits), set.value);
            assert_ne!(limits, Limits::default());
            assert_eq!(set.value.written().trim_matches('"'), text);
            assert!(format!("{name}=much").parse::<SetLimit>().is_err());
        }
        for bad in ["", "memory", "=1MiB", "patience=1s", "memory=5", "cpu=5MiB", "handles=-1"] {
            assert!(bad.parse::<SetLimit>().is_err(), "{bad:?}");
        }
    }
}
