//! Changes that came to nothing, that were cut off, and that the guest made by itself.

use std::time::Duration;

use super::{Changing, EJECTED_WITHIN};
use crate::domain::change::Change;
use crate::domain::supervisor::connect::Connected;
use crate::domain::supervisor::control::{Answer, Asker};
use crate::domain::supervisor::watch::Loop;
use crate::domain::{lease, steps, store};
use crate::error::Result;
use crate::hypervisor::Device;
use crate::hypervisor::places::FIXED;
use crate::hypervisor::qemu::qmp::Monitor;
use crate::types::VolumeRef;

/// How long a guest has to let a device go that it should not have been given. One that does not keeps it, and the next
/// change, or the next supervisor, finds it there.
const UNPLUGGED_WITHIN: Duration = Duration::from_secs(3);

impl Loop<'_> {
    /// Undoes what was done of an attach; gives the volume that is to be let go.
    pub(super) async fn undo_attach(&mut self, changing: &Changing, monitor: &Monitor) -> Result<Option<VolumeRef>> {
        let (device, is_disc) = changing.device();
        // Where it failed after it was plugged in, the guest has seen it.
        if !is_disc && monitor.has(device).await? {
            monitor.unplug(device, UNPLUGGED_WITHIN).await?;
        }
        let volume = match &changing.change {
            Change::AttachDisk { disk } => Some(disk.volume.clone()),
            Change::Insert { volume } => {
                let empty = self.places().drives.contains(&changing.place);
                if empty && monitor.has_disc(changing.place).await? {
                    monitor.eject(changing.place, true, EJECTED_WITHIN).await?;
                }
                Some(volume.clone())
            }
            Change::AttachCard { card } => {
                self.unwire(|mac| *mac == card.mac)?;
                None
            }
            Change::DetachDisk { .. } | Change::DetachCard { .. } | Change::Eject { .. } | Change::Set { .. } => None,
        };
        if !is_disc {
            monitor.forget(device).await?;
        }
        self.undo_definitions(changing)?;
        if volume.is_none() {
            self.run()?.changing = None;
        }
        self.record.save(self.layout)?;
        Ok(volume)
    }

    /// The definitions say again what they said before, should they say something else by now.
    fn undo_definitions(&mut self, changing: &Changing) -> Result<()> {
        store::write_running(self.layout, self.definition)?;
        let back = match &changing.change {
            Change::AttachDisk { disk } => Change::DetachDisk { volume: disk.volume.clone(), force: false },
            Change::AttachCard { card } => Change::DetachCard { mac: card.mac },
            Change::Insert { volume } => Change::Eject { volume: Some(volume.clone()), force: false },
            Change::DetachDisk { .. } | Change::DetachCard { .. } | Change::Eject { .. } | Change::Set { .. } => {
                return Ok(());
            }
        };
        if changing.next_had_it {
            return Ok(());
        }
        store::change(self.layout, &self.definition.name, &back).map(drop)
    }

    /// After a supervisor was killed: what it was about is finished where the machine has it so, else undone; and what
    /// the guest let go meanwhile is not there any more.
    pub(in crate::domain::supervisor) async fn settle_change(&mut self, connected: &mut Connected) -> Result<()> {
        let monitor = connected.monitor.clone();
        if let Some(changing) = self.changing().cloned() {
            tracing::warn!(?changing, "a change was cut off");
            if let Some(volume) = self.settle(&changing, &monitor).await? {
                self.let_volume_go(&volume);
                self.has_let_go(&volume)?;
            }
        }
        for device in self.devices() {
            if !monitor.has(device).await? {
                self.gone.push(device);
            }
        }
        if self.places().hardware >= 2 {
            monitor.set_balloon(self.definition.memory).await?;
        }
        monitor.set_actions(self.definition.on_poweroff, self.definition.on_reboot).await
    }

    /// A change that could not be undone before is looked at again.
    pub(super) async fn settle_failed(&mut self, connected: &Connected) -> Result<()> {
        let Some(changing) = self.changing().filter(|changing| changing.comes()).cloned() else { return Ok(()) };
        if let Some(volume) = self.settle(&changing, &connected.monitor).await? {
            self.let_volume_go(&volume);
            self.has_let_go(&volume)?;
        }
        Ok(())
    }

    /// At once, and not as a job.
    fn let_volume_go(&mut self, volume: &VolumeRef) {
        if let Some(keeper) = self.served.take(volume) {
            keeper.close();
        }
        steps::let_go(self.gate, &self.definition.name, std::slice::from_ref(volume));
    }

    async fn settle(&mut self, changing: &Changing, monitor: &Monitor) -> Result<Option<VolumeRef>> {
        let (device, is_disc) = changing.device();
        let there = if is_disc { monitor.has_disc(changing.place).await? } else { monitor.has(device).await? };
        let old = self.places().disks.iter().find(|(_, at)| **at == changing.place).map(|(volume, _)| volume.clone());
        match (&changing.change, there) {
            (Change::Insert { .. }, there) if let Some(old) = old => {
                // The disc before was still to come out: then the new one is not in.
                if !there {
                    self.ejected(&old)?;
                    self.let_volume_go(&old);
                    lease::release(self.layout, &old, &self.definition.name)?;
                    self.run()?.volumes.retain(|other| *other != old);
                }
                self.undo_attach(changing, monitor).await
            }
            (Change::AttachDisk { .. } | Change::AttachCard { .. } | Change::Insert { .. }, true) => {
                self.finish(&changing.change, changing.place, true).map(|()| None)
            }
            (Change::AttachDisk { .. } | Change::AttachCard { .. } | Change::Insert { .. }, false) => {
                self.undo_attach(changing, monitor).await
            }
            // The guest has it still: it may have been asked, and may let go.
            (Change::DetachDisk { .. } | Change::DetachCard { .. } | Change::Eject { .. }, true) => Ok(None),
            (Change::DetachDisk { .. } | Change::DetachCard { .. } | Change::Eject { .. }, false) => {
                self.finish_detach(changing, true, monitor).await
            }
            (Change::Set { .. }, _) => Ok(None),
        }
    }

    /// What guests let go by themselves, or later than it was waited for.
    pub(in crate::domain::supervisor) async fn see_to_the_gone(&mut self, connected: &mut Connected) {
        while self.job.is_none()
            && let Some(device) = self.gone.pop()
        {
            let Some(change) = self.loss_of(device) else { continue };
            let asked = self.changing().is_some_and(|changing| changing.change.loses_as(&change));
            tracing::info!(?device, asked, "the guest let a device go");
            let changing = Changing { change, place: place_of(device), next_had_it: false };
            match self.finish_detach(&changing, asked, &connected.monitor).await {
                Ok(volume) => self.release(volume, Ok(Answer::Done), Asker::nobody()),
                Err(failure) => tracing::error!(?device, %failure, "what stood behind a device stays"),
            }
        }
    }

    /// The change that the loss of a device is; none where it is not known to be there.
    fn loss_of(&self, device: Device) -> Option<Change> {
        let places = self.places();
        match device {
            Device::Disk(place) => {
                let (volume, _) = places.disks.into_iter().find(|(_, at)| *at == place)?;
                Some(Change::DetachDisk { volume, force: false })
            }
            Device::Card(place) => {
                let (mac, _) = places.cards.into_iter().find(|(_, at)| *at == place)?;
                Some(Change::DetachCard { mac })
            }
        }
    }

    /// Those that can come and go.
    fn devices(&self) -> Vec<Device> {
        let places = self.places();
        if places.hardware < 2 {
            return Vec::new();
        }
        let disks = places.disks.values().filter(|place| **place < FIXED).map(|place| Device::Disk(*place));
        let cards = places.cards.values().filter(|place| **place < FIXED).map(|place| Device::Card(*place));
        disks.chain(cards).collect()
    }
}

const fn place_of(device: Device) -> usize {
    match device {
        Device::Disk(place) | Device::Card(place) => place,
    }
}
