//! Errors that a plugin gives back: a constructor for each code, and whether trying again can help.

use std::fmt::Display;

pub use crate::bindings::host::fief::types::types::{Error, ErrorCode, Retry};

/// What every function of a plugin gives back.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $code:ident, $retry:expr;)+) => {$(
        $(#[$doc])*
        pub fn $name(message: impl Into<String>) -> Self {
            Error { code: ErrorCode::$code, message: message.into(), retry: $retry }
        }
    )+};
}

/// `message` is one line, lower case, no full stop: what could not be done to what. The host adds the call and the
/// pool or network around it, and shows it escaped.
impl Error {
    constructors! {
        /// There is no such volume, snapshot or network. Exit code 3.
        not_found => NotFound, Retry::Never;
        /// The name is taken by something other than what was asked for. Exit code 4.
        already_exists => AlreadyExists, Retry::AfterFix;
        /// Not in the state that this asks for. Exit code 4.
        wrong_state => WrongState, Retry::AfterFix;
        /// A name, size or setting is wrong. Exit code 2.
        invalid => Invalid, Retry::AfterFix;
        /// Not granted. Exit code 5.
        denied => Denied, Retry::AfterFix;
        /// No room, or a quota is used up. Exit code 12.
        exhausted => Exhausted, Retry::AfterFix;
        /// The storage or the network behind it cannot be reached. Exit code 8.
        unreachable => Unreachable, Retry::AfterMs(1_000);
        /// It did not answer in time. Exit code 9.
        timeout => Timeout, Retry::AfterMs(1_000);
        /// This plugin, or this kind of volume, cannot do that. Exit code 2.
        unsupported => Unsupported, Retry::Never;
        /// What is stored is damaged, or is not what its name says. Exit code 1.
        corrupt => Corrupt, Retry::AfterFix;
        /// Reading or writing failed. Exit code 1.
        io => Io, Retry::AfterFix;
    }

    /// Used by `who` (a volume that stands on it, say). Exit code 4.
    pub fn in_use(who: impl Into<String>, message: impl Into<String>) -> Self {
        Error { code: ErrorCode::InUse(who.into()), message: message.into(), retry: Retry::AfterFix }
    }
    /// A code of the plugin's own, for what no other says. Exit code 1.
    pub fn other(code: impl Into<String>, message: impl Into<String>) -> Self {
        Error { code: ErrorCode::Other(code.into()), message: message.into(), retry: Retry::AfterFix }
    }
    /// Replaces what the constructor says about trying again.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }
    /// Puts what was being done in front: `cannot list pool default: no such directory`.
    #[must_use]
    pub fn while_doing(mut self, doing: impl Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }
    /// An error of the file system, with what was being done.
    pub fn from_io(error: &std::io::Error, doing: impl Display) -> Self {
        use std::io::ErrorKind as Kind;
        let message = format!("{doing}: {error}");
        match error.kind() {
            Kind::NotFound => Error::not_found(message),
            Kind::AlreadyExists => Error::already_exists(message),
            Kind::PermissionDenied => Error::denied(message),
            Kind::StorageFull | Kind::QuotaExceeded => Error::exhausted(message),
            Kind::TimedOut => Error::timeout(message),
            _ => Error::io(message),
        }
    }
}
