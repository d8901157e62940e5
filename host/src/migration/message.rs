//! What two hosts say to each other about a domain that moves, as it travels: the words of the handover, each with the
//! domain that it is about, and with what it takes to make ready for one.
//!
//! A message is the JSON of one frame. Which version of it both hosts speak was settled before (the newest that both offer);
//! a version that was released never changes: `message/frames-1.jsonl` is what hosts of version 1 say, and every later fief
//! takes it. A field that is not known, or is there twice, makes the whole message none. What is read here was written by
//! another host, which is known, and may be wrong or older than it thinks.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::handover::{Attempt, Word};
use super::variables::Variables;

/// The versions that this fief speaks, newest first.
pub const VERSIONS: &[u16] = &[1];
/// Longest message, in bytes.
pub const LONGEST: usize = 1 << 20;
/// Longest definition of a domain, in bytes: a hundred times that of the largest that was seen.
const DEFINITION_MAX: usize = 256 << 10;
/// Longest name, in bytes.
const NAME_MAX: usize = 255;
/// Most volumes that go along, and the longest name of one (`POOL/VOLUME`), in bytes.
const ALONG_MAX: usize = 64;
const VOLUME_MAX: usize = 2 * NAME_MAX + 1;
/// Most snapshots of one of them.
pub const SNAPSHOTS_MAX: usize = 64;
/// Most reasons why something is declined, and the longest text in one, in bytes.
const REASONS_MAX: usize = 200;
const TEXT_MAX: usize = 2 << 10;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Message {
    /// Make ready to take the domain.
    Prepare {
        domain: Uuid,
        attempt: Attempt,
        what: Box<Offer>,
    },
    Prepared {
        domain: Uuid,
        attempt: Attempt,
    },
    Staged {
        domain: Uuid,
        attempt: Attempt,
    },
    Activate {
        domain: Uuid,
        attempt: Attempt,
    },
    Activated {
        domain: Uuid,
        attempt: Attempt,
    },
    Refused {
        domain: Uuid,
        attempt: Attempt,
    },
    Declined {
        domain: Uuid,
        attempt: Attempt,
        reasons: Vec<Reason>,
    },
    Cancel {
        domain: Uuid,
        attempt: Attempt,
    },
    Query {
        domain: Uuid,
    },
    Owner {
        domain: Uuid,
        generation: u64,
    },
}

/// What is to be made ready for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Offer {
    pub name: String,
    /// As `fief show` prints it; the target reads it as one of an operator's.
    pub definition: String,
    /// The plugin that says how the domain moves.
    pub strategy: String,
    pub power: Power,
    /// Where the devices of its guest sit, as a domain's record has it; none where it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<serde_json::Value>,
    /// Those that it has of UEFI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variables: Option<Variables>,
    /// Its volumes that the target does not reach, and that are copied there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub along: Vec<Along>,
    /// Its guest may go on there before all of its memory has come. Said to those hosts alone that have told that they can.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fetches: bool,
}

/// A volume that is copied to the target, to the pool of the same name there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Along {
    /// `POOL/VOLUME`.
    pub volume: String,
    /// In bytes.
    pub size: u64,
    pub format: Format,
    /// Those inside of it, in the order in which they come before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<Snapshot>,
}

/// A snapshot inside of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Snapshot {
    pub name: String,
    /// Seconds since 1970-01-01T00:00:00Z, and nanoseconds past them.
    pub created: u64,
    pub nanos: u32,
    /// What a guest saw of the disk then, in bytes.
    pub size: u64,
}

/// What a guest's disk is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    Raw,
    Qcow2,
}

impl Offer {
    /// Of whoever does not offer the domain of that name: it says other words.
    pub fn none(name: String) -> Offer {
        Offer {
            name,
            definition: String::new(),
            strategy: String::new(),
            power: Power::Off,
            places: None,
            variables: None,
            along: Vec::new(),
            fetches: false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    Running,
    Paused,
    Off,
}

/// Why not, as a check's finding has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Reason {
    /// Stays the same.
    pub code: String,
    pub object: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Why bytes are no message: one line, in which nothing of the other host's stands unescaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

impl Malformed {
    pub(super) fn new(because: &str) -> Malformed {
        Malformed(because.to_owned())
    }
}

impl Message {
    /// # Errors
    /// Where `version` is none that this fief speaks, or the message is longer than any may be.
    pub fn encode(&self, version: u16) -> Result<Vec<u8>, Malformed> {
        spoken(version)?;
        self.check()?;
        let bytes = serde_json::to_vec(self).map_err(|error| Malformed(error.to_string()))?;
        short_enough(bytes.len()).map(|()| bytes)
    }

    /// # Errors
    /// Where the bytes are no message of that version.
    pub fn decode(version: u16, bytes: &[u8]) -> Result<Message, Malformed> {
        spoken(version)?;
        short_enough(bytes.len())?;
        // Of serde's own text the place alone: it quotes what was sent.
        let malformed = |error: serde_json::Error| {
            let what = if error.is_data() { "words that do not belong there" } else { "no JSON" };
            Malformed(format!("{what} at line {} column {}", error.line(), error.column()))
        };
        let message: Message = serde_json::from_slice(bytes).map_err(malformed)?;
        message.check().map(|()| message)
    }

    fn check(&self) -> Result<(), Malformed> {
        match self {
            Message::Prepare { what, .. } => {
                at_most("a name", what.name.len().max(what.strategy.len()), NAME_MAX)?;
                at_most("a definition", what.definition.len(), DEFINITION_MAX)?;
                at_most("a list of volumes", what.along.len(), ALONG_MAX)?;
                let longest = what.along.iter().map(|along| along.volume.len()).max();
                at_most("a volume's name", longest.unwrap_or(0), VOLUME_MAX)?;
                for Along { snapshots, .. } in &what.along {
                    at_most("a list of snapshots", snapshots.len(), SNAPSHOTS_MAX)?;
                    let longest = snapshots.iter().map(|snapshot| snapshot.name.len()).max();
                    at_most("a snapshot's name", longest.unwrap_or(0), NAME_MAX)?;
                }
                what.variables.as_ref().map_or(Ok(()), |variables| variables.bytes().map(drop))
            }
            Message::Declined { reasons, .. } => {
                at_most("a list of reasons", reasons.len(), REASONS_MAX)?;
                let texts = reasons.iter().flat_map(|Reason { code, object, message, remedy }| {
                    [code.len(), object.len(), message.len(), remedy.as_ref().map_or(0, String::len)]
                });
                at_most("a reason", texts.max().unwrap_or(0), TEXT_MAX)
            }
            Message::Prepared { .. }
            | Message::Staged { .. }
            | Message::Activate { .. }
            | Message::Activated { .. }
            | Message::Refused { .. }
            | Message::Cancel { .. }
            | Message::Query { .. }
            | Message::Owner { .. } => Ok(()),
        }
    }

    /// The domain that it is about, and what it is to the handover.
    pub const fn word(&self) -> (Uuid, Word) {
        match *self {
            Message::Prepare { domain, attempt, .. } => (domain, Word::Prepare(attempt)),
            Message::Prepared { domain, attempt } => (domain, Word::Prepared(attempt)),
            Message::Staged { domain, attempt } => (domain, Word::Staged(attempt)),
            Message::Activate { domain, attempt } => (domain, Word::Activate(attempt)),
            Message::Activated { domain, attempt } => (domain, Word::Activated(attempt)),
            Message::Refused { domain, attempt } => (domain, Word::Refused(attempt)),
            Message::Declined { domain, attempt, .. } => (domain, Word::Declined(attempt)),
            Message::Cancel { domain, attempt } => (domain, Word::Cancel(attempt)),
            Message::Query { domain } => (domain, Word::Query),
            Message::Owner { domain, generation } => (domain, Word::Owner { generation }),
        }
    }

    /// A word of the handover as a message. `offer` is asked for what goes with `Prepare`, `reasons` for why something is
    /// declined.
    pub fn of(domain: Uuid, word: Word, offer: impl FnOnce() -> Offer, reasons: impl FnOnce() -> Vec<Reason>) -> Self {
        match word {
            Word::Prepare(attempt) => Message::Prepare { domain, attempt, what: Box::new(offer()) },
            Word::Prepared(attempt) => Message::Prepared { domain, attempt },
            Word::Staged(attempt) => Message::Staged { domain, attempt },
            Word::Activate(attempt) => Message::Activate { domain, attempt },
            Word::Activated(attempt) => Message::Activated { domain, attempt },
            Word::Refused(attempt) => Message::Refused { domain, attempt },
            Word::Declined(attempt) => Message::Declined { domain, attempt, reasons: reasons() },
            Word::Cancel(attempt) => Message::Cancel { domain, attempt },
            Word::Query => Message::Query { domain },
            Word::Owner { generation } => Message::Owner { domain, generation },
        }
    }
}

fn spoken(version: u16) -> Result<(), Malformed> {
    match VERSIONS.contains(&version) {
        true => Ok(()),
        false => Err(Malformed(format!("version {version} is not spoken here"))),
    }
}

fn short_enough(length: usize) -> Result<(), Malformed> {
    at_most("a message", length, LONGEST)
}

fn at_most(what: &str, length: usize, most: usize) -> Result<(), Malformed> {
    if length <= most { Ok(()) } else { Err(Malformed(format!("{what} of {length}, of {most} at most"))) }
}

#[cfg(test)]
mod tests;
