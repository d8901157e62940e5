//! The thread that listens to a sandbox which serves a volume. What the sandbox says is untrusted: asks are judged, events
//! are counted, texts are escaped, and one that does not keep to the protocol is ended.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::error::{Failure, Kind, Result};
use crate::gate::operation::Purpose;
use crate::gate::{Actor, Gate, Ledger};
use crate::plugin::reach::Asker;
use crate::plugin::reply::{self, Next};
use crate::plugin::serving::{Heard, kill};
use crate::plugin::text::printable;
use crate::plugin::trouble::Wires;
use crate::plugin::{Effective, Subject, ask, failure, log};
use crate::sandbox::protocol::wire::Wire;
use crate::sandbox::protocol::{
    Ask, CallError, ErrorCode, FromSandbox, Geometry, PluginError, Reply, ServingEvent, Settings, ToSandbox,
};
use crate::sys::process;
use crate::types::{PluginId, PoolName, ProcessId};

/// Asks that are carried out at a time: a volume has a few connections, and makes them anew together.
const ASKS_MAX: usize = 16;
/// An ask keeps its place at least this long, so that a plugin which connects in a loop is slowed down.
const ASK_TAKES: Duration = Duration::from_millis(100);
/// Most events in a second; the sandbox itself keeps to a fifth of it.
const EVENTS_MAX: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);
/// How long a sandbox may take to end once it closed its socket.
const END_WAIT: Duration = Duration::from_secs(1);
/// Largest block, in bytes (storage.wit).
const BLOCK_MAX: u32 = 64 << 10;

/// The host's end of the control socket; several threads send.
#[derive(Debug)]
pub(super) struct Sender {
    wire: Wire,
    turn: Mutex<()>,
}

impl Sender {
    pub(super) fn new(wire: Wire) -> Self {
        Sender { wire, turn: Mutex::default() }
    }

    pub(super) fn send(&self, frame: &ToSandbox, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let _turn = self.turn.lock().map_err(|_| io::ErrorKind::BrokenPipe)?;
        self.wire.send(frame, descriptors)
    }
}

pub(super) struct Hearing {
    pub(super) gate: Gate,
    pub(super) plugin: PluginId,
    pub(super) pool: PoolName,
    pub(super) settings: Settings,
    pub(super) effective: Effective,
    pub(super) lines_per_second: u32,
    pub(super) process: ProcessId,
    pub(super) sender: Arc<Sender>,
    pub(super) wires: Option<Wires>,
    /// For whoever waits for the volume to be open.
    pub(super) opened: Option<mpsc::Sender<Result<Geometry>>>,
    pub(super) heard: Box<dyn Fn(Heard) + Send>,
    /// It said that its plugin did.
    pub(super) failed: bool,
    pub(super) over: mpsc::Sender<()>,
}

impl Hearing {
    /// Until the sandbox has ended.
    pub(super) fn run(mut self) {
        let result = self.listen();
        if result.is_err() {
            kill(self.process);
        }
        // Also takes up its status, where it is a child of this process.
        let _ = process::wait_exit(self.process, END_WAIT);
        match self.opened.take() {
            // Whoever waits may have given up.
            Some(opened) => drop(opened.send(Err(match result {
                Ok(()) => Failure::new(Kind::PluginFault, "its sandbox ended before the volume was open"),
                Err(failure) => failure,
            }))),
            None => (self.heard)(match result {
                Err(failure) if self.failed => Heard::Failed(failure),
                result => Heard::Ended(result),
            }),
        }
        let _ = self.over.send(());
    }

    fn listen(&mut self) -> Result<()> {
        let (plugin, subject) = (self.plugin.clone(), Subject::Pool(self.pool.clone()));
        let mut log = log::Sink::new(&self.gate, &plugin, &subject, self.lines_per_second);
        let mut events = (Instant::now(), 0);
        let asking = Arc::new(AtomicUsize::new(0));
        loop {
            let frame = match self.sender.wire.receive::<FromSandbox>() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Err(Failure::new(Kind::PluginFault, "its sandbox ended without a word")),
                Err(error) => return Err(Failure::new(Kind::PluginFault, "its sandbox is gone").because(error)),
            };
            match frame {
                FromSandbox::Log { level, message, fields } => log.line(level, &message, &fields)?,
                FromSandbox::AskAs(number, ask) => self.answer(number, ask, &asking)?,
                FromSandbox::Serving(geometry) => {
                    let Some(opened) = self.opened.take() else { return Err(out_of_turn()) };
                    // Whoever waits may have given up; then the ledger is undone by now.
                    let _ = opened.send(Ok(possible(geometry)?));
                }
                FromSandbox::Event(event) if self.opened.is_none() => {
                    if events.0.elapsed() > SECOND {
                        events = (Instant::now(), 0);
                    }
                    events.1 += 1;
                    if events.1 > EVENTS_MAX {
                        return Err(Failure::new(Kind::PluginFault, "its sandbox tells of too many events"));
                    }
                    (self.heard)(match event {
                        ServingEvent::Resized(geometry) => Heard::Resized(possible(geometry)?),
                        ServingEvent::Fenced(by) => Heard::Fenced(printable(&by)),
                        ServingEvent::Degraded(why) => Heard::Degraded(printable(&why)),
                        ServingEvent::Restored => Heard::Restored,
                    });
                }
                FromSandbox::Return(Ok(_)) => return Ok(()),
                FromSandbox::Return(Err(error)) => {
                    self.failed = matches!(error, CallError::Trapped(_) | CallError::Limit(_));
                    return Err(failure::of_call(&error));
                }
                FromSandbox::Event(_) | FromSandbox::Ready { .. } | FromSandbox::Compiled | FromSandbox::Ask(_) => {
                    return Err(out_of_turn());
                }
            }
        }
    }

    /// Carries it out beside the others: to connect takes as long as the server does.
    fn answer(&self, number: u64, ask: Ask, asking: &Arc<AtomicUsize>) -> Result<()> {
        if asking.fetch_add(1, Ordering::AcqRel) >= ASKS_MAX {
            asking.fetch_sub(1, Ordering::AcqRel);
            let error = failure::refusal(ErrorCode::Exhausted, "too much was asked at a time");
            let _ = self.sender.send(&ToSandbox::AnswerTo(number, Err(error)), &[]);
            return Ok(());
        }
        let (gate, plugin, pool) = (self.gate.clone(), self.plugin.clone(), self.pool.clone());
        let (settings, effective) = (self.settings.clone(), self.effective.clone());
        let (sender, asking, wires) = (self.sender.clone(), asking.clone(), self.wires.clone());
        let carry_out = move || {
            let begun = Instant::now();
            let subject = Subject::Pool(pool);
            let asker = Asker {
                plugin: &plugin,
                policy: gate.policy(),
                effective: &effective,
                subject: &subject,
                settings: &settings,
                purpose: Purpose::Change,
            };
            let (answer, descriptors) = match carried_out(&gate, &asker, ask, wires.as_ref()) {
                Ok((reply, descriptors)) => (Ok(reply), descriptors),
                Err(error) => (Err(error), Vec::new()),
            };
            let beside: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
            // One that is gone needs no answer.
            let _ = sender.send(&ToSandbox::AnswerTo(number, answer), &beside);
            std::thread::sleep(ASK_TAKES.saturating_sub(begun.elapsed()));
            asking.fetch_sub(1, Ordering::AcqRel);
        };
        let started = std::thread::Builder::new().name("asked".into()).spawn(carry_out);
        started.map(drop).map_err(|error| Failure::other("cannot answer a sandbox").because(error))
    }
}

type Answer = (Reply, Vec<std::os::fd::OwnedFd>);

/// What a volume that is served may ask: streams and secrets. The rest is for calls, which are transactions.
fn carried_out(
    gate: &Gate,
    asker: &Asker<'_>,
    ask: Ask,
    wires: Option<&Wires>,
) -> std::result::Result<Answer, PluginError> {
    if !matches!(ask, Ask::Connect { .. } | Ask::Reveal { .. }) {
        return Err(failure::refusal(ErrorCode::Unsupported, "this function is for control calls"));
    }
    let wires = wires.filter(|_| matches!(ask, Ask::Connect { .. }));
    if wires.is_some_and(|wires| !wires.admits()) {
        return Err(failure::refusal(ErrorCode::Unreachable, "the server is away, for a test of this plugin"));
    }
    let operation = ask::operation(asker, ask)?;
    let actor = Actor::Plugin(asker.plugin.clone());
    let done = gate.perform(&actor, &mut Ledger::volatile(), operation.clone(), Vec::new()).map_err(|failure| {
        tracing::debug!(plugin = %asker.plugin, %failure, "an operation that a plugin asked for failed");
        failure::to_plugin(&failure, false)
    })?;
    match reply::reply(&operation, done.outcome) {
        Next::Answer(reply @ (Reply::Connection | Reply::Secret)) if done.descriptors.len() == 1 => {
            let led = |stream| match wires {
                Some(wires) => wires.lead(stream),
                None => Ok(stream),
            };
            let streams = done.descriptors.into_iter().map(led).collect::<io::Result<_>>();
            let streams = streams.map_err(|error| failure::refusal(ErrorCode::Unreachable, error.to_string()))?;
            Ok((reply, streams))
        }
        Next::Answer(_) | Next::Read(_) | Next::Withheld | Next::Mismatch => {
            Err(failure::refusal(ErrorCode::Io, "the host could not do it"))
        }
    }
}

/// Sizes become arguments of the hypervisor: they are looked at once more on this side.
fn possible(geometry: Geometry) -> Result<Geometry> {
    let block = geometry.block_size;
    let fits = block.is_power_of_two() && block <= BLOCK_MAX && i64::try_from(geometry.size).is_ok();
    match fits {
        true => Ok(geometry),
        false => Err(Failure::new(Kind::PluginFault, "its sandbox told of an impossible size")),
    }
}

fn out_of_turn() -> Failure {
    Failure::new(Kind::PluginFault, "its sandbox sent a frame out of turn")
}
