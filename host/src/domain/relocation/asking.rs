//! Words with a supervisor that works on a move, whatever the domain's record says: none is started for them.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use super::{Heard, Progress};
use crate::domain::client::{self, LINE_MAX};
use crate::domain::supervisor::control::{Answer, Request, Response};
use crate::error::{Context, Failure, Result};
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
        (&stream).write_all(&line).context(saying)?;
        Ok(Asking { stream, name: name.clone() })
    }

    /// None where the supervisor went without one.
    pub fn answer(self) -> Result<Option<Answer>> {
        let saying = || format!("the supervisor of domain {} does not answer", self.name);
        let mut answer = String::new();
        match BufReader::new(&self.stream).take(LINE_MAX).read_line(&mut answer) {
            Ok(0) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
            other => other.context(saying)?,
        };
        match serde_json::from_str(&answer).context(saying)? {
            Response::Ok { answer, .. } => Ok(Some(answer)),
            Response::Failed(failure) => Err(failure),
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
    let saying = || format!("cannot tell the supervisor of domain {name} what a peer said");
    let Ok(stream) = socket::connect_in(&layout.domain(name), "control.sock") else { return Ok(Relayed::Nobody) };
    let request = Request::Handover { heard };
    stream.set_read_timeout(request.patience()).context(saying)?;
    let mut line = serde_json::to_vec(&request).context(saying)?;
    line.push(b'\n');
    let mut answer = String::new();
    let said = (&stream).write_all(&line).and_then(|()| BufReader::new(&stream).take(LINE_MAX).read_line(&mut answer));
    match said {
        // It ended meanwhile.
        Ok(0) => return Ok(Relayed::Nobody),
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
            return Ok(Relayed::Nobody);
        }
        other => other.context(saying)?,
    };
    match serde_json::from_str(&answer).context(saying)? {
        Response::Ok { answer: Answer::Words { messages }, .. } => Ok(Relayed::Words(messages)),
        Response::Ok { .. } | Response::Failed(_) => Ok(Relayed::Nobody),
    }
}
