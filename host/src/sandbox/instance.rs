//! A loaded plugin, and its calls: each on a store and an instance of its own, which are gone when it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{Instance, InstancePre, ResourceTable};
use wasmtime::{Engine, Store, Trap, UpdateDeadline};

use super::call;
use super::interface::{self, Preopens};
use super::lent::Lent;
use super::limits::{Budget, Spent, cpu_time};
use super::log::Log;
use super::protocol::wire::Wire;
use super::protocol::{Ability, Call, CallError, FromSandbox, Limit, LogLevel, PluginKind, Return, ToSandbox};
use super::room::{Caller, Directories, Host, Room};
use super::serve::Looking;
use super::ticker::Ticker;
use super::version::v0_1::exports::fief::{migration, network, storage};
use crate::config::policy::Limits;

pub(super) struct Plugin {
    pub(super) engine: Engine,
    pub(super) pre: InstancePre<Room>,
    pub(super) exports: Exports,
    pub(super) preopens: Preopens,
    pub(super) directories: Directories,
    pub(super) limits: Limits,
    pub(super) silence: Duration,
    pub(super) clock: Option<Duration>,
    pub(super) ticker: Ticker,
    pub(super) looking: Arc<Looking>,
    pub(super) runtime: tokio::runtime::Runtime,
    /// Where a volume is served that may lie in files.
    pub(super) threads: Option<super::serve::Threads>,
}

/// The interfaces that the component exports, found once.
pub(super) struct Exports {
    pub(super) backend: Option<storage::backend::GuestIndices>,
    pub(super) snapshots: Option<storage::snapshots::GuestIndices>,
    pub(super) clones: Option<storage::clones::GuestIndices>,
    pub(super) renames: Option<storage::renames::GuestIndices>,
    pub(super) fences: Option<storage::fences::GuestIndices>,
    pub(super) notes: Option<storage::notes::GuestIndices>,
    pub(super) block: Option<storage::block::GuestIndices>,
    pub(super) block_queue: Option<storage::block_queue::GuestIndices>,
    pub(super) mode: Option<network::mode::GuestIndices>,
    pub(super) strategy: Option<migration::strategy::GuestIndices>,
}

impl Exports {
    /// # Errors
    /// Where what a plugin of this kind must export is absent, or of another shape than the interface has.
    pub(super) fn find(pre: &InstancePre<Room>, kind: PluginKind) -> Result<Self, String> {
        let wrong = |error: wasmtime::Error| format!("an export does not fit: {error:#}");
        let has = |name: &str| pre.component().get_export_index(None, name).is_some();
        let mut exports = Exports {
            backend: None,
            snapshots: None,
            clones: None,
            renames: None,
            fences: None,
            notes: None,
            block: None,
            block_queue: None,
            mode: None,
            strategy: None,
        };
        match kind {
            PluginKind::Storage => {
                exports.backend = Some(storage::backend::GuestIndices::new(pre).map_err(wrong)?);
                if has("fief:storage/snapshots@0.1.0") {
                    exports.snapshots = Some(storage::snapshots::GuestIndices::new(pre).map_err(wrong)?);
                }
                if has("fief:storage/clones@0.1.0") {
                    exports.clones = Some(storage::clones::GuestIndices::new(pre).map_err(wrong)?);
                }
                if has("fief:storage/renames@0.1.0") {
                    exports.renames = Some(storage::renames::GuestIndices::new(pre).map_err(wrong)?);
                }
                if has("fief:storage/fences@0.1.0") {
                    exports.fences = Some(storage::fences::GuestIndices::new(pre).map_err(wrong)?);
                }
                if has("fief:storage/notes@0.1.0") {
                    exports.notes = Some(storage::notes::GuestIndices::new(pre).map_err(wrong)?);
                }
                if has("fief:storage/block@0.1.0") {
                    exports.block = Some(storage::block::GuestIndices::new(pre).map_err(wrong)?);
                }
                if has("fief:storage/block-queue@0.1.0") {
                    exports.block_queue = Some(storage::block_queue::GuestIndices::new(pre).map_err(wrong)?);
                }
            }
            PluginKind::Network => exports.mode = Some(network::mode::GuestIndices::new(pre).map_err(wrong)?),
            PluginKind::Migration => {
                exports.strategy = Some(migration::strategy::GuestIndices::new(pre).map_err(wrong)?);
            }
        }
        Ok(exports)
    }

    pub(super) fn abilities(&self) -> Vec<Ability> {
        let snapshots = self.snapshots.as_ref().map(|_| Ability::Snapshots);
        let clones = self.clones.as_ref().map(|_| Ability::Clones);
        let renames = self.renames.as_ref().map(|_| Ability::Renames);
        let fences = self.fences.as_ref().map(|_| Ability::Fences);
        let notes = self.notes.as_ref().map(|_| Ability::Notes);
        let block = self.block.as_ref().map(|_| Ability::Block);
        snapshots.into_iter().chain(clones).chain(renames).chain(fences).chain(notes).chain(block).collect()
    }
}

impl Plugin {
    /// Answers calls until the host closes the socket.
    ///
    /// # Errors
    /// Where the socket fails, or the host sends what it may not.
    pub(super) fn answer_calls(&self, wire: &Arc<Wire>) -> std::io::Result<()> {
        loop {
            let call = match wire.receive::<ToSandbox>()? {
                None => return Ok(()),
                Some(ToSandbox::Call(call)) => call,
                Some(
                    ToSandbox::Load { .. }
                    | ToSandbox::Compile { .. }
                    | ToSandbox::Answer(_)
                    | ToSandbox::Serve(_)
                    | ToSandbox::AnswerTo(..)
                    | ToSandbox::Tell(_),
                ) => {
                    return Err(std::io::Error::other("a frame that is no call came between calls"));
                }
            };
            let result = self.run(wire, call);
            match wire.send(&FromSandbox::Return(result), &[]) {
                Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
                    let spent = CallError::Limit(Limit::HostCallBytes);
                    wire.send(&FromSandbox::Return(Err(spent)), &[])?;
                }
                other => other?,
            }
        }
    }

    fn run(&self, wire: &Arc<Wire>, call: Call) -> Result<Return, CallError> {
        let log = Log::new(wire.clone(), self.limits.log_lines_per_second);
        let host = Caller::new(wire.clone());
        let (wasi, streams) = interface::wasi(&self.preopens, &log, self.clock);
        let mut table = ResourceTable::new();
        table.set_max_capacity(self.limits.handles as usize);
        let room = Room {
            budget: Budget::new(&self.limits),
            table,
            wasi,
            log: log.clone(),
            host: Host::Call(host.clone()),
            directories: self.directories.clone(),
            lent: Lent::default(),
            outbox: None,
            queue: None,
            threads: None,
            silence: self.silence,
        };
        let mut store = self.store(room);
        let result = {
            let _ticking = self.ticker.tick();
            let work = async {
                // Limits stand before this: a component's start function is the plugin's code too.
                let instance = self.pre.instantiate_async(&mut store).await?;
                self.dispatch(&mut store, &instance, call).await
            };
            self.runtime.block_on(within(self.limits.wall, &host, work))
        };
        drop(store);
        streams.iter().for_each(|stream| stream.finish());
        let result = result.unwrap_or_else(|error| Err(describe(&error, &log)));
        log.settle();
        result
    }

    pub(super) fn store(&self, room: Room) -> Store<Room> {
        let mut store = Store::new(&self.engine, room);
        store.limiter(|room| &mut room.budget);
        store.set_hostcall_fuel(self.limits.host_call_bytes.bytes().try_into().unwrap_or(usize::MAX));
        store.set_max_component_handles(self.limits.handles as usize);
        let (begun, budget) = (cpu_time(), self.limits.cpu);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |context| {
            let begun = match &context.data().host {
                Host::Call(caller) => caller.turn().cpu,
                Host::Serving(_) => begun,
            };
            if cpu_time().saturating_sub(begun) > budget {
                return Err(Spent(Limit::Cpu).into());
            }
            // Back to the runtime for a moment, so that the wall deadline is seen.
            Ok(UpdateDeadline::Yield(1))
        });
        store
    }

    async fn dispatch(
        &self,
        store: &mut Store<Room>,
        instance: &Instance,
        call: Call,
    ) -> wasmtime::Result<Result<Return, CallError>> {
        match call {
            Call::Storage { pool, settings, function } => {
                call::storage(&self.exports, store, instance, pool, settings, function).await
            }
            Call::Network { network, bridge, settings, function } => {
                call::network(&self.exports, store, instance, (network, bridge, settings), function).await
            }
            Call::Migration { facts, settings, function } => {
                call::migration(&self.exports, store, instance, (*facts, settings), function).await
            }
        }
    }
}

/// Runs `work` for at most `wall` between two steps of a move, not counting the time that the host took to answer asks.
async fn within<T>(
    wall: Duration,
    host: &Caller,
    work: impl Future<Output = wasmtime::Result<T>>,
) -> wasmtime::Result<T> {
    let end = || {
        let turn = host.turn();
        turn.begun + wall + turn.waited
    };
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout_at(end().into(), &mut work).await {
            Ok(result) => return result,
            Err(_) if Instant::now() < end() => {}
            Err(_) => return Err(Spent(Limit::Wall).into()),
        }
    }
}

/// What a trap was. The engine's account of where it happened goes to the log, for the plugin's author.
pub(super) fn describe(error: &wasmtime::Error, log: &Log) -> CallError {
    if let Some(Spent(limit)) = error.downcast_ref::<Spent>() {
        return CallError::Limit(*limit);
    }
    let cause = error.root_cause().to_string();
    if let Some(trap) = error.downcast_ref::<Trap>() {
        if *trap == Trap::StackOverflow {
            return CallError::Limit(Limit::Stack);
        }
        log.write(LogLevel::Debug, &format!("{error:?}"), Vec::new());
        return CallError::Trapped(trap.to_string());
    }
    // The engine has no types for these two.
    if cause.contains("fuel allocated for hostcalls has been exhausted") {
        return CallError::Limit(Limit::HostCallBytes);
    }
    if cause.contains("resource table has no free keys") || cause.contains("store handle limit exceeded") {
        return CallError::Limit(Limit::Handles);
    }
    CallError::Trapped(cause)
}
