//! A disk is made larger while its guest runs. Whoever has the image open does it:
//!
//! ```text
//!   file, nfs         the hypervisor, which tells its guest
//!   iscsi             the plugin, if it can, or the target's own tools before; then the hypervisor looks again
//!   served            the plugin; then another sandbox takes over, with the new size, and the guest is told (served.rs)
//! ```

use super::control::{Answer, Asker};
use super::job::{Job, JobEnd};
use super::saving::in_thread;
use super::watch::Loop;
use crate::error::Result;
use crate::hypervisor::qemu::qmp::{Monitor, Reached};
use crate::storage::Pool;
use crate::types::{ByteSize, VolumeRef};

impl Loop<'_> {
    pub(super) fn resize(&mut self, volume: VolumeRef, size: ByteSize, asker: Asker, monitor: &Monitor) {
        let place = match self.places().disk(&volume) {
            Ok(place) => place,
            Err(failure) => {
                self.answer(asker, Err(failure));
                return;
            }
        };
        let (gate, monitor) = (self.gate.clone(), monitor.clone());
        let renewal = self.served.renewal(&volume);
        let work = async move {
            let by_plugin = || async {
                in_thread(move || Pool::open(&gate, &volume.pool)?.resize_volume(&volume.volume, size)).await
            };
            match monitor.reached(place).await? {
                Reached::ByItself => monitor.grow(place, size).await?,
                Reached::Target => {
                    let facts = by_plugin().await?;
                    monitor.grow(place, ByteSize::from_bytes(facts.size)).await?;
                }
                Reached::Server => {
                    let _facts: crate::sandbox::protocol::VolumeFacts = by_plugin().await?;
                    if let Some(renewal) = renewal {
                        renewal.ask();
                    }
                }
            }
            Result::Ok(JobEnd::GoOn(Answer::Done))
        };
        self.job = Some(Job::new("resized", asker, work));
    }
}
