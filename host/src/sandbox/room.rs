//! What a store holds: all that one call of the plugin can touch.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::limits::{Budget, Spent};
use super::log::Log;
use super::protocol::wire::Wire;
use super::protocol::{Ask, FromSandbox, Limit, PluginError, Reply, ToSandbox};

pub(super) struct Room {
    pub(super) budget: Budget,
    pub(super) table: ResourceTable,
    pub(super) wasi: WasiCtx,
    pub(super) log: Log,
    pub(super) host: Host,
}

impl WasiView for Room {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// The way to the host. Asking blocks this process: there is one call at a time, and it waits for the answer.
#[derive(Clone)]
pub(super) struct Host {
    wire: Arc<Wire>,
    /// Time that the host took to answer, which is not the plugin's to account for.
    waited: Arc<Mutex<Duration>>,
}

impl Host {
    pub(super) fn new(wire: Arc<Wire>) -> Self {
        Host { wire, waited: Arc::default() }
    }

    pub(super) fn waited(&self) -> Duration {
        self.waited.lock().map(|waited| *waited).unwrap_or_default()
    }

    /// # Errors
    /// A trap where the ask is too long for a frame, or the host is gone.
    pub(super) fn ask(&self, ask: Ask) -> wasmtime::Result<Result<Reply, PluginError>> {
        self.wire.send(&FromSandbox::Ask(ask), &[]).map_err(|error| match error.kind() {
            std::io::ErrorKind::FileTooLarge => wasmtime::Error::from(Spent(Limit::HostCallBytes)),
            _ => error.into(),
        })?;
        let begun = Instant::now();
        let answer = self.wire.receive::<ToSandbox>()?;
        if let Ok(mut waited) = self.waited.lock() {
            *waited += begun.elapsed();
        }
        match answer {
            Some(ToSandbox::Answer(answer)) => Ok(answer),
            Some(ToSandbox::Load { .. } | ToSandbox::Compile { .. } | ToSandbox::Call(_)) | None => {
                Err(wasmtime::Error::msg("the host did not answer"))
            }
        }
    }
}
