//! What ends a session.

use std::fmt;

/// Something of the target's that cannot be lived with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A PDU that does not keep to its format, and what of it.
    Format(&'static str),
    /// A CRC32C that does not match: "header" or "data".
    Digest(&'static str),
    /// A number that is not the next one: a PDU was lost or came twice.
    Sequence(&'static str),
    /// The target refused a PDU of ours; the reason is a code of section 11.17.1.
    Rejected(u8),
    /// The target ends the session (section 11.9), and may be logged in to again after so many seconds.
    Dropped { wait: u16 },
    /// A command hangs, and the target does not give it up.
    Stuck,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Format(what) => write!(f, "the target broke the protocol: {what}"),
            Fault::Digest(part) => write!(f, "the {part} digest of a PDU is wrong: it was damaged on its way"),
            Fault::Sequence(what) => write!(f, "the target lost count: {what}"),
            Fault::Rejected(reason) => write!(f, "the target rejected a PDU, reason {reason:#04x}"),
            Fault::Dropped { wait } => write!(f, "the target ends the session and asks for {wait} s of patience"),
            Fault::Stuck => f.write_str("a command has no answer, and the target does not give it up"),
        }
    }
}

impl std::error::Error for Fault {}
