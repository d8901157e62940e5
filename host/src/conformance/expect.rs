//! What a call was to bring forth, held against what it did.

use crate::error::Failure;
use crate::gate::operation::SnapshotFacts;
use crate::plugin::printable;
use crate::sandbox::protocol::{Attachment, ErrorCode, Fence, Return, StorageCall, VolumeFacts};
use crate::storage::Refusal;

use super::words;

/// Longest text of an answer that is told, in characters.
const TOLD: usize = 300;

/// Why a case ended before its end.
#[derive(Debug, Clone, PartialEq)]
pub enum Stop {
    /// It is not for this plugin, and why.
    Skip(String),
    Fail(Fault),
    /// This host could not go on: nothing is known of the plugin.
    Broken(Failure),
}

/// What a plugin did wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub called: String,
    pub expected: String,
    pub got: String,
}

pub(super) type Result<T, E = Stop> = std::result::Result<T, E>;

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Broken(failure)
    }
}

pub(super) fn fail<T>(called: impl Into<String>, expected: impl Into<String>, got: impl Into<String>) -> Result<T> {
    Err(Stop::Fail(Fault { called: called.into(), expected: expected.into(), got: short(&got.into()) }))
}

pub(super) fn skip<T>(why: impl Into<String>) -> Result<T> {
    Err(Stop::Skip(why.into()))
}

/// A call that was made.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) called: String,
    pub(super) said: Result<Return, Refusal>,
}

/// One error that is right among several.
pub(super) type Code = &'static str;

impl Asked {
    pub(super) fn new(function: &StorageCall, said: Result<Return, Refusal>) -> Self {
        Asked { called: words::call(function), said }
    }

    pub(super) fn fails<T>(&self, expected: impl Into<String>) -> Result<T> {
        fail(self.called.clone(), expected, self.got())
    }

    /// In words.
    pub(super) fn got(&self) -> String {
        match &self.said {
            Ok(answer) => words::answer(answer),
            Err(refusal) => refused(refusal),
        }
    }

    pub(super) fn is(&self, code: Code) -> bool {
        matches!(&self.said, Err(Refusal { code: Some(said), .. }) if words::code(said) == code)
    }

    /// Passes over what the plugin says that it does not do.
    pub(super) fn where_supported(self) -> Result<Asked> {
        if !self.is("unsupported") {
            return Ok(self);
        }
        let why = self.said.err().map(|refusal| inner(&refusal.failure)).unwrap_or_default();
        skip(format!("it does not do that: {why}"))
    }

    pub(super) fn refused_with(self, codes: &[Code]) -> Result<()> {
        match codes.iter().any(|code| self.is(code)) {
            true => Ok(()),
            false => self.fails(format!("the error {}", codes.join(" or "))),
        }
    }

    pub(super) fn nothing(self) -> Result<()> {
        match self.said {
            Ok(Return::Nothing) => Ok(()),
            Ok(_) | Err(_) => self.fails("success"),
        }
    }

    pub(super) fn volume(self) -> Result<VolumeFacts> {
        match self.said {
            Ok(Return::Volume(facts)) => Ok(facts),
            Ok(_) | Err(_) => self.fails("the volume"),
        }
    }

    pub(super) fn volumes(self) -> Result<Vec<VolumeFacts>> {
        match self.said {
            Ok(Return::Volumes(all)) => Ok(all),
            Ok(_) | Err(_) => self.fails("the volumes of the pool"),
        }
    }

    pub(super) fn info(self) -> Result<Info> {
        match self.said {
            Ok(Return::PoolInfo { identity, capacity, available, max_name, reachable_from_peers: _ }) => {
                Ok(Info { identity, capacity, available, max_name })
            }
            Ok(_) | Err(_) => self.fails("what the pool is"),
        }
    }

    pub(super) fn attachment(self) -> Result<Attachment> {
        match self.said {
            Ok(Return::Attachment(attachment)) => Ok(attachment),
            Ok(_) | Err(_) => self.fails("the way to the volume"),
        }
    }

    pub(super) fn snapshot(self) -> Result<SnapshotFacts> {
        match self.said {
            Ok(Return::Snapshot(facts)) => Ok(facts),
            Ok(_) | Err(_) => self.fails("the snapshot"),
        }
    }

    pub(super) fn snapshots(self) -> Result<Vec<SnapshotFacts>> {
        match self.said {
            Ok(Return::Snapshots(all)) => Ok(all),
            Ok(_) | Err(_) => self.fails("the snapshots of the volume"),
        }
    }

    pub(super) fn fence(self) -> Result<Fence> {
        match self.said {
            Ok(Return::Fence(fence)) => Ok(fence),
            Ok(_) | Err(_) => self.fails("the fence"),
        }
    }

    pub(super) fn notes(self) -> Result<Vec<u64>> {
        match self.said {
            Ok(Return::Notes(all)) => Ok(all),
            Ok(_) | Err(_) => self.fails("the notes"),
        }
    }
}

/// What a plugin says of its storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Info {
    pub(super) identity: String,
    pub(super) capacity: Option<u64>,
    pub(super) available: Option<u64>,
    pub(super) max_name: u32,
}

fn refused(refusal: &Refusal) -> String {
    let why = inner(&refusal.failure);
    match &refusal.code {
        Some(ErrorCode::Other(code)) => format!("the error {:?}: {why}", printable(code)),
        Some(code) => format!("the error {}: {why}", words::code(code)),
        None => format!("a fault of the plugin's: {why}"),
    }
}

/// What went wrong at the bottom: what stands around it says what was called.
pub(super) fn inner(failure: &Failure) -> String {
    failure.causes.last().unwrap_or(&failure.message).clone()
}

fn short(text: &str) -> String {
    if text.chars().count() <= TOLD {
        return text.to_owned();
    }
    text.chars().take(TOLD).chain(['…']).collect()
}
