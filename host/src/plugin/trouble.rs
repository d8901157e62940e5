//! What the host fails at on purpose, for a plugin that is being tried out (`conformance`).

use std::os::fd::{AsFd, OwnedFd};

use rustix::net::Shutdown;

use super::failure::refusal;
use crate::sandbox::protocol::{Ask, ErrorCode, PluginError};

/// Of the asks of each call from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The one that fails, counted from 1; none: each of them.
    pub at: Option<u32>,
    pub how: How,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// It is answered with this error, and nothing is done.
    Error(ErrorCode),
    /// A stream that it opens is ended before a byte goes over it; what opens none is answered `unreachable`.
    Cut,
}

impl Trouble {
    /// Whether it comes for the ask of that number.
    pub(super) fn comes(&self, number: u32) -> bool {
        self.at.is_none_or(|at| at == number)
    }

    /// What the plugin is told in place of an answer; none where that is made and then spoilt.
    pub(super) fn answer(&self, ask: &Ask) -> Option<PluginError> {
        let told = |code| Some(refusal(code, "the host fails on purpose, for a test of this plugin"));
        match &self.how {
            How::Error(code) => told(code.clone()),
            How::Cut if matches!(ask, Ask::Connect { .. }) => None,
            How::Cut => told(ErrorCode::Unreachable),
        }
    }

    /// Ends streams that were made.
    pub(super) fn spoil(descriptors: &[OwnedFd]) {
        for stream in descriptors {
            // What is no stream cannot be ended, and needs no end.
            let _ = rustix::net::shutdown(stream.as_fd(), Shutdown::Both);
        }
    }
}
