//! Under which name a device is served, what of it is offered, and within which bounds.

use std::rc::Rc;
use std::time::Duration;

use crate::Geometry;
use crate::wire::transmission;

/// The one export of a server. Its name is `VOLUME@GENERATION`; the empty name means the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    pub volume: String,
    /// Of the attachment that is served: who asks for an older one is refused.
    pub generation: u64,
    /// For people: `nbdinfo` shows it.
    pub description: String,
}

/// Why a client is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It asks for what is there, and may not have it.
    Policy(String),
    /// There is no such thing here.
    Unknown(String),
}

impl Export {
    pub fn name(&self) -> String {
        format!("{}@{}", self.volume, self.generation)
    }

    /// Whether `name` is this export's.
    pub(crate) fn find(&self, name: &[u8]) -> Result<(), Refusal> {
        if name.is_empty() || name == self.name().as_bytes() {
            return Ok(());
        }
        let unknown = || Refusal::Unknown(format!("not served here; {} is", self.name()));
        let name = std::str::from_utf8(name).map_err(|_| unknown())?;
        let (volume, generation) = name.rsplit_once('@').ok_or_else(unknown)?;
        match generation.parse::<u64>() {
            Ok(older) if volume == self.volume && older < self.generation => Err(Refusal::Policy(format!(
                "generation {older} of {volume} has ended: generation {} has taken its place",
                self.generation
            ))),
            Ok(_) | Err(_) => Err(unknown()),
        }
    }
}

/// What a client is offered at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    /// In bytes.
    pub(crate) size: u64,
    /// In bytes.
    pub(crate) preferred: u32,
    pub(crate) flags: u16,
    /// Nobody is let in, and why.
    pub(crate) fenced: Option<Rc<str>>,
    /// The server is about to end.
    pub(crate) ending: bool,
}

impl Offer {
    pub(crate) fn new(geometry: &Geometry, size: u64, fenced: Option<Rc<str>>, ending: bool) -> Self {
        let set = |condition: bool, flag: u16| if condition { flag } else { 0 };
        let changes = transmission::FUA
            | transmission::WRITE_ZEROES
            | set(geometry.can_write_zeroes, transmission::FAST_ZERO)
            | set(geometry.can_discard, transmission::TRIM);
        let flags = transmission::HAS_FLAGS
            | transmission::FLUSH
            | transmission::CACHE
            // One device behind all connections: a flush on one covers what was written on any.
            | transmission::MULTI_CONN
            | set(geometry.rotational, transmission::ROTATIONAL)
            | if geometry.read_only { transmission::READ_ONLY } else { changes };
        let preferred = geometry.preferred_io.clamp(PREFERRED.0, PREFERRED.1).next_power_of_two();
        Offer { size, preferred: preferred.max(geometry.block_size), flags, fenced, ending }
    }

    /// Flags of the transmission.
    pub(crate) fn flags(&self, structured: bool) -> u16 {
        self.flags | if structured { transmission::DF } else { 0 }
    }
}

/// Bounds of what is told as the preferred size, in bytes: proto.md wants 512 at least, and clients take what is large
/// for a size to round up to.
const PREFERRED: (u32, u32) = (4096, 1 << 20);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_generation_is_refused_by_name_and_another_volume_is_not_known() {
        let export = Export { volume: "a@b".into(), generation: 5, description: String::new() };
        for name in ["", "a@b@5"] {
            assert_eq!(export.find(name.as_bytes()), Ok(()), "{name}");
        }
        for name in ["a@b@4", "a@b@0"] {
            assert!(matches!(export.find(name.as_bytes()), Err(Refusal::Policy(_))), "{name}");
        }
        for name in ["a@b@6", "a@b", "a@5", "@5", "5", "a@b@5 ", "a@b@-1", "a@b@"] {
            assert!(matches!(export.find(name.as_bytes()), Err(Refusal::Unknown(_))), "{name}");
        }
        assert!(matches!(export.find(b"\xff\xfe@4"), Err(Refusal::Unknown(_))));
    }
}
