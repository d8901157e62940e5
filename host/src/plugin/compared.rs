//! What two versions of a plugin answered, held against each other.

use crate::error::{Failure, Kind, Result};

/// How the newer one's answers fit the older one's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    Alike,
    Otherwise(Vec<Differs>),
    /// The older one has no answer to compare with, and why.
    Unknown(String),
    /// The newer one alone has none, and why.
    Fails(String),
}

/// One thing that they answered otherwise, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Differs {
    /// What has to stay as it is.
    Answer(String),
    /// The port of a card: what a new version may be there for.
    Port(String),
}

impl Compared {
    /// Both answered; `differ` says where they do.
    pub fn of(differ: Vec<Differs>) -> Compared {
        if differ.is_empty() { Compared::Alike } else { Compared::Otherwise(differ) }
    }

    /// One of them, or both, did not answer.
    pub fn without<T>(old: Result<T>, new: Result<T>) -> Compared {
        match (old, new) {
            (Err(failure), _) => Compared::Unknown(failure.to_string()),
            // It may have gone away between the two.
            (Ok(_), Err(failure @ Failure { kind: Kind::Unreachable | Kind::TimedOut, .. })) => {
                Compared::Fails(format!("{failure}, where the older one had an answer"))
            }
            (Ok(_), Err(failure)) => Compared::Fails(failure.to_string()),
            (Ok(_), Ok(_)) => Compared::Alike,
        }
    }
}
