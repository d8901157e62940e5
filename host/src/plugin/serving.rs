//! A sandbox that serves a volume, as the one who started it sees it.
//!
//! ```text
//!   start: gate: a process of its own life ─▸ Load + listening socket ─▸ Ready ─▸ Serve ─▸ { asks } ─▸ Serving
//!   then:  a thread hears it: asks go through the gate as the plugin, each beside the others; events are passed on
//!   end:   close (it lets go of the volume), hand_over (another has the socket), or it ended: Heard::Ended
//! ```
//! Dropping a [`Serving`] ends nothing: the process is in the ledger that `start` was given, and is ended by undoing that.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::config::policy::PluginGrants;
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::{Actor, Gate, Ledger, Operation, Outcome};
use crate::plugin::hearing::{Hearing, Sender};
use crate::plugin::loading::open_directories;
use crate::plugin::trouble::Wires;
use crate::plugin::{Patience, cache, effective, failure, package};
use crate::sandbox::protocol::wire::Wire;
use crate::sandbox::protocol::{
    Ability, AttachAccess, FromSandbox, Geometry, Holder, Serve, Settings, Tell, ToSandbox,
};
use crate::sys::process;
use crate::types::{PluginId, PoolName, ProcessId, VolumeName, VolumeRef};

/// A sandbox that has been told to load and says nothing for this long is stuck.
const LOAD_WAIT: Duration = Duration::from_secs(30);
/// A sandbox that does not take what it is sent within this time is stuck.
const SEND_WAIT: Duration = Duration::from_secs(10);

/// What is to be served.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub plugin: PluginId,
    pub pool: PoolName,
    /// As the plugin sees them, transport resolved.
    pub settings: Settings,
    pub volume: VolumeName,
    pub access: AttachAccess,
    /// None where nothing is written: the export is then read-only.
    pub holder: Option<Holder>,
    /// Clients ask for `VOLUME@GENERATION`; an older one is refused.
    pub generation: u64,
    /// What its streams are led past, where the plugin is being tried out.
    pub wires: Option<Wires>,
}

/// What is heard of a volume while it is served.
#[derive(Debug, Clone)]
pub enum Heard {
    /// It has another size. New connections see it; [`Serving::drop_clients`] makes those that are there new ones.
    Resized(Geometry),
    /// Another host holds it: every request fails from now on. Who it is, in the plugin's words, escaped.
    Fenced(String),
    /// The storage does not answer, and why; requests wait.
    Degraded(String),
    Restored,
    /// The sandbox is gone, after [`Serving::close`] and its like or by itself. The last that is heard.
    Ended(Result<()>),
    /// The same, where the sandbox says that its plugin failed: trapped, or spent a limit.
    Failed(Failure),
}

/// A volume that is being served.
#[derive(Debug)]
pub struct Serving {
    process: ProcessId,
    geometry: Geometry,
    sender: Arc<Sender>,
    /// Closed when the thread has heard the end.
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Serving {
    /// Starts a sandbox that opens the volume and serves it to the clients of `listener`, a unix stream socket that
    /// listens. The start goes into `ledger`; where this fails, it is undone.
    ///
    /// Blocks until the volume is open, for `patience` at most: storage that does not answer is waited for. `heard` is
    /// called from a thread of its own; it must not block.
    ///
    /// # Errors
    /// As [`Session::start`](crate::plugin::Session::start); the plugin's own error from `open`, final; `TimedOut`.
    pub fn start(
        gate: &Gate,
        ledger: &mut Ledger,
        order: Order,
        listener: OwnedFd,
        patience: Duration,
        heard: impl Fn(Heard) + Send + 'static,
    ) -> Result<Serving> {
        let volume = VolumeRef { pool: order.pool.clone(), volume: order.volume.clone() };
        let (plugin, generation) = (order.plugin.clone(), order.generation);
        let operation = Operation::ServingStart { plugin, volume: volume.clone(), generation };
        started(gate, ledger, &operation, order, &listener, patience, Box::new(heard)).map_err(|mut failure| {
            if let Err(more) = gate.undo_where(ledger, |there| *there == operation) {
                failure.causes.extend(more.iter().map(ToString::to_string));
            }
            failure.while_doing(format!("cannot serve volume {volume}"))
        })
    }

    /// The process, which may have ended.
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// As it was when serving began.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Ends all connections, each when what it began is answered: clients that connect again see a new size.
    pub fn drop_clients(&self) -> Result<()> {
        self.tell(Tell::DropClients)
    }

    /// Has it finish what was begun and end: the socket is another's from now on, and no request is refused.
    pub fn hand_over(&self) -> Result<()> {
        self.tell(Tell::HandOver)
    }

    /// Has it finish what was begun, let go of the volume and end, and waits for that. The ledger's undo then finds it
    /// gone.
    ///
    /// # Errors
    /// `TimedOut` where it is still there after `patience`.
    pub fn close(&self, patience: Duration) -> Result<()> {
        // One that is gone is closed.
        let _ = self.tell(Tell::Close);
        let over = self.ended.lock().map_err(|_| Failure::other("whoever waited for the sandbox died"))?;
        match over.recv_timeout(patience) {
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => Ok(()),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                Err(Failure::new(Kind::TimedOut, "the sandbox that serves the volume does not let go of it"))
            }
        }
    }

    fn tell(&self, what: Tell) -> Result<()> {
        self.sender.send(&ToSandbox::Tell(what), &[]).context(|| String::from("the sandbox does not listen"))
    }
}

fn started(
    gate: &Gate,
    ledger: &mut Ledger,
    operation: &Operation,
    order: Order,
    listener: &OwnedFd,
    patience: Duration,
    heard: Box<dyn Fn(Heard) + Send>,
) -> Result<Serving> {
    let plugin = &order.plugin;
    let installed = package::chosen(gate, plugin)?;
    package::admitted(gate, &installed)?;
    let none = PluginGrants::default();
    let grants = gate.policy().plugins.get(plugin).unwrap_or(&none);
    let effective = effective(&installed.manifest, grants)?;
    let directories = open_directories(gate, plugin, &effective)?;
    let uid = crate::gate::identity::plugin_uid(gate.layout(), gate.policy(), plugin)?;
    let load = ToSandbox::Load {
        plugin: plugin.clone(),
        kind: installed.manifest.kind,
        serves: true,
        interfaces: effective.interfaces.clone(),
        directories: directories.iter().map(|(preopen, _)| preopen.clone()).collect(),
        limits: grants.limits.clone(),
        silence_ms: Patience::Work.silence_ms(),
        clock_ms: None,
    };
    let begun = |ledger: &mut Ledger, again: bool| -> Result<(ProcessId, Wire)> {
        let code = cache::open(gate.layout(), installed.digest, uid, again)?;
        let beside = std::iter::once(code.as_fd()).chain(directories.iter().map(|(_, fd)| fd.as_fd()));
        let beside: Vec<_> = beside.chain([listener.as_fd()]).collect();
        let (process, wire) = process(gate, ledger, operation)?;
        wire.send(&load, &beside).context(|| String::from("its sandbox does not listen"))?;
        ready(&wire)?;
        Ok((process, wire))
    };
    // Compiled code that the engine refuses is compiled anew, once, as for calls.
    let (process, wire) = match begun(ledger, false) {
        Ok(loaded) => loaded,
        Err(first) if first.kind == Kind::PluginFault => {
            let _ = gate.undo_where(ledger, |there| there == operation);
            begun(ledger, true)?
        }
        Err(other) => return Err(other),
    };
    let settings = order.settings.clone();
    let serve = Serve {
        pool: order.pool.to_string(),
        settings: order.settings,
        volume: order.volume.to_string(),
        access: order.access,
        holder: order.holder,
        generation: order.generation,
    };
    let sender = Arc::new(Sender::new(wire));
    let (opened, opening) = mpsc::channel();
    let (over, ended) = mpsc::channel();
    let hearing = Hearing {
        gate: gate.clone(),
        plugin: order.plugin,
        pool: order.pool,
        settings,
        effective,
        lines_per_second: grants.limits.log_lines_per_second,
        process,
        sender: sender.clone(),
        wires: order.wires,
        opened: Some(opened),
        heard,
        failed: false,
        over,
    };
    sender.send(&ToSandbox::Serve(serve), &[]).context(|| String::from("its sandbox does not listen"))?;
    std::thread::Builder::new()
        .name("serving".into())
        .spawn(move || hearing.run())
        .context(|| String::from("cannot listen to its sandbox"))?;
    match opening.recv_timeout(patience) {
        Ok(Ok(geometry)) => Ok(Serving { process, geometry, sender, ended: Mutex::new(ended) }),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(Failure::new(Kind::TimedOut, "its storage did not answer in time")),
    }
}

/// The process, and the host's end of its control socket.
fn process(gate: &Gate, ledger: &mut Ledger, operation: &Operation) -> Result<(ProcessId, Wire)> {
    let done = gate.perform(&Actor::Operator, ledger, operation.clone(), Vec::new())?;
    match (done.outcome, done.descriptors.into_iter().next()) {
        (Outcome::Process { process }, Some(control)) => {
            let control = UnixStream::from(control);
            control.set_write_timeout(Some(SEND_WAIT)).context(|| String::from("cannot speak to a sandbox"))?;
            Ok((process, Wire::new(control)))
        }
        (Outcome::Assumed, _) => Err(Failure::usage("a dry run serves nothing")),
        (other, _) => Err(Failure::other(format!("starting a sandbox gave {other:?}"))),
    }
}

fn ready(wire: &Wire) -> Result<()> {
    match wire.receive_by(Instant::now() + LOAD_WAIT) {
        Ok(Some(FromSandbox::Ready { exports })) if exports.contains(&Ability::Block) => Ok(()),
        Ok(Some(FromSandbox::Ready { .. })) => {
            Err(Failure::usage("the plugin serves no volumes itself").hint("attach it with transport = \"native\""))
        }
        Ok(Some(FromSandbox::Return(Err(error)))) => Err(failure::of_load(&error)),
        Ok(
            Some(
                FromSandbox::Compiled
                | FromSandbox::Ask(_)
                | FromSandbox::AskAs(..)
                | FromSandbox::Serving(_)
                | FromSandbox::Event(_)
                | FromSandbox::Log { .. }
                | FromSandbox::Return(Ok(_)),
            )
            | None,
        ) => Err(Failure::new(Kind::PluginFault, "its sandbox did not load it")),
        Err(error) => Err(Failure::new(Kind::PluginFault, "its sandbox did not load it").because(error)),
    }
}

/// Ends a process that misbehaved, at once.
pub(super) fn kill(process: ProcessId) {
    // One that is gone needs no end.
    let _ = process::kill(process, rustix::process::Signal::KILL);
}
