//! The full feature phase: commands in flight, their data, and their answers (RFC 7143, sections 4.2 to 4.6, 11.3 to 11.8).
//!
//! ```text
//!   submit ─▸ waiting ─(the window has room)─▸ in flight ─▸ Answered
//!                                                 │ R2T ─▸ data goes out
//!                                                 │ Data-In ─▸ data is gathered
//!   input: bytes of the target's          output: bytes for it          unfinished: what a broken session leaves
//! ```
//! `W` is whoever waits for a command: what the caller gets back with the answer.

mod data;
mod overdue;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

pub use fief_sdk::payload::{self, Payload};

use super::Fault;
use super::frame::{Digests, Incoming, Pdu, write};
use super::header::{Header, NONE, response};
use super::offer::Agreed;
use super::reply::{AsyncEvent, Reply, Residual, Status};
use super::request::{self, Transfer, numbered};
use super::sequence::Sequence;
use super::text::{self, Gathered, Pairs};
use overdue::Managing;

pub use overdue::Health;

/// From this many bytes on, what is to be sent is not gathered any more: joining costs a copy then.
const PIECE: usize = 32 << 10;

/// A SCSI command, whole, so that it can be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub lun: [u8; 8],
    pub cdb: [u8; 16],
    pub data: Data,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    None,
    /// At most so many bytes come back.
    In(u32),
    Out(Vec<u8>),
}

impl Data {
    fn transfer(&self) -> Transfer {
        match self {
            Data::None => Transfer::None,
            Data::In(length) => Transfer::In(*length),
            // Commands are made with lengths of 32 bits.
            Data::Out(data) => Transfer::Out(data.len() as u32),
        }
    }
}

/// Who ended a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The unit.
    Answered,
    /// The target failed before the unit had an answer.
    Failed,
    /// It had no answer for too long, or its session ended by a fault that may be its own. It will not be carried out
    /// any more; whether it was is not known.
    Hung,
}

/// How a command ended.
#[derive(Debug)]
pub struct Answer {
    pub end: End,
    pub status: Status,
    pub sense: Vec<u8>,
    /// What came back; may be less than was asked for.
    pub data: payload::Data,
    /// How much of the data, either way, the target says that it did not move.
    pub residual: Residual,
}

impl Answer {
    /// Of a command that was given up.
    pub fn hung() -> Self {
        Answer {
            end: End::Hung,
            status: Status::TaskAborted,
            sense: Vec::new(),
            data: payload::Data::Bytes(Vec::new()),
            residual: Residual::None,
        }
    }
}

/// A command that a session left unanswered.
#[derive(Debug, PartialEq, Eq)]
pub struct Left<W> {
    pub who: W,
    pub command: Command,
    /// It may be what the session ended by.
    pub suspect: bool,
}

#[derive(Debug)]
pub enum Event<W> {
    Answered {
        who: W,
        command: Command,
        answer: Answer,
    },
    /// The target answered our ping.
    Pong,
    /// Sense data that no command asked for.
    Sense(Vec<u8>),
    /// The target wants us to log out.
    LogoutWanted,
    /// The target answered our logout: the connection may be closed.
    LoggedOut,
    /// The answer to a text.
    Text(Pairs),
}

struct Task<W> {
    who: W,
    command: Command,
    received: Vec<u8>,
    /// All of it in one, where it is not to be seen here; then nothing was received.
    passed: Option<Payload>,
    /// Number of the next Data-In, or of the next R2T.
    next: u32,
    number: u32,
    /// Since it was sent.
    seconds: u32,
    /// Overdue, or in flight when the session ended by a fault.
    suspect: bool,
}

/// Where the next PDU is put.
fn room(output: &mut VecDeque<Vec<u8>>) -> &mut Vec<u8> {
    match output.back() {
        Some(last) if last.len() < PIECE => {}
        Some(_) | None => output.push_back(Vec::new()),
    }
    // There is one, whichever way.
    let last = output.len() - 1;
    &mut output[last]
}

/// The data of a PDU.
enum Body<'a> {
    Seen(Cow<'a, [u8]>),
    Passed(Payload),
}

impl Body<'_> {
    fn seen(&self) -> &[u8] {
        match self {
            Body::Seen(data) => data,
            Body::Passed(_) => &[],
        }
    }

    fn len(&self) -> usize {
        match self {
            Body::Seen(data) => data.len(),
            Body::Passed(payload) => payload.len(),
        }
    }
}

impl<W> Task<W> {
    /// Bytes that came.
    fn come(&self) -> usize {
        self.received.len() + self.passed.as_ref().map_or(0, Payload::len)
    }

    fn answered(self, answer: Answer) -> Event<W> {
        let data = self.passed.map_or(payload::Data::Bytes(self.received), payload::Data::Payload);
        Event::Answered { who: self.who, command: self.command, answer: Answer { data, ..answer } }
    }
}

/// One session on one connection.
pub struct Session<W> {
    agreed: Agreed,
    sequence: Sequence,
    incoming: Incoming,
    /// Whole PDUs, in pieces that are worth being sent by themselves.
    output: VecDeque<Vec<u8>>,
    waiting: VecDeque<(W, Command)>,
    tasks: HashMap<u32, Task<W>>,
    next_tag: u32,
    text: Gathered,
    managing: Option<Managing>,
    /// Seconds in which the target's window was shut and nothing was in flight.
    shut: u32,
}

impl<W> Session<W> {
    pub fn new(agreed: Agreed, sequence: Sequence) -> Self {
        Session {
            agreed,
            sequence,
            incoming: Incoming::default(),
            output: VecDeque::new(),
            waiting: VecDeque::new(),
            tasks: HashMap::new(),
            next_tag: 0,
            text: Gathered::default(),
            managing: None,
            shut: 0,
        }
    }

    fn digests(&self) -> Digests {
        self.agreed.digests
    }

    fn tag(&mut self) -> u32 {
        loop {
            let tag = self.next_tag;
            self.next_tag = tag.wrapping_add(1);
            if tag != NONE && !self.tasks.contains_key(&tag) {
                return tag;
            }
        }
    }

    /// Commands that have no answer yet.
    #[cfg(test)]
    fn unanswered(&self) -> usize {
        self.tasks.len() + self.waiting.len()
    }

    /// Sends a command, or keeps it until the target's window has room.
    pub fn submit(&mut self, who: W, command: Command) {
        self.waiting.push_back((who, command));
        self.issue();
    }

    /// Asks the target for a sign of life.
    pub fn ping(&mut self) {
        let tag = self.tag();
        self.immediate(request::ping(tag), &[]);
    }

    /// Asks a question in text; one at a time.
    pub fn ask(&mut self, pairs: &[(&str, &str)]) {
        let tag = self.tag();
        self.immediate(request::text(tag, NONE), &text::write(pairs));
    }

    pub fn logout(&mut self) {
        let tag = self.tag();
        self.immediate(request::logout(tag), &[]);
    }

    fn immediate(&mut self, header: Header, data: &[u8]) {
        let header = numbered(header, self.sequence.immediate_command(), self.sequence.expected_status());
        let digests = self.digests();
        write(room(&mut self.output), header, data, digests);
    }

    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// What is to be sent next; more may follow.
    pub fn output(&mut self) -> Vec<u8> {
        self.output.pop_front().unwrap_or_default()
    }

    /// What had no answer when the session broke, in the order in which it was submitted.
    pub fn unfinished(self) -> Vec<Left<W>> {
        let mut tasks: Vec<Task<W>> = self.tasks.into_values().collect();
        // All numbers lie behind the next one, the oldest farthest.
        let next = self.sequence.immediate_command();
        tasks.sort_by_key(|task| task.number.wrapping_sub(next));
        let sent = tasks.into_iter().map(|Task { who, command, suspect, .. }| Left { who, command, suspect });
        sent.chain(self.waiting.into_iter().map(|(who, command)| Left { who, command, suspect: false })).collect()
    }

    /// Bytes came.
    ///
    /// # Errors
    /// What ends the session.
    pub fn input(&mut self, came: payload::Data, mut event: impl FnMut(Event<W>)) -> Result<(), Fault> {
        match (came, self.passes()) {
            (payload::Data::Payload(payload), Some(length)) if payload.len() == length as usize => {
                self.pass(payload, &mut event)?;
            }
            (came, _) => {
                let mut incoming = std::mem::take(&mut self.incoming);
                let fed = incoming.feed(came.into_bytes(), self.digests(), |Pdu { header, data }| {
                    self.take(header, Body::Seen(data), &mut event)
                });
                self.incoming = incoming;
                fed?;
            }
        }
        self.issue();
        Ok(())
    }

    /// How many bytes come next that are all of a read, and need not be seen here.
    pub fn passes(&self) -> Option<u32> {
        let header = self.incoming.alone().filter(|header| header.opcode() == response::DATA_IN)?;
        let task = self.tasks.get(&header.tag())?;
        let whole = matches!(task.command.data, Data::In(length) if length as usize == header.data_length());
        (whole && task.received.is_empty()).then_some(header.data_length() as u32)
    }

    fn pass(&mut self, payload: Payload, event: &mut impl FnMut(Event<W>)) -> Result<(), Fault> {
        let Some(header) = self.incoming.alone() else { return Ok(()) };
        self.incoming.passed();
        self.take(header, Body::Passed(payload), event)
    }

    /// How many bytes to wait for, at least and at most, where `most` may come at a time.
    pub fn wanted(&self, most: u32) -> (u32, u32) {
        let (least, most) = self.incoming.wanted(self.digests(), most as usize);
        // Neither is more than the longest PDU, or what was given.
        (least as u32, most as u32)
    }

    fn take(&mut self, header: Header, body: Body<'_>, event: &mut impl FnMut(Event<W>)) -> Result<(), Fault> {
        let reply = Reply::read(&header, body.seen())?;
        if reply.is_response() {
            self.sequence.response(reply.numbers())?;
        } else {
            self.sequence.window(reply.numbers());
        }
        match reply {
            Reply::Nop { tag, transfer, lun, .. } => {
                if transfer != NONE {
                    self.immediate(request::pong(transfer, lun), &[]);
                }
                if tag != NONE {
                    event(Event::Pong);
                }
            }
            Reply::Response { tag, delivered, status, residual, sense, .. } => {
                let task = self.tasks.remove(&tag).ok_or(Fault::Format("a response is for no command of ours"))?;
                let end = if delivered { End::Answered } else { End::Failed };
                event(task.answered(Answer { end, status, sense: sense.to_vec(), residual, ..Answer::hung() }));
            }
            Reply::DataIn { tag, number, offset, status, residual, .. } => {
                self.data_in(tag, number, offset, body)?;
                if let Some(status) = status
                    && let Some(task) = self.tasks.remove(&tag)
                {
                    event(task.answered(Answer { end: End::Answered, status, residual, ..Answer::hung() }));
                }
            }
            Reply::ReadyToTransfer { tag, transfer, number, offset, length, .. } => {
                self.ready_to_transfer(tag, transfer, number, offset, length)?;
            }
            Reply::TaskManagement { tag, response, .. } => self.managed(tag, response, event)?,
            Reply::Login { .. } => return Err(Fault::Format("a login response comes after the login")),
            Reply::Text { tag, transfer, more, last, text, .. } => {
                match self.text.add(text, more || !last)? {
                    Some(pairs) => event(Event::Text(pairs)),
                    // "An empty text request with the target's tag asks for the rest" (section 11.11.4).
                    None => self.immediate(request::text(tag, transfer), &[]),
                }
            }
            Reply::Logout { .. } => event(Event::LoggedOut),
            Reply::Async { event: what, sense, .. } => match what {
                AsyncEvent::Sense => event(Event::Sense(sense.to_vec())),
                AsyncEvent::LogoutWanted { .. } => event(Event::LogoutWanted),
                AsyncEvent::Dropped { wait } => return Err(Fault::Dropped { wait }),
                // What was agreed on at login is kept to; a new login negotiates anew.
                AsyncEvent::Renegotiate => return Err(Fault::Dropped { wait: 0 }),
                AsyncEvent::Other(_) => {}
            },
            Reply::Reject { reason, .. } => return Err(Fault::Rejected(reason)),
        }
        Ok(())
    }
}
