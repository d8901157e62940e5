//! `Load`: from the first frame to a plugin that waits for calls, behind shut doors.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Linker;

use super::instance::{Exports, Plugin};
use super::interface::{self, Preopens};
use super::protocol::wire::Wire;
use super::protocol::{FromSandbox, PluginKind, Preopen};
use super::serve::{Looking, Threads};
use super::ticker::{self, Ticker};
use super::{engine, lockdown};
use crate::config::policy::{HostInterface, Limits};
use crate::sys::{allocator, component};
use crate::types::Access;

/// Private memory of a sandbox besides what the plugin may have, in bytes: the engine, two copies of the longest
/// frame, and what lifting a plugin's answer takes.
const OWN_MEMORY: u64 = 96 << 20;

/// All that the writing thread does is call `pwrite`.
const WRITER_STACK: usize = 128 << 10;
/// The interface that gives a plugin streams.
const STREAMS: &str = "fief:storage/connections@0.1.0";
/// Longer than any sandbox lives.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

pub(super) struct Request {
    pub(super) kind: PluginKind,
    /// A volume will be served, on the last descriptor.
    pub(super) serves: bool,
    pub(super) interfaces: Vec<HostInterface>,
    pub(super) directories: Vec<Preopen>,
    pub(super) limits: Limits,
    /// How long a plain `read` of a stream waits.
    pub(super) silence: Duration,
    /// What the clock on the wall shows when a call begins, since 1970; none: the time that it is.
    pub(super) clock: Option<Duration>,
}

/// The plugin, and the socket on which its volume is to be served.
///
/// # Errors
/// Why the plugin does not load.
pub(super) fn load(
    wire: &Wire,
    mut request: Request,
    descriptors: Vec<OwnedFd>,
) -> Result<(Plugin, Option<OwnedFd>), String> {
    let mut descriptors = descriptors.into_iter();
    let code = descriptors.next().ok_or("Load takes the compiled component")?;
    let mut handed: Vec<OwnedFd> = descriptors.collect();
    let listener = if request.serves { Some(handed.pop().ok_or("no socket came to serve on")?) } else { None };
    if handed.len() != request.directories.len() {
        return Err(format!("{} directories are named and {} came", request.directories.len(), handed.len()));
    }
    let says = |what: &str| {
        let what = what.to_owned();
        move |error: wasmtime::Error| format!("{what}: {error:#}")
    };

    let engine = engine::engine().map_err(says("the engine does not start"))?;
    let component = component::load(&engine, code.as_fd()).map_err(says("the compiled component does not load"))?;
    drop(code);
    interface::fits(component.component_type().imports(&engine).map(|(name, _)| name), request.kind)?;
    // Now, while files can still be made: later calls share this image of the plugin's memory.
    component.initialize_copy_on_write_image().map_err(says("the plugin's memory cannot be prepared"))?;
    let mut linker = Linker::new(&engine);
    interface::link(&mut linker, &request.interfaces).map_err(says("the host interfaces do not link"))?;
    let pre = linker.instantiate_pre(&component).map_err(says("an import is not granted or does not fit"))?;
    let exports = Exports::find(&pre, request.kind)?;

    let named: Vec<_> = request.directories.iter().cloned().zip(handed.iter().map(AsFd::as_fd)).collect();
    let preopens = Preopens::open(&named).map_err(says("a granted directory does not open"))?;
    let rules: Vec<_> = named.iter().map(|(preopen, descriptor)| (*descriptor, preopen.access)).collect();

    let fuel = request.limits.host_call_bytes.bytes();
    lockdown::bound_memory(request.limits.memory.bytes().saturating_add(2 * fuel).saturating_add(OWN_MEMORY))?;
    lockdown::shut_files(&rules)?;
    drop((named, rules));
    if request.serves {
        allocator::keep_memory();
    }
    let every = if request.serves { ticker::WHILE_SERVING } else { ticker::IN_A_CALL };
    let ticker = Ticker::start(&engine, every).map_err(|error| format!("the ticker does not start: {error}"))?;
    let writes = request.directories.iter().any(|preopen| preopen.access == Access::ReadWrite);
    let streams = request.serves || component.component_type().imports(&engine).any(|(name, _)| name == STREAMS);
    let looking = Looking::new(Duration::from_micros(request.limits.busy_poll_microseconds.into()));
    let hooks = request.serves.then_some(&looking);
    let runtime = runtime(writes, streams, hooks).map_err(|error| format!("the runtime does not start: {error}"))?;
    let reads = request.serves && !request.directories.is_empty();
    let threads = reads.then(Threads::start).transpose();
    let threads = threads.map_err(|error| format!("the threads for files do not start: {error}"))?;
    lockdown::shut_calls(listener.as_ref().map(AsFd::as_fd))?;

    let abilities = exports.abilities();
    let directories = std::mem::take(&mut request.directories).into_iter().zip(handed);
    let directories = directories.map(|(preopen, descriptor)| (preopen.name, (descriptor, preopen.access))).collect();
    let directories = Arc::new(directories);
    let Request { limits, silence, clock, .. } = request;
    let plugin = Plugin {
        engine,
        pre,
        exports,
        preopens,
        directories,
        limits,
        silence,
        clock,
        ticker,
        looking,
        runtime,
        threads,
    };
    wire.send(&FromSandbox::Ready { exports: abilities }, &[]).map_err(|error| error.to_string())?;
    Ok((plugin, listener))
}

/// One thread for the plugin; where it may write files, one more for that: WASI's streams hand writes over, whatever
/// they are told of blocking. It is made now, since none can be made later, and stays. What waits for streams holds a few
/// descriptors: it is there where streams may be.
fn runtime(writes: bool, streams: bool, looking: Option<&Arc<Looking>>) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    if streams {
        builder.enable_io();
    }
    if let Some(looking) = looking {
        let (before, after) = (looking.clone(), looking.clone());
        builder.on_thread_park(move || before.about_to_sleep()).on_thread_unpark(move || after.is_back());
    }
    let runtime = builder
        .enable_time()
        .max_blocking_threads(1)
        .thread_keep_alive(FOR_EVER)
        .thread_stack_size(WRITER_STACK)
        .build()?;
    if writes {
        runtime.block_on(runtime.spawn_blocking(|| ())).map_err(std::io::Error::other)?;
    }
    Ok(runtime)
}
