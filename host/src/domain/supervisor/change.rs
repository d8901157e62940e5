//! Changes to a machine that runs.
//!
//! ```text
//!   attach  record: changing ─▸ open (job) ─▸ wire ─▸ plug ═▸ definitions ─▸ record: its place
//!                └─ any failure, or a supervisor killed: undone, newest first ─┘
//!   detach  record: changing ─▸ the guest lets go (job) ═▸ definitions ─▸ record ─▸ let the volume go (job)
//! ```
//!
//! What the machine has is the truth: a supervisor that takes it up finishes what QEMU has done, and undoes the rest. Work
//! that waits for a plugin or for the guest is a job; its end comes back as a [`Stage`].

mod begin;
mod plan;
mod settle;

use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::connect::Connected;
use super::control::{Answer, Asker};
use super::job::{Job, JobEnd};
use super::saving::in_thread;
use super::watch::Loop;
use crate::config::domain::{BootDevice, Card};
use crate::domain::change::{Change, disc_to_eject, disc_to_replace};
use crate::domain::keeper::Keeper;
use crate::domain::{lease, steps, store};
use crate::error::{Failure, Kind, Result};
use crate::fault;
use crate::gate::Operation;
use crate::hypervisor::qemu::qmp::Monitor;
use crate::hypervisor::{CardSource, Device, Places};
use crate::network::Port;
use crate::storage::BlockSource;
use crate::types::{MacAddress, VolumeRef};
use plan::{moved, needs_host_network};

/// Completes "it is being …".
pub(super) const DOING: &str = "changed";

/// A device that is on its way in or out, in the record of the run before anything is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Changing {
    pub change: Change,
    /// Where it is to sit, or sits.
    pub place: usize,
    /// The definition of the next start was so before.
    pub next_had_it: bool,
}

/// What a job of a change has done.
#[derive(Debug)]
pub enum Stage {
    Opened(Source),
    /// The disc before is out of the drive that this one goes into.
    Ejected(VolumeRef, BlockSource),
    /// The device is gone, or the disc out.
    Unplugged,
    /// The disk is cut off from its storage, which is let go; its device is there still, and why.
    Cut(VolumeRef, Failure),
    /// The plugin was told that a volume is not used any more; then the asker gets this answer.
    LetGo(VolumeRef, Result<Answer>),
}

type Work = Pin<Box<dyn Future<Output = Result<JobEnd>>>>;

/// What stands behind a device.
#[derive(Debug)]
pub enum Source {
    /// And who keeps it served, where a plugin does that.
    Disk(BlockSource, Option<Keeper>),
    Card(Port),
}

impl Changing {
    /// The device, and whether it is a disc in a drive.
    pub(super) fn device(&self) -> (Device, bool) {
        match &self.change {
            Change::AttachCard { .. } | Change::DetachCard { .. } => (Device::Card(self.place), false),
            Change::Insert { .. } | Change::Eject { .. } => (Device::Disk(self.place), true),
            Change::AttachDisk { .. } | Change::DetachDisk { .. } | Change::Set { .. } => {
                (Device::Disk(self.place), false)
            }
        }
    }

    pub(super) const fn comes(&self) -> bool {
        match self.change {
            Change::AttachDisk { .. } | Change::AttachCard { .. } | Change::Insert { .. } => true,
            Change::DetachDisk { .. } | Change::DetachCard { .. } | Change::Eject { .. } | Change::Set { .. } => false,
        }
    }
}

impl Loop<'_> {
    pub(super) async fn change(&mut self, change: Change, within: Duration, asker: Asker, connected: &Connected) {
        if let Err(failure) = self.settle_failed(connected).await {
            self.answer(asker, Err(failure));
            return;
        }
        let begun = match &change {
            Change::Set { settings } => self.set(settings, &connected.monitor).await.map(Some),
            Change::AttachDisk { .. }
            | Change::DetachDisk { .. }
            | Change::AttachCard { .. }
            | Change::DetachCard { .. }
            | Change::Insert { .. }
            | Change::Eject { .. } => self.answered_by_definitions(&change),
        };
        match begun {
            Ok(Some(answer)) => self.answer(asker, Ok(answer)),
            Ok(None) => match self.begin(change, within, connected) {
                Ok(work) => self.job = Some(Job::new(DOING, asker, work)),
                Err(failure) => self.answer(asker, Err(failure)),
            },
            Err(failure) => self.answer(asker, Err(failure)),
        }
    }

    /// The next step of a change, after a job of it.
    pub(super) async fn go_on(&mut self, stage: Stage, asker: Asker, connected: &Connected) {
        let done = match stage {
            Stage::Opened(source) => self.opened(source, connected).await,
            Stage::Ejected(old, source) => match self.ejected(&old) {
                Ok(()) => {
                    self.plug(Source::Disk(source, None), &connected.monitor).await.map(|()| Some(old)).map(Next::LetGo)
                }
                Err(failure) => Err(failure),
            },
            Stage::Unplugged => self.unplugged(&connected.monitor).await.map(Next::LetGo),
            Stage::Cut(volume, failure) => {
                self.release(Some(volume), Err(failure), asker);
                return;
            }
            Stage::LetGo(volume, outcome) => {
                let outcome = self.has_let_go(&volume).and(outcome);
                self.answer(asker, outcome);
                return;
            }
        };
        match done {
            Ok(Next::Job(work)) => self.job = Some(Job::new(DOING, asker, work)),
            Ok(Next::Answer(answer)) => self.answer(asker, Ok(answer)),
            Ok(Next::LetGo(volume)) => self.release(volume, Ok(Answer::Done), asker),
            Err(failure) => self.change_failed(failure, asker, connected).await,
        }
    }

    async fn opened(&mut self, mut source: Source, connected: &Connected) -> Result<Next> {
        if let Source::Disk(_, keeper) = &mut source {
            self.served.keepers.extend(keeper.take());
        }
        fault::point("attach.opened")?;
        let Changing { change, place, .. } = self.expect_changing()?;
        match (&change, source) {
            (Change::Insert { .. }, Source::Disk(source, _)) if let Some(old) = disc_to_replace(self.definition)? => {
                let monitor = connected.monitor.clone();
                Ok(Next::Job(Box::pin(async move {
                    monitor.eject(place, false, EJECTED_WITHIN).await?;
                    Ok(JobEnd::Changed(Stage::Ejected(old, source)))
                })))
            }
            (Change::AttachCard { .. }, Source::Card(port))
                if needs_host_network(&port) && !self.has_host_network() =>
            {
                let because = "its hypervisor was started without the host's network, which this card needs".to_owned();
                self.later(&change, because)
            }
            (Change::AttachDisk { .. } | Change::Insert { .. }, Source::Disk(source, _))
                if source.way.needs_host_network() && !self.has_host_network() =>
            {
                Err(Failure::conflict("its hypervisor was started without the host's network, which this disk needs")
                    .hint("stop the domain, attach the disk and start it; or give the pool transport = \"served\""))
            }
            (_, source) => {
                self.plug(source, &connected.monitor).await?;
                Ok(Next::Answer(Answer::Done))
            }
        }
    }

    /// The change is made to what the domain starts with next.
    fn later(&mut self, change: &Change, because: String) -> Result<Next> {
        store::change(self.layout, &self.definition.name, change)?;
        self.run()?.changing = None;
        self.record.save(self.layout)?;
        Ok(Next::Answer(Answer::Later { because }))
    }

    /// Plugs in what was opened, and writes that down.
    async fn plug(&mut self, source: Source, monitor: &Monitor) -> Result<()> {
        let Changing { change, place, .. } = self.expect_changing()?;
        match (&change, source) {
            (Change::AttachDisk { disk }, Source::Disk(source, _)) => {
                fault::point("attach.wired")?;
                monitor.plug_disk(place, disk, source, self.definition.on_storage_error).await?;
            }
            (Change::Insert { .. }, Source::Disk(source, _)) => monitor.insert(place, source).await?,
            (Change::AttachCard { card }, Source::Card(port)) => {
                let source = self.wire(card, port)?;
                fault::point("attach.wired")?;
                let boots =
                    self.definition.boot.kernel.is_none() && self.definition.boot.order.contains(&BootDevice::Network);
                monitor.plug_card(place, card, source, boots).await?;
            }
            (change, _) => return Err(Failure::other(format!("nothing is plugged in for {change:?}"))),
        }
        fault::point("attach.plugged")?;
        self.finish(&change, place, true)
    }

    fn wire(&mut self, card: &Card, port: Port) -> Result<CardSource> {
        let (id, taken): (u32, Vec<_>) = {
            let run = self.run()?;
            (run.id, run.cards.iter().filter_map(|card| card.tap.clone()).collect())
        };
        let free = |index: &usize| crate::domain::Record::tap_name(id, *index).is_ok_and(|name| !taken.contains(&name));
        let index = (0..).find(free).unwrap_or_default();
        let name = self.definition.name.clone();
        let (record, source) = steps::wire(self.gate, self.ledger, &name, (id, index), card, port)?;
        self.run()?.cards.push(record);
        Ok(source)
    }

    /// A device is gone: what stood behind it goes too. Gives the volume that is to be let go.
    async fn unplugged(&mut self, monitor: &Monitor) -> Result<Option<VolumeRef>> {
        fault::point("detach.unplugged")?;
        let changing = self.expect_changing()?;
        self.finish_detach(&changing, true, monitor).await
    }

    pub(super) async fn finish_detach(
        &mut self,
        changing: &Changing,
        asked: bool,
        monitor: &Monitor,
    ) -> Result<Option<VolumeRef>> {
        let (device, is_disc) = changing.device();
        if !is_disc {
            monitor.forget(device).await?;
        }
        let volume = match &changing.change {
            Change::DetachDisk { volume, .. } => Some(volume.clone()),
            Change::Eject { volume, .. } => disc_to_eject(self.definition, volume.as_ref())?,
            Change::DetachCard { mac } => {
                self.unwire(|card| card == mac)?;
                None
            }
            Change::AttachDisk { .. } | Change::AttachCard { .. } | Change::Insert { .. } | Change::Set { .. } => None,
        };
        self.finish(&changing.change, changing.place, asked)?;
        fault::point("detach.written")?;
        Ok(volume)
    }

    /// Takes the way out of cards away.
    pub(super) fn unwire(&mut self, which: impl Fn(&MacAddress) -> bool) -> Result<()> {
        let run = self.run()?;
        let (gone, stay): (Vec<_>, Vec<_>) =
            std::mem::take(&mut run.cards).into_iter().partition(|card| card.mac.as_ref().is_some_and(&which));
        run.cards = stay;
        let taps: Vec<_> = gone.into_iter().filter_map(|card| card.tap).collect();
        let ours = |operation: &Operation| match operation {
            Operation::TapCreate { tap, mac, .. } => taps.contains(tap) || which(mac),
            _ => false,
        };
        self.gate.undo_where(self.ledger, ours).map_err(|mut failures| failures.remove(0))
    }

    /// Writes down, in both definitions and in the record, what the machine has now.
    pub(super) fn finish(&mut self, change: &Change, place: usize, asked: bool) -> Result<()> {
        let name = self.definition.name.clone();
        let after = change.apply(self.definition)?;
        let places = moved(change, place, self.definition, &self.places())?;
        store::write_running(self.layout, &after)?;
        let next = if asked { store::change(self.layout, &name, change).map(drop) } else { Ok(()) };
        if asked && self.changing().is_some_and(Changing::comes) {
            fault::point("attach.written")?;
        }
        *self.definition = after;
        let run = self.run()?;
        run.places = Some(places);
        run.changing = None;
        self.record.save(self.layout)?;
        next
    }

    /// The disc before is out: that stands, whatever becomes of the new one.
    pub(super) fn ejected(&mut self, old: &VolumeRef) -> Result<()> {
        let changing = self.run()?.changing.clone();
        let place = self.places().disk(old)?;
        self.finish(&Change::Eject { volume: Some(old.clone()), force: false }, place, false)?;
        self.run()?.changing = changing;
        self.record.save(self.layout)
    }

    /// Has the storage plugin told that a volume is not used any more, then answers.
    pub(super) fn release(&mut self, volume: Option<VolumeRef>, outcome: Result<Answer>, asker: Asker) {
        let Some(volume) = volume else {
            self.answer(asker, outcome);
            return;
        };
        let (gate, domain, keeper) = (self.gate.clone(), self.definition.name.clone(), self.served.take(&volume));
        let work = async move {
            in_thread({
                let volume = volume.clone();
                move || {
                    if let Some(keeper) = keeper {
                        keeper.close();
                    }
                    steps::let_go(&gate, &domain, &[volume]);
                    Ok(())
                }
            })
            .await?;
            Ok(JobEnd::Changed(Stage::LetGo(volume, outcome)))
        };
        self.job = Some(Job::new(DOING, asker, work));
    }

    pub(super) fn has_let_go(&mut self, volume: &VolumeRef) -> Result<()> {
        lease::release(self.layout, volume, &self.definition.name)?;
        let run = self.run()?;
        run.volumes.retain(|other| other != volume);
        if run.changing.as_ref().is_some_and(|changing| changing.comes()) {
            run.changing = None;
        }
        self.record.save(self.layout)
    }

    /// A change came to nothing: what was done of it is undone, and the asker hears why.
    pub(super) async fn change_failed(&mut self, failure: Failure, asker: Asker, connected: &Connected) {
        let name = self.definition.name.clone();
        let Some(changing) = self.changing().cloned() else {
            self.answer(asker, Err(failure));
            return;
        };
        if changing.comes() {
            let failure = failure.while_doing(format!("domain {name} cannot be changed so"));
            match self.undo_attach(&changing, &connected.monitor).await {
                Ok(volume) => self.release(volume, Err(failure), asker),
                Err(undo) => {
                    let mut failure = failure;
                    failure.causes.push(format!("and it was not wholly undone: {undo}"));
                    self.answer(asker, Err(failure));
                }
            }
            return;
        }
        // A guest that was asked may still let go: then this is what was asked for.
        let failure = match failure.kind {
            Kind::TimedOut => failure.while_doing(format!("domain {name}: the guest did not let it go")).hint(
                "it was asked, and may still do so; the same command waits again. An eject by --force does not ask",
            ),
            _ => {
                if let Ok(run) = self.run() {
                    run.changing = None;
                }
                failure.while_doing(format!("domain {name} cannot be changed so"))
            }
        };
        let recorded = self.record.save(self.layout);
        self.answer(asker, recorded.and(Err(failure)));
    }

    /// Where the machine's devices sit.
    pub(super) fn places(&self) -> Places {
        let recorded = self.record.run.as_ref().and_then(|run| run.places.clone());
        recorded.unwrap_or_else(|| Places::first_layout(&*self.definition))
    }

    pub(super) fn changing(&self) -> Option<&Changing> {
        self.record.run.as_ref().and_then(|run| run.changing.as_ref())
    }

    fn expect_changing(&self) -> Result<Changing> {
        self.changing().cloned().ok_or_else(|| Failure::other("no change is under way"))
    }

    pub(super) fn run(&mut self) -> Result<&mut crate::domain::record::Run> {
        self.record.run.as_mut().ok_or_else(|| Failure::other("the record has no run"))
    }
}

/// What follows a step.
enum Next {
    Job(Work),
    LetGo(Option<VolumeRef>),
    Answer(Answer),
}

/// How long a guest has to let a disc go that another one takes the place of.
const EJECTED_WITHIN: Duration = Duration::from_secs(20);
