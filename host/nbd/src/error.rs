//! What a device could not do, as the protocol can say it (proto.md, "Error values").

use std::fmt;

/// The errors that NBD has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// EPERM: the export is read-only.
    NotPermitted,
    /// EIO: all that has no better name.
    Io,
    /// ENOMEM.
    NoMemory,
    /// EINVAL: the request makes no sense.
    Invalid,
    /// ENOSPC: no room, or past the end.
    NoSpace,
    /// EOVERFLOW: too long for one reply.
    TooLong,
    /// ENOTSUP.
    Unsupported,
    /// ESHUTDOWN: the server is about to end.
    ShuttingDown,
}

impl Kind {
    /// The number on the wire.
    pub const fn number(self) -> u32 {
        match self {
            Kind::NotPermitted => 1,
            Kind::Io => 5,
            Kind::NoMemory => 12,
            Kind::Invalid => 22,
            Kind::NoSpace => 28,
            Kind::TooLong => 75,
            Kind::Unsupported => 95,
            Kind::ShuttingDown => 108,
        }
    }

    /// What a number on the wire says.
    pub(crate) fn of(number: u32) -> Kind {
        let all = [
            Kind::NotPermitted,
            Kind::NoMemory,
            Kind::Invalid,
            Kind::NoSpace,
            Kind::TooLong,
            Kind::Unsupported,
            Kind::ShuttingDown,
        ];
        all.into_iter().find(|kind| kind.number() == number).unwrap_or(Kind::Io)
    }
}

/// Why a request failed. `message` is for people and goes to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub kind: Kind,
    pub message: String,
}

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let kind = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Kind::NoSpace,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Kind::NotPermitted,
            ErrorKind::OutOfMemory => Kind::NoMemory,
            ErrorKind::Unsupported => Kind::Unsupported,
            // An enum of std's, with more in it than NBD can say.
            _ => Kind::Io,
        };
        Error::new(kind, error.to_string())
    }
}
