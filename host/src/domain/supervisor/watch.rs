//! The supervisor's loop while a guest runs: everything that happens comes through here, one thing at a time, so that
//! state has one writer.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Sleep;

use super::connect::{self, Connected};
use super::control::{self, Asked, Asker, CLIENTS_MAX, Response};
use super::ending::Ending;
use super::filters::Filters;
use super::heard::{heard, missed};
use super::job::{self, Job};
use super::relocate::Relocation;
use super::request::Patience;
use super::served::Served;
use super::storage::{self, Retry};
use crate::config::domain::DomainDefinition;
use crate::domain::record::{EndReason, Record};
use crate::domain::state::{Happening, Rules, Task, step};
use crate::domain::volume::leave;
use crate::error::{Context, Failure, Result};
use crate::fault;
use crate::gate::operation::ProcessId;
use crate::gate::{Gate, Ledger};
use crate::hypervisor::{Device, Event};
use crate::layout::Layout;

/// The longest wait that a timer is set to where none was asked for.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// What is needed to watch a hypervisor; made before the loop, so that a failure to connect is a failure to start.
pub struct Watcher<'a> {
    gate: &'a Gate,
    layout: &'a Layout,
    definition: DomainDefinition,
    hypervisor: Option<ProcessId>,
    pub(super) runtime: Option<tokio::runtime::Runtime>,
    pub(super) connected: Option<Connected>,
}

/// How the loop comes to its guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It is to be let go.
    Fresh,
    /// It stood still when it was saved, and does.
    Still,
    /// An earlier supervisor let it go.
    Adopted,
    /// It does what its record says: it came from another host, or was to go to one.
    Moved,
    /// It is on its way from another host, whose it is no more.
    Fetching,
}

impl<'a> Watcher<'a> {
    pub fn new(gate: &'a Gate, definition: &DomainDefinition, hypervisor: Option<ProcessId>) -> Self {
        let (layout, definition) = (gate.layout(), definition.clone());
        Watcher { gate, layout, definition, hypervisor, runtime: None, connected: None }
    }

    /// Greets the hypervisor and opens the sockets that commands use.
    pub fn connect(mut self) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context(|| "cannot start the supervisor's loop".to_owned())?;
        self.connected = Some(runtime.block_on(connect::open(&self.folder(), &self.definition, self.hypervisor))?);
        self.runtime = Some(runtime);
        Ok(self)
    }

    /// The same over what is connected already.
    pub(super) fn over(mut self, runtime: tokio::runtime::Runtime, connected: Connected) -> Self {
        (self.runtime, self.connected) = (Some(runtime), Some(connected));
        self
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.layout.domain(&self.definition.name)
    }

    /// Watches the guest until it is over, having let it go first where it is a fresh one.
    pub fn run(
        mut self,
        held: Held<'_>,
        served: Served,
        rules: Rules,
        entry: Entry,
        ready: impl FnOnce(),
    ) -> Result<Ending> {
        let (Some(runtime), Some(connected)) = (self.runtime.take(), self.connected.take()) else {
            return Err(Failure::other("the supervisor's loop was not connected"));
        };
        let mut run = Loop {
            gate: self.gate,
            layout: self.layout,
            definition: held.definition,
            record: held.record,
            ledger: held.ledger,
            rules,
            gone: Vec::new(),
            askers: Vec::new(),
            patience: None,
            start_again: false,
            job: None,
            relocation: None,
            retry: None,
            told: None,
            served,
            hypervisor: self.hypervisor,
            clients: Arc::new(Semaphore::new(CLIENTS_MAX)),
        };
        let mut ending = runtime.block_on(run.all(connected, entry, ready))?;
        if ending.left_running {
            // Whoever asked asks the next supervisor.
            run.askers.clear();
        } else if let Some(handed) = &mut ending.handing {
            handed.served = Some(run.served);
        } else {
            run.served.close();
        }
        ending.askers.connections = Some((runtime, run.clients));
        Ok(ending)
    }
}

/// What the loop changes; its caller goes on with it once the guest is over.
pub(super) struct Held<'a> {
    pub(super) record: &'a mut Record,
    pub(super) definition: &'a mut DomainDefinition,
    pub(super) ledger: &'a mut Ledger,
}

pub(super) struct Loop<'a> {
    pub(super) gate: &'a Gate,
    pub(super) layout: &'a Layout,
    /// What the guest runs with.
    pub(super) definition: &'a mut DomainDefinition,
    pub(super) record: &'a mut Record,
    pub(super) ledger: &'a mut Ledger,
    pub(super) rules: Rules,
    /// Devices that the guest let go, until there is time for what stood behind them.
    pub(super) gone: Vec<Device>,
    /// Those who asked for the end and wait for it.
    pub(super) askers: Vec<Asker>,
    pub(super) patience: Option<Patience>,
    /// A guest that powers off was asked to, so that it starts again.
    pub(super) start_again: bool,
    /// What goes on beside the loop.
    pub(super) job: Option<Job>,
    /// Of a job that moves the domain to another host.
    pub(super) relocation: Option<Relocation>,
    /// The guest waits for its storage.
    pub(super) retry: Option<Retry>,
    /// The guest was told of failures: when they count as over.
    pub(super) told: Option<tokio::time::Instant>,
    /// Disks that plugins serve.
    pub(super) served: Served,
    pub(super) hypervisor: Option<ProcessId>,
    /// Places for commands that are being served.
    clients: Arc<Semaphore>,
}

impl Loop<'_> {
    async fn all(&mut self, mut connected: Connected, entry: Entry, ready: impl FnOnce()) -> Result<Ending> {
        let over = self.enter(&mut connected, entry).await?;
        ready();
        if let Some(ending) = over {
            return Ok(ending);
        }
        // What goes wrong from here on is the supervisor's own, and its guest is none the worse for it.
        self.serve(connected, entry).await.or_else(|failure| {
            tracing::error!(domain = %self.definition.name, %failure, "leaves its guest to the next supervisor");
            Ok(Ending { left_running: true, ..Ending::new(EndReason::Stopped, Happening::StopAsked) })
        })
    }

    /// Lets the guest go, or finds out what it does; an ending where it is over.
    async fn enter(&mut self, connected: &mut Connected, entry: Entry) -> Result<Option<Ending>> {
        match entry {
            Entry::Fresh => {
                fault::point("start.running")?;
                if self.definition.memory < self.definition.max_memory {
                    connected.monitor.set_balloon(self.definition.memory).await?;
                }
                self.let_go(connected).await?;
                fault::point("start.let-go")?;
                Ok(None)
            }
            Entry::Still | Entry::Moved => Ok(None),
            Entry::Fetching => Ok(self.fetches(connected)),
            Entry::Adopted if connected.drain.is_none() && connected.monitor.fetches().await.unwrap_or_default() => {
                Ok(self.fetches(connected))
            }
            Entry::Adopted => {
                if let Some(drain) = connected.drain.take() {
                    drain.end(&connected.monitor).await;
                }
                if self.record.run.as_ref().is_some_and(|run| run.held) {
                    self.let_go(connected).await?;
                }
                self.settle_relocation(connected).await?;
                self.settle_copying(connected).await?;
                // Rounds of its disks that a supervisor before was at: whoever took them sees their stream end.
                leave::clear(&connected.monitor, &self.layout.domain(&self.definition.name)).await?;
                self.settle_moving(connected).await?;
                self.settle_change(connected).await?;
                self.settle_storage(connected).await?;
                let mut happening = self.settle_saving(connected).await?;
                if happening.is_none() {
                    happening = missed(&connected.monitor).await?;
                }
                match happening {
                    Some(missed) => self.happened(missed, connected).await,
                    None => Ok(None),
                }
            }
        }
    }

    async fn serve(&mut self, mut connected: Connected, entry: Entry) -> Result<Ending> {
        let (ask, mut asked) = mpsc::channel::<Asked>(CLIENTS_MAX);
        let (console, mut consoles) = mpsc::channel::<UnixStream>(CLIENTS_MAX);
        let mut filters = Filters::of(self.gate, self.folder().join("ledger.jsonl"), entry == Entry::Adopted);
        let mut buffer = vec![0; 4096];
        let (mut serial_open, mut monitor_open) = (true, true);
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .context(|| "cannot wait for signals".to_owned())?;
        loop {
            let happening = tokio::select! {
                biased;
                event = connected.events.recv(), if monitor_open => match event {
                    Some(Event::Unplugged(device)) => {
                        self.gone.push(device);
                        None
                    }
                    // What a job does to the guest for a moment is none of its own doing.
                    Some(Event::Paused | Event::Resumed) if self.job.as_ref().is_some_and(|job| job.stills) => None,
                    Some(event) => {
                        match &event {
                            Event::StoppedOnError { disk, why } => self.storage_failed(*disk, why.clone()),
                            Event::ToldOfError { disk, why } => self.storage_told(*disk, why.clone()),
                            Event::PoweredOff
                            | Event::Rebooted
                            | Event::Panicked
                            | Event::Paused
                            | Event::Resumed
                            | Event::Unplugged(_)
                            | Event::Closed => {}
                        }
                        heard(&event)
                    }
                    None => {
                        monitor_open = false;
                        None
                    }
                },
                gone = connected.exit.readable() => {
                    drop(gone.context(|| "cannot watch the hypervisor".to_owned())?);
                    return self.gone(connected).await;
                }
                Some(request) = asked.recv() => {
                    if let Some(ending) = self.asked(request, &mut connected).await? {
                        return Ok(ending);
                    }
                    None
                }
                end = job::ended(&mut self.job) => {
                    if let Some(mut ending) = self.job_ended(end, &mut connected).await? {
                        if let Some(handed) = &mut ending.handing {
                            handed.connected = Some(connected);
                        }
                        return Ok(ending);
                    }
                    None
                }
                Some(stream) = consoles.recv() => {
                    connected.console.attach(stream);
                    None
                }
                client = connected.control.accept() => {
                    if let Ok((stream, _)) = client {
                        control::admit(stream, &self.clients, &ask, Some(&console));
                    }
                    None
                }
                said = connected.serial.read(&mut buffer), if serial_open => {
                    match said {
                        Ok(0) | Err(_) => serial_open = false,
                        Ok(length) => connected.console.said(&buffer[..length]),
                    }
                    None
                }
                viewer = connect::viewer(connected.vnc.as_ref()) => {
                    if let Err(failure) = connected.monitor.add_vnc_client(viewer?).await {
                        tracing::warn!(%failure, "a viewer could not be let in");
                    }
                    None
                }
                never = filters.tend() => match never {},
                () = storage::due(self.retry.map(|retry| retry.at)) => {
                    self.retry_storage(&connected).await;
                    None
                }
                () = storage::due(self.told) => {
                    self.forget_told();
                    None
                }
                Some(told) = self.served.told.recv() => self.served_told(told, &connected),
                () = until(self.patience.as_ref()) => {
                    if let Some(ending) = self.out_of_patience(&mut connected).await? {
                        return Ok(ending);
                    }
                    None
                }
                _ = terminate.recv() => {
                    return Ok(Ending { left_running: true, ..Ending::new(EndReason::Stopped, Happening::StopAsked) });
                }
            };
            self.see_to_the_gone(&mut connected).await;
            let Some(happening) = happening else { continue };
            if let Some(ending) = self.happened(happening, &mut connected).await? {
                return Ok(ending);
            }
        }
    }

    async fn let_go(&mut self, connected: &Connected) -> Result<()> {
        connected.monitor.resume().await?;
        match &mut self.record.run {
            Some(run) if run.held => {
                run.held = false;
                // It runs already, and is none the worse for it: who lets it go once more changes nothing.
                if let Err(failure) = self.record.save(self.layout) {
                    tracing::warn!(domain = %self.record.name, %failure, "that the guest was let go is not written down");
                }
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.layout.domain(&self.definition.name)
    }

    /// Follows the state machine; an ending where the run is over.
    pub(super) async fn happened(&mut self, happening: Happening, connected: &mut Connected) -> Result<Option<Ending>> {
        let happening = self.meant(happening);
        let (state, task) = step(self.record.state, happening, self.rules);
        if state != self.record.state || task != Task::Nothing {
            tracing::info!(?happening, from = self.record.state.as_str(), to = state.as_str(), "happened");
        }
        match task {
            Task::Nothing | Task::LetGo | Task::End => {}
            Task::Keep => {
                if let Err(failure) = connected.monitor.pause().await {
                    tracing::warn!(%failure, "the guest could not be stopped to be kept");
                }
            }
            Task::TearDown | Task::StartAgain { .. } => {
                if let Some(job) = self.job.take() {
                    let message = format!("domain {} ended while it was being {}", self.definition.name, job.doing);
                    job.asker.respond(Response::Failed(Failure::conflict(message)));
                }
                let exit_code = self.quit(connected).await;
                connected.last_said().await;
                fault::point("stop.quit")?;
                return Ok(Some(self.ending(happening, exit_code)));
            }
        }
        if state != self.record.state {
            self.record.state = state;
            if let Err(failure) = self.record.save(self.layout) {
                // A disk that is full is no reason to end a guest; the hypervisor knows as well how its guest is.
                tracing::error!(domain = %self.definition.name, %failure, "the record is behind");
            }
        }
        Ok(None)
    }
}

fn until(patience: Option<&Patience>) -> Pin<Box<Sleep>> {
    Box::pin(match patience {
        Some(patience) => tokio::time::sleep_until(patience.at),
        None => tokio::time::sleep(FAR),
    })
}
