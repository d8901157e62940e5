//! What comes over the wire, read without trust: lines with a limit, and what each of them is. Pure.

use serde::Deserialize;
use serde_json::Value;

use crate::hypervisor::Event;
use crate::hypervisor::qemu::arguments::{device_of_id, disk_of_node};
use crate::hypervisor::qemu::printable;

/// Longest line, in bytes: answers to what fief asks are below 1 KiB; with fifty disks, `query-block` is at 100 KiB.
pub(super) const LINE_MAX: usize = 1 << 20;

/// Why a connection ended, or a command was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Fault {
    #[error("the monitor's connection has ended")]
    Closed,
    #[error("the monitor's connection ended in the middle of a line")]
    Torn,
    #[error("the monitor said a line of more than {LINE_MAX} bytes")]
    TooLong,
    #[error("the monitor did not speak QMP: {0}")]
    NotQmp(&'static str),
    #[error("the monitor answered a command that was not given")]
    Unasked,
    /// QEMU's own words, escaped.
    #[error("{0}")]
    Refused(String),
    #[error("the monitor's connection broke ({0})")]
    Broken(std::io::ErrorKind),
}

/// One line of QEMU's.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    Greeting,
    Answer {
        id: u64,
        answer: Result<Value, String>,
    },
    /// None: an event that means nothing to a supervisor, or one of a later QEMU.
    Event(Option<Event>),
    /// A guest's move is in another state than before, or goes through memory once more.
    Moves,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "QMP")]
    greeting: Option<Value>,
    event: Option<String>,
    #[serde(default)]
    data: Value,
    #[serde(default, rename = "return", deserialize_with = "present")]
    answer: Option<Value>,
    error: Option<RawError>,
    id: Option<Value>,
}

/// Keeps `"return": null` apart from no `return`.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
struct RawError {
    desc: String,
}

/// Splits bytes into lines.
#[derive(Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// Bytes before this hold no newline.
    searched: usize,
}

impl Lines {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }
    /// The next whole line, without its end; blank ones are passed over.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        while let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
            let mut line: Vec<u8> = self.buffer.drain(..=self.searched + end).collect();
            self.searched = 0;
            line.truncate(line.trim_ascii_end().len());
            if line.len() > LINE_MAX {
                return Err(Fault::TooLong);
            }
            if !line.is_empty() {
                return Ok(Some(line));
            }
        }
        self.searched = self.buffer.len();
        if self.searched > LINE_MAX { Err(Fault::TooLong) } else { Ok(None) }
    }
    /// What the end of the stream means.
    pub(super) fn end(&self) -> Fault {
        if self.buffer.is_empty() { Fault::Closed } else { Fault::Torn }
    }
}

/// Reads one line.
pub(super) fn read(line: &[u8]) -> Result<Line, Fault> {
    let raw: Raw =
        serde_json::from_slice(line).map_err(|_| Fault::NotQmp("a line is not an object of the protocol"))?;
    let id = raw.id.as_ref().and_then(Value::as_u64);
    match (raw.greeting, raw.event, raw.answer, raw.error) {
        (Some(_), None, None, None) => Ok(Line::Greeting),
        (None, Some(name), None, None) if matches!(name.as_str(), "MIGRATION" | "MIGRATION_PASS") => Ok(Line::Moves),
        (None, Some(name), None, None) => Ok(Line::Event(event(&name, &raw.data))),
        (None, None, Some(answer), None) => Ok(Line::Answer { id: id.ok_or(Fault::Unasked)?, answer: Ok(answer) }),
        (None, None, None, Some(error)) => {
            Ok(Line::Answer { id: id.ok_or(Fault::Unasked)?, answer: Err(printable(&error.desc)) })
        }
        _ => Err(Fault::NotQmp("a line is neither greeting, event, return nor error")),
    }
}

/// What an event means to a supervisor (qapi/run-state.json, qapi/block-core.json).
fn event(name: &str, data: &Value) -> Option<Event> {
    let text = |key: &str| data.get(key).and_then(Value::as_str).unwrap_or_default();
    match name {
        "SHUTDOWN" => match text("reason") {
            "guest-reset" => Some(Event::Rebooted),
            "guest-shutdown" => Some(Event::PoweredOff),
            // The panic was told before; `quit` and signals are fief's own doing, or the connection's end says it.
            _ => None,
        },
        // The host's own resets are known to who asked for them.
        "RESET" => (text("reason") == "guest-reset").then_some(Event::Rebooted),
        "GUEST_PANICKED" => Some(Event::Panicked),
        "DEVICE_DELETED" => device_of_id(text("device")).map(Event::Unplugged),
        "BLOCK_IO_ERROR" => {
            let disk = disk_of_node(text("node-name"));
            let why = match data.get("nospace").and_then(Value::as_bool) {
                Some(true) => "no room is left".to_owned(),
                Some(false) | None => printable(text("reason")),
            };
            match text("action") {
                "stop" => Some(Event::StoppedOnError { disk, why }),
                "report" => Some(Event::ToldOfError { disk, why }),
                // "ignore", which is asked for nowhere.
                _ => None,
            }
        }
        "STOP" => Some(Event::Paused),
        "RESUME" => Some(Event::Resumed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_by_their_reason() {
        for (line, wanted) in [
            (r#"{"event":"SHUTDOWN","data":{"guest":true,"reason":"guest-shutdown"}}"#, Some(Event::PoweredOff)),
            (r#"{"event":"SHUTDOWN","data":{"guest":true,"reason":"guest-reset"}}"#, Some(Event::Rebooted)),
            (r#"{"event":"SHUTDOWN","data":{"guest":false,"reason":"host-qmp-quit"}}"#, None),
            (r#"{"event":"RESET","data":{"guest":true,"reason":"guest-reset"}}"#, Some(Event::Rebooted)),
            (r#"{"event":"RESET","data":{"guest":false,"reason":"host-qmp-system-reset"}}"#, None),
            (r#"{"event":"GUEST_PANICKED","data":{"action":"pause"}}"#, Some(Event::Panicked)),
            (
                r#"{"event":"BLOCK_IO_ERROR","data":{"device":"","node-name":"disk3","action":"stop","nospace":true}}"#,
                Some(Event::StoppedOnError { disk: Some(3), why: "no room is left".into() }),
            ),
            (
                r#"{"event":"BLOCK_IO_ERROR","data":{"node-name":"disk4","action":"stop","reason":"Input/output error"}}"#,
                Some(Event::StoppedOnError { disk: Some(4), why: "Input/output error".into() }),
            ),
            (
                r#"{"event":"BLOCK_IO_ERROR","data":{"node-name":"disk3","action":"report","reason":"Bad address"}}"#,
                Some(Event::ToldOfError { disk: Some(3), why: "Bad address".into() }),
            ),
            (r#"{"event":"BLOCK_IO_ERROR","data":{"node-name":"disk3","action":"ignore"}}"#, None),
            (r#"{"event":"STOP"}"#, Some(Event::Paused)),
            (r#"{"event":"RESUME"}"#, Some(Event::Resumed)),
            (r#"{"event":"SOMETHING_OF_QEMU_12","data":[1]}"#, None),
            (r#"{"event":"SHUTDOWN","data":7}"#, None),
        ] {
            assert_eq!(read(line.as_bytes()).unwrap(), Line::Event(wanted), "{line}");
        }
    }

    #[test]
    fn a_move_that_goes_on_is_told_of_by_itself() {
        for line in [
            r#"{"event":"MIGRATION","data":{"status":"pre-switchover"}}"#,
            r#"{"event":"MIGRATION_PASS","data":{"pass":2}}"#,
            r#"{"event":"MIGRATION"}"#,
        ] {
            assert_eq!(read(line.as_bytes()).unwrap(), Line::Moves, "{line}");
        }
    }

    #[test]
    fn lines_come_out_whole_whatever_the_pieces() {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for byte in b"{\"a\":1}\r\n\r\n{}\n{\"half" {
            lines.push(&[*byte]);
            while let Some(line) = lines.next().unwrap() {
                out.push(line);
            }
        }
        assert_eq!(out, [b"{\"a\":1}".to_vec(), b"{}".to_vec()]);
        assert!(matches!(lines.end(), Fault::Torn));
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_the_reader_panic(line: Vec<u8>) {
            let _ = read(&line);
        }
    }
}
