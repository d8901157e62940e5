//! Words with a supervisor that works on a move, whatever the domain's record says: none is started for them.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use super::{Heard, Progress};
use crate::domain::client::{self, LINE_MAX};
use crate::domain::supervisor::control::{Answer, Request, Response};
use crate::error::{Context, Failure, Kind, Result};
use crate::layout::Layout;
use crate::sys::socket;
use crate::types::DomainName;

/// How far the domain's supervisor is with its move. None where that cannot be told at once.
pub fn migrated(layout: &Layout, name: &DomainName) -> Option<Progress> {
    match client::look(layout, name, &Request::Migrated)? {
        Answer::Migrated { progress } => Some(*progress),
        Answer::Done
        | Answer::Already
        | Answer::File { .. }
        | Answer::Later { .. }
        | Answer::Memory { .. }
        | Answer::Copied { .. }
        | Answer::Machine { .. }
        | Answer::Words { .. } => None,
    }
}

/// A request to a supervisor that is there, whatever the domain's record says: none is started for it.
#[derive(Debug)]
pub struct Asking {
    stream: UnixStream,
    name: DomainName,
}

impl Asking {
    /// # Errors
    /// `Conflict` where no supervisor listens.
    pub fn begin(layout: &Layout, name: &DomainName, request: &Request) -> Result<Asking> {
        let saying = || format!("cannot talk to the supervisor of domain {name}");
        let stream = socket::connect_in(&layout.domain(name), "control.sock")
            .map_err(|error| Failure::conflict(format!("no supervisor of domain {name} listens")).because(error))?;
        stream.set_read_timeout(request.patience()).context(saying)?;
        let mut line = serde_json::to_vec(request).context(saying)?;
        line.push(b'\n');
        match (&stream).write_all(&line) {
            // It ended meanwhile, which the answer tells.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {}
            other => other.context(saying)?,
        }
        Ok(Asking { stream, name: name.clone() })
    }

    /// None where the supervisor went without one.
    fn response(self) -> Result<Option<Response>> {
        let saying = || format!("the supervisor of domain {} does not answer", self.name);
        let mut answer = String::new();
        match BufReader::new(&self.stream).take(LINE_MAX).read_line(&mut answer) {
            Ok(0) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
            other => other.context(saying)?,
        };
        serde_json::from_str(&answer).context(saying).map(Some)
    }

    /// The same, where a refusal is a failure.
    pub fn answer(self) -> Result<Option<Answer>> {
        match self.response()? {
            None => Ok(None),
            Some(Response::Ok { answer, .. }) => Ok(Some(answer)),
            Some(Response::Failed(failure)) => Err(failure),
        }
    }
}

/// What became of what a peer said.
#[derive(Debug)]
pub enum Relayed {
    Words(Vec<serde_json::Value>),
    /// No supervisor works on a move of the domain.
    Nobody,
}

/// Tells the domain's supervisor what a peer said; none is started for that.
pub fn relay(layout: &Layout, name: &DomainName, heard: Heard) -> Result<Relayed> {
    let asking = match Asking::begin(layout, name, &Request::Handover { heard }) {
        Err(failure) if failure.kind == Kind::Conflict => return Ok(Relayed::Nobody),
        other => other?,
    };
    match asking.response()? {
        Some(Response::Ok { answer: Answer::Words { messages }, .. }) => Ok(Relayed::Words(messages)),
        // It ended meanwhile, or works on no move.
        Some(Response::Ok { .. } | Response::Failed(_)) | None => Ok(Relayed::Nobody),
    }
}
