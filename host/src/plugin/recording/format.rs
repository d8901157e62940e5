//! A recording as a file: lines, each a check and one JSON document.
//!
//! ```text
//!   CHECK {"fief-recording":1, "plugin":…, "digest":…, "pool":…}     what was recorded
//!   CHECK {"call":{…}}  or  {"left-out":{…}}                        one for each call, in order
//!   CHECK {"end":2}                                                  how many those were
//! ```
//! CHECK is the beginning of the document's SHA-256. It tells damage and not forgery: whoever wrote the file is a stranger.

use std::io::{BufRead, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::tree::Tree;
use crate::config::policy::{HostInterface, Limits};
use crate::error::{Context, Failure, Kind, Result};
use crate::sandbox::protocol::{Ask, Call, CallError, PluginError, Preopen, Reply, Return};
use crate::types::{ByteSize, Digest, PluginId, PoolName};

/// The form that is written, and the only one that is read.
pub const VERSION: u64 = 1;
/// Longest line, in bytes: what one call may keep ([`KEPT_MAX`]) in base64, and as much again for what it said.
pub(super) const LINE_MAX: usize = 48 << 20;
/// Most bytes of streams that one call keeps.
pub(super) const KEPT_MAX: usize = 16 << 20;
/// Most lines of a recording: far more than there is patience for.
const LINES_MAX: usize = 100_000;
const CHECK: usize = 16;

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Header {
    #[serde(rename = "fief-recording")]
    pub form: u64,
    /// The version of fief that recorded.
    pub fief: String,
    pub plugin: PluginId,
    /// Of the plugin, in its manifest's words.
    pub version: String,
    pub digest: Digest,
    pub pool: PoolName,
    /// RFC 3339.
    pub began: String,
    /// Bytes of each file's beginning that are kept; of all else in it, the length alone.
    pub heads: ByteSize,
    /// Where the recording ends by itself.
    pub most: ByteSize,
}

/// Any other line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    Call(Box<Recorded>),
    LeftOut(LeftOut),
    End(usize),
}

/// A call that could not be recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LeftOut {
    pub function: String,
    pub why: String,
}

/// One call, with all that the plugin was told in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Recorded {
    pub call: Call,
    /// When it began, in milliseconds since 1970-01-01T00:00:00Z: the clock that the plugin saw.
    pub at: u64,
    pub milliseconds: u64,
    pub interfaces: Vec<HostInterface>,
    pub limits: Limits,
    pub silence_ms: u32,
    pub directories: Vec<Directory>,
    pub asked: Vec<Asked>,
    /// What it logged, as far as that is kept.
    pub said: Vec<String>,
    pub end: End,
}

/// A granted directory at the beginning of the call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Directory {
    pub preopen: Preopen,
    /// None: as in the call before.
    pub tree: Option<Tree>,
}

/// What the plugin asked of the host, and what came back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Asked {
    pub ask: Ask,
    pub answer: Answer,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Reply(Reply),
    Refused(PluginError),
    Stream(Tape),
    /// A placeholder as long as the secret.
    Secret(Bytes),
}

/// What went over a stream, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Tape {
    pub pieces: Vec<Piece>,
    /// More went over it than is kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Piece {
    /// By the plugin.
    Sent(Bytes),
    Received(Bytes),
    /// The server closed it, or it broke.
    Ended,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    Answered(Return),
    Failed(CallError),
    /// The sandbox itself ended, or did not keep to the protocol.
    Lost(Kind),
}

/// Bytes, as base64.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map(Bytes).map_err(serde::de::Error::custom)
    }
}

/// A line with its check and its end.
pub(super) fn line(document: &[u8]) -> Vec<u8> {
    let check = &Digest::of(document).hex()[..CHECK];
    [check.as_bytes(), b" ", document, b"\n"].concat()
}

pub(super) fn document<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).context(|| "cannot write down a call".to_owned())
}

/// The document of a line; none where it is not what was written.
pub(super) fn checked(line: &[u8]) -> Option<&[u8]> {
    let (check, document) = (line.get(..CHECK)?, line.get(CHECK + 1..)?);
    (line[CHECK] == b' ' && Digest::of(document).hex().as_bytes().starts_with(check)).then_some(document)
}

/// The next line without its end; none at the end of the file, and where it breaks off.
pub(super) fn next_line(from: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    from.take(LINE_MAX as u64 + 1).read_until(b'\n', &mut line)?;
    Ok((line.pop() == Some(b'\n')).then_some(line))
}

/// Reads a recording from its beginning, a line at a time.
pub struct Reader<R> {
    from: R,
    shown: String,
    header: Header,
    read: usize,
    ended: bool,
}

impl<R: BufRead> Reader<R> {
    /// `shown` names the file in messages.
    ///
    /// # Errors
    /// `Usage` where it is no recording, of another form, or damaged.
    pub fn begin(mut from: R, shown: &str) -> Result<Reader<R>> {
        let none = || Failure::usage(format!("{shown} is no recording of a plugin"));
        let line = next_line(&mut from).context(|| format!("cannot read {shown}"))?.ok_or_else(none)?;
        let document = line.get(CHECK + 1..).unwrap_or_default();
        let form = serde_json::from_slice::<serde_json::Value>(document)
            .ok()
            .and_then(|header| header.get("fief-recording").and_then(serde_json::Value::as_u64));
        match form {
            Some(VERSION) => {}
            Some(other) => {
                let message = format!("{shown} is a recording of form {other}, and this fief reads form {VERSION}");
                return Err(Failure::usage(message).hint("replay it with the fief that recorded it, or a newer one"));
            }
            None => return Err(none().hint("fief plugin record POOL --stop --into FILE writes one")),
        }
        let header = checked(&line).and_then(|document| serde_json::from_slice(document).ok());
        let header = header.ok_or_else(|| damaged(shown, "its first line"))?;
        Ok(Reader { from, shown: shown.to_owned(), header, read: 0, ended: false })
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next call; none at the end.
    ///
    /// # Errors
    /// `Usage` where it is damaged, or breaks off.
    pub fn next_call(&mut self) -> Result<Option<Line>> {
        if self.ended {
            return Ok(None);
        }
        let (shown, number) = (&self.shown, self.read + 1);
        let cut = || {
            let again = "get it once more from whoever recorded it; what they have is whole where `--stop` ended well";
            Failure::usage(format!("{shown} breaks off after call {}", number - 1)).hint(again)
        };
        let line = next_line(&mut self.from).context(|| format!("cannot read {shown}"))?.ok_or_else(cut)?;
        let document = checked(&line).ok_or_else(|| damaged(shown, &format!("call {number}")))?;
        let line: Line = serde_json::from_slice(document).map_err(|error| {
            Failure::usage(format!("{shown} holds what is no call of this fief's, as call {number}")).because(error)
        })?;
        if number > LINES_MAX {
            return Err(Failure::usage(format!("{shown} holds more than {LINES_MAX} calls")));
        }
        match line {
            Line::End(count) if count == self.read => {
                self.ended = true;
                Ok(None)
            }
            Line::End(count) => {
                Err(Failure::usage(format!("{shown} says that it holds {count} calls, and holds {}", self.read)))
            }
            line @ (Line::Call(_) | Line::LeftOut(_)) => {
                self.read = number;
                Ok(Some(line))
            }
        }
    }
}

fn damaged(shown: &str, what: &str) -> Failure {
    Failure::usage(format!("{shown} is damaged: {what} is not what was written"))
        .hint("get it once more from whoever recorded it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            form: VERSION,
            fief: "0.1.0".into(),
            plugin: "p".parse().unwrap(),
            version: "1.0.0".into(),
            digest: Digest::of(b""),
            pool: "default".parse().unwrap(),
            began: "2026-01-31T12:00:00Z".into(),
            heads: ByteSize::from_bytes(0),
            most: ByteSize::from_mib(1),
        }
    }

    fn left_out(function: &str) -> Line {
        Line::LeftOut(LeftOut { function: function.into(), why: "a test".into() })
    }

    fn whole() -> Vec<u8> {
        let mut all = line(&document(&header()).unwrap());
        for what in [left_out("one"), left_out("two"), Line::End(2)] {
            all.extend(line(&document(&what).unwrap()));
        }
        all
    }

    fn read(bytes: &[u8]) -> Result<usize> {
        let mut reader = Reader::begin(bytes, "it")?;
        let mut count = 0;
        while reader.next_call()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        assert_eq!(read(&whole()).unwrap(), 2);
        for length in 0..whole().len() {
            assert_eq!(read(&whole()[..length]).unwrap_err().kind, Kind::Usage, "{length}");
        }
        for at in 0..whole().len() {
            let mut bytes = whole();
            bytes[at] ^= 1;
            assert_eq!(read(&bytes).unwrap_err().kind, Kind::Usage, "{at}");
        }
        let without_one: Vec<u8> = whole()
            .split_inclusive(|byte| *byte == b'\n')
            .enumerate()
            .filter(|(at, _)| *at != 1)
            .flat_map(|(_, line)| line.to_vec())
            .collect();
        assert!(read(&without_one).unwrap_err().message.contains("says that it holds 2 calls, and holds 1"));
    }

    #[test]
    fn another_form_is_named_and_an_endless_line_is_not_read() {
        let newer = Header { form: 7, ..header() };
        let failure = read(&line(&document(&newer).unwrap())).unwrap_err();
        assert!(failure.message.contains("form 7"), "{failure}");
        let mut endless = std::io::BufReader::new(std::io::repeat(b'x'));
        assert_eq!(next_line(&mut endless).unwrap(), None);
        assert_eq!(read(b"").unwrap_err().message, "it is no recording of a plugin");
    }
}
