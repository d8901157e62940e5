//! How long a server may say nothing that a plugin has connected to.

use crate::gate::operation::Purpose;

/// Who waits for the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Somebody who wants something done.
    Work,
    /// Somebody who looks, and would rather hear soon that storage does not answer.
    Look,
    /// Somebody who has a server be silent on purpose, to see what a plugin makes of it.
    Trial,
}

impl Patience {
    /// In milliseconds: less than a whole call may take, so that the plugin can still say what went wrong.
    pub const fn silence_ms(self) -> u32 {
        match self {
            Patience::Work => 15_000,
            Patience::Look => 3_000,
            Patience::Trial => 1_000,
        }
    }

    /// What connections are opened for in a call of that purpose.
    pub const fn purpose(self, purpose: Purpose) -> Purpose {
        match (self, purpose) {
            (Patience::Look, Purpose::Ask) => Purpose::Look,
            (Patience::Look | Patience::Work | Patience::Trial, purpose) => purpose,
        }
    }
}
