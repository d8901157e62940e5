//! What a source needs once the other host is ready, made while that makes ready.

use tokio::sync::oneshot;

use crate::config::domain::DomainDefinition;
use crate::domain::relocation::Fences;
use crate::domain::relocation::pump::Pump;
use crate::error::{Context, Result};
use crate::gate::Gate;
use crate::types::PeerName;

/// What is made while the other host makes ready: it is there when memory is to go over.
pub(super) struct Ahead {
    pub(super) fences: oneshot::Receiver<Result<Fences>>,
    pub(super) pump: Pump,
}

impl Ahead {
    pub(super) fn begin(gate: &Gate, to: &PeerName, definition: &DomainDefinition) -> Result<Ahead> {
        let (done, fences) = oneshot::channel();
        let (own, definition) = (gate.clone(), definition.clone());
        // Its pools' plugins are there, too, when the guest stands still.
        let make = move || {
            let made = Fences::of(&own, &definition).and_then(|mut fences| fences.seen().map(|_| fences));
            // Whoever waited may be gone.
            let _ = done.send(made);
        };
        std::thread::Builder::new().spawn(make).context(|| "cannot look after fences".to_owned())?;
        Ok(Ahead { fences, pump: Pump::begin(gate, to)? })
    }
}
