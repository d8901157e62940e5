//! What a target makes for a domain that comes: all attached, nothing active, until it is this host's.

use std::path::PathBuf;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::super::connect;
use super::super::control;
use super::super::saving::in_thread;
use super::super::served::Served;
use super::still;
use super::taking::Taking;
use crate::domain::record::Run;
use crate::domain::relocation::channels::CHANNELS;
use crate::domain::relocation::{Fences, MEMORY, along, apart, reason};
use crate::domain::survey::postcopy;
use crate::domain::{State, nvram, run_id, steps};
use crate::error::{Context, Failure, Result};
use crate::fault;
use crate::hypervisor::qemu::qmp::Monitor;
use crate::hypervisor::{ChosenAccelerator, Places};
use crate::migration::handover::{Attempt, Event};
use crate::migration::message::Power;
use crate::sys::process::{self, boot_id};
use crate::types::PluginId;

impl Taking<'_, '_> {
    fn folder(&self) -> PathBuf {
        self.life.gate.layout().domain(&self.life.name())
    }

    /// Makes ready: what runs waits, all attached, nothing active. Where volumes go along, it is started once they have come.
    pub(super) async fn stage(&mut self, attempt: Attempt) -> Result<()> {
        fault::point("take.staging")?;
        if self.offer.fetches {
            self.may_fetch()?;
        }
        let mut fences = Fences::of(self.life.gate, &self.life.definition)?;
        // Beside all else, and so that their plugins are there when it counts.
        let coming = self.coming.clone();
        let fences = in_thread(move || fences.ready(&coming).map(|()| fences));
        let made = self.make(attempt).await;
        self.fences = Some(fences.await?);
        made?;
        if self.offer.power == Power::Off {
            return Ok(());
        }
        self.memory = Some(control::listen(&self.folder(), MEMORY)?);
        self.channels = Some(control::listen(&self.folder(), CHANNELS)?);
        fault::point("take.staged")
    }

    /// Whatever the source was told before: this host's policy grants it, and its hypervisor can.
    fn may_fetch(&self) -> Result<()> {
        let strategy = self.offer.strategy.parse::<PluginId>();
        let strategy = strategy.map_err(|invalid| Failure::other("no strategy has such a name").because(invalid))?;
        match postcopy::why_not_there(self.life.gate, &strategy) {
            None => Ok(()),
            Some(why) => Err(Failure::denied(format!("this host takes no part in post-copy: {why}"))),
        }
    }

    async fn make(&mut self, attempt: Attempt) -> Result<()> {
        if let Some(variables) = &self.offer.variables {
            let bytes = variables.bytes().map_err(|malformed| Failure::other(malformed.to_string()))?;
            nvram::put(self.life.gate.layout(), &self.life.name(), &bytes)?;
        }
        match self.offer.power {
            Power::Running | Power::Paused if self.coming.is_empty() => self.launch(attempt).await,
            Power::Running | Power::Paused | Power::Off => Ok(()),
        }
    }

    /// The source has sent all that it means to.
    pub(super) async fn delivered(&mut self, attempt: Attempt) {
        if !self.coming.is_empty()
            && let Err(failure) = self.volumes_came(attempt).await
        {
            tracing::warn!(%failure, "what came is of no use");
            self.reasons.push(reason("volumes", &self.offer.name, &failure));
            return self.happens(Event::StageFailed(attempt));
        }
        match self.offer.power {
            Power::Off => self.happens(Event::Received(attempt)),
            // What is still to come is sent to the owner.
            Power::Running | Power::Paused if self.offer.fetches => {
                self.fetching = true;
                self.happens(Event::Received(attempt));
            }
            Power::Running | Power::Paused => self.load(attempt),
        }
    }

    /// For the loop to hear.
    pub(super) fn happens(&self, event: Event) {
        // Nobody waits for it once the loop is over.
        let _ = self.tell.send(event);
    }

    /// The volumes that went along are here: a hypervisor can be made ready over them.
    async fn volumes_came(&mut self, attempt: Attempt) -> Result<()> {
        let gate = self.life.gate;
        apart(|| along::whole(gate, &self.coming))?;
        fault::point("take.copied")?;
        match self.offer.power {
            Power::Running | Power::Paused if self.connected.is_none() => self.launch(attempt).await,
            Power::Running | Power::Paused | Power::Off => Ok(()),
        }
    }

    /// What runs waits, all attached, nothing active.
    async fn launch(&mut self, attempt: Attempt) -> Result<()> {
        let gate = self.life.gate;
        let layout = gate.layout();
        let id = run_id::next(layout)?;
        let places = match &self.offer.places {
            Some(places) => {
                serde_json::from_value(places.clone()).context(|| "it is not said where its devices sit".to_owned())?
            }
            None => Places::new(&self.life.definition),
        };
        self.life.record.written = Some(State::Starting);
        self.life.record.run = Some(Run {
            id,
            boot: boot_id(),
            supervisor: process::this(),
            hypervisor: None,
            accelerator: ChosenAccelerator::Tcg,
            warning: None,
            started: Timestamp::now(),
            volumes: steps::volumes(&self.life.definition).map(|(volume, _)| volume.clone()).collect(),
            cards: Vec::new(),
            held: false,
            places: Some(places.clone()),
            changing: None,
            plugins: gate.all_kept().clone(),
            serves: true,
            storage: super::super::Storage::default(),
        });
        self.life.record.save(layout)?;
        crate::domain::store::write_running(layout, &self.life.definition)?;
        let (tell, told) = mpsc::unbounded_channel();
        let begins =
            steps::Begins::HandedOver(steps::Coming { owner: attempt.handed_over(), fetches: self.offer.fetches });
        let launched = apart(|| {
            steps::launch(gate, &mut self.life.ledger, &self.life.definition, &places, id, begins, Some(&tell))
        })?;
        self.served = Some(Served { keepers: launched.keepers, tell, told });
        if let Some(run) = &mut self.life.record.run {
            run.hypervisor = launched.hypervisor;
            run.accelerator = launched.accelerator;
            run.warning = launched.warning;
            run.cards = launched.cards;
        }
        self.life.record.save(layout)?;
        let folder = self.folder();
        let control = self.listener.take();
        let connected = connect::with(&folder, &self.life.definition, launched.hypervisor, control).await?;
        connected.monitor.will_receive(self.offer.fetches).await?;
        self.connected = Some(connected);
        Ok(())
    }

    /// The hypervisor that is to take memory. Where volumes go along it is started now.
    pub(super) async fn monitor(&mut self, attempt: Attempt) -> Result<Monitor> {
        if self.connected.is_none() && !self.coming.is_empty() {
            self.launch(attempt).await?;
        }
        let connected = self.connected.as_ref().ok_or_else(|| Failure::other("no hypervisor waits for memory"))?;
        Ok(connected.monitor.clone())
    }

    /// The source has begun to send memory.
    pub(super) async fn receive(&mut self, attempt: Attempt, stream: tokio::net::UnixStream) {
        let begun = async {
            let monitor = self.monitor(attempt).await?;
            let stream = stream.into_std().context(|| "cannot take memory".to_owned())?;
            stream.set_nonblocking(false).context(|| "cannot take memory".to_owned())?;
            monitor.receive_from(stream.into()).await?;
            Ok(monitor)
        };
        match begun.await {
            Ok(monitor) => self.memory_comes(attempt, monitor),
            Err(failure) => self.no_memory(attempt, &failure),
        }
    }

    /// Until the guest is there.
    pub(super) fn memory_comes(&self, attempt: Attempt, monitor: Monitor) {
        let (gate, coming) = (self.life.gate.clone(), self.coming.clone());
        self.comes(attempt, async move {
            monitor.all_over().await?;
            // The last of them came while the guest stood still.
            in_thread(move || along::whole(&gate, &coming)).await
        });
    }

    /// The source has sent the guest's state as a file.
    fn load(&self, attempt: Attempt) {
        let Some(connected) = &self.connected else { return };
        self.comes(attempt, still::load(connected.monitor.clone(), self.folder()));
    }

    /// Tells whether the guest has come, once it has.
    fn comes(&self, attempt: Attempt, coming: impl Future<Output = Result<()>> + Send + 'static) {
        let tell = self.tell.clone();
        tokio::spawn(async move {
            let all = coming.await;
            let event = match all {
                Ok(()) => Event::Received(attempt),
                Err(failure) => {
                    tracing::warn!(%failure, "the guest did not come");
                    Event::StageFailed(attempt)
                }
            };
            // The loop may be over.
            let _ = tell.send(event);
        });
    }

    /// What is to be on disk before the source hears that all is here: whoever owns the domain takes it up from this.
    pub(super) fn found(&mut self, event: Event) -> Result<()> {
        if !matches!(event, Event::Received(_)) {
            return Ok(());
        }
        if self.offer.power == Power::Off {
            return Ok(());
        }
        let runs = self.offer.power == Power::Running;
        self.life.record.written = Some(if runs { State::Running } else { State::Paused });
        if let Some(run) = &mut self.life.record.run {
            run.held = runs;
        }
        self.life.record.runs += 1;
        self.life.record.save(self.life.gate.layout())?;
        fault::point("take.received")
    }

    /// The guest goes on here.
    pub(super) async fn run(&mut self) {
        if let Some(served) = &self.served {
            served.keepers.iter().for_each(crate::domain::keeper::Keeper::activate);
        }
        // It goes on once it has come so far (`fetching.rs`).
        let Some(connected) = self.connected.as_ref().filter(|_| !self.fetching) else { return };
        let runs = self.offer.power == Power::Running;
        let goes_on = async {
            if runs {
                connected.monitor.resume().await?;
            }
            connected.monitor.announce().await
        };
        if let Err(failure) = goes_on.await {
            tracing::error!(%failure, "the guest could not be let go on");
        }
        if let Err(failure) = fault::point("take.running") {
            tracing::error!(%failure, "not noted");
        }
    }
}
