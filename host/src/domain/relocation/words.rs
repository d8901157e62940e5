//! What goes between the hosts about a move, beside the words of the handover (migration/message.rs): how those are
//! carried, and what a stream is for.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::error::{Context, Failure, Kind, Result};
use crate::migration::handover::Attempt;
use crate::migration::message::{Message, VERSIONS};
use crate::migration::steps::{Outcome, Sample};

/// Longest wait for a word, in milliseconds.
pub const LISTEN_MAX: u32 = 10_000;

/// One request of the service.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// A word of the handover.
    Say { message: Value },
    /// Words that are there for the asker, or come within the time.
    Listen { domain: Uuid, wait_ms: u32 },
    /// All was sent that the strategy meant to send.
    Delivered { domain: Uuid, attempt: Attempt },
    /// The attempt is over, as its source was killed: what came of volumes stays there, for the next one to go on with.
    CutOff { domain: Uuid, attempt: Attempt },
}

/// Its answer.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Reply {
    pub messages: Vec<Value>,
}

/// What a stream is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Purpose {
    pub domain: Uuid,
    pub attempt: Attempt,
    pub what: Cargo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cargo {
    /// QEMU's own stream, both ways: all of the guest.
    Memory,
    /// One of several connections of QEMU's that a guest comes by. Understood since version 2 of what hosts speak
    /// ([`CHANNELS_SINCE`]).
    Channel(Channel),
    /// A file that holds such a stream (migration/copying/state.rs).
    State,
    /// One of the volumes of the offer, by its place there (migration/copying).
    Volume(u16),
    /// One of the snapshots of such a volume, by both places.
    Snapshot { volume: u16, place: u16 },
}

/// The version of what hosts speak (`fief_wire::hello::VERSIONS`) from which on memory may come by several connections.
pub const CHANNELS_SINCE: u16 = 2;

/// One of `of + 1` connections: 0 has what is not memory, and what is said back; the others have memory, and no number of
/// their own to QEMU, which has each say which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Channel {
    pub number: u8,
    pub of: u8,
}

/// A word as the JSON of a request or an answer.
pub fn to_value(message: &Message) -> Result<Value> {
    let saying = || "cannot say a word to another host".to_owned();
    let bytes = message.encode(VERSIONS[0]).map_err(|malformed| Failure::other(saying()).because(malformed))?;
    serde_json::from_slice(&bytes).context(saying)
}

/// # Errors
/// `Usage` where it is none.
pub fn from_value(value: &Value) -> Result<Message> {
    let bytes = serde_json::to_vec(value).context(|| "cannot read what another host said".to_owned())?;
    Message::decode(VERSIONS[0], &bytes)
        .map_err(|malformed| Failure::new(Kind::Usage, "what another host said is no word").because(malformed))
}

/// What a source's supervisor left for the supervisor of the target to begin with: `incoming.json` in the domain's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Expected {
    /// The host that sends.
    pub from: Uuid,
    /// Its `Prepare`.
    pub message: Value,
}

/// What a supervisor is told by `fief serve` of what a peer said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Heard {
    pub from: Uuid,
    /// None: it only listens.
    pub message: Option<Value>,
    pub wait_ms: u32,
    /// Of that attempt, all was sent.
    #[serde(default)]
    pub delivered: Option<Attempt>,
    /// The attempt that is cancelled was cut off, or makes way for the next one: what came of volumes stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps: bool,
}

impl Heard {
    /// A word alone.
    pub fn says(from: Uuid, message: Value) -> Heard {
        Heard { from, message: Some(message), wait_ms: 0, delivered: None, keeps: false }
    }
}

/// How far a move is, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Progress {
    /// `preparing`, `memory`, `volumes`, `state`, `handing-over`.
    pub phase: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    /// Of volumes or a state: bytes.
    #[serde(default)]
    pub done: u64,
    #[serde(default)]
    pub total: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Volumes that went along and could not be deleted here, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stays: Vec<String>,
}
