//! What goes over a control connection after the hello: many requests at a time, each answered once, by its number.

use serde::{Deserialize, Serialize};

use crate::Body;

/// From the host that connected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    Request {
        /// Grows by one with each.
        id: u64,
        /// Which part of the other host is asked.
        service: String,
        body: Body,
    },
    /// Whether the other side is there: an idle connection is told from a dead one.
    Ping { id: u64 },
}

/// From the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    Reply {
        id: u64,
        body: Body,
    },
    Failed {
        id: u64,
        failure: Body,
    },
    Pong {
        id: u64,
    },
    /// The last word: the other side ends.
    Closing,
}

/// What is asked of the service `stream`, which every host has: a connection of its own for bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StreamWanted {
    /// Who will have its other end.
    pub service: String,
    /// What for; that service's own words.
    pub purpose: Body,
    /// In the clear, where both hosts' operators say so and it never leaves the machine.
    pub plain: bool,
}

/// And its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StreamGranted {
    /// Good for one connection, made soon.
    pub ticket: String,
    /// Where to, if not where the control connection went: an address and a port.
    pub address: Option<String>,
    pub plain: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::decode;

    #[test]
    fn what_is_missing_too_much_or_twice_is_refused() {
        for good in [&br#"{"request":{"id":1,"service":"ping","body":null}}"#[..], br#"{"ping":{"id":1}}"#] {
            let ask: Ask = decode(good).unwrap();
            assert_eq!(serde_json::to_vec(&ask).unwrap(), good);
        }
        for bad in [
            &br#"{"request":{"id":1,"service":"ping"}}"#[..],
            br#"{"request":{"id":1,"service":"ping","body":null,"more":1}}"#,
            br#"{"request":{"id":1,"id":1,"service":"ping","body":null}}"#,
            br#"{"request":{"id":-1,"service":"ping","body":null}}"#,
            br#"{"request":{"id":18446744073709551616,"service":"ping","body":null}}"#,
            br#"{"request":{"id":1,"service":"ping","body":{"a":1,"a":2}}}"#,
            br#"{"request":{"id":1,"service":7,"body":null}}"#,
            br#"{"ping":{"id":1},"request":{"id":1,"service":"ping","body":null}}"#,
            br#"{"reply":{"id":1,"body":null}}"#,
            br#"{}"#,
            br#"[]"#,
            b"\"ping\"",
            b"{\"ping\":{\"id\":1}} x",
        ] {
            assert!(decode::<Ask>(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
