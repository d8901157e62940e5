//! What went wrong, as an operator sees it: what failed, why (the chain), what to do, and the exit code.
//!
//! One shape for every floor, because it also travels: from a supervisor to the command that started it,
//! and into records and audit lines.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of failure, each with its exit code (cli.md, "Exit codes").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Other,
    /// The command line or a definition is wrong.
    Usage,
    NotFound,
    /// Already exists, in use, or in a state that does not allow it.
    Conflict,
    Denied,
    /// A check found blockers.
    Findings,
    /// The plugin trapped, ran past a limit, or gave an answer that the host does not accept.
    PluginFault,
    Unreachable,
    TimedOut,
    PartlyDone,
    NeedsRecover,
    NoRoom,
    NeedsYes,
}

impl Kind {
    pub const fn exit_code(self) -> u8 {
        match self {
            Kind::Other => 1,
            Kind::Usage => 2,
            Kind::NotFound => 3,
            Kind::Conflict => 4,
            Kind::Denied => 5,
            Kind::Findings => 6,
            Kind::PluginFault => 7,
            Kind::Unreachable => 8,
            Kind::TimedOut => 9,
            Kind::PartlyDone => 10,
            Kind::NeedsRecover => 11,
            Kind::NoRoom => 12,
            Kind::NeedsYes => 13,
        }
    }
}

/// A failure. `message` says what could not be done to what; `causes` why, outermost first; `hint` the next step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    pub kind: Kind,
    pub message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Failure { kind, message: message.into(), causes: Vec::new(), hint: None }
    }
    pub fn other(message: impl Into<String>) -> Self {
        Failure::new(Kind::Other, message)
    }
    pub fn usage(message: impl Into<String>) -> Self {
        Failure::new(Kind::Usage, message)
    }
    pub fn not_found(message: impl Into<String>) -> Self {
        Failure::new(Kind::NotFound, message)
    }
    pub fn conflict(message: impl Into<String>) -> Self {
        Failure::new(Kind::Conflict, message)
    }
    pub fn denied(message: impl Into<String>) -> Self {
        Failure::new(Kind::Denied, message)
    }
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
    /// Adds an error and its own sources below what is there.
    #[must_use]
    pub fn because(mut self, cause: impl std::error::Error) -> Self {
        self.causes.push(cause.to_string());
        let mut source = cause.source();
        while let Some(next) = source {
            self.causes.push(next.to_string());
            source = next.source();
        }
        self
    }
    /// What was being done when this happened: `message` above, this failure's own message as its first cause.
    /// Kind and hint stay.
    #[must_use]
    pub fn while_doing(mut self, message: impl Into<String>) -> Self {
        let below = std::mem::replace(&mut self.message, message.into());
        self.causes.insert(0, below);
        self
    }
}

/// One line: message and causes, joined by colons.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl std::error::Error for Failure {}

/// Turns a foreign error into a [`Failure`] by saying what was being done.
pub trait Context<T> {
    /// Kind `Other`, but `no space left` is `NoRoom`.
    fn context(self, message: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for std::io::Result<T> {
    fn context(self, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| {
            let kind = match error.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Kind::NoRoom,
                _ => Kind::Other,
            };
            Failure::new(kind, message()).because(error)
        })
    }
}

impl<T> Context<T> for std::result::Result<T, rustix::io::Errno> {
    fn context(self, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(std::io::Error::from).context(message)
    }
}

impl<T> Context<T> for std::result::Result<T, serde_json::Error> {
    fn context(self, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure::other(message()).because(error))
    }
}
