//! How a change begins: whether there is anything to do now, and what is written down before it is done.

use std::time::Duration;

use super::plan::{place, why_later};
use super::{Changing, Source, Stage, Work};
use crate::domain::State;
use crate::domain::change::{Change, Settings, disc};
use crate::domain::supervisor::connect::Connected;
use crate::domain::supervisor::control::Answer;
use crate::domain::supervisor::job::JobEnd;
use crate::domain::supervisor::saving::in_thread;
use crate::domain::supervisor::watch::Loop;
use crate::domain::transport::Goer;
use crate::domain::{steps, store};
use crate::error::{Failure, Result};
use crate::fault;
use crate::hypervisor::qemu::qmp::Monitor;

impl Loop<'_> {
    /// Settings that a running machine can take are its own before they are written down.
    pub(super) async fn set(&mut self, settings: &Settings, monitor: &Monitor) -> Result<Answer> {
        let change = Change::Set { settings: settings.clone() };
        let name = self.definition.name.clone();
        // Checked as a whole before any of it is done.
        let next = change.apply(&store::load(self.layout, &name)?)?;
        let ballooned = self.places().hardware >= 2;
        let mut now = settings.at_once(self.definition);
        now.memory = now.memory.filter(|_| ballooned);
        let after = Change::Set { settings: now }.apply(self.definition)?;
        if after.memory != self.definition.memory {
            monitor.set_balloon(after.memory).await?;
        }
        if (after.on_poweroff, after.on_reboot) != (self.definition.on_poweroff, self.definition.on_reboot) {
            monitor.set_actions(after.on_poweroff, after.on_reboot).await?;
        }
        let changed = store::change(self.layout, &name, &change)?;
        let ran_so = after == *self.definition;
        if !ran_so {
            store::write_running(self.layout, &after)?;
            self.record.memory = after.memory;
            *self.definition = after;
            (self.rules.on_poweroff, self.rules.on_reboot, self.rules.on_crash) =
                (self.definition.on_poweroff, self.definition.on_reboot, self.definition.on_crash);
            self.record.save(self.layout)?;
        }
        let waits = |asked: bool, differs: bool, key: &'static str| (asked && differs).then_some(key);
        let running = &*self.definition;
        let later: Vec<&str> = [
            waits(settings.memory.is_some(), running.memory != next.memory, "memory"),
            waits(settings.max_memory.is_some(), running.max_memory != next.max_memory, "max-memory"),
            waits(settings.vcpus.is_some(), running.vcpus != next.vcpus, "vcpus"),
        ]
        .into_iter()
        .flatten()
        .collect();
        Ok(match (later.is_empty(), changed || !ran_so) {
            (false, _) => Answer::Later { because: format!("{} cannot be changed while it runs", later.join(", ")) },
            (true, true) => Answer::Done,
            (true, false) => Answer::Already,
        })
    }

    /// The answer where the machine is so already, or cannot be changed while it runs.
    pub(super) fn answered_by_definitions(&self, change: &Change) -> Result<Option<Answer>> {
        let name = &self.definition.name;
        let after = change.apply(self.definition)?;
        store::macs_are_free(self.layout, &change.apply(&store::load(self.layout, name)?)?)?;
        if after == *self.definition {
            if let Some(changing) = self.changing().filter(|changing| !changing.comes())
                && change.apply(&changing.change.apply(self.definition)?)? == *self.definition
            {
                return Err(Failure::conflict(format!(
                    "domain {name}: its guest was asked to let that device go, and has not"
                ))
                .hint("detach it again to wait for that, or stop the domain"));
            }
            let changed = store::change(self.layout, name, change)?;
            return Ok(Some(if changed { Answer::Done } else { Answer::Already }));
        }
        match why_later(change, self.definition, &self.places()) {
            Some(because) => {
                store::change(self.layout, name, change)?;
                Ok(Some(Answer::Later { because }))
            }
            None => Ok(None),
        }
    }

    /// Writes down what is about to happen, and gives the first job.
    pub(super) fn begin(&mut self, change: Change, within: Duration, connected: &Connected) -> Result<Work> {
        let place = place(&change, self.definition, &self.places())?;
        let next = store::load(self.layout, &self.definition.name)?;
        let next_had_it = change.apply(&next)? == next;
        let changing = Changing { change, place, next_had_it };
        let comes = match &changing.change {
            Change::AttachDisk { disk } => Some(disk.clone()),
            Change::Insert { volume } => Some(disc(volume)),
            Change::AttachCard { .. }
            | Change::DetachDisk { .. }
            | Change::DetachCard { .. }
            | Change::Eject { .. }
            | Change::Set { .. } => None,
        };
        let after = changing.change.apply(self.definition)?;
        let run = self.run()?;
        run.changing = Some(changing.clone());
        if let Some(disk) = comes.as_ref().filter(|disk| !run.volumes.contains(&disk.volume)) {
            run.volumes.push(disk.volume.clone());
        }
        self.record.save(self.layout)?;
        let serves = self.serves(place, None);
        let goer = Goer::running(self.has_host_network());
        let (gate, name, monitor) = (self.gate.clone(), self.definition.name.clone(), connected.monitor.clone());
        Ok(match changing.change.clone() {
            Change::AttachDisk { .. } | Change::Insert { .. } => Box::pin(async move {
                fault::point("attach.noted")?;
                let disk = comes.ok_or_else(|| Failure::other("nothing is to be attached"))?;
                let (source, keeper) = in_thread(move || {
                    let source = steps::open_disk(&gate, &name, &disk, goer)?;
                    let keeper = serves.serve(&gate, &source, &disk, &name)?;
                    Ok((source, keeper))
                })
                .await?;
                Ok(JobEnd::Changed(Stage::Opened(Source::Disk(source, keeper))))
            }),
            Change::AttachCard { card } => Box::pin(async move {
                fault::point("attach.noted")?;
                let port = in_thread(move || steps::open_port(&gate, &after, &card)).await?;
                Ok(JobEnd::Changed(Stage::Opened(Source::Card(port))))
            }),
            Change::DetachDisk { volume, force: true } => {
                let ran = self.record.state == State::Running;
                Box::pin(async move {
                    fault::point("detach.noted")?;
                    monitor.cut(place, ran).await?;
                    let stage = match monitor.unplug(changing.device().0, within).await {
                        Ok(()) => Stage::Unplugged,
                        Err(failure) => Stage::Cut(volume, failure.hint(
                            "it is cut off from its volume, which is free; the guest has an empty disk there until it lets \
                             go, or the domain is stopped",
                        )),
                    };
                    Ok(JobEnd::Changed(stage))
                })
            }
            Change::DetachDisk { force: false, .. } | Change::DetachCard { .. } => Box::pin(async move {
                fault::point("detach.noted")?;
                monitor.unplug(changing.device().0, within).await?;
                Ok(JobEnd::Changed(Stage::Unplugged))
            }),
            Change::Eject { force, .. } => Box::pin(async move {
                fault::point("detach.noted")?;
                monitor.eject(place, force, within).await?;
                Ok(JobEnd::Changed(Stage::Unplugged))
            }),
            Change::Set { .. } => return Err(Failure::other("a setting is no device")),
        })
    }
}
