//! Why a call has no result.

use fief_sdk::Error;

use crate::status::Status;

#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// The server said no.
    Status(Status),
    /// Nothing that it says helps any more.
    Final(Error),
}

pub(crate) type Answer<T> = std::result::Result<T, Trouble>;

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Final(error)
    }
}

impl Trouble {
    /// For whoever asked; `doing` says what.
    pub(crate) fn error(self, doing: impl std::fmt::Display) -> Error {
        match self {
            Trouble::Status(status) => status.error(doing),
            Trouble::Final(error) => error.while_doing(doing),
        }
    }

    pub(crate) fn is(&self, wanted: Status) -> bool {
        matches!(self, Trouble::Status(status) if *status == wanted)
    }

    pub(crate) fn is_unsupported(&self) -> bool {
        matches!(self, Trouble::Status(status) if status.is_unsupported())
    }
}

/// Nothing where the server says that there is none.
pub(crate) fn found<T>(answer: Answer<T>) -> Answer<Option<T>> {
    match answer {
        Ok(there) => Ok(Some(there)),
        Err(trouble) if trouble.is(Status::NOENT) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}
