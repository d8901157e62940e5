//! One connection to a monitor: a task reads, whoever has a command writes, answers find their command by its id.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc, oneshot};

use super::wire::{Fault, Line, Lines, read};
use crate::error::{Failure, Result};
use crate::hypervisor::Event;

/// How much is read at once, in bytes.
const PIECE: usize = 16 << 10;

type Answer = std::result::Result<Value, Fault>;

#[derive(Debug)]
pub(super) struct Connection {
    stream: Arc<UnixStream>,
    state: Arc<Mutex<State>>,
    /// One command is written at a time.
    writing: tokio::sync::Mutex<()>,
    /// Told at each [`Line::Moves`].
    moves: Arc<Notify>,
    reader: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
    /// The last command whose caller lost patience, and the last that was answered; 0 where there is none.
    given_up: u64,
    answered: u64,
    ended: Option<Fault>,
}

impl State {
    fn forget_the_impatient(&mut self) {
        let given_up = &mut self.given_up;
        self.waiting.retain(|id, sender| {
            let waits = !sender.is_closed();
            if !waits {
                *given_up = (*given_up).max(*id);
            }
            waits
        });
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Connection {
    /// Awaits the greeting.
    pub(super) async fn open(stream: UnixStream, events: mpsc::Sender<Event>) -> Result<Arc<Self>> {
        let stream = Arc::new(stream);
        let mut lines = Lines::default();
        let greeting = async {
            match read(&line(&stream, &mut lines).await?)? {
                Line::Greeting => Ok(()),
                Line::Answer { .. } | Line::Event(_) | Line::Moves => {
                    Err(Fault::NotQmp("it did not begin with a greeting"))
                }
            }
        };
        greeting
            .await
            .map_err(|fault: Fault| Failure::other("the hypervisor's monitor gave no greeting").because(fault))?;
        let state = Arc::new(Mutex::new(State::default()));
        let moves = Arc::new(Notify::new());
        let reader = tokio::spawn(listen(stream.clone(), lines, state.clone(), events, moves.clone()));
        Ok(Arc::new(Connection { stream, state, writing: tokio::sync::Mutex::new(()), moves, reader }))
    }

    /// Whether the connection has ended, for whatever reason.
    pub(super) fn closed(&self) -> bool {
        lock(&self.state).ended.is_some()
    }

    /// Whether a command is still to be done whose caller has lost patience. QEMU answers in the order of the commands.
    pub(super) fn owes(&self) -> bool {
        let mut state = lock(&self.state);
        state.forget_the_impatient();
        state.given_up > state.answered
    }

    /// Until a guest's move is in another state than when this was awaited last. Heard by one at a time.
    pub(super) async fn moves(&self) {
        self.moves.notified().await;
    }

    /// Gives a command, with a descriptor beside it, and awaits the answer. The caller keeps the time.
    pub(super) async fn execute(
        &self,
        name: &str,
        arguments: &impl Serialize,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Answer {
        let (sender, answer) = oneshot::channel();
        let id = {
            let mut state = lock(&self.state);
            if let Some(fault) = &state.ended {
                return Err(fault.clone());
            }
            state.last_id += 1;
            let id = state.last_id;
            state.forget_the_impatient();
            state.waiting.insert(id, sender);
            id
        };
        let mut line = json!({"execute": name, "arguments": arguments, "id": id}).to_string().into_bytes();
        line.push(b'\n');
        {
            let _turn = self.writing.lock().await;
            self.send(&line, descriptor).await.map_err(|error| Fault::Broken(error.kind()))?;
        }
        answer.await.unwrap_or(Err(Fault::Closed))
    }

    async fn send(&self, mut line: &[u8], mut descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        while !line.is_empty() {
            let sent = self
                .stream
                .async_io(Interest::WRITABLE, || {
                    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                    let mut beside = SendAncillaryBuffer::new(&mut space);
                    let handed: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
                    if !handed.is_empty() {
                        beside.push(SendAncillaryMessage::ScmRights(&handed));
                    }
                    Ok(sendmsg(&*self.stream, &[IoSlice::new(line)], &mut beside, SendFlags::NOSIGNAL)?)
                })
                .await?;
            // The descriptor goes with the first bytes.
            descriptor = None;
            line = &line[sent..];
        }
        Ok(())
    }
}

/// Reads until the connection ends; then tells everyone who waits.
async fn listen(
    stream: Arc<UnixStream>,
    mut lines: Lines,
    state: Arc<Mutex<State>>,
    events: mpsc::Sender<Event>,
    moves: Arc<Notify>,
) {
    let fault = loop {
        let line = line(&stream, &mut lines).await.and_then(|line| read(&line));
        match line {
            Ok(Line::Answer { id, answer }) => {
                let mut state = lock(&state);
                if id > state.last_id {
                    break Fault::Unasked;
                }
                state.answered = state.answered.max(id);
                // None waits where the answer came after its deadline.
                if let Some(sender) = state.waiting.remove(&id) {
                    let _ = sender.send(answer.map_err(Fault::Refused));
                }
            }
            Ok(Line::Event(Some(event))) => {
                if let Err(mpsc::error::TrySendError::Full(lost)) = events.try_send(event) {
                    tracing::warn!(?lost, "the hypervisor's events come faster than they are read; one is lost");
                }
            }
            Ok(Line::Event(None)) => {}
            Ok(Line::Moves) => moves.notify_one(),
            Ok(Line::Greeting) => break Fault::NotQmp("it greeted twice"),
            Err(fault) => break fault,
        }
    };
    match &fault {
        Fault::Closed => {}
        other => tracing::warn!("the hypervisor's monitor is given up: {other}"),
    }
    let waiting = {
        let mut state = lock(&state);
        state.ended = Some(fault.clone());
        std::mem::take(&mut state.waiting)
    };
    for sender in waiting.into_values() {
        let _ = sender.send(Err(fault.clone()));
    }
    let _ = events.send(Event::Closed).await;
}

async fn line(stream: &UnixStream, lines: &mut Lines) -> std::result::Result<Vec<u8>, Fault> {
    loop {
        if let Some(line) = lines.next()? {
            return Ok(line);
        }
        stream.readable().await.map_err(|error| Fault::Broken(error.kind()))?;
        let mut piece = [0; PIECE];
        match stream.try_read(&mut piece) {
            Ok(0) => return Err(lines.end()),
            Ok(count) => lines.push(&piece[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // QEMU ended with something of ours unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(lines.end()),
            Err(error) => return Err(Fault::Broken(error.kind())),
        }
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
