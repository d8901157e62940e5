//! Under which name a device is served, and within which bounds.

use std::time::Duration;

/// The one export of a server. Its name is `VOLUME@GENERATION`; the empty name means the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    pub volume: String,
    /// Of the attachment that is served: who asks for an older one is refused.
    pub generation: u64,
    /// For people: `nbdinfo` shows it.
    pub description: String,
}

impl Export {
    pub fn name(&self) -> String {
        format!("{}@{}", self.volume, self.generation)
    }
}

/// What a server takes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; one more is closed at once. QEMU opens one, `nbdcopy` four.
    pub connections: usize,
    /// Bytes of payload that all connections hold together, as long as they behave. Each has an equal share.
    pub memory: usize,
    /// For the whole handshake of a connection.
    pub handshake: Duration,
    /// For what was begun, and its replies, once the server was told to end or to drop its clients.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { connections: 32, memory: 8 << 20, handshake: Duration::from_secs(10), drain: Duration::from_secs(10) }
    }
}
