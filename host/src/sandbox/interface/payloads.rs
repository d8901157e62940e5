//! `fief:storage/payloads`: bytes that pass by a plugin.

use std::sync::Arc;

use wasmtime::component::Resource;

use crate::sandbox::room::Room;
use crate::sandbox::version::v0_1::fief::storage::payloads::{Host, HostPayload};

/// They never change. Another thread may be writing them to a file; the plugin cannot give them back meanwhile.
pub struct Payload(pub(super) Arc<Vec<u8>>);

impl Room {
    /// Keeps bytes for the plugin.
    pub(super) fn keep(&mut self, bytes: Vec<u8>) -> wasmtime::Result<Resource<Payload>> {
        self.budget.hold(bytes.len())?;
        Ok(self.table.push(Payload(Arc::new(bytes)))?)
    }

    /// The plugin has given them back.
    pub(super) fn given_back(&mut self, payload: Resource<Payload>) -> wasmtime::Result<Vec<u8>> {
        let Payload(bytes) = self.table.delete(payload)?;
        self.budget.release(bytes.len());
        Ok(Arc::unwrap_or_clone(bytes))
    }
}

impl Host for Room {}

impl HostPayload for Room {
    fn length(&mut self, payload: Resource<Payload>) -> wasmtime::Result<u32> {
        // Each was made by a request of 32 bits.
        Ok(self.table.get(&payload)?.0.len() as u32)
    }
    fn bytes(&mut self, payload: Resource<Payload>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&payload)?.0.to_vec())
    }
    fn drop(&mut self, payload: Resource<Payload>) -> wasmtime::Result<()> {
        self.given_back(payload).map(drop)
    }
}
