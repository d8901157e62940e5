//! Volumes whose bytes the plugin serves itself.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::Transport;
use super::pool::Pool;
use crate::error::Result;
use crate::gate::Ledger;
use crate::plugin::{Heard, Order, Serving};
use crate::sandbox::protocol::{AttachAccess, Holder};
use crate::types::VolumeName;

/// How a volume is to be served.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    pub volume: VolumeName,
    pub access: AttachAccess,
    /// Of the fence that was taken; none where nothing is written.
    pub holder: Option<Holder>,
    /// Of the attachment: clients ask for `VOLUME@GENERATION`.
    pub generation: u64,
}

impl Pool {
    /// Serves a volume to the clients of `listener`, in a sandbox of its own that `ledger` holds; see [`Serving::start`].
    pub fn serve(
        &mut self,
        ledger: &mut Ledger,
        service: Service,
        listener: OwnedFd,
        patience: Duration,
        heard: impl Fn(Heard) + Send + 'static,
    ) -> Result<Serving> {
        self.choose(&service.volume, Transport::Served);
        let order = Order {
            plugin: self.plugin.clone(),
            pool: self.definition.name.clone(),
            settings: self.settings_for(Some(service.volume.as_str()))?,
            volume: service.volume,
            access: service.access,
            holder: service.holder,
            generation: service.generation,
            wires: self.wires.clone(),
        };
        Serving::start(&self.gate, ledger, order, listener, patience, heard)
    }
}
