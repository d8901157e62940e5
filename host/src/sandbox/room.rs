//! What a store holds: all that one call of the plugin, or one served volume, can touch.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::lent::Lent;
use super::limits::{Budget, Spent, cpu_time};
use super::log::Log;
use super::outbox::Outbox;
use super::protocol::wire::Wire;
use super::protocol::{Ask, ErrorCode, FromSandbox, Limit, PluginError, Reply, Retry, ToSandbox};
use super::serve::{Desk, Queue, Threads};
use crate::types::Access;

pub(super) struct Room {
    pub(super) budget: Budget,
    pub(super) table: ResourceTable,
    pub(super) wasi: WasiCtx,
    pub(super) log: Log,
    pub(super) host: Host,
    pub(super) directories: Directories,
    /// Of the volume that is served.
    pub(super) lent: Lent,
    /// Of what is sent while a volume is served.
    pub(super) outbox: Option<Outbox>,
    /// What is asked of a volume whose plugin takes it as a queue.
    pub(super) queue: Option<Queue>,
    /// Read what has to be waited for, and write what is much.
    pub(super) threads: Option<Threads>,
    /// How long a plain `read` of a stream waits: less than a whole call may take, so that the plugin can still say what
    /// went wrong.
    pub(super) silence: Duration,
}

/// The granted directories by name, for `files`.
pub(super) type Directories = Arc<BTreeMap<String, (OwnedFd, Access)>>;

impl WasiView for Room {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// An answer of the host's, and the descriptors beside it.
pub(super) type Answered = (Result<Reply, PluginError>, Vec<OwnedFd>);

/// The way to the host.
#[derive(Clone)]
pub(super) enum Host {
    /// In a call, asking blocks this process: there is one call at a time, and it waits for the answer.
    Call(Caller),
    /// Where a volume is served, many asks are under way.
    Serving(Desk),
}

impl Host {
    /// # Errors
    /// A trap where the ask is too long for a frame, or the host is gone.
    pub(super) fn ask(&self, ask: Ask) -> wasmtime::Result<Result<Reply, PluginError>> {
        match self {
            Host::Call(caller) => Ok(caller.ask(ask)?.0),
            // Its plain functions would stop the whole volume, and there is no transaction around them.
            Host::Serving(_) => Ok(Err(PluginError {
                code: ErrorCode::Unsupported,
                message: "this function is for control calls, not for a volume that is served".into(),
                retry: Retry::Never,
            })),
        }
    }

    /// The same, for what is asked while a volume is served, too.
    pub(super) async fn ask_for_descriptors(&self, ask: Ask) -> wasmtime::Result<Answered> {
        match self {
            Host::Call(caller) => caller.ask(ask),
            Host::Serving(desk) => Ok(desk.ask(ask).await),
        }
    }
}

#[derive(Clone)]
pub(super) struct Caller {
    wire: Arc<Wire>,
    turn: Arc<Mutex<Turn>>,
}

/// Since when the plugin has the word: from the call on, or from the last step of a move.
#[derive(Clone, Copy)]
pub(super) struct Turn {
    pub(super) begun: Instant,
    /// Processor time of this thread at that moment.
    pub(super) cpu: Duration,
    /// Time that the host took to answer since, which is not the plugin's to account for.
    pub(super) waited: Duration,
}

impl Turn {
    fn begin() -> Self {
        Turn { begun: Instant::now(), cpu: cpu_time(), waited: Duration::ZERO }
    }
}

impl Caller {
    pub(super) fn new(wire: Arc<Wire>) -> Self {
        Caller { wire, turn: Arc::new(Mutex::new(Turn::begin())) }
    }

    pub(super) fn turn(&self) -> Turn {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, ask: Ask) -> wasmtime::Result<Answered> {
        let step = matches!(ask, Ask::Step(_));
        self.wire.send(&FromSandbox::Ask(ask), &[]).map_err(|error| match error.kind() {
            std::io::ErrorKind::FileTooLarge => wasmtime::Error::from(Spent(Limit::HostCallBytes)),
            _ => error.into(),
        })?;
        let begun = Instant::now();
        let answer = self.wire.receive_with_descriptors::<ToSandbox>()?;
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // A move takes hours: what its strategy may spend, it may spend between two steps. How many there are, the host counts.
        if step {
            *turn = Turn::begin();
        } else {
            turn.waited += begun.elapsed();
        }
        drop(turn);
        match answer {
            Some((ToSandbox::Answer(answer), descriptors)) => Ok((answer, descriptors)),
            Some((
                ToSandbox::Load { .. }
                | ToSandbox::Compile { .. }
                | ToSandbox::Call(_)
                | ToSandbox::Serve(_)
                | ToSandbox::AnswerTo(..)
                | ToSandbox::Tell(_),
                _,
            ))
            | None => Err(wasmtime::Error::msg("the host did not answer")),
        }
    }
}
