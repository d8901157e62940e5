//! What the host fails at on purpose, for a plugin that is being tried out (`conformance`).

use std::os::fd::OwnedFd;

use rustix::net::Shutdown;

pub use super::breach::Breach;
use super::breach::Spoilt;
use super::failure::refusal;
pub use super::relay::Break;
pub use super::wires::{Fate, Wires};
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
    /// What goes over the streams that it opens is spoilt; nothing else is.
    Streams(Breach),
}

impl Trouble {
    /// Whether it comes for the ask of that number.
    pub(super) fn comes(&self, number: u32) -> bool {
        self.at.is_none_or(|at| at == number)
    }

    /// Whether it has come with the ask, or comes with what goes over a stream.
    pub(super) const fn is_of_asks(&self) -> bool {
        match self.how {
            How::Error(_) | How::Cut => true,
            How::Streams(_) => false,
        }
    }

    /// What the plugin is told in place of an answer; none where that is made and then spoilt.
    pub(super) fn answer(&self, ask: &Ask) -> Option<PluginError> {
        let told = |code| Some(refusal(code, "the host fails on purpose, for a test of this plugin"));
        match &self.how {
            How::Error(code) => told(code.clone()),
            How::Cut if matches!(ask, Ask::Connect { .. }) => None,
            How::Cut => told(ErrorCode::Unreachable),
            How::Streams(_) => None,
        }
    }

    /// Spoils streams that were made.
    ///
    /// # Errors
    /// Where this host has none to put in their place.
    pub(super) fn spoil(&self, streams: Vec<OwnedFd>, spoilt: &mut Spoilt) -> std::io::Result<Vec<OwnedFd>> {
        match self.how {
            How::Error(_) => Ok(streams),
            How::Cut => {
                for stream in &streams {
                    // One that has ended already needs no end.
                    let _ = rustix::net::shutdown(stream, Shutdown::Both);
                }
                Ok(streams)
            }
            How::Streams(breach) => streams.into_iter().map(|stream| spoilt.lead(stream, breach)).collect(),
        }
    }
}
