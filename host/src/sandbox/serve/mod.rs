//! The life of a sandbox that serves a volume: one instance, one device, many requests at a time.
//!
//! ```text
//!   Serve ─▸ open ─▸ Serving ─▸ clients ──┬─ Close: finish, let go ─────────▸ ends well
//!                                         ├─ HandOver: finish ──────────────▸ ends well
//!                                         ├─ no host and no client for long ▸ lets go, ends well
//!                                         └─ trap, limit ───────────────────▸ ends, and says why
//! ```
//! The host may go: the sandbox serves on, since a guest does. A trap ends the process, and with it all connections: the
//! host starts another on the same socket, and clients put again what was not answered.

mod cold;
mod desk;
mod device;
mod jobs;
mod looking;
mod queue;
mod turns;
mod waiting;

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdListener;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fief_nbd::{Export, Handle, Limits, Server};
use rustix::fs::OFlags;
use tokio::net::UnixListener;
use tokio::sync::Notify;
use tokio::time::Instant;
use wasmtime::component::{Accessor, ResourceAny, ResourceTable};
use wasmtime::{Store, UpdateDeadline};

use super::instance::{Plugin, describe};
use super::interface::{self, access, holder, plugin_error};
use super::lent::Lent;
use super::limits::{Budget, Spent, cpu_time};
use super::log::{LINE_MAX, Log};
use super::outbox::Outbox;
use super::protocol::{AttachAccess, CallError, FromSandbox, Limit, LogLevel, Return, Serve, ServingEvent, Tell};
use super::room::{Host, Room};
use super::version::v0_1::exports::fief::storage::block::{Event, GuestDevice};
use super::version::v0_1::exports::fief::storage::block_queue::Guest as Taker;
use super::version::v0_1::fief::storage::volumes::Pool;
use super::version::v0_1::fief::types::types::Setting;
pub(super) use cold::Threads;
use desk::Back;
pub(super) use desk::Desk;
use device::Served;
pub(super) use looking::Looking;
pub(super) use queue::{Asked, Outcome, Queue};

/// How long a sandbox with neither host nor client stays: a supervisor that is replaced is back long before.
const ALONE_FOR: Duration = Duration::from_secs(60);
/// How often it looks whether it is alone.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long it then waits for what was begun.
const FINISH_WITHIN: Duration = Duration::from_secs(10);
/// How long the plugin may take to let go.
const CLOSE_WITHIN: Duration = Duration::from_secs(30);
/// How long the last frames may take to be read.
const SAID_WITHIN: Duration = Duration::from_secs(1);
/// Between two events, so that a plugin that knows no end of them is no burden to the host.
const EVENT_PAUSE: Duration = Duration::from_millis(50);

type Trap<T> = wasmtime::Result<T>;

impl Plugin {
    /// Serves until it is told to end, or fails. The runtime is entered here.
    ///
    /// # Errors
    /// Where the sockets cannot be used.
    pub(super) fn serve_volume(
        &self,
        control: std::os::unix::net::UnixStream,
        listener: OwnedFd,
        serve: Serve,
    ) -> std::io::Result<()> {
        let outbox = Outbox::default();
        let serving = async {
            self.looking.begin();
            let (desk, mut back) = Desk::open(control)?;
            rustix::fs::fcntl_setfl(&listener, OFlags::RDWR | OFlags::NONBLOCK)?;
            let listener = UnixListener::from_std(StdListener::from(listener))?;
            let log = Log::to_desk(desk.clone(), self.limits.log_lines_per_second);
            let result = self.live(&desk, &mut back, &log, &listener, serve, &outbox).await;
            let result = result.unwrap_or_else(|error| Err(describe(&error, &log)));
            log.settle();
            desk.say(FromSandbox::Return(result.map(|()| Return::Nothing)));
            drop((desk, log));
            let _ = tokio::time::timeout(SAID_WITHIN, back.writer).await;
            Ok(())
        };
        self.runtime.block_on(turns::in_turns(serving, outbox.clone(), self.looking.clone()))
    }

    async fn live(
        &self,
        desk: &Desk,
        back: &mut Back,
        log: &Log,
        listener: &UnixListener,
        serve: Serve,
        outbox: &Outbox,
    ) -> Trap<Result<(), CallError>> {
        let (wasi, _streams) = interface::wasi(&self.preopens, log, self.clock);
        let mut table = ResourceTable::new();
        table.set_max_capacity(self.limits.handles as usize);
        let host = Host::Serving(desk.clone());
        let directories = self.directories.clone();
        let (budget, lent, silence) = (Budget::new(&self.limits), Lent::default(), self.silence);
        let outbox = Some(outbox.clone());
        let queue = self.exports.block_queue.as_ref().map(|_| Queue::default());
        let room = Room {
            budget,
            table,
            wasi,
            log: log.clone(),
            host,
            directories,
            lent,
            outbox,
            queue: queue.clone(),
            threads: self.threads.clone(),
            silence,
        };
        let turns = Arc::new(AtomicU64::new(0));
        let mut store = self.long_store(room, turns.clone());
        let _ticking = self.ticker.tick();
        let instance = self.pre.instantiate_async(&mut store).await?;
        let Some(block) = &self.exports.block else {
            return Ok(Err(CallError::Missing(super::protocol::Ability::Block)));
        };
        let block = block.load(&mut store, &instance)?;
        let taker = match &self.exports.block_queue {
            Some(block_queue) => Some(block_queue.load(&mut store, &instance)?),
            None => None,
        };
        let threads = self.threads.as_ref();
        let told = store.run_concurrent(async |accessor| {
            let calls = block.device();
            let queue = taker.as_ref().zip(queue.as_ref());
            let mut serving = pin!(waiting::when_woken(serve_on(
                accessor,
                (&calls, queue, threads),
                desk,
                back,
                log,
                listener,
                serve
            )));
            // Each time that this is asked, the plugin's code has come back.
            std::future::poll_fn(|context| {
                turns.fetch_add(1, Ordering::Relaxed);
                serving.as_mut().poll(context)
            })
            .await
        });
        told.await?
    }

    /// A store whose plugin may compute for as long as a call may, each time before it waits again.
    fn long_store(&self, room: Room, turns: Arc<AtomicU64>) -> Store<Room> {
        let mut store = self.store(room);
        let (mut turn, mut begun) = (0, cpu_time());
        let budget = self.limits.cpu;
        store.epoch_deadline_callback(move |_| {
            let now = turns.load(Ordering::Relaxed);
            if now != turn {
                (turn, begun) = (now, cpu_time());
            } else if cpu_time().saturating_sub(begun) > budget {
                return Err(Spent(Limit::Cpu).into());
            }
            Ok(UpdateDeadline::Continue(1))
        });
        store
    }
}

/// From `open` to `close`.
async fn serve_on(
    accessor: &Accessor<Room>,
    (calls, queue, threads): (&GuestDevice<'_>, Option<(&Taker, &Queue)>, Option<&Threads>),
    desk: &Desk,
    back: &mut Back,
    log: &Log,
    listener: &UnixListener,
    serve: Serve,
) -> Trap<Result<(), CallError>> {
    let Serve { pool, settings, volume, access: wanted, holder: held, generation } = serve;
    let settings = settings.into_iter().map(|(key, value)| Setting { key, value }).collect();
    let read_only = held.is_none();
    let inactive = read_only && wanted == AttachAccess::Handover;
    let pool = Pool { name: pool, settings };
    let opened = calls.call_open(accessor, pool, volume.clone(), access(wanted), held.map(holder)).await?;
    let handle: ResourceAny = match opened {
        Ok(handle) => handle,
        Err(error) => return Ok(Err(CallError::Plugin(plugin_error(error)))),
    };
    let geometry = match device::checked(calls.call_geometry(accessor, handle).await?) {
        Ok(geometry) => geometry,
        Err(what) => return Ok(Err(CallError::Trapped(format!("the volume that it opened is impossible: {what}")))),
    };
    let (broken, trapped) = (Rc::new(Cell::new(None)), Rc::new(Notify::new()));
    let served = Served {
        accessor,
        calls,
        handle,
        geometry: Cell::new(geometry),
        queue: queue.map(|(_, queue)| queue),
        read_only,
        inactive,
        threads,
        log: log.clone(),
        broken: broken.clone(),
        told: trapped.clone(),
    };
    let export = Export { description: format!("volume {volume}, served by fief"), volume, generation };
    let server = match Server::new(&served, export, Limits::default()) {
        Ok(server) => server,
        Err(error) => return Ok(Err(CallError::Trapped(format!("the volume cannot be served: {error}")))),
    };
    let control = server.handle();
    desk.say(FromSandbox::Serving(geometry));

    let ended = {
        let beside = async {
            tokio::join!(
                hear(back, &control),
                tell(&served, desk, &control),
                take(&served, queue.map(|(taker, _)| taker))
            )
        };
        // All that no request is about.
        let aside = waiting::when_woken(async {
            tokio::select! {
                () = leave(desk, &control) => Ok(()),
                _ = beside => Ok(()),
                () = trapped.notified() => {
                    Err(broken.take().unwrap_or_else(|| wasmtime::Error::msg("the plugin failed")))
                }
            }
        });
        tokio::select! {
            biased;
            ended = aside => ended,
            () = server.listen(listener) => Ok(()),
        }
    };
    ended?;
    match tokio::time::timeout(CLOSE_WITHIN, calls.call_close(accessor, handle)).await {
        Ok(closed) => {
            if let Err(error) = closed? {
                log.write(LogLevel::Warn, &format!("the volume was not closed well: {}", error.message), Vec::new());
            }
        }
        Err(_) => log.write(LogLevel::Warn, "the volume was not closed in time", Vec::new()),
    }
    Ok(Ok(()))
}

/// Does what the host says, for ever.
async fn hear(back: &mut Back, server: &Handle) {
    while let Some(told) = back.told.recv().await {
        match told {
            Tell::DropClients => server.drop_clients(),
            Tell::HandOver => server.hand_over(),
            Tell::Close => server.shut_down_softly(),
        }
    }
    std::future::pending().await
}

/// Ends serving where nobody is left who could want it, and comes back where that takes too long: what a client that went
/// away had begun may wait for a dead server for ever, and nobody is there to hear of it.
async fn leave(desk: &Desk, server: &Handle) {
    let mut alone_since = None;
    while alone_since.is_none_or(|since: Instant| since.elapsed() < ALONE_FOR) {
        tokio::time::sleep(LOOK_EVERY).await;
        match desk.is_alone() && server.statistics().clients == 0 {
            true => alone_since = alone_since.or_else(|| Some(Instant::now())),
            false => alone_since = None,
        }
    }
    server.hand_over();
    tokio::time::sleep(FINISH_WITHIN).await;
}

/// Has the plugin take what is asked of it, for ever.
async fn take(served: &Served<'_>, taker: Option<&Taker>) {
    if let Some(taker) = taker {
        served.taken(taker).await;
    }
    std::future::pending().await
}

/// Hears the plugin's events, for ever, and tells the host of them.
async fn tell(served: &Served<'_>, desk: &Desk, server: &Handle) {
    while let Some(event) = served.next_event().await {
        let event = match event {
            Event::Resized(_) => {
                let Some(geometry) = served.look_again().await else { break };
                server.resized(geometry.size);
                ServingEvent::Resized(geometry)
            }
            Event::Fenced(by) => {
                server.fenced(&by);
                ServingEvent::Fenced(cut(&by))
            }
            Event::Degraded(why) => ServingEvent::Degraded(cut(&why)),
            Event::Restored => ServingEvent::Restored,
        };
        desk.say(FromSandbox::Event(event));
        tokio::time::sleep(EVENT_PAUSE).await;
    }
    std::future::pending().await
}

/// No more of a plugin's words than a line of a log has.
fn cut(words: &str) -> String {
    words[..words.floor_char_boundary(LINE_MAX)].to_owned()
}
